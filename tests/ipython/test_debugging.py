"""`%task debug`: a recorded task runs here, and the debugger is entered where it raises."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.inputtransformer2 import TransformerManager

from taskfc_ext import serialize
from taskfc_ext.errors import ResultExpired
from taskfc_ext.ipython.notebook import Notebook
from taskfc_ext.ipython.parse.grammar import parse_line
from taskfc_ext.ipython.verbs.dispatch import answer
from taskfc_ext.protocol.infos import SubmittedTask
from taskfc_ext.protocol.spec import Kind, Spec
from tests.ipython.test_magics import error_of


class FakeShell:
    """The part of IPython's shell that is used here: records tracebacks and calls of the debugger."""

    def __init__(self) -> None:
        self.input_transformer_manager = TransformerManager()
        self.user_module = ModuleType("notebook")
        self.user_ns: dict[str, Any] = {"x": "the notebook's"}
        self.shown: list[str] = []
        self.debugged: list[BaseException] = []
        self.debugger: Callable[..., None] = self.note

    def get_ipython(self) -> FakeShell:
        return self

    def transform_cell(self, source: str) -> str:
        return self.input_transformer_manager.transform_cell(source)

    def transform_ast(self, tree: Any) -> Any:
        return tree

    def run_line_magic(self, name: str, line: str, **_: object) -> Any:
        return self.user_ns[line]

    def showtraceback(self, exc_tuple: Any, tb_offset: int) -> None:
        assert tb_offset == 0, "all frames are shown"
        self.shown += traceback.format_exception(exc_tuple[1])

    def note(self, force: bool) -> None:
        assert force
        self.debugged.append(sys.last_value)


@pytest.fixture
def fake(shell: Any) -> Iterator[FakeShell]:
    yield FakeShell()
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)


@pytest.fixture
def run(fake: FakeShell, shell: Any) -> Callable[[str], Any]:
    def run(line: str) -> Any:
        return answer(
            Notebook(fake, shell.magics.session, shell.magics.board, shell.magics.queues, fake.user_ns),
            parse_line(line),
        )

    return run


def cell(source: str, names: dict[str, Any] | None = None, *inputs: object, **options: Any) -> SubmittedTask:
    spec = Spec(**{"kind": Kind.CELL, "code": b"0" * 16, "label": "cell", **options})
    body = serialize.dump_names(names or {}, (), what="the cell")
    values = tuple(serialize.dump_value(value, what="x") for value in inputs)
    return SubmittedTask(taskid=0, name="fit", spec=spec, code=source.encode(), body=body, inputs=values)


def call(function: Callable[..., Any], *args: Any) -> SubmittedTask:
    spec = Spec(kind=Kind.FUNCTION, code=b"0" * 16, label="f")
    body = serialize.dump_call(args, {}, what="f")
    return SubmittedTask(taskid=0, name=None, spec=spec, code=serialize.dump_function(function)[1], body=body)


@pytest.fixture
def record(shell: Any, farm: Any) -> Callable[[SubmittedTask], None]:
    shell.run("%%task fit\n1")

    def record(task: SubmittedTask) -> None:
        farm.submissions[0] = task
        farm.set(0, state="failed")

    return record


def divide(x: int, y: int) -> float:
    return x / y


async def divide_later(x: int, y: int) -> float:
    return x / y


def test_a_cell_is_debugged_with_its_own_lines_and_names(
    fake: FakeShell, run: Any, record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record(cell("y = 2\n\ndef half(n):\n    return n / (y - 2)\n\nhalf(x)", {"x": 21}))
    capsys.readouterr()
    assert run("debug 0") is None
    assert capsys.readouterr().out == "replaying task 0 fit here, with its recorded inputs\n"
    lines = [line for line in "".join(fake.shown).splitlines() if line.strip(" ~^")]  # Pythons differ in the marks
    assert lines[:5] == [
        "Traceback (most recent call last):",
        '  File "<task 0>", line 6, in <module>',
        "    half(x)",
        '  File "<task 0>", line 4, in half',
        "    return n / (y - 2)",
    ]
    (error,) = fake.debugged
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is sys.last_traceback
    namespace = sys.last_traceback.tb_frame.f_globals
    assert (namespace["x"], namespace["y"], namespace["__name__"]) == (21, 2, "__main__")
    assert fake.user_ns == {"x": "the notebook's"}
    assert sys.modules["__main__"].__dict__ is not namespace


def test_a_task_that_does_not_raise_here_returns_its_value(
    fake: FakeShell, run: Any, record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "async def later():\n    return 22\ny = %magic x\nawait later() + y"
    record(cell(source, {"x": serialize.InputRef(0)}, 20))
    capsys.readouterr()
    assert run("debug fit") == 42
    assert capsys.readouterr().out.splitlines()[-1] == "task 0 fit does not raise here"
    assert (fake.shown, fake.debugged) == ([], [])


@pytest.mark.parametrize("function", [divide, divide_later])
def test_a_function_is_called_as_it_was(fake: FakeShell, run: Any, record: Any, function: Any) -> None:
    record(call(function, 6, 2))
    assert run("debug 0") == 3.0
    record(call(function, 6, 0))
    assert run("debug 0") is None
    assert [type(error) for error in fake.debugged] == [ZeroDivisionError]
    assert sys.last_traceback.tb_frame.f_locals == {"x": 6, "y": 0}


def test_a_traceback_of_c_code_shows_its_call(fake: FakeShell, run: Any, record: Any) -> None:
    record(call(int, "x"))
    run("debug 0")
    assert sys.last_traceback.tb_frame.f_locals["args"] == ("x",)


def test_a_cell_within_a_running_loop_awaits_in_a_loop_of_its_own(run: Any, record: Any) -> None:
    import asyncio

    record(cell("import asyncio\nawait asyncio.sleep(0)\n'slept'"))

    async def kernel() -> Any:
        return run("debug 0")

    assert asyncio.run(kernel()) == "slept"


def test_exit_is_an_error_and_an_interrupt_goes_through(fake: FakeShell, run: Any, record: Any) -> None:
    record(cell("raise SystemExit(3)"))
    run("debug 0")
    assert [type(error) for error in fake.debugged] == [SystemExit]
    record(cell("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        run("debug 0")
    assert fake.user_ns == {"x": "the notebook's"}


@pytest.mark.parametrize("options", [{"keep": True}, {"kind": Kind.STRING}])
def test_missing_names_of_the_workers_namespace_are_reported(
    run: Any, record: Any, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    record(cell("1 + 1", **options))
    capsys.readouterr()
    assert run("debug 0") == (2 if "keep" in options else None)
    assert "inputs, but without the names of its worker's namespace\n" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["asked", "no stdin", "front end", "kernel"])
def test_without_a_prompt_the_debugger_is_only_named(
    fake: FakeShell,
    run: Any,
    record: Any,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(force: bool) -> None:
        raise StdinNotImplementedError

    if how == "no stdin":
        monkeypatch.setattr(sys, "stdin", None)
    elif how == "front end":
        fake.debugger = refuse
    elif how == "kernel":
        fake.kernel = SimpleNamespace(_allow_stdin=False)  # type: ignore[attr-defined]
    record(cell("1 / 0"))
    capsys.readouterr()
    run("debug 0 --no-debugger" if how == "asked" else "debug 0")
    assert capsys.readouterr().out.splitlines()[-1] == "task 0 fit raises here; `%debug` opens the debugger there"
    assert (len(fake.shown) > 0, fake.debugged) == (True, [])
    assert isinstance(sys.last_value, ZeroDivisionError)


def test_a_task_that_cannot_be_replayed_is_refused_in_one_line(shell: Any, farm: Any, record: Any) -> None:
    record(SubmittedTask(taskid=0, name=None, spec=cell("1").spec, code=b"1", body=b"cnowhere\nf\n."))
    error = error_of(shell, "%task debug 0")
    text = "task 0 cannot be unpickled here: ModuleNotFoundError: No module named 'nowhere'"
    assert (type(error), str(error)) == (UsageError, text)
    text = "task 0 takes the result of task 7, which has not succeeded"
    farm.submissions[0] = ResultExpired(text, taskid=7)
    farm.set(0, state="failed")
    assert str(error_of(shell, "%task debug 0")) == f"{text}; `%task debug 7` may tell more"
    text = "task 0 takes the result of task 7, which was cleared"
    farm.submissions[0] = ResultExpired(text, taskid=7)
    assert str(error_of(shell, "%task debug 0")) == text


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("running", "task 0 has not ended (running), so it would run twice; wait, or abort it first"),
        ("succeeded", "task 0 succeeded: there is nothing to debug"),
    ],
)
def test_only_failed_tasks_are_debugged(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str], state: str, told: str
) -> None:
    shell.run("t = %task 1")
    farm.set(0, state=state)
    capsys.readouterr()
    shell.ip.run_cell("%task debug t")
    assert capsys.readouterr().err == f"UsageError: {told}\n"
