"""Tasks run where they were submitted from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskfc_ext import VersionMismatch, restart, start
from taskfc_ext.client.start import Controller
from taskfc_ext.errors import ControllerLost
from tests.processes import DEADLINE, until

from .conftest import kill, run_script


def look() -> tuple[str, str | None, bool]:
    return os.getcwd(), os.environ.get("TF_TEST"), "TF_GONE" in os.environ


def test_a_task_sees_what_its_submission_saw(
    shared_farm: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tf_in_new_folder.py").write_text("def answer():\n    return 42\n")
    with shared_farm.client() as client:
        before = os.getcwd()
        first = client.submit(look)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TF_TEST", "x")
        second = client.submit(look)
        monkeypatch.delenv("TF_TEST")
        third = client.submit(look)
        assert first.result(DEADLINE) == (before, None, False)
        assert second.result(DEADLINE) == (str(tmp_path), "x", False)
        assert third.result(DEADLINE) == (str(tmp_path), None, False)
        monkeypatch.syspath_prepend(str(tmp_path))
        cell = client.submit_cell("import tf_in_new_folder; tf_in_new_folder.answer()")
        assert cell.result(DEADLINE) == 42


def test_a_variable_that_is_removed_here_is_removed_there(shared_farm: Controller) -> None:
    code = """
import os
from taskfc_ext import attach
with attach() as client:
    del os.environ["HOME"]
    print(client.submit_cell("import os; 'HOME' in os.environ").result(60))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout == "False\n"


def venv(folder: Path) -> Path:
    """Make an environment in which all is installed that is here; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=DEADLINE)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "here.pth").write_text("\n".join(entry for entry in sys.path if entry))
    return folder / "bin" / "python"


def test_an_interpreter_of_another_environment_is_refused(shared_farm: Controller, tmp_path: Path) -> None:
    text = """
from taskfc_ext import attach, VersionMismatch
with attach() as client:
    print(client.queue_status()["failed"] >= 0)
    for attempt in range(2):
        try:
            client.submit(abs, -1).result(60)
        except VersionMismatch as error:
            print(error)
"""
    python = venv(tmp_path / "env")
    done = subprocess.run([python, "-c", text], capture_output=True, text=True, timeout=DEADLINE)
    looked, *refusals = done.stdout.splitlines()
    assert looked == "True", done.stderr
    assert sum(str(python) in line and sys.executable in line for line in refusals) == 2, done.stdout
    link = tmp_path / "link"
    link.symlink_to(sys.prefix)  # another name of the same
    python = link / "bin" / os.path.basename(sys.executable)
    if sys.prefix != sys.base_prefix:
        done = subprocess.run([python, "-c", text], capture_output=True, text=True, timeout=DEADLINE)
        assert done.stdout == "True\n", done.stderr


def test_a_farm_comes_back_in_its_own_interpreter(home: Path, tmp_path: Path) -> None:
    python = venv(tmp_path / "env")
    text = "from taskfc_ext import start; print(start(1).supervisor_pid)"
    done = subprocess.run([python, "-c", text], capture_output=True, text=True, timeout=DEADLINE)
    kill(int(done.stdout))
    farm = restart()
    try:
        with farm.client() as client, pytest.raises(VersionMismatch, match=str(python)):
            client.submit(abs, -1).result(DEADLINE)
    finally:
        farm.stop()


def test_two_clients_in_two_folders(shared_farm: Controller, tmp_path: Path) -> None:
    code = (
        "from taskfc_ext import attach\nwith attach() as c: print(c.submit_cell('import os; os.getcwd()').result(60))"
    )
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        path = os.pathsep.join(entry for entry in sys.path if entry)
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        assert done.stdout == f"{folder}\n"


def test_a_folder_that_is_gone_fails_the_task(
    shared_farm: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    with shared_farm.client() as client:
        client.submit(look).result(DEADLINE)
        ready = tmp_path / "ready"
        code = f"import os, time\nwhile not os.path.exists({str(ready)!r}): time.sleep(0.01)\nos.rmdir({str(gone)!r})"
        blocked = client.with_options(after=client.submit_cell(code)).submit(look)
        ready.touch()
        with pytest.raises(FileNotFoundError, match="gone"):
            blocked.result(DEADLINE)


def test_a_restarted_controller_still_knows_where(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(1) as farm, farm.client() as client:
        gate = tmp_path / "gate"
        monkeypatch.chdir(tmp_path)
        code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
        first = client.submit_cell(code)
        second = client.submit(look)
        client.flush(DEADLINE)
        monkeypatch.chdir("/")
        before = farm.pid
        kill(before)

        def is_back() -> bool:
            try:
                return farm.pid != before
            except ControllerLost:
                return False

        until(is_back, "the controller is back")
        gate.touch()
        first.result(DEADLINE)
        assert second.result(DEADLINE)[0] == str(tmp_path)


def test_an_edited_module_is_never_stale(
    shared_farm: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tf_package"
    package.mkdir()
    (package / "__init__.py").write_text("from tf_package.deep import value\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "import tf_package, tf_single; (tf_package.value(), tf_package.deep.N, tf_single.N)"
    main_file = str(tmp_path / "script.py")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", main_file, raising=False)
    with shared_farm.client() as client:
        for n in range(1, 6):  # the same size, within the same second
            (package / "deep.py").write_text(f"N = {n}\ndef value():\n    return {n}\n")
            (tmp_path / "tf_single.py").write_text(f"N = {n}\n")
            client_cwd = client.submit_cell(code)
            assert client_cwd.result(DEADLINE) == (n, n, n)


def test_a_function_and_a_class_in_an_edited_module(
    shared_farm: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import importlib, sys
sys.path.insert(0, "")
from pathlib import Path
from taskfc_ext import attach
import tf_edited
with attach() as client:
    for n in range(1, 4):
        made = f"def make():\\n    t = Thing(); t.m = {n}; return t\\n"
        Path("tf_edited.py").write_text("class Thing:\\n    n = 0\\n" + made)
        things = [client.submit(tf_edited.make).result(60) for _ in range(4)]
        print(all(isinstance(thing, tf_edited.Thing) and thing.m == n for thing in things))
"""
    (tmp_path / "tf_edited.py").write_text("class Thing:\n    n = 0\ndef make():\n    return Thing()\n")
    (tmp_path / "script.py").write_text(script)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stdout == "True\n" * 3, done.stderr


def test_modules_that_travel_by_value_are_what_they_are_now(shared_farm: Controller, tmp_path: Path) -> None:
    text = """
import sys, types
from functools import partial
import cloudpickle
source = "K = 1\\ndef f(*args): return K\\nclass C:\\n    def k(self): return K\\n"
Path("tf_registered.py").write_text(source)
import tf_registered as registered
cloudpickle.register_pickle_by_value(registered)
dynamic, homeless = types.ModuleType("tf_dynamic"), types.ModuleType("tf_homeless")
sys.modules["tf_homeless"] = homeless
for module in dynamic, homeless:
    exec(source, vars(module))
def use_registered(): return registered.K, registered.f(), registered.C().k()
def use_dynamic(): return dynamic.K, dynamic.f(), dynamic.C().k()
def use_homeless(): return homeless.K, homeless.f(), homeless.C().k()
uses = [use_registered, use_dynamic, use_homeless]
modules = [registered, dynamic, homeless]
def through_another(i): return uses[i]()
for n in range(1, 4):
    for module in modules:
        module.K = n
    values = [client.submit(use) for use in uses] + [client.submit(through_another, i) for i in range(3)]
    values += [client.submit_cell("m.K, m.f(), m.C().k()", {"m": module}) for module in modules]
    numbers = [client.submit(module.f) for module in modules]
    numbers += [client.submit(partial(module.f, 1)) for module in modules]
    print({future.result(60) for future in values}, {future.result(60) for future in numbers})
    print([client.map(module.f, [1, 2]) for module in modules])
"""
    expected = "".join(f"{{({n}, {n}, {n})}} {{{n}}}\n{[[n, n]] * 3}\n" for n in range(1, 4))
    assert run_script(tmp_path, text) == expected


@pytest.mark.parametrize("is_imported_here", [True, False], ids=["imported here", "only there"])
def test_code_outside_of_the_folder_follows_edits(
    shared_farm: Controller, tmp_path: Path, is_imported_here: bool
) -> None:
    for name in ("src/tf_pack", "notebook"):
        (tmp_path / name).mkdir(parents=True)
    text = f"""
import importlib, sys
sys.path.insert(0, str(Path("../src").resolve()))
files = [Path("../src/tf_outside.py"), Path("../src/tf_pack/__init__.py"), Path("../src/tf_pack/deep.py")]
seen = []
def ask():
    import tf_outside, tf_pack.deep
    return tf_outside.N, tf_outside.f(), tf_pack.deep.N
for n in range(4):
    for file in files:
        file.write_text(f"N = {{n}}\\ndef f(): return N\\n")
    if {is_imported_here}:
        import tf_outside, tf_pack.deep
        if n == 2:
            importlib.reload(tf_outside)
    cell = client.submit_cell("import tf_outside, tf_pack.deep; (tf_outside.N, tf_outside.f(), tf_pack.deep.N)")
    seen += [client.submit(ask).result(60), cell.result(60)]
print(seen == [(n, n, n) for n in range(4) for _ in range(2)], seen)
"""
    assert run_script(tmp_path / "notebook", text).startswith("True")


def test_tasks_before_and_after_an_edit_see_their_own_version(shared_farm: Controller, tmp_path: Path) -> None:
    text = """
file = Path("tf_versions.py")
gate = client.submit_cell("import os, time\\nwhile not os.path.exists('gate'): time.sleep(0.01)")
later = client.with_options(after=gate)
def ask():
    import tf_versions
    return tf_versions.N
futures = []
for n in range(3):
    file.write_text(f"N = {n}")
    futures.append(later.submit_cell("import tf_versions; tf_versions.N"))
    futures.append(later.submit(ask))
client.flush(60)
file.unlink()
Path("gate").touch()
print([future.result(60) for future in futures])
gone = client.submit_cell("import tf_versions")
print(type(gone.exception(60)).__name__)
"""
    assert run_script(tmp_path, text) == "[0, 0, 1, 1, 2, 2]\nModuleNotFoundError\n"


def test_a_traceback_shows_the_lines_of_the_tasks_own_version(shared_farm: Controller, tmp_path: Path) -> None:
    text = """
file = Path("tf_lines.py")
file.write_text("def fail():\\n    raise ValueError  # the first version\\n")
gate = client.submit_cell("import os, time\\nwhile not os.path.exists('gate'): time.sleep(0.01)")
future = client.with_options(after=gate).submit_cell("import tf_lines; tf_lines.fail()")
client.flush(60)
file.write_text("\\n\\n# another version\\n\\n")
Path("gate").touch()
error = future.exception(60)
import traceback
print("the first version" in "".join(traceback.format_exception(error)))
"""
    assert run_script(tmp_path, text) == "True\n"


def test_packages_and_what_lies_beside_their_modules(shared_farm: Controller, tmp_path: Path) -> None:
    for name, content in {
        "tf_pack/__init__.py": "from .inner import data",
        "tf_pack/inner/data.py": "from importlib.resources import files\n"
        "def read():\n    return files('tf_pack').joinpath('data.txt').read_text() + open(here).read()\n"
        "here = __file__.replace('data.py', 'more.txt')\n",
        "tf_pack/data.txt": "da",
        "tf_pack/inner/more.txt": "ta",
        "tf_space/one/leaf.py": "N = 1",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    text = """
for n in (1, 2):
    Path("tf_space/one/leaf.py").write_text(f"N = {n}")
    cell = "import tf_pack, tf_space.one.leaf as leaf\\n(tf_pack.data.read(), leaf.N)"
    print(client.submit_cell(cell).result(60))
"""
    assert run_script(tmp_path, text) == "('data', 1)\n('data', 2)\n"


def test_a_retry_has_the_module_that_was_mended(shared_farm: Controller, tmp_path: Path) -> None:
    text = """
file = Path("tf_mended.py")
file.write_text("def half(n):\\n    return n / 0\\n")
broken = client.submit_cell("from tf_mended import half\\nhalf(84)")
print(type(broken.exception(60)).__name__)
file.write_text("def half(n):\\n    return n // 2\\n")
print(broken.retry().result(60), client.retry(broken).result(60))
print(type(client.future(client.resubmit(broken, here=False)[broken.taskid]).exception(60)).__name__)
"""
    assert run_script(tmp_path, text) == "ZeroDivisionError\n42 42\nZeroDivisionError\n"
