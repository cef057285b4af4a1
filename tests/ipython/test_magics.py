from __future__ import annotations

import gc
import pickle
import threading
import weakref
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import cloudpickle
import pytest
from IPython.core.error import UsageError

from taskfc_ext.border import WaitInterrupted
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.errors import ControllerStopped, UnknownTask
from taskfc_ext.ipython.cards.snapshot import _result_text
from taskfc_ext.ipython.cell.shipping import pack
from taskfc_ext.ipython.verbs import submit
from taskfc_ext.tasks import TaskResult


def error_of(shell: Any, cell: str) -> BaseException:
    outcome = shell.ip.run_cell(cell)
    assert not outcome.success
    return outcome.error_in_exec or outcome.error_before_exec


def usage_error(shell: Any, cell: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    error = error_of(shell, cell)
    assert type(error) is UsageError
    err = capsys.readouterr().err
    assert err == f"UsageError: {error}\n"  # one line, no traceback
    return str(error)


# submitting


def test_a_cell_is_sent_with_the_names_that_it_uses(shell: Any, farm: Any) -> None:
    shell.run("import math\nfactor, unused = 2, 3")
    future = shell.run("%%task fit -o y\ny = math.sqrt(factor)\ny + 1\n")
    (sent,) = farm.submitted
    assert sent == {
        "source": "y = math.sqrt(factor)\ny + 1\n",
        "names": {"factor": 2, "math": shell.ns["math"]},
        "outs": ("y",),
        "keep": False,
        "options": {"name": "fit"},
    }
    assert shell.ns["fit"] is future is farm.futures[0]
    assert ("flush",) in farm.asked


def test_options_reach_the_client(shell: Any, farm: Any) -> None:
    shell.run("first = %task 1")
    shell.run(
        "%%task b --retries 3 --retry-on OSError,ValueError --timeout 1.5 --priority -2 --on-lost fail "
        "--after first,0-1 --keep --clear-before --clear-after\npass"
    )
    sent = farm.submitted[-1]
    assert sent["keep"] is True
    assert sent["options"] == {
        "name": "b",
        "retries": 3,
        "retry_on": (OSError, ValueError),
        "timeout": 1.5,
        "priority": -2,
        "on_lost": "fail",
        "after": [farm.futures[0], 0, 1],
        "clear_before": True,
        "clear_after": True,
    }


def test_a_line_is_a_task_and_its_value_the_future(shell: Any, farm: Any) -> None:
    shell.run("def fit(n): return n\nk = 3")
    assert shell.run("t = %task fit(k)\nt") is farm.futures[0]
    assert shell.run("%task run wait(k)") is None  # unknown name
    shell.run("def wait(n): return n")
    assert shell.run("%task wait(k)") is farm.futures[1]
    assert [sent["source"] for sent in farm.submitted] == ["fit(k)", "wait(k)"]
    assert set(farm.submitted[1]["names"]) == {"wait", "k"}


def test_a_line_in_a_function_sends_its_locals(shell: Any, farm: Any) -> None:
    shell.run("x = 'global'\ndef send(x):\n    t = %task str(x)\n    return t\nsend('local')")
    assert farm.submitted[0]["names"] == {"x": "local"}


def test_names_in_braces_are_the_cells_own(shell: Any, farm: Any) -> None:
    shell.run("x = 5")
    shell.run("%task f'{x}' + '$x'")
    assert farm.submitted[0]["source"] == "f'{x}' + '$x'"


def test_given_names_override_what_is_found(shell: Any, farm: Any) -> None:
    shell.run("a, b = 1, 2")
    shell.run("%%task -i b\nelsewhere(a)")
    assert farm.submitted[0]["names"] == {"b": 2}


def test_a_builtin_that_the_notebook_has_replaced_is_sent(shell: Any, farm: Any) -> None:
    shell.run("sum = 3")
    shell.run("%task sum + len([open])")
    assert farm.submitted[0]["names"] == {"sum": 3}


def test_futures_are_sent_as_futures(shell: Any, farm: Any) -> None:
    shell.run("%%task a\n1")
    shell.run("%%task b\na + 1")
    assert farm.submitted[1]["names"] == {"a": farm.futures[0]}


def test_a_name_that_is_not_an_identifier_is_not_bound(shell: Any, farm: Any) -> None:
    shell.run("%%task run-1.fit\n1")
    assert farm.futures[0].name == "run-1.fit"
    assert not any("run-1" in name for name in shell.ns)


def test_submitting_again_rebinds_the_name(shell: Any, farm: Any) -> None:
    shell.run("%%task fit\n1")
    shell.run("%%task fit --beside\n2")
    assert shell.ns["fit"] is farm.futures[1]


def test_a_refused_task_leaves_all_names_as_they_were(shell: Any, farm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.run("%%task fit\n1")
    monkeypatch.setattr(farm, "flush", lambda: farm.refuse(UnknownTask("there is no task 99", taskid=99)))
    assert "there is no task 99" in str(error_of(shell, "%%task fit --beside --after 0\n2"))
    assert "there is no task 99" in str(error_of(shell, "%%task other --keep\nkept = 2"))
    assert shell.ns["fit"] is farm.futures[0]
    assert "other" not in shell.ns
    assert "unknown name 'kept'" in str(error_of(shell, "%%task --keep\nkept + 1"))


def test_an_interrupted_submission_binds_the_name(shell: Any, farm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(farm, "flush", interrupt)
    assert type(error_of(shell, "%%task fit\n1")) is WaitInterrupted
    assert shell.ns["fit"] is farm.futures[0]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%task\ndta + 1", "unknown name 'dta'; did you mean data?"),
        ("%%task -i dta\n1", "unknown name 'dta'; did you mean data?"),
        ("%%task -i opem\n1", "unknown name 'opem'"),
        ("%%task\nx = lock", "lock (a _thread.lock) cannot be pickled"),
        ("%%task data\n1", "'data' holds a list here, not a task's future; take another name, or `del data`"),
        ("%%task sum\n1", "'sum' is a builtin"),
        ("%%task\nreturn 1", "this is not Python (line 1): 'return' outside function"),
        ("%%task\nx = = 1", "this is not Python (line 1): invalid syntax: x = = 1"),
        ("%%task\n\n  \n", "%%task: the cell is empty"),
        ("%%task --retires 3\n1", "%%task: unknown option --retires; did you mean --retries?"),
        ("%%task --clear-after\n1", "%%task: --clear-after needs --keep"),
        (
            "%%task --everywhere --wait\n1",
            "%%task: --everywhere takes only -i and --dry-run, not --wait",
        ),
        ("%%task --after gone\n1", "no task and no future named 'gone'"),
        ("%%task --retries 1 --retry-on data\n1", "--retry-on: 'data' is not an exception type"),
        ("%task widget 3", "%task widget: unexpected '3'; it takes no arguments"),
        ("%task debug 3-4", "%task debug: one task at a time"),
        ("%task debug 99", "there is no task 99; `%task status --all` lists the newest"),
        ("%task retry 99", "there is no task 99; `%task status --all` lists the newest"),
        ("%task staus", "unknown name 'staus'; did you mean `%task status`?"),
        ("%task abrt 3", "there is no verb 'abrt'; did you mean `%task abort`?"),
        ("%task abort", "%task abort: needs TASKS"),
        ("%task result 99", "there is no task 99; `%task status --all` lists the newest"),
        ("%task log nothing", "no task and no future named 'nothing'; `%task status --all` lists the newest"),
        ("%task run x = 1 + 1", "'x' would be bound on the worker only; write `x = %task 1 + 1`"),
        ("%task help bogus", "%task help: unknown verb 'bogus'; `%task help` lists them"),
        ("%task use ../x", ""),
        ("%task scale 3", "no farm 'default' runs; the first task starts it, or `%task start`"),
    ],
)
def test_bad_usage_is_one_line_and_sends_nothing(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str], cell: str, message: str
) -> None:
    shell.ns.update(data=[1], lock=threading.Lock())
    assert usage_error(shell, cell, capsys).startswith(message)
    assert not farm.submitted


def test_large_names_are_shown(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.ns["data"] = bytearray(2_500_000)
    shell.run("%task len(data)")
    assert "sending data (2.5 MB)" in capsys.readouterr().out


def test_a_dry_run_shows_and_sends_nothing(shell: Any, farm: Any) -> None:
    shell.run("t = %task 1")
    shell.run("data = 'x' * 2000")
    shell.run("%%task fit -o y --dry-run\ny = len(data) + t")
    (text,) = shell.texts()
    assert "nothing was sent; this notebook's names for the cell: 2; -o: y" in text
    assert "data  str         2.0" in text.replace("2.01", "2.0").replace("2.02", "2.0")
    assert "its task's result, on the worker" in text
    assert len(farm.submitted) == 1
    assert "fit" not in shell.ns


def test_wait_returns_the_future_and_binds_what_came_back(shell: Any, farm: Any) -> None:
    def end(*_: object) -> None:
        farm.succeed(0, 7, {"y": 6})

    farm.flush = end
    assert shell.run("%%task fit -o y --wait\ny = 6\ny + 1") is farm.futures[0]
    assert shell.ns["y"] == 6


def test_a_wait_holds_no_pickled_names(shell: Any, farm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[weakref.ref[object]] = []
    alive: list[object] = []

    def pack_and_note(*args: Any, **options: Any) -> Any:
        shipment = pack(*args, **options)
        packed.append(weakref.ref(shipment.values))
        return shipment

    def wait(notebook: Any, future: Any, out: Any) -> None:
        farm.submitted.clear()
        gc.collect()
        alive.extend(ref() for ref in packed)

    monkeypatch.setattr(submit, "pack", pack_and_note)
    monkeypatch.setattr(submit, "_wait", wait)
    shell.run("x = 1")
    shell.run("%%task --wait\nx")
    assert alive == [None]


def test_wait_raises_what_the_task_raised(shell: Any, farm: Any) -> None:
    farm.flush = lambda *_: farm.fail(0, ValueError("no"), "Traceback: where it was")
    error = error_of(shell, "%%task fit --wait\n1")
    assert isinstance(error, ValueError)
    assert shell.ns["fit"] is farm.futures[0]


# verbs


def test_results_by_id_range_variable_and_name(shell: Any, farm: Any) -> None:
    shell.run("%%task a\n1")
    shell.run("%%task b-1\n1")
    shell.run("t = %task 3")
    for taskid in range(3):
        farm.succeed(taskid, taskid * 10)
    assert shell.run("%task result 1") == 10
    assert shell.run("%task result t") == 20
    assert shell.run("%task result b-1") == 10
    assert shell.run("%task result 0-1,t") == [0, 10, 20]
    assert shell.run("%task result 0-1") == [0, 10]
    shell.run("ts = [t, a]")
    assert shell.run("%task result ts") == [20, 0]


def test_a_variable_goes_before_a_task_of_that_name(shell: Any, farm: Any) -> None:
    shell.run("%%task a\n1")
    shell.run("%%task b\n1")
    shell.run("a = b")
    farm.succeed(0, "a")
    farm.succeed(1, "b")
    assert shell.run("%task result a") == "b"


def test_a_variable_means_its_task_also_after_the_farm_was_stopped_and_started(shell: Any, farm: Any) -> None:
    fit = shell.run("%%task fit\n1")
    fit._settle_with(ControllerStopped("farm 'default' was stopped"))
    assert isinstance(fit.exception(), ControllerStopped)
    farm.futures[0] = TaskFuture(fit._template, taskid=0)  # what the farm that runs now makes of the id
    farm.succeed(0, 42)
    assert shell.run("%task result fit") == 42


def test_a_failed_result_is_raised(shell: Any, farm: Any) -> None:
    shell.run("t = %task 1")
    farm.fail(0, ZeroDivisionError("by zero"))
    assert isinstance(error_of(shell, "%task result t"), ZeroDivisionError)


def test_pull_binds_the_names(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%task a -o x,y\nx = y = 1")
    farm.succeed(0, None, {"x": 1, "y": 2})
    shell.run("%task pull a -o y")
    assert "x" not in shell.ns
    assert shell.ns["y"] == 2
    shell.run("%task pull a")
    assert shell.ns["x"] == 1
    assert usage_error(shell, "%task pull a -o z", capsys) == "task 0 has no -o name 'z'"


def test_wait_and_clear_mean_this_notebooks_tasks(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    shell.run("%task 2")
    shell.run("%task 3")
    farm.set(1, owner="another notebook")
    shell.run("%task wait")
    shell.run("%task wait --all --timeout 5")
    shell.run("%task wait 1-2")
    farm.set(0, state="succeeded")
    farm.set(1, state="failed")
    shell.run("%task clear")
    shell.run("%task clear --all")
    assert [asked for asked in farm.asked if asked[0] in ("barrier", "clear")] == [
        ("barrier", [0, 2], None),
        ("barrier", [0, 1, 2], 5.0),
        ("barrier", [1, 2], None),
        ("clear", [0]),
        ("clear", [0, 1]),
    ]


def test_an_interrupt_before_the_wait_is_one_line(
    shell: Any, farm: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    shell.run("%task 1")
    monkeypatch.setattr(farm, "list_tasks", interrupt)
    capsys.readouterr()
    assert isinstance(error_of(shell, "%task wait"), WaitInterrupted)
    assert capsys.readouterr().out == "KeyboardInterrupt: interrupted; tasks go on\n"


def test_an_interrupt_of_the_users_own_code_in_a_line_keeps_its_traceback(shell: Any, farm: Any) -> None:
    shell.run("def count():\n    raise KeyboardInterrupt")
    assert type(error_of(shell, "%task wait --timeout {count()}")) is KeyboardInterrupt


def test_an_interrupted_wait_is_one_line(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("t = %task 1")
    farm.interrupt_waits = True
    for cell in ("%task wait", "%task result t"):
        capsys.readouterr()
        assert isinstance(error_of(shell, cell), KeyboardInterrupt)
        assert capsys.readouterr().out.strip() == (
            "KeyboardInterrupt: the wait has ended; "
            "task 0 goes on: `%task wait 0` waits again, `%task abort 0` stops it"
        )


def test_hold_release_and_move_say_what_was_done(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%%task a\n1")
    shell.run("%%task b\n2")
    shell.run("%%task c\n3")
    farm.succeed(0, 1)
    farm.set(1, state="running", worker=0)
    capsys.readouterr()
    shell.run("%task hold 0-2,7")
    assert capsys.readouterr().out.splitlines() == [
        "Held task 2; task 1 is with a worker already (abort it instead); tasks 0, 7 had ended or never existed."
    ]
    assert [info.held for info in farm.infos] == [False, False, True]
    shell.run("%task status")
    assert "○ scheduled (held)" in shell.texts()[-1]
    shell.run("%task show c")
    assert "task 2 c · scheduled (held) · as of" in shell.texts()[-1]
    shell.run("%task release b,c")
    assert capsys.readouterr().out == "Released tasks 1, 2.\n"
    assert not farm.infos[2].held
    shell.run("%task move c,b --priority -5")
    assert capsys.readouterr().out == "Moved tasks 2, 1 to priority -5.\n"
    assert [info.priority for info in farm.infos] == [0, -5, -5]
    shell.run("%task hold 0")
    assert capsys.readouterr().out.startswith("Task 0 had ended")


def test_retry_runs_tasks_again_and_names_mean_the_new_ones(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = shell.run("%%task fit\n1")
    shell.run("also = fit")
    score = shell.run("%%task score --after fit\n2")
    farm.fail(0, ValueError("no"))
    farm.set(1, state="failed", reason="dependency")
    capsys.readouterr()
    again = shell.run("%task retry fit")
    assert capsys.readouterr().out.partition("Out[")[0] == "Task 0 runs again as task 2, with dependant 1 as 3.\n"
    assert (again.taskid, shell.ns["fit"], shell.ns["also"]) == (2, again, fit)
    assert (shell.ns["score"].taskid, score.taskid) == (3, 1)
    assert shell.texts()[-1].startswith("○ task 2 fit · scheduled · retry of 0 · as of ")
    shell.run("%task status")
    assert "retry of 0" in shell.texts()[-1]
    farm.succeed(2)
    shell.run("%task show fit")
    assert shell.texts()[-1].startswith("✔ task 2 fit · succeeded · 1.50 s · retry of 0 · as of ")
    capsys.readouterr()
    several = shell.run("%task retry fit,0-1,3")
    assert capsys.readouterr().out.splitlines()[:3] == [
        "Task 0 runs again as task 4, with dependant 1 as 5.",
        "Task 2 runs again as task 6.",
        "Task 3 has not ended; abort it first.",
    ]
    assert [future.taskid for future in several] == [6, 4, 5]
    assert [asked[1] for asked in farm.asked if asked[0] == "retry"] == [0, 0, 2, 3]
    assert shell.ns["fit"].taskid == 6


def test_the_only_task_that_cannot_run_again_is_bad_usage(shell: Any, farm: Any) -> None:
    shell.run("%%task fit\n1")
    error = error_of(shell, "%task retry fit")
    assert (type(error), str(error)) == (UsageError, "task 0 has not ended; abort it first")


def test_a_line_for_many_dependants_is_short(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        shell.run(f"%%task\n{i}")
        farm.set(i, state="failed", reason="dependency" if i else "error")
    capsys.readouterr()
    assert shell.run("%task retry 0").taskid == 12
    assert capsys.readouterr().out.splitlines()[0] == "Task 0 runs again as task 12, with 11 dependants."
    for i in range(24):
        farm.set(i, state="failed", reason="error")
    capsys.readouterr()
    assert len(shell.run("%task retry 0-11")) == 12
    lines = capsys.readouterr().out.splitlines()
    assert lines[9:11] == ["Task 9 runs again as task 33.", "... 2 lines more; 12 tasks run again"]


def test_a_line_for_many_tasks_is_short(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        shell.run(f"%%task\n{i}")
    capsys.readouterr()
    shell.run("%task hold 0-11")
    assert capsys.readouterr().out == "Held 12 tasks (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...).\n"


def test_abort_says_what_became_of_each(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("a = %task 1")
    shell.run("b = %task 2")
    farm.succeed(0)
    capsys.readouterr()
    shell.run("%task abort a,b")
    assert capsys.readouterr().out == "Task 0 has ended already.\nAborted task 1.\n"


def test_log_strips_what_steers_a_terminal(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("a = %task 1")
    farm.logs[0] = "one\n\x1b[31mtwo\x1b[0m\x07\n"
    capsys.readouterr()
    shell.run("%task log a")
    assert capsys.readouterr().out == "one\ntwo\n"
    farm.logs.clear()
    shell.run("%task log a")
    assert capsys.readouterr().out == "task 0 has printed nothing\n"


def test_status_shows_this_notebooks_tasks(shell: Any, farm: Any) -> None:
    shell.run("%%task fit\n1")
    shell.run("%task 2")
    farm.set(1, owner="another")
    shell.run("%task")
    shell.run("%task status --all")
    shell.run("%task status 1;")
    mine, everybodys, one = shell.texts()[-3:]
    assert mine.startswith("default · 2 workers · 2 scheduled; this notebook's running and newest tasks\n")
    assert "fit" in mine
    assert "○ scheduled" in mine
    assert len(mine.splitlines()) == 3
    assert len(everybodys.splitlines()) == 4
    assert len(one.splitlines()) == 3


def test_status_shows_what_runs_before_a_long_queue(shell: Any, farm: Any) -> None:
    for _ in range(25):
        shell.run("%task 1")
    farm.set(2, state="running")
    shell.run("%task")
    lines = shell.texts()[-1].splitlines()
    assert "running" in lines[2]
    assert [line.split()[0] for line in lines[2:]] == ["2", *map(str, range(6, 25))]


def test_a_tasks_error_is_shown_without_our_frames(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("t = %task 1 / 0")
    farm.fail(0, ZeroDivisionError("division by zero"), 'Traceback:\n  File "<task 0>"\nZeroDivisionError: division')
    capsys.readouterr()
    error = error_of(shell, "%task result t")
    shown = capsys.readouterr().out
    assert shown == 'in task 0:\nTraceback:\n  File "<task 0>"\nZeroDivisionError: division\n'
    assert not hasattr(error, "_render_traceback_")  # raised again by the user's own code, it is shown as any other


def test_a_string_tasks_card_shows_the_names_that_came_back() -> None:
    now = datetime(2026, 1, 1)
    result = TaskResult(taskid=0, engineid=1, results={"y": 49}, submitted=now, completed=now, duration=1, attempts=1)
    future = SimpleNamespace(result=lambda: result)
    assert _result_text(cast(TaskFuture, future), None) == "{'y': 49}"
    result.results.clear()
    assert _result_text(cast(TaskFuture, future), None) == ""


def test_looking_starts_nothing(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%task")
    shell.run("%task list")
    shell.run("%task stop")
    assert not farm.runs
    out = capsys.readouterr().out
    assert "no farm 'default' runs; the first task starts it, or `%task start`" in out
    assert "default: does not run" in out


def test_the_first_task_connects_as_this_notebook(shell: Any, farm: Any) -> None:
    assert not farm.runs
    shell.run("%task 1")
    assert farm.runs
    assert farm.owner == "folder/my notebook.ipynb"


def test_start_scale_restart_use_and_stop(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%task start -n 3 --name other --fresh")
    shell.run("%task scale 5")
    shell.run("%task start")
    shell.run("%task start -n 2")
    shell.run("%task restart -n 7")
    shell.run("%task stop")
    shell.run("%task use default")
    assert farm.starts == [("other", 3, True), ("other", None, False), ("other", 2, False)]
    assert capsys.readouterr().out.splitlines() == [
        "other: started, 2 workers",
        "other: 5 workers (before: 2)",
        "other: runs already, 5 workers",
        "other: runs already, 5 workers; `%task scale 2` changes that",
        "other: restarted, 7 workers",
        "other: stopped; unfinished tasks stay in its store",
        "this notebook uses the farm default; it does not run yet: the first task starts it",
    ]


def test_an_engine_is_an_address_or_in_a_variable_and_ray_is_a_word(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run("import types as ray\ncluster = ray")
    for on in ("tcp://head:8786", "ray://head:10001 --idle 0", "ray", "cluster", "home"):
        shell.run(f"%task start --on {on}")
    assert farm.engines == [
        {"on": "tcp://head:8786"},
        {"on": "ray://head:10001", "idle": 0},
        {"on": "ray"},
        {"on": shell.ns["ray"]},
        {"on": None},
    ]
    error = usage_error(shell, "%task start --on nowhere", capsys)
    assert error.startswith("--on nowhere: there is no variable nowhere")
    assert "--idle: must be a number of seconds from 0, not '-1'" in usage_error(shell, "%task start --idle -1", capsys)


def test_using_another_farm_leaves_the_futures_of_the_first_alone(shell: Any, farm: Any) -> None:
    shell.run("%%task fit\n1 + 1")
    shell.run("%task use night")
    shell.run("%%task\n2")
    assert ("close",) not in farm.asked
    shell.run("%task stop")
    assert farm.asked.count(("close",)) == 1, "only that of the farm that has ended"


def test_workers_spin_and_help(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%task spin")
    shell.run("%task workers")
    assert "2 workers" in shell.texts()[-1]
    for line in ("%task help", "%task help wait", "%task --help", "%%task --help\n1", "%task wait -h"):
        capsys.readouterr()
        shell.run(line)
        assert "--timeout" in capsys.readouterr().out
    assert ("spin",) in farm.asked


# help


def test_the_docstrings_tell_the_delivery_semantics(shell: Any) -> None:
    line = shell.ip.find_line_magic("task").__doc__
    cell = shell.ip.find_cell_magic("task").__doc__
    assert "AT LEAST ONCE" in cell
    assert "AT MOST ONCE" in cell
    assert all(option in cell for option in ("--retries N", "--on-lost", "--keep", "-o NAMES"))
    assert all(f"    {verb} " in line for verb in ("wait", "abort", "result", "status"))
    assert max(map(len, (line + cell).splitlines())) <= 110


# conditions and recovery


def test_a_condition_is_a_function_that_is_sent_by_value(shell: Any, farm: Any) -> None:
    shell.run("least = 2")
    shell.run("%%task --depend \"properties.get('gpu', 0) >= least  # enough\"\n1")
    depend = farm.submitted[0]["options"]["depend"]
    shell.ns["least"] = 9  # what it was when it was sent counts
    for function in (depend, pickle.loads(cloudpickle.dumps(depend))):
        assert [bool(function({"gpu": n})) for n in (1, 2)] == [False, True]
    assert farm.submitted[0]["names"] == {}


def test_a_condition_with_unknown_names_is_refused(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answer = usage_error(shell, "%%task --depend 'propertis and 1'\n1", capsys)
    assert answer == "--depend: unknown name 'propertis'; did you mean properties?"
    assert not farm.submitted


def test_a_function_recovers(shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("def again(k=3): return k\ndef more(k): return k\nx = 3")
    shell.run("%%task --recover again --retries 1 --backoff 0.5\n1 / 0")
    options = farm.submitted[0]["options"]
    assert options["recovery_task"].function is shell.ns["again"]
    assert (options["retries"], options["backoff"]) == (1, 0.5)
    for name, answer in (
        ("agin", "--recover: unknown name 'agin'; did you mean again?"),
        ("x", "--recover: 'x' holds an int, not a function that takes no arguments"),
        ("more", "--recover: 'more' is called without arguments, but: missing a required argument: 'k'"),
    ):
        assert usage_error(shell, f"%%task --recover {name}\n1", capsys) == answer
    assert len(farm.submitted) == 1


def test_a_future_of_another_farm_is_not_a_task_of_this_one(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run("mine = %task 1")
    future = shell.ns["mine"]
    future._template.owner = type("Other", (), {"farm_name": "night"})()
    capsys.readouterr()
    for verb in ("abort", "retry", "hold", "debug"):
        shell.ip.run_cell(f"%task {verb} mine")
        assert capsys.readouterr().err == "UsageError: '1' is a task of the farm night; `%task use night` first\n"
    assert not {"abort", "retry", "hold"}.intersection(asked[0] for asked in farm.asked)


def test_a_future_of_an_earlier_store_is_not_a_task_of_this_one(
    shell: Any, farm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run("mine = %task 1")
    shell.ns["mine"]._template.store_began, farm.store_began = 1.0, 2.0
    capsys.readouterr()
    for verb in ("abort", "retry", "hold", "debug", "status"):
        shell.ip.run_cell(f"%task {verb} mine")
        assert capsys.readouterr().err == (
            "UsageError: task 0 (1) is gone: farm 'default' was started with a fresh store since; submit it again\n"
        )
    assert not {"abort", "retry", "hold"}.intersection(asked[0] for asked in farm.asked)


@pytest.mark.parametrize(("word", "verb"), [("cancel mine", "abort"), ("logs 3", "log"), ("ps", "status")])
def test_names_of_verbs_in_other_tools_are_understood(
    shell: Any, capsys: pytest.CaptureFixture[str], word: str, verb: str
) -> None:
    shell.ip.run_cell(f"%task {word}")
    assert f"did you mean `%task {verb}`?" in capsys.readouterr().err
