"""Cells that are run again: after a restart of the kernel, and with `--reuse`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.error import UsageError

from taskfc_ext import BlockingTaskClient
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, run_notebook, until

from .conftest import Session

Open = Callable[..., Session]


@pytest.fixture
def open_kernel(shared_farm: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens a kernel of a notebook, in a folder of its own."""
    opened: list[Session] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def open_it(notebook: str = "", cell: str = "") -> Session:
        while opened:
            opened.pop().close()
        monkeypatch.setenv("JPY_SESSION_NAME", notebook or str(tmp_path / "a.ipynb"))
        opened.append(Session())
        if cell:
            opened[-1].ip.get_parent = lambda: {"metadata": {"cellId": cell}}
        return opened[-1]

    yield open_it
    while opened:
        opened.pop().close()


def gated(gate: Path, value: str) -> str:
    return f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n{value}"


def test_a_restarted_kernel_knows_the_unfinished_task_of_a_cell(
    open_kernel: Open, client: BlockingTaskClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    before = open_kernel(cell="c1")
    before.run(f"%%task fit\n{gated(gate, '1')}")
    after = open_kernel(cell="c1")
    old = after.run("fit")
    error = after.error(f"%%task fit\n{gated(gate, '2')}")
    assert type(error) is UsageError
    assert f"task {old.taskid} (fit) of this cell is" in str(error)
    new = after.run(f"%%task fit --replace\n{gated(gate, '3')}")
    until(lambda: old.state == "aborted", "the first one is aborted")
    gate.touch()
    assert new.result(DEADLINE) == 3
    assert client.list_tasks([new.taskid])[0].cell == "c1"
    again = client.retry(old.taskid)  # a retry is this cell's, too
    assert client.list_tasks([again.taskid])[0].cell == "c1"
    again.result(DEADLINE)


FIRST = "%%task first --reuse\nprint('counted')\nimport os\nmodel = helper(base)\n(os.getpid(), model)"


def test_a_same_task_is_taken_only_when_asked(open_kernel: Open, capsys: pytest.CaptureFixture[str]) -> None:
    before = open_kernel()
    define = "def helper(x):\n    return x * 2  # doubled\nbase = {'k': [1, 2], 'n': 21}['n']"
    before.run(define)
    first = before.run(FIRST)
    assert first.result(DEADLINE)[1] == 42
    after = open_kernel()
    after.run("'another number of cells'")
    after.run(f"# edited\n\n{define}")
    capsys.readouterr()
    second = after.run(f"{FIRST}  # with a comment")
    assert second.taskid == first.taskid
    assert f"from task {first.taskid}, " in capsys.readouterr().out
    assert after.run("first.result()")[1] == 42
    assert after.run(FIRST.replace(" --reuse", "")).taskid != first.taskid
    other = open_kernel("other.ipynb")
    other.run(define)
    assert other.run(FIRST).taskid != first.taskid


@pytest.mark.parametrize(
    "change",
    [
        "base = 22",
        "base = 21.0",
        "def helper(x):\n    return x * 3",
        "import warnings; warnings.simplefilter('error', ResourceWarning)",
        "import os; os.environ['TF_AGAIN'] = '1'",
        "import pathlib; pathlib.Path('tf_again_module.py').write_text('N = 2')",
    ],
)
def test_what_is_not_the_same_runs(open_kernel: Open, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_AGAIN", raising=False)
    Path("tf_again_module.py").write_text("N = 1")
    session = open_kernel()
    session.run("def helper(x):\n    return x * 2\nbase = 21")
    cell = "%%task --reuse\nimport tf_again_module\n(helper(base), tf_again_module.N)"
    first = session.run(cell)
    first.result(DEADLINE)
    assert session.run(cell).taskid == first.taskid
    session.run(f"import warnings\nbefore = warnings.filters[:]\n{change}")
    try:
        assert session.run(cell).taskid != first.taskid
    finally:
        session.run("warnings.filters[:] = before; warnings._filters_mutated()")
        monkeypatch.delenv("TF_AGAIN", raising=False)


def test_options_that_change_the_result_count(open_kernel: Open) -> None:
    session = open_kernel()
    first = session.run("%%task --reuse --seed 1 -o x\nx = 1\nx")
    first.result(DEADLINE)
    assert "x" not in session.ip.user_ns
    assert session.run("%%task --reuse --wait --seed 1 -o x\nx = 1\nx").taskid == first.taskid
    assert session.ip.user_ns["x"] == 1
    same = ("--seed 1 -o x", "other --seed 1 -o x --retries 2 --priority 3")
    other = ("--seed 2 -o x", "--seed 1", "--seed 1 -o x --cores 1", "--seed 1 -o x --after 0")
    session.run("%config TaskMagics.when_running = 'beside'")
    ids = [session.run(f"%%task {options} --reuse\nx = 1\nx").taskid for options in (*same, *other)]
    assert ids[:2] == [first.taskid] * 2
    assert first.taskid not in ids[2:]
    assert len(set(ids[2:])) == len(other)


def test_an_unfinished_one_is_joined_and_a_failed_one_runs_again(
    open_kernel: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session, gate = open_kernel(), tmp_path / "gate"
    cell = f"%%task fit --reuse\n{gated(gate, 'pathlib.Path(' + repr(str(tmp_path / 'no')) + ').read_text()')}"
    first = session.run(cell)
    assert session.run(cell).taskid == first.taskid
    assert f"joined task {first.taskid}, which is the same and is " in capsys.readouterr().out
    gate.touch()
    assert isinstance(first.exception(DEADLINE), FileNotFoundError)
    (tmp_path / "no").write_text("now")
    again = session.run(cell)
    assert again.taskid != first.taskid
    assert again.result(DEADLINE) == "now"
    assert session.run(cell).taskid == again.taskid


def notebook(*cells: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def test_restart_and_run_all_takes_all_results(
    shared_farm: Controller, client: BlockingTaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "all.ipynb"))
    cells = [
        "%load_ext taskfc_ext",
        "import numpy as np, pandas as pd\nclass Model:\n    def __init__(self, n): self.n = n\n"
        "    def fit(self, frame):\n        self.sum = frame['a'].sum()\n        return self",
        "frame = pd.DataFrame({'a': np.arange(10), 'b': list('abcdefghij')})\nmodel = Model(3)",
        "%%task load --reuse\nframe * 2",
        "%%task fitted --reuse -o m\nm = model.fit(load)\nm.sum",
        "%%task plot --reuse\nfitted + 1",
        "print(load.taskid, fitted.taskid, plot.taskid, fitted.result(), plot.result())",
    ]
    seen = []
    for change in ("", "", "model = Model(4)"):
        run = [*cells[:3], change, *cells[3:]]
        done = notebook(*run)
        run_notebook(done, tmp_path)
        seen.append(done.cells[-1].outputs[0].text.split()[:5])
    assert seen[0] == seen[1]
    assert seen[0][3:] == ["90", "91"]
    assert seen[2][0] == seen[0][0]  # only what depends on the change runs again
    assert seen[2][1] != seen[0][1]
    assert seen[2][2] != seen[0][2]
