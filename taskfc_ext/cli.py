"""The terminal: `taskfc` starts, stops, shows and steers farms.

Only `start` and `restart` start a farm so that tasks run. `stop` starts one that was killed once more, without workers,
to settle what it has left; `abort` does so with one that does not run. All other commands but `list` need one that
runs. Answers go to stdout, as aligned tables or, with `--json`, as one JSON document. An error is one line on stderr
and exit code 1; bad usage is 2.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Container, Sequence

import msgspec

from taskfc_ext.client.attach import attach_or_start_idle
from taskfc_ext.client.attach import attach_to_running as _attached
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.farm.silence import describe_suspension
from taskfc_ext.client.start import restart, start, stop
from taskfc_ext.drivers.connection_file import read_connection
from taskfc_ext.drivers.paths import farm_paths, known_farms
from taskfc_ext.errors import (
    ControllerUnavailable,
    FarmError,
    RequestRefused,
    ResultExpired,
    TaskFCError,
    UnknownTask,
)
from taskfc_ext.protocol.ids import MAX_IDS
from taskfc_ext.protocol.infos import TaskInfo
from taskfc_ext.protocol.states import FINISHED, UNFINISHED
from taskfc_ext.text import format_seconds, one_line, percent, plain_text, plural, table, workers_text

_MOST_ERRORS = 5
"""Errors that are told one by one, however long the range that was typed."""
_WHICH = "ids (12), ranges of ids (3-7), or names: the newest task of that name"
_SEE = "see them with: taskfc tasks"
STATES = (*UNFINISHED, *FINISHED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    _tolerate_any_text()
    try:
        arguments, unknown = make_parser().parse_known_args(argv)
        if unknown:  # told by the command's own parser, whose usage says what it takes
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}{_how_instead(unknown[0], arguments)}")
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except (TaskFCError, TimeoutError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # the reader has seen enough (`taskfc tasks | head`); keep the interpreter's last flush quiet
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        _complain(error)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _how_instead(word: str, arguments: argparse.Namespace) -> str:
    """Return how to say what `word`, which is one too many, was probably to say."""
    if word.isdecimal() and arguments.command in (_start, _restart):
        return f" (the number of workers is given as -n {word})"
    if not word.startswith("-") and arguments.command in (_start, _restart, _stop, _status):
        return f" (the farm's name is given as --name {word})"
    return ""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands: what `--help` and the reference in docs/ are made of."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", type=_farm_name, default="default", help="which farm (default: default)")
    common.add_argument("--json", action="store_true", help="answer with one JSON document")
    parser = argparse.ArgumentParser(
        prog="taskfc",
        description="Start, stop, show and steer task farms of this user on this machine.",
        epilog="TASK is an id (12), a range of ids (3-7), or a name: the newest task of that name.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common])
        child.set_defaults(command=command, parser=child)
        return child

    command = add("start", _start, "start a farm, or say that it runs")
    _add_workers(command)
    command.add_argument("--fresh", action="store_true", help="with an empty store: all tasks and results are dropped")
    add("stop", _stop, "stop a farm; its store remains, and what is unfinished goes on at the next start")
    command = add("restart", _restart, "stop a farm and start it again, as it was started")
    _add_workers(command)
    add("status", _status, "count the tasks by state, and show what the workers do")
    add("list", _list, "list the farms of this user, running or stopped")
    command = add("tasks", _tasks, "list tasks, newest last")
    command.add_argument("tasks", nargs="*", metavar="TASK", help="only these")
    command.add_argument("--state", action="append", choices=STATES, help="only in this state; may be repeated")
    command.add_argument("--limit", type=_positive, default=50, metavar="N", help="at most the newest N (default: 50)")
    command = add("log", _log, "print what a task has printed so far")
    command.add_argument("task", metavar="TASK", help="which: an id, or the newest of a name")
    command = add("abort", _abort, "abort tasks, queued or running")
    command.add_argument("tasks", nargs="+", metavar="TASK", help=_WHICH)
    command = add("retry", _retry, "run finished tasks again, with those that failed because of them")
    command.add_argument("tasks", nargs="+", metavar="TASK", help=_WHICH)
    command = add("clear", _clear, "forget finished tasks and their results")
    command.add_argument("tasks", nargs="*", metavar="TASK", help="only these (default: all that are finished)")
    command = add("scale", _scale, "set the number of workers")
    command.add_argument(
        "workers", type=_count, metavar="N", help="how many; one that is too many ends when its task has ended"
    )
    return parser


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--workers", type=_count, metavar="N", help="how many workers (default: one a core)")


# commands


def _start(arguments: argparse.Namespace) -> int:
    _import_from_here()
    farm = start(arguments.workers, name=arguments.name, fresh=arguments.fresh)
    return _say_running(arguments, "runs already" if farm.attached else "started")


def _restart(arguments: argparse.Namespace) -> int:
    _import_from_here()
    _must_be_known(arguments.name)
    restart(arguments.name, arguments.workers)
    return _say_running(arguments, "restarted")


def _say_running(arguments: argparse.Namespace, what: str) -> int:
    with _attached(arguments.name) as client:
        workers = client.workers()
        info = read_connection(arguments.name)
        pid = info.pid if info else None
    if arguments.json:
        _print_json({"name": arguments.name, "state": "running", "was": what, "pid": pid, "workers": len(workers)})
    else:
        print(f"{arguments.name}: {what}, controller {pid}, {plural(len(workers), 'worker')}")
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    _must_be_known(arguments.name)
    farm = LocalFarm(arguments.name)
    was = {Condition.ALIVE: "running", Condition.DEAD: "dead", Condition.STOPPED: "stopped"}[farm.condition()]
    stop(farm)
    if arguments.json:
        _print_json({"name": arguments.name, "state": "stopped", "was": was})
    else:
        print(f"{arguments.name}: {'was not running' if was == 'stopped' else 'stopped'}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    with _attached(arguments.name) as client:
        counts = client.queue_status()
        workers = client.workers()
    counts = {state: counts["pending" if state == "running" else state] for state in STATES}
    if arguments.json:
        _print_json({"name": arguments.name, "state": "running", "tasks": counts, "workers": _plain_data(workers)})
        return 0
    print(f"{arguments.name}: running, {workers_text(workers)}\n")
    print(_shown([[str(count) for count in counts.values()]], list(counts), right=range(len(STATES))))
    if workers:
        rows = [
            [str(each.worker), str(each.pid), each.described, "" if each.running is None else str(each.running)]
            for each in workers
        ]
        print("\n" + _shown(rows, ["worker", "pid", "state", "task"], right=(0, 1, 3)))
    if note := describe_suspension(LocalFarm(arguments.name)):
        print(f"\n{note}; until then nothing that dies or hangs is replaced or stopped")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    farms = [_facts(name) for name in known_farms()]
    if arguments.json:
        _print_json(farms)
    elif farms:
        rows = [[one_line(farm[column]) for column in ("name", "state", "pid", "store", "note")] for farm in farms]
        print(_shown(rows, ["name", "state", "controller", "store", ""], right=(2,)))
    else:
        print("no farms; start one with: taskfc start")
    return 0


def _facts(name: str) -> dict[str, object]:
    farm = LocalFarm(name)
    facts: dict[str, object] = {
        "name": name,
        "state": "unknown",
        "pid": None,
        "store": str(farm.paths.store),
        "note": "",
    }
    try:
        info = farm.connection()
        facts["state"] = "running" if info else "dead" if farm.condition() is Condition.DEAD else "stopped"
    except FarmError as error:  # what is wrong with one farm must not hide the others
        return {**facts, "note": error.message}
    return {**facts, "pid": info.pid if info else None, "note": describe_suspension(farm)}


def _tasks(arguments: argparse.Namespace) -> int:
    with _attached(arguments.name) as client:
        taskids = _taskids(client, arguments.tasks) if arguments.tasks else None
        tasks = client.list_tasks(taskids=taskids, states=arguments.state, limit=arguments.limit)
    if arguments.json:
        _print_json(_plain_data(tasks))
    elif tasks:
        headers = ["id", "name", "state", "worker", "attempts", "time", "what", ""]
        print(_shown([_task_row(task) for task in tasks], headers, right=(0, 3, 4, 5)))
    else:
        print("no tasks")
    return 0


def _task_row(task: TaskInfo) -> list[str]:
    state = "stopping" if task.stopping else task.state
    if task.held:
        state += " (held)"
    elif task.reason and task.reason not in ("error", task.state):
        state += f" ({task.reason})"
    if task.progress is not None and task.progress.total:
        state += f" {percent(task.progress.done, task.progress.total)} %"
    retried = "" if task.retry_of is None else f"retry of {task.retry_of}"
    return [
        str(task.taskid),
        one_line(task.name),
        state,
        "" if task.worker < 0 else str(task.worker),
        str(task.attempts),
        "" if task.elapsed is None else format_seconds(task.elapsed),
        one_line(task.label),
        one_line("; ".join(filter(None, (retried, task.message)))),
    ]


def _log(arguments: argparse.Namespace) -> int:
    with _attached(arguments.name) as client:
        (taskid,) = _taskids(client, [arguments.task], most=1)
        text = client.log(taskid)
    if arguments.json:
        _print_json({"taskid": taskid, "text": text})
    else:
        shown = plain_text(text)
        print(shown, end="" if shown.endswith("\n") or not shown else "\n")
    return 0


def _abort(arguments: argparse.Namespace) -> int:
    aborted, errors, unknown = [], [], []
    with attach_or_start_idle(arguments.name) as client:
        for taskid in _taskids(client, arguments.tasks):
            try:
                client.abort(taskid)
            except UnknownTask as error:
                if error.hint:
                    unknown.append(taskid)
                else:  # it has ended already
                    errors.append(error)
            else:
                aborted.append(taskid)
    if arguments.json:
        _print_json({"aborted": aborted})
    elif aborted:
        print(f"aborting: {', '.join(map(str, aborted))}")
    for refused in errors:
        _complain(refused)
    if unknown:  # one line, however long the range that was typed
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        what = "no task" if len(unknown) == 1 else "none of the tasks"
        _complain(UnknownTask(f"there is {what} {shown}", hint=_SEE))
    return 1 if errors or unknown else 0


def _retry(arguments: argparse.Namespace) -> int:
    new_ids: dict[int, int] = {}
    errors: list[TaskFCError] = []
    with _attached(arguments.name) as client:
        for taskid in sorted(_taskids(client, arguments.tasks)):
            if taskid in new_ids:
                continue  # it came along with what it depends on, whose id is smaller
            try:
                new_ids.update(client.resubmit(taskid, here=False))
            except (RequestRefused, UnknownTask) as error:
                errors.append(error)
    if arguments.json:
        _print_json({"retried": [{"taskid": new, "retry_of": old} for old, new in new_ids.items()]})
    else:
        for old, new in new_ids.items():
            print(f"task {old} runs again as task {new}")
    for refused in errors[:_MOST_ERRORS]:
        _complain(refused)
    if len(errors) > _MOST_ERRORS:
        _complain(UnknownTask(f"and {len(errors) - _MOST_ERRORS:,} more cannot run again"))
    return 1 if errors else 0


def _clear(arguments: argparse.Namespace) -> int:
    with _attached(arguments.name) as client:
        n_cleared = client.clear(_taskids(client, arguments.tasks) if arguments.tasks else None)
    if arguments.json:
        _print_json({"cleared": n_cleared})
    else:
        print(f"{plural(n_cleared, 'finished task')} forgotten")
    return 0


def _scale(arguments: argparse.Namespace) -> int:
    with _attached(arguments.name) as client:
        before = client.scale(arguments.workers)
    if arguments.json:
        _print_json({"workers": arguments.workers, "before": before})
    else:
        print(f"{arguments.name}: {plural(arguments.workers, 'worker')} (before: {before})")
    return 0


# farms and tasks by name


def _must_be_known(name: str) -> None:
    if name not in known_farms():
        raise ControllerUnavailable(f"there is no farm {name!r}", hint="see what there is with: taskfc list")


def _taskids(client: BlockingTaskClient, words: Sequence[str], most: int = MAX_IDS) -> list[int]:
    """Return the tasks that `words` stand for: ids, ranges of ids, names; each may be a list with commas."""
    taskids: list[int] = []
    for word in filter(None, ",".join(words).split(",")):
        if re.fullmatch(r"\d{1,15}", word):
            taskids.append(int(word))
        elif match := re.fullmatch(r"(\d{1,15})-(\d{1,15})", word):
            first, last = int(match[1]), int(match[2])
            if last < first:
                raise UnknownTask(f"the range {word} runs backwards")
            if last - first >= most:
                raise UnknownTask(f"{word} are too many tasks: {most:,} at once")
            taskids.extend(range(first, last + 1))
        else:
            newest = client.list_tasks(name=word, limit=1)
            if not newest:
                raise UnknownTask(f"there is no task named {plain_text(word)!r}", hint=_SEE)
            taskids.append(newest[-1].taskid)
    if not 0 < len(taskids) <= most:
        raise UnknownTask(f"{' '.join(words)!r} stands for {len(taskids):,} tasks; between 1 and {most:,} are possible")
    return taskids


def _import_from_here() -> None:
    # workers get this process's import path; users expect the modules beside them, as in a notebook
    sys.path.insert(0, os.getcwd())


# arguments


def _farm_name(word: str) -> str:
    try:
        farm_paths(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def _count(word: str) -> int:
    if not re.fullmatch(r"\d{1,4}|10000", word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 0 to 10000")
    return int(word)


def _positive(word: str) -> int:
    if not re.fullmatch(r"\d{1,6}", word) or not 1 <= int(word) <= MAX_IDS:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 1 to {MAX_IDS}")
    return int(word)


# answers


def _shown(rows: list[list[str]], headers: list[str], right: Container[int] = ()) -> str:
    """Return a table for stdout: on a terminal, lines are cut at its width."""
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return table(rows, headers, right=right, most=most)


def _plain_data(value: object) -> object:
    return msgspec.to_builtins(value)


def _print_json(value: object) -> None:
    # all but ASCII is escaped, so what tasks have written cannot steer a terminal here either
    print(json.dumps(value, indent=2))


def _complain(error: BaseException) -> None:
    message = error.message if isinstance(error, TaskFCError) else str(error) or type(error).__name__
    hint = error.hint if isinstance(error, TaskFCError) else ""
    if hint and isinstance(error, UnknownTask) and not isinstance(error, ResultExpired):
        hint = _SEE  # the controller's own hint is for Python
    print(f"taskfc: {one_line(message)}{f' ({one_line(hint)})' if hint else ''}", file=sys.stderr)


def _tolerate_any_text() -> None:
    # task names and outputs may hold what this terminal's encoding, or any, cannot express
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
