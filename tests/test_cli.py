"""The terminal, against a real farm in folders of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import StringTask, TaskClient, start
from taskfc_ext.cli import main
from taskfc_ext.client.attach import attach_to_running
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import ControllerLost, UnknownTask
from taskfc_ext.protocol.states import UNFINISHED
from tests.processes import DEADLINE, await_workers, until
from tests.terminals import TerminalScript

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Taskfc = Callable[..., Answer]


@pytest.fixture
def taskfc(module_home: Path, capsys: pytest.CaptureFixture[str]) -> Taskfc:
    def run(*words: str) -> Answer:
        try:
            code = main(words)
        except SystemExit as end:
            code = int(str(end.code))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def client(module_home: Path) -> Iterator[BlockingTaskClient]:
    assert main(["start", "-n", "2"]) == 0
    client = TaskClient()
    await_workers(client, 2)
    yield client
    client.close()
    assert main(["stop"]) == 0


@pytest.fixture
def ended(client: BlockingTaskClient) -> Iterator[None]:
    """Ends what a test leaves, also where it fails: the next one finds idle workers."""
    yield
    for task in client.list_tasks(states=UNFINISHED):
        with suppress(UnknownTask):  # it has ended meanwhile, or it stops
            client.abort(task.taskid)
    client.barrier()


def run_for_ever() -> None:
    while True:
        time.sleep(0.05)


# nothing runs


def test_nothing_there_yet(taskfc: Taskfc) -> None:
    assert taskfc("list", "--name", "none").out == "no farms; start one with: taskfc start\n"
    assert taskfc("list", "--json").json == []
    alone = taskfc()
    assert (alone.code, alone.err) == (0, "")
    assert alone.out.startswith("no farm runs\n  taskfc start ")


@pytest.mark.parametrize("words", [["status"], ["tasks"], ["log", "1"], ["abort", "1"], ["clear"], ["scale", "2"]])
def test_looking_never_starts_a_farm(taskfc: Taskfc, words: list[str]) -> None:
    answer = taskfc(*words, "--name", "absent")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "taskfc: no farm 'absent' runs here (start it with: taskfc start --name absent)\n"


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_farm_that_never_was_cannot_be_stopped(taskfc: Taskfc, verb: str) -> None:
    answer = taskfc(verb, "--name", "absent")
    assert answer.code == 1
    assert answer.err == "taskfc: there is no farm 'absent' (list the farms with: taskfc list)\n"


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["status", "--name", "../up"],
        ["status", "--name", ".hidden"],
        ["start", "-n", "-1"],
        ["start", "-n", "many"],
        ["scale"],
        ["tasks", "--state", "lost"],
        ["tasks", "--limit", "0"],
        ["abort"],
        ["move", "1"],
        ["move", "1", "--priority", "high"],
        ["result", "1", "--timeout", "-1"],
        ["start", "--property", "gpu"],
        ["completion", "cmd"],
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(taskfc: Taskfc, words: list[str]) -> None:
    answer = taskfc(*words)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("taskfc")
    assert "--help)" in answer.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["ps"], "did you mean `taskfc tasks`?"),
        (["statsu"], "did you mean `taskfc status`?"),
        (["start", "4"], "the number of workers is given as -n 4"),
        (["start", "--worker", "4"], "did you mean --workers?"),
        (["status", "night"], "the farm's name is given as --name night"),
        (["scale", "-1"], "'-1' is not a number from 0 to 10000"),
    ],
)
def test_bad_usage_says_what_to_write(taskfc: Taskfc, words: list[str], hint: str) -> None:
    assert hint in taskfc(*words).err


# a farm


def test_start_reports_a_farm_that_runs_already(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    answer = taskfc("start", "-n", "2", "--json")
    assert answer.code == 0
    assert answer.json["was"] == "runs already"
    assert answer.json["workers"] == 2
    assert taskfc("start").out.startswith("default: runs already, controller ")
    assert "default: running\n  taskfc status " in taskfc().out


def test_list_shows_it(taskfc: Taskfc, client: BlockingTaskClient, module_home: Path) -> None:
    (farm,) = taskfc("list", "--json").json
    assert farm["name"] == "default"
    assert farm["state"] == "running"
    assert farm["store"] == str(module_home / "s" / "taskfc" / "default")
    header, row = taskfc("list").out.splitlines()
    assert header.split()[:3] == ["name", "state", "controller"]
    assert row.split() == ["default", "running", str(farm["pid"]), farm["store"]]


def test_status_counts_tasks_and_shows_workers(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    future = client.submit(run_for_ever)
    until(lambda: future.state == "running", "it runs")
    status = taskfc("status", "--json").json
    assert status["tasks"]["running"] == 1
    assert list(status["tasks"]) == ["waiting", "scheduled", "running", "succeeded", "failed", "aborted"]
    assert future.taskid in [worker["running"] for worker in status["workers"]]
    text = taskfc("status").out
    assert text.startswith("default: running, 2 workers\n" if client.engine() is None else "default · Dask ")
    assert taskfc("abort", str(future.taskid)).out == f"Stopping task {future.taskid}.\n"
    client.barrier(future.taskid)
    assert taskfc("status", "--json").json["tasks"]["running"] == 0


def test_status_shows_the_limits(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    limits = {"store": "disk", "durability": "process", "keep_days": 7.0, "keep_bytes": 10**10, "idle_stop": 12.0}
    assert limits.items() <= taskfc("status", "--json").json.items()
    assert "; stops after 12 hours without use; survives the death of any process\n" in taskfc("status").out


def test_status_tells_of_repairs(taskfc: Taskfc, client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "repairs" not in taskfc("status", "--json").json
    monkeypatch.setattr(BlockingTaskClient, "repairs", lambda self: 2)
    assert taskfc("status", "--json").json["repairs"] == 2
    assert "repaired 2 contradictions in its state: please report" in taskfc("status").out


def test_tasks_are_listed_by_id_range_name_and_state(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    named = client.with_options(name="squares").submit(pow, 7, 2)
    assert named.result() == 49
    broken = client.submit(divmod, 1, 0)
    assert isinstance(broken.exception(), ZeroDivisionError)
    first, last = named.taskid, broken.taskid
    assert [task["taskid"] for task in taskfc("tasks", "squares", "--json").json] == [first]
    assert [task["taskid"] for task in taskfc("tasks", f"{first}-{last}", "--json").json] == [first, last]
    assert [task["taskid"] for task in taskfc("tasks", f"{first},{last}", "--json").json] == [first, last]
    failed = taskfc("tasks", "--state", "failed", "--json").json
    assert [task["taskid"] for task in failed] == [last]
    header, _, row = taskfc("tasks", f"{first}-{last}").out.splitlines()
    assert header.split() == ["id", "name", "state", "worker", "attempts", "time", "what"]
    assert row.split()[:2] == [str(last), "failed"]
    assert "division" in row or "modulo" in row
    assert len(taskfc("tasks", "--limit", "1").out.splitlines()) == 2


def test_a_log_cannot_steer_the_terminal(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    text = "\x1b[31mred\x1b[0m \x1b]0;title\x07plain\n10%\r100%\na\tb\u202e\x07"
    taskid = client.run(StringTask(f"print({text!r})"))
    client.barrier(taskid)
    assert taskfc("log", str(taskid)).out == "red plain\n100%\na\tb\n"
    answer = taskfc("log", str(taskid), "--json")
    assert answer.json == {"taskid": taskid, "text": text.replace("10%\r", "\r") + "\n"}
    assert "\x1b" not in answer.out


def test_unknown_tasks_are_named(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    for words in (
        ["log", "999999"],
        ["log", "-f", "999999"],
        ["show", "999999"],
        ["result", "999999"],
        ["abort", "999999"],
        ["clear", "999999"],
    ):
        answer = taskfc(*words)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("taskfc: ")
        assert "999999" in answer.err
        assert answer.err.count("\n") == 1
        assert "queue_status" not in answer.err  # that is Python's
    answer = taskfc("log", "nobody")
    assert answer.err == "taskfc: there is no task named 'nobody' (list them with: taskfc tasks)\n"
    client.with_options(name="training").submit(abs, 1).result()
    assert taskfc("log", "trainign").err == "taskfc: there is no task named 'trainign'; did you mean training?\n"
    assert taskfc("tasks", "1-1000000").code == 1
    assert taskfc("log", "1-2", "-f").err == "taskfc log: -f follows one task (see: taskfc log --help)\n"
    assert taskfc("abort", "7-3").err == "taskfc: the range 7-3 runs backwards\n"
    several = taskfc("abort", "999990-999999").err
    assert several == (
        "taskfc: there are no tasks 999990, 999991, 999992, 999993, 999994, ... (list them with: taskfc tasks)\n"
    )


def test_abort_aborts_the_known_tasks(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    future = client.submit(run_for_ever)
    client.flush()
    answer = taskfc("abort", "999999", str(future.taskid), "--json")
    assert answer.code == 1
    assert answer.json == {"aborted": [future.taskid]}
    assert "999999" in answer.err
    client.barrier(future.taskid)


def test_retry_runs_tasks_again(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    failed = client.submit(int, "x")
    dependant = client.with_options(after=failed).submit(abs, -1)
    assert failed.exception(DEADLINE)
    assert dependant.exception(DEADLINE)
    old = f"{failed.taskid}-{dependant.taskid}"
    answer = taskfc("retry", old, "--json")
    first, second = answer.json["retried"]
    assert [first["retry_of"], second["retry_of"]] == [failed.taskid, dependant.taskid]
    client.barrier([first["taskid"], second["taskid"]])
    assert f"retry of {failed.taskid}" in taskfc("tasks", str(first["taskid"])).out
    taskid = first["taskid"]
    new = [taskid + 2, taskid + 3]
    assert taskfc("retry", str(taskid)).out.splitlines() == [
        f"Task {taskid} runs again as task {new[0]}, with dependant {second['taskid']} as {new[1]}."
    ]
    client.barrier(new)


def test_retry_names_the_tasks_that_cannot_run_again(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    future = client.submit(run_for_ever)
    client.flush()
    answer = taskfc("retry", f"{future.taskid}", "990000-990007")
    told = answer.err.splitlines()
    assert (answer.code, answer.out, len(told)) == (1, "", 6)
    assert told[0].endswith("so it cannot run again (abort it first)")
    assert told[1] == "taskfc: there is no task 990000 (list them with: taskfc tasks)"
    assert told[5] == "taskfc: and 4 more cannot run again"
    future.abort()
    client.barrier(future.taskid)


def test_clear_forgets_finished_tasks(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    taskids = [client.run(StringTask("1")) for _ in range(3)]
    client.barrier(taskids)
    assert taskfc("clear", str(taskids[0])).out == "Cleared 1 finished task.\n"
    assert taskfc("clear", "--json").json["cleared"] >= 2
    assert taskfc("tasks").out == "no tasks\n"


def test_scale_sets_the_number_of_workers(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    assert taskfc("scale", "1").out == "default: 1 worker (before: 2); surplus workers end when they are idle\n"
    until(lambda: len(client.workers()) == 1, "one worker")
    assert taskfc("scale", "2", "--json").json == {"workers": 2, "before": 1}
    await_workers(client, 2)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(module_home: Path, client: BlockingTaskClient, unbuffered: str) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}  # buffered, the text is written at the end only
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "taskfc_ext.cli", "tasks"]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, env=environ, timeout=DEADLINE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.usefixtures("ended")
def test_steering_says_what_it_did(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    busy = [client.submit(run_for_ever) for _ in range(2)]
    until(lambda: [task.state for task in busy] == ["running"] * 2, "they run")
    queued = client.submit(abs, -1)
    client.flush()
    taskid = queued.taskid
    assert taskfc("hold", str(taskid)).out == f"Held task {taskid}.\n"
    assert client.list_tasks(taskids=[taskid])[0].held
    assert taskfc("move", str(taskid), "--priority", "7").out == f"Moved task {taskid} to priority 7.\n"
    assert taskfc("release", f"{taskid},{taskid}", "--json").json == {
        "done": [taskid],
        "with_a_worker": [],
        "ended": [],
    }
    late = taskfc("hold", str(busy[0].taskid))
    assert (late.code, late.out) == (1, "")
    assert "is with a worker already" in late.err
    for task in busy:
        task.abort()
    assert queued.result(DEADLINE) == 1
    gone = taskfc("hold", str(taskid))
    assert (gone.code, gone.err) == (1, f"taskfc: Task {taskid} had ended or never existed.\n")


@pytest.mark.usefixtures("ended")
def test_a_result_is_its_text(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    named = client.with_options(name="squares").submit(pow, 7, 2)
    hostile = client.submit(str, "\x1b[31mred")
    broken = client.submit(divmod, 1, 0)
    endless = client.submit(run_for_ever)
    client.flush()
    assert taskfc("result", "squares", str(hostile.taskid)).out == "49\n'\\x1b[31mred'\n"
    assert taskfc("result", "squares", "--json").json == [{"taskid": named.taskid, "type": "int", "text": "49"}]
    failed = taskfc("result", str(broken.taskid), "squares")
    assert (failed.code, failed.out) == (1, "49\n")
    assert failed.err.startswith(f"taskfc: task {broken.taskid} failed: ZeroDivisionError: ")
    assert failed.err.endswith(f"(traceback: taskfc show {broken.taskid})\n")
    late = taskfc("result", str(endless.taskid), "--timeout", "0.1")
    assert (late.code, late.err) == (1, f"taskfc: task {endless.taskid} has not ended; it goes on\n")
    assert taskfc("abort", str(endless.taskid)).code == 0
    client.barrier(endless)
    assert taskfc("result", str(endless.taskid)).err.count("\n") == 1


class Elsewhere:
    """Cannot be made again in this process."""

    def __reduce__(self) -> Any:
        return _import_absent, ()


def _import_absent() -> None:
    if "taskfc_ext.worker.app" not in sys.modules:
        raise ModuleNotFoundError("No module named 'absent'")


def test_a_value_whose_modules_are_elsewhere_is_one_line(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    future = client.submit(Elsewhere)
    client.barrier(future)
    answer = taskfc("result", str(future.taskid))
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "No module named 'absent'" in answer.err
    assert "run this in the folder and the environment of its modules" in answer.err


def test_show_has_all_of_a_task(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    taskid = client.run(StringTask("print('one\\x1b[2J')\nraise ValueError('no')"))
    client.barrier(taskid)
    text = taskfc("show", str(taskid)).out
    assert text.startswith(f"task {taskid}\nstate:     failed\n")
    assert "\noutput:\none\n" in text
    assert text.endswith("ValueError: no\n")
    assert "\x1b" not in text
    (data,) = taskfc("show", str(taskid), "--json").json
    assert (data["task"]["state"], data["exception"], data["log"]) == ("failed", "ValueError", "one\x1b[2J\n")


def test_history_lists_what_has_run(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    future = client.with_options(name="hist").submit(abs, -1)
    client.barrier(future)
    header, *rows = taskfc("history", "--limit", "2").out.splitlines()
    assert header.split() == ["id", "name", "state", "submitted", "time", "attempts", "worker"]
    assert rows[-1].split()[:3] == [str(future.taskid), "hist", "succeeded"]
    assert [task["name"] for task in taskfc("history", "hist", "--json").json] == ["hist"]


def test_workers_are_listed_with_their_processes(taskfc: Taskfc, client: BlockingTaskClient) -> None:
    pids = [str(worker.pid) for worker in client.workers()]
    caption, _, header, *rows = taskfc("workers").out.splitlines()
    assert caption == "default: 2 workers"
    assert header.split() == ["worker", "pid", "state", "task"]
    assert [row.split()[1] for row in rows] == pids


# in a terminal


Run = Callable[..., TerminalScript]


@pytest.fixture
def terminal(module_home: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs `taskfc` in a terminal of its own."""
    open_: list[TerminalScript] = []

    def run(*words: str, **variables: str) -> TerminalScript:
        source = f"import sys\nfrom taskfc_ext.cli import main\nsys.exit(main({list(words)!r}))\n"
        open_.append(TerminalScript(tmp_path, source, **variables))
        return open_[-1]

    yield run
    for script in open_:
        script.close()


@pytest.mark.usefixtures("ended")
def test_a_log_is_followed_to_the_end_of_its_task(terminal: Run, client: BlockingTaskClient, tmp_path: Path) -> None:
    go = tmp_path / "go"
    future = client.submit_cell(
        "import os, time\nprint('begun')\nprint('10 %', end='\\r')\n"
        f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\nprint('ended')"
    )
    client.flush()
    script = terminal("log", "-f", str(future.taskid))
    script.read_until("begun")
    assert "ended" not in script.text
    go.touch()
    assert script.read_to_end() == ["begun", "ended"]
    assert script.process.wait() == 0


@pytest.mark.usefixtures("ended")
def test_ctrl_c_ends_a_wait_and_not_the_task(terminal: Run, client: BlockingTaskClient) -> None:
    future = client.submit(run_for_ever)
    until(lambda: future.state == "running", "it runs")
    script = terminal("status", "--watch")
    script.read_until(f"{future.taskid} .*running")
    script.process.send_signal(signal.SIGINT)
    script.read_until(r"\x1b\[\?25h\x1b\[\?1049l")  # the cursor and the first screen are back
    assert script.process.wait() == 130
    first = client.submit(pow, 7, 2)
    client.flush()
    script = terminal("result", f"{first.taskid},{future.taskid}")
    script.read_until("49")
    script.process.send_signal(signal.SIGINT)
    assert script.read_to_end() == ["49", "taskfc: the wait has ended, the tasks go on"]
    assert script.process.wait() == 130
    assert future.state == "running"
    future.abort()
    client.barrier(future)


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, True), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_have_them(
    terminal: Run, client: BlockingTaskClient, variables: dict[str, str], is_coloured: bool
) -> None:
    client.with_options(name="coloured").submit(abs, 1).result()
    script = terminal("tasks", "coloured", **{"NO_COLOR": "", "FORCE_COLOR": "", **variables})
    script.read_until("succeeded.*\n")
    assert ("\x1b[32msucceeded\x1b[0m" in script.text) is is_coloured
    assert ("\x1b" in script.text) is is_coloured


# its end


def test_restart_keeps_the_store_and_stop_ends_everything(taskfc: Taskfc) -> None:
    assert taskfc("start", "-n", "1", "--name", "brief", "--property", "gpu=true", "--property", "site=north").code == 0
    assert taskfc("properties", "--name", "brief", "--json").json == {"gpu": True, "site": "north"}
    assert (
        "brief: keeps finished tasks for 7 days, in a store of up to 10 GB;"
        in taskfc("properties", "--name", "brief").out
    )
    refused = taskfc("forget", "brief")
    assert (refused.code, refused.err) == (1, "taskfc: farm 'brief' runs (stop it first: taskfc stop --name brief)\n")
    with_task = TaskClient("brief")
    taskid = with_task.run(StringTask("x = 6 * 7", pull="x"), block=False)
    with_task.barrier(taskid)
    with_task.close()
    before = _farm(taskfc, "brief")["pid"]
    answer = taskfc("restart", "--name", "brief", "--json")
    assert answer.json["workers"] == 1
    assert answer.json["pid"] != before
    again = TaskClient("brief")
    assert again.get_task_result(taskid)["x"] == 42
    again.close()
    assert taskfc("stop", "--name", "brief").out == "brief: stopped; unfinished tasks stay in its store\n"
    assert _farm(taskfc, "brief")["state"] == "stopped"
    assert taskfc("stop", "--name", "brief").out == "brief: was not running\n"
    assert taskfc("forget", "brief").out == "brief: deleted, with its tasks and results\n"
    assert "brief" not in [farm["name"] for farm in taskfc("list", "--json").json]
    assert taskfc("forget", "brief").err == "taskfc: there is no farm 'brief' (list the farms with: taskfc list)\n"
    assert not _alive(answer.json["pid"])


def test_a_farm_that_died_is_not_brought_back_by_looking_at_it(taskfc: Taskfc) -> None:
    assert taskfc("start", "-n", "1", "--name", "dying").code == 0
    with attach_to_running("dying") as client:
        os.kill(start(name="dying").supervisor_pid, signal.SIGKILL)
        with pytest.raises(ControllerLost, match="taskfc start --name dying"):
            until(lambda: not client.queue_status(), "no answer")
    assert _farm(taskfc, "dying")["state"] == "dead"
    assert taskfc("status", "--name", "dying").code == 1
    assert taskfc("restart", "--name", "dying").code == 0
    assert taskfc("stop", "--name", "dying").out == "dying: stopped; unfinished tasks stay in its store\n"


def _farm(taskfc: Taskfc, name: str) -> dict[str, Any]:
    (farm,) = [farm for farm in taskfc("list", "--json").json if farm["name"] == name]
    return dict(farm)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
