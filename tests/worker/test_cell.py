from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.worker_messages import Finished
from taskfc_ext.serialize import SourceResult
from tests.worker.conftest import Ran


def cell(
    bench: Any, source: str, out: Sequence[str] = (), *, names: dict[str, object] | None = None, **options: Any
) -> Any:
    bench.source(Kind.CELL, source, names or {}, out, **options)
    return bench.result()


def string(
    bench: Any, source: str, out: Sequence[str] = (), *, names: dict[str, object] | None = None, **options: Any
) -> Any:
    bench.source(Kind.STRING, source, names or {}, out, **options)
    return bench.result().ns


def test_a_string_task_pushes_runs_and_pulls(bench: Any) -> None:
    result = string(bench, "b = a * 2\nc = 'x'", ["c", "b"], names={"a": 4})
    assert list(result.items()) == [("c", "x"), ("b", 8)]


def test_the_namespace_of_string_tasks_persists(bench: Any) -> None:
    string(bench, "a = 1", clear_before=True)
    assert string(bench, "a += 1", ["a"]) == {"a": 2}
    assert string(bench, "", ["a"], clear_after=True) == {"a": 2}
    bench.source(Kind.STRING, "a", {}, [])
    assert bench.failure().type_name == "NameError"


def test_clear_after_runs_after_a_failure_too(bench: Any) -> None:
    string(bench, "a = 1")
    bench.source(Kind.STRING, "1 / 0", {}, [], clear_after=True)
    assert bench.failure().type_name == "ZeroDivisionError"
    bench.source(Kind.STRING, "a", {}, [])
    assert bench.failure().type_name == "NameError"
    assert string(bench, "f = get_ipython()", []) == {}


def test_a_cell_has_a_namespace_of_its_own(bench: Any) -> None:
    assert cell(bench, "a = 5\na + b", ["a"], names={"b": 1}) == SourceResult(6, {"a": 5}, is_cell=True)
    bench.source(Kind.CELL, "a", {}, [])
    assert bench.failure().type_name == "NameError"


def test_the_worker_names_the_functions_that_were_sent(bench: Any) -> None:
    source = "def make(n):\n    return lambda: n\nb = make(2)\na.note = d = 3"
    made: list[Any] = [lambda: 1, lambda: 1]
    assert cell(bench, source, ["*"], names={"a": made[0], "b": made[1], "c": [1]}).sent_functions == ("a",)


def test_keep_is_the_persistent_namespace(bench: Any) -> None:
    cell(bench, "kept = 5", keep=True)
    assert cell(bench, "kept", keep=True).value == 5
    assert string(bench, "", ["kept"], clear_after=True) == {"kept": 5}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 + 1", 2),
        ("a = 1", None),
        ("", None),
        ("3;", None),
        ("';'", ";"),
        ("import asyncio\nawait asyncio.sleep(0, 'slept')", "slept"),
        ("x = !echo one\nlist(x)", ["one"]),
        ("%env HOME", None),
        ("get_ipython().user_ns is globals()", True),
        ("import __main__\n__main__.__dict__ is globals()", True),
        ("def f(): return f\nf() is f", True),
        ("[x for x in range(3)]", [0, 1, 2]),
        ("%%time\n7", 7),
        ("from __future__ import annotations\nx: nothing = 1\n__annotations__['x']", "nothing"),
        ("__name__", "__main__"),
    ],
)
def test_the_last_expression_is_the_value(bench: Any, source: str, value: object) -> None:
    result = cell(bench, source).value
    assert result == value or (source.startswith("%env") and isinstance(result, str))


def test_an_event_loop_serves_the_whole_cell(bench: Any) -> None:
    source = "import asyncio\nt = asyncio.create_task(asyncio.sleep(0, 4))\nawait asyncio.sleep(0)\nawait t"
    assert cell(bench, source).value == 4


def ran(bench: Any, source: str) -> tuple[str, list[dict[str, Any]]]:
    """Run a cell; return its printed text and its displays."""
    done = Ran(bench, source)
    return done.log, [output for output in done.shown if output["output_type"] == "display_data"]


def plain(displays: list[dict[str, Any]]) -> list[str]:
    return [shown["data"]["text/plain"] for shown in displays]


def test_prints_and_displays_are_kept_apart(bench: Any) -> None:
    text, displays = ran(bench, "!echo from the shell\ndisplay(3)\nprint('printed')")
    assert text.split() == ["from", "the", "shell", "printed"]
    assert displays == [{"output_type": "display_data", "data": {"text/plain": "3"}, "metadata": {}}]


def test_rich_displays_come_as_in_a_notebooks_file(bench: Any) -> None:
    _, (html, image, raw) = ran(
        bench,
        "from IPython.display import HTML, Image, display, publish_display_data\n"
        "display(HTML('<b>x</b>'), metadata={'text/html': {'isolated': True}})\n"
        "display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n', format='png', width=3))\n"
        "publish_display_data({'image/png': b'\\x89PNG', 'application/json': {'a': [1]}})",
    )
    assert html["data"]["text/html"] == "<b>x</b>"
    assert html["metadata"] == {"text/html": {"isolated": True}}
    assert image["data"]["image/png"].strip() == "iVBORw0KGgo="
    assert image["metadata"] == {"image/png": {"width": 3}}
    assert raw["data"] == {"image/png": "iVBORw==", "application/json": {"a": [1]}}


def test_updates_and_clearings_take_effect(bench: Any) -> None:
    _, displays = ran(
        bench, "display('gone'); from IPython.display import clear_output; clear_output(); display('here')"
    )
    assert plain(displays) == ["'here'"]
    _, displays = ran(
        bench, "h = display(1, display_id=True)\ndisplay(2)\nh.update(3)\nupdate_display(4, display_id='x')"
    )
    assert plain(displays) == ["3", "2"]
    _, displays = ran(bench, "display(1)\nclear_output(wait=True)")
    assert plain(displays) == ["1"], "it is to wait for what comes next, and nothing came"


PLOT = "%matplotlib inline\nfrom matplotlib import pyplot as plt\n"  # as in a worker, whatever tests have chosen


@pytest.mark.parametrize("end", ["", "\nplt.show()", "\n1 / 0", "\nplt.show();plt.show()"])
def test_a_figure_is_shown_once_with_or_without_show(bench: Any, end: str) -> None:
    _, displays = ran(bench, PLOT + "plt.plot([1, 2])" + end)
    assert [sorted(shown["data"]) for shown in displays] == [["image/png", "text/plain"]]
    _, displays = ran(bench, "display('no figure is left for the next cell')")
    assert len(displays) == 1


def test_a_figure_as_the_value_is_not_an_open_figure(bench: Any) -> None:
    value = cell(bench, PLOT + "plt.figure()").value
    assert value.number not in sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_result_survives_a_figure_that_cannot_be_drawn(bench: Any) -> None:
    bench.source(Kind.CELL, PLOT + "plt.title('$\\\\nonsense{$')\n5", {}, [])
    bench.turn()
    (finished,) = [message for message in bench.sent if isinstance(message, Finished)]
    assert finished.outcomes == (Outcome.OK,)
    assert "ParseFatalException" in finished.outputs[1][1] or "ValueError" in finished.outputs[1][1]


ASK_FOR_PASSWORD = "import getpass, warnings\nwarnings.simplefilter('ignore')\ngetpass.getpass()"


@pytest.mark.parametrize("source", ["input('name? ')", ASK_FOR_PASSWORD, "import sys; sys.stdin.readline()"])
def test_reading_a_line_from_stdin_is_refused(bench: Any, source: str) -> None:
    bench.source(Kind.CELL, source, {}, [])
    failure = bench.failure()
    assert failure.type_name == "EOFError"
    assert "a task has no stdin" in failure.message
    assert "stdin.py" not in failure.traceback


def test_reading_stdin_to_the_end_gives_nothing(bench: Any) -> None:
    assert cell(bench, "import sys\n(sys.stdin.read(), sys.stdin.isatty())").value == ("", False)


def test_the_magic_for_figures_is_understood(bench: Any) -> None:
    _, displays = ran(bench, "%matplotlib inline\n" + PLOT + "plt.plot([1])")
    assert len(displays) == 1
    bench.source(Kind.CELL, "%matplotlib tk", {}, [])
    assert bench.failure().message


def test_inline_figures_need_no_screen(bench: Any) -> None:
    bench.source(Kind.CELL, "get_ipython().enable_gui('inline')", {}, [])  # as `%matplotlib inline` in IPython 8.20
    ((outcome, _),) = bench.collect()
    assert outcome == Outcome.OK


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("%%time\nprint('in')", "in\nCPU times"),
        ("%timeit -n1 -r1 None", "loop"),
        ("%%bash\necho one; echo two", "one\ntwo\n"),
        ("print('a')\n!echo b\nprint('c')", "a\nb\nc\n"),
        ("print('a')\nfor i in range(2):\n    print(i)\nawait __import__('asyncio').sleep(0)", "a\n0\n1\n"),
        ("%%capture\nprint('nobody sees it')\ndisplay(1)", ""),
    ],
)
def test_prints_of_magics_are_the_tasks(bench: Any, source: str, printed: str) -> None:
    text, displays = ran(bench, source)
    text = text.replace("\r\n", "\n")
    assert text.startswith(printed) or (printed == "loop" and "loop" in text)
    assert displays == []
    assert printed or not text


def test_a_class_made_in_a_cell_comes_back(bench: Any) -> None:
    value = cell(bench, "class P:\n    x = 3\np = P()\np", ["P"])
    assert value.value.x == 3
    assert isinstance(value.value, value.ns["P"])


def test_tracebacks_name_cell_and_line(bench: Any) -> None:
    bench.source(Kind.CELL, "def g(x):\n    return 1 / x\n%env HOME\ng(0)", {}, [])
    text = bench.failure().traceback
    assert 'File "<task 101>", line 4, in <module>\n    g(0)\n' in text
    assert 'File "<task 101>", line 2, in g\n    return 1 / x\n' in text
    assert "taskfc_ext" not in text


def test_tracebacks_of_awaited_code_show_no_event_loop(bench: Any) -> None:
    bench.source(Kind.CELL, "async def f():\n    raise ValueError(3)\nawait f()", {}, [])
    text = bench.failure().traceback
    assert "line 3, in <module>\n    await f()\n" in text
    assert "asyncio" not in text


@pytest.mark.parametrize(
    "source", ["1 +", "def f(:", "x = (", "  indented = 1\nnot_indented", "%no_such_magic", "!!!", "return 3"]
)
def test_bad_source_is_the_tasks_failure(bench: Any, source: str) -> None:
    bench.source(Kind.CELL, source, {}, [])
    bench.source(Kind.CELL, "1", {}, [])
    (outcome, failure), (_, value) = bench.collect()
    if source != "!!!":  # a shell's failure is none of Python's
        assert outcome == Outcome.ERROR
        assert failure.message
    assert value == SourceResult(1, {}, is_cell=True)


def test_a_syntax_error_shows_its_line(bench: Any) -> None:
    bench.source(Kind.STRING, "a = 1\nb = = 2\n", {}, [])
    assert 'File "<task 101>", line 2\n    b = = 2\n' in bench.failure().traceback


def test_an_unknown_pulled_name_is_the_tasks_failure(bench: Any) -> None:
    bench.source(Kind.STRING, "a = 1", {}, ["missing"])
    failure = bench.failure()
    assert failure.type_name == "NameError"
    assert "'missing'" in failure.message


def test_an_error_that_a_magic_would_only_show_is_the_tasks_failure(bench: Any, tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text("1 / 0\n")
    for source in (f"%run {script}", "%%time\n1 / 0", "%%capture\n1 / 0"):
        bench.source(Kind.CELL, source, {}, [])
        assert bench.failure().type_name == "ZeroDivisionError", source


def test_system_exit_is_the_tasks_failure(bench: Any) -> None:
    for source in ("exit()", "import sys; sys.exit(3)", "raise KeyboardInterrupt"):
        bench.source(Kind.CELL, source, {}, [])
        assert bench.failure().type_name in ("SystemExit", "KeyboardInterrupt", "NameError")


def test_the_workers_main_module_is_left_alone(bench: Any) -> None:
    before = sys.modules["__main__"]
    cell(bench, "1")
    assert sys.modules["__main__"] is before


def test_an_unpicklable_value_is_named(bench: Any) -> None:
    bench.source(Kind.CELL, "import threading\nlock = threading.Lock()", {}, ["lock"])
    assert ".ns['lock'] (a _thread.lock) cannot be pickled" in bench.failure().message


def test_an_unpicklable_last_value_is_named_by_its_type(bench: Any) -> None:
    bench.source(Kind.CELL, "import threading\n{'lock': threading.Lock()}", {}, [])
    message = bench.failure().message
    assert message.partition(" cannot")[0].endswith(": ['lock'] (a _thread.lock)")
