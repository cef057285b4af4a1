"""A cell as the worker runs it, beside its replay by the debugger: the same names, value and traceback."""

from __future__ import annotations
import __future__

import asyncio
import os
import traceback
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from taskfc_ext.ipython.verbs.replay import Replay
from taskfc_ext.protocol.infos import SubmittedTask
from taskfc_ext.protocol.payloads import Failure
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.serialize import CellOptions, SourceResult, dump_names
from taskfc_ext.worker.run.tracebacks import from_users_frame
from tests.shells import end_shell, new_shell

NAMES: dict[str, object] = {"x": 21, "items": [1]}

HALF = "y = 1\n\ndef half(n):\n    return n / (y - 1)\n\nhalf(x)"
LATER = "import asyncio\nasync def later(n):\n    await asyncio.sleep(0)\n    return 1 / n\n"


class Ended(NamedTuple):
    """A cell's end: its value and the plain values that it has bound, or the lines of its traceback."""

    value: object
    bound: dict[str, object]
    lines: list[str]


@pytest.fixture
def shell() -> Iterator[Any]:
    made = new_shell()
    yield made
    end_shell(made)


def run_on_worker(bench: Any, source: str, options: CellOptions) -> Ended:
    code = bench.define(source.encode())
    bench.give(Spec(kind=Kind.CELL, code=code, label="cell"), dump_names(NAMES, ["*"], what="cell", options=options))
    ((_, end),) = bench.collect()
    if isinstance(end, Failure):
        return Ended(None, {}, frames_of(end.traceback))
    assert isinstance(end, SourceResult)
    return Ended(end.value, plain(end.ns), [])


def run_replay(shell: Any, source: str, options: CellOptions) -> Ended:
    spec = Spec(kind=Kind.CELL, code=b"0" * 16, label="cell")
    body = dump_names(NAMES, ["*"], what="cell", options=options)
    replay = Replay(shell, SubmittedTask(taskid=101, name=None, spec=spec, code=source.encode(), body=body), bytes)
    before = dict(replay.namespace)
    try:
        value = replay.run()
    except Exception as error:
        begins = from_users_frame(error.__traceback__ and error.__traceback__.tb_next)  # without this test's frame
        shown = traceback.TracebackException(type(error), error, begins)
        return Ended(None, {}, frames_of("".join(shown.format())))
    names = {name: made for name, made in replay.namespace.items() if before.get(name) is not made}
    return Ended(value, plain(names | {"items": replay.namespace["items"]}), [])


def plain(names: dict[str, Any]) -> dict[str, object]:
    """Return the values that two processes can compare, without those of the shell itself."""
    kinds = (int, float, str, list, dict)
    return {name: value for name, value in names.items() if isinstance(value, kinds) and not name.startswith("_")}


def frames_of(text: str) -> list[str]:
    """Return the lines of a traceback without the marks under the code."""
    return [line for line in text.splitlines() if line.strip(" ~^")]


CELLS: list[tuple[str, CellOptions, object]] = [
    ("y = x * 2\nitems.append(y)\ny", {}, 42),
    ("y = x;\ny;", {}, None),
    ("y = x", {}, None),
    ("pwd", {}, os.getcwd()),
    ("y = !echo one\nlist(y)", {}, ["one"]),
    ("y = 1\n%cd -q .\ny", {}, 1),
    (LATER + "y = await later(2)\nawait later(4)", {}, 0.25),
    ("y = x + 1", {"interactivity": "last_expr_or_assign"}, 22),
    ("x\ny = 2\ny", {"interactivity": "all"}, 2),
    ("from __future__ import annotations\ny: nothing = 3\n__annotations__", {}, {"y": "nothing"}),
    ("y: nothing = 3\n__annotations__", {"flags": __future__.annotations.compiler_flag}, {"y": "nothing"}),
]

FAILING = [HALF, LATER + "await later(0)", LATER + "z = await later(0)\nz", "y = 2\n!true\n1 / (y - 2)"]


@pytest.mark.parametrize("in_kernel", [False, True], ids=["terminal", "kernel"])
@pytest.mark.parametrize(("source", "options", "value"), CELLS)
def test_a_cell_gives_the_same_names_and_value_in_both(
    bench: Any, shell: Any, source: str, options: CellOptions, value: object, in_kernel: bool
) -> None:
    there = run_on_worker(bench, source, options)
    here = run_replay_in_loop(shell, source, options) if in_kernel else run_replay(shell, source, options)
    assert (there.value, there.lines) == (value, [])
    names_there = there.bound | {"items": there.bound.get("items", [1])}
    assert here == Ended(value, names_there, [])


@pytest.mark.parametrize("in_kernel", [False, True], ids=["terminal", "kernel"])
@pytest.mark.parametrize("source", FAILING)
def test_a_failing_cell_has_the_same_traceback_in_both(bench: Any, shell: Any, source: str, in_kernel: bool) -> None:
    there = run_on_worker(bench, source, {})
    here = run_replay_in_loop(shell, source, {}) if in_kernel else run_replay(shell, source, {})
    assert there.lines[0] == "Traceback (most recent call last):"
    assert there.lines[1].startswith('  File "<task 101>", line ')
    assert here == there


def test_exit_ends_the_replay_as_it_ends_the_task(bench: Any, shell: Any) -> None:
    there = run_on_worker(bench, "exit()", {})
    assert there.lines[-1].startswith("SystemExit: the task called exit()")
    with pytest.raises(SystemExit, match=r"exit\(\)"):
        run_replay(shell, "exit()", {})


def run_replay_in_loop(shell: Any, source: str, options: CellOptions) -> Ended:
    async def kernel() -> Ended:
        return run_replay(shell, source, options)

    return asyncio.run(kernel())
