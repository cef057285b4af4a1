"""The user's modules that are sent, as they are on disk."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import serialize
from taskfc_ext.client.context import modules
from taskfc_ext.client.context.modules import Sources
from taskfc_ext.protocol.context import Module, decode_modules


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **texts: str) -> None:
    """Write a.b as `a__b`."""
    for name, text in texts.items():
        file = folder / (name.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def sources_in(folder: Path, *entries: str) -> Sources:
    return Sources(str(folder), [*entries, *sys.path])


def decode_packs(sources: Sources) -> dict[str, Module]:
    sources.look()
    return {module.name: module for _, body in sources.packs for module in decode_modules(body)}


def test_a_wanted_module_goes_with_what_it_imports(folder: Path) -> None:
    write(folder, tf_a="import tf_b, math, no_such", tf_b="from tf_c import x", tf_c="x = 1", tf_d="never named")
    sources = sources_in(folder)
    assert decode_packs(sources) == {}
    sources.want(["tf_a"])
    found = decode_packs(sources)
    assert set(found) == {"tf_a", "tf_b", "tf_c"}
    assert found["tf_c"] == Module(name="tf_c", source=b"x = 1", path=bytes(folder / "tf_c.py"))


def test_packages_go_with_their_parents(folder: Path) -> None:
    write(folder, tf_space__regular__leaf="from . import other\nfrom .. import far", tf_space__far="")
    write(folder, tf_space__regular__other="")
    (folder / "tf_space" / "regular" / "__init__.py").touch()
    sources = sources_in(folder)
    sources.want(["tf_space.regular.leaf"])
    found = decode_packs(sources)
    assert sorted(found) == [
        "tf_space",
        "tf_space.far",
        "tf_space.regular",
        "tf_space.regular.leaf",
        "tf_space.regular.other",
    ]
    assert found["tf_space"] == Module(name="tf_space", locations=(bytes(folder / "tf_space"),))
    assert found["tf_space.regular"].locations == (bytes(folder / "tf_space" / "regular"),)


def test_modules_that_are_imported_here_are_sent(folder: Path) -> None:
    write(folder, tf_here="")
    importlib.import_module("tf_here")
    assert set(decode_packs(sources_in(folder))) == {"tf_here"}


def test_code_that_travels_by_value_names_its_modules(folder: Path) -> None:
    write(folder, tf_named="", tf_pack__deep="")
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("def f():\n    import tf_named\n    from tf_pack import deep", space)
    sources = sources_in(folder)
    assert decode_packs(sources) == {}
    serialize.dump_call((space["f"],), {}, what="f")
    assert sources.is_due(time.perf_counter(), 0.0)
    assert set(decode_packs(sources)) == {"tf_named", "tf_pack", "tf_pack.deep"}


def test_nothing_is_sent_twice_but_an_edit_is(folder: Path) -> None:
    write(folder, tf_a="1", tf_b="2")
    sources = sources_in(folder)
    sources.want(["tf_a", "tf_b"])
    sources.look()
    before = sources.packs
    write(folder, tf_a="1")
    sources.look()
    assert sources.packs is before
    write(folder, tf_a="3")
    assert decode_packs(sources)["tf_a"].source == b"3"
    assert len(set(before) & set(sources.packs)) == 1  # the other one's
    (folder / "tf_a.py").unlink()
    assert set(decode_packs(sources)) == {"tf_b"}


def test_a_new_file_is_found(folder: Path) -> None:
    sources = sources_in(folder)
    sources.want(["tf_later"])
    assert decode_packs(sources) == {}
    write(folder, tf_later="import tf_last")
    sources.look(for_new=True)
    write(folder, tf_last="")
    sources.want(["tf_last"])
    assert set(decode_packs(sources)) == {"tf_later", "tf_last"}


def test_installed_modules_are_not_sent(folder: Path) -> None:
    write(folder, env__tf_in_env="", site_packages__tf_in_site="")
    (folder / "env" / "pyvenv.cfg").touch()
    (folder / "site_packages").rename(folder / "site-packages")
    sources = sources_in(folder, str(folder / "env"), str(folder / "site-packages"))
    sources.want(["tf_in_env", "tf_in_site", "msgspec", "json", "taskfc_ext"])
    assert decode_packs(sources) == {}


def test_modules_that_python_would_find_elsewhere_are_not_sent(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = tmp_path_factory.mktemp("first")
    write(first, tf_a="")
    write(folder, tf_a="")
    sources = sources_in(folder, str(first))
    sources.want(["tf_a"])
    assert decode_packs(sources) == {}


# outside of the folder


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A folder on the module path that is not the notebook's."""
    place = tmp_path_factory.mktemp("src")
    monkeypatch.syspath_prepend(str(place))
    return place


def pack_and_decode(folder: Path) -> dict[str, Module]:
    return decode_packs(Sources(str(folder), list(sys.path), elsewhere=True))


def test_modules_that_are_imported_from_elsewhere_are_sent(folder: Path, outside: Path) -> None:
    write(outside, tf_pack__inner="", tf_pack__unused="", tf_never="")
    (outside / "tf_pack" / "__init__.py").write_text("from tf_pack import inner")
    write(folder, tf_beside="import tf_pack, tf_never")
    importlib.import_module("tf_beside")
    sys.modules.pop("tf_never")
    found = pack_and_decode(folder)
    assert {name for name in found if name.startswith("tf_")} == {"tf_beside", "tf_pack", "tf_pack.inner"}
    assert found["tf_pack.inner"].path == bytes(outside / "tf_pack" / "inner.py")


def test_an_edit_elsewhere_is_sent(folder: Path, outside: Path) -> None:
    write(outside, tf_a="N = 1")
    importlib.import_module("tf_a")
    sources = Sources(str(folder), list(sys.path), elsewhere=True)
    assert decode_packs(sources)["tf_a"].source == b"N = 1"
    write(outside, tf_a="N = 2")
    assert decode_packs(sources)["tf_a"].source == b"N = 2"


class EditableFinder:
    """Finds the modules of a project, as an editable install does."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        file = self.project / f"{name}.py"
        return importlib.util.spec_from_file_location(name, file) if file.exists() else None


def test_the_project_of_an_editable_install_goes_along(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path_factory.mktemp("project")
    write(project, tf_editable="N = 1")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, EditableFinder(project)])
    importlib.import_module("tf_editable")
    assert pack_and_decode(folder)["tf_editable"].source == b"N = 1"


@pytest.mark.parametrize("sign", ["pyvenv.cfg", "thing-1.0.dist-info/RECORD"])
def test_installed_modules_elsewhere_are_not_sent(folder: Path, outside: Path, sign: str) -> None:
    (outside / sign).parent.mkdir(exist_ok=True)
    (outside / sign).touch()
    write(outside, tf_installed="")
    importlib.import_module("tf_installed")
    assert "tf_installed" not in pack_and_decode(folder)


def test_too_much_code_elsewhere_is_not_sent_but_modules_beside_the_notebook_are(
    folder: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "MAX_FILES_ELSEWHERE", 3)
    write(folder, tf_beside="import tf_x0")
    for i in range(5):
        write(outside, **{f"tf_x{i}": ""})
        importlib.import_module(f"tf_x{i}")
    importlib.import_module("tf_beside")
    assert set(pack_and_decode(folder)) == {"tf_beside"}


def test_a_file_that_is_too_large_is_left_to_the_disk(folder: Path) -> None:
    write(folder, tf_large="x = 1\n" * 200_000, tf_small="x = 1", tf_other="x = 1")
    sources = sources_in(folder)
    sources.want(["tf_large", "tf_small"])
    assert set(decode_packs(sources)) == {"tf_small"}
    for n in range(modules.MAX_FILES):
        write(folder, **{f"tf_many_{n}": ""})
    sources.want(f"tf_many_{n}" for n in range(modules.MAX_FILES))
    assert decode_packs(sources) == {}
