"""The terminal: `taskfc` starts, stops and shows farms, and aborts and retries tasks.

`start` and `restart` start a farm. `stop` starts a killed farm once more, without workers, to settle its store; so
does `abort` if the farm does not run. `list` needs no farm; all other commands need a running one. Answers go to
stdout, as aligned tables or, with `--json`, as one JSON document. An error is one line on stderr and exit code 1; bad
usage is exit code 2.
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
from typing import Any

import msgspec

from taskfc_ext.client.attach import attach_or_start_idle, attach_to_running
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.farm.silence import describe_suspension
from taskfc_ext.client.start import restart, start, stop
from taskfc_ext.drivers.connection_file import read_connection
from taskfc_ext.drivers.paths import farm_paths, known_farms
from taskfc_ext.errors import ControllerUnavailable, FarmError, RequestRefused, ResultExpired, TaskFCError, UnknownTask
from taskfc_ext.near_misses import nearest_option
from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.protocol.infos import EngineInfo, TaskInfo, WorkerInfo
from taskfc_ext.protocol.limits import MAX_IDS, MAX_WORKERS
from taskfc_ext.protocol.owners import split_name
from taskfc_ext.protocol.states import FINISHED, UNFINISHED
from taskfc_ext.text import one_line, plain_text, table, workers_table, workers_text
from taskfc_ext.view.engine_words import add_engine_options, engine_arguments, warnings_as_lines
from taskfc_ext.view.selection import BadSelection, count_ids, parse_selection
from taskfc_ext.view.wording import (
    KEPT,
    describe_abort,
    describe_clear,
    describe_retry,
    describe_scale,
    farm_caption,
    task_row,
)

_MOST_ERRORS = 5
"""Errors that are printed one by one; a range may have many."""
_WHICH = "ids (12), ranges of ids (3-7), or names: the newest task of that name; NOTEBOOK:NAME for that of one notebook"
_SEE = "list them with: taskfc tasks"
STATES = [state.value for state in (*UNFINISHED, *FINISHED)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    _tolerate_any_text()
    try:
        arguments, unknown = make_parser().parse_known_args(argv)
        if unknown:  # reported by the parser of the command: its usage lists the arguments
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}{_suggest(unknown[0], arguments)}")
        command: Callable[[argparse.Namespace], int] = arguments.command
        code = command(arguments)
        sys.stdout.flush()  # here, since the interpreter's own flush would report that the reader has ended
        return code
    except (TaskFCError, TimeoutError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # the reader has ended (`taskfc tasks | head`); keep the last flush of the interpreter quiet
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        _print_error(error)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _suggest(word: str, arguments: argparse.Namespace) -> str:
    """Return a hint about `word`, which the command does not take; empty if there is none."""
    flags = [flag for action in arguments.parser._actions for flag in action.option_strings]
    if word.startswith("-") and (near := nearest_option(word.partition("=")[0], flags)):
        return f" (did you mean {near}?)"
    if word.isdecimal() and arguments.command in (_start, _restart):
        return f" (the number of workers is given as -n {word})"
    if not word.startswith("-") and arguments.command in (_start, _restart, _stop, _status):
        return f" (the farm's name is given as --name {word})"
    return ""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; `--help` and the reference in docs/ come from it."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", type=_farm_name, default="default", help="the farm (default: default)")
    common.add_argument("--json", action="store_true", help="print one JSON document")
    parser = argparse.ArgumentParser(
        prog="taskfc",
        description="Start, stop and show task farms of this user on this machine; abort and retry their tasks.",
        epilog="TASK is an id (12), a range of ids (3-7), or a name: the newest task of that name.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common])
        child.set_defaults(command=command, parser=child)
        return child

    command = add("start", _start, "start a farm, or report that it runs")
    _add_workers(command)
    command.add_argument("--fresh", action="store_true", help="with an empty store: all tasks and results are dropped")
    add("stop", _stop, "stop a farm; unfinished tasks stay in its store and go on at the next start")
    command = add("restart", _restart, "stop a farm and start it again with the same options")
    _add_workers(command)
    add("status", _status, "count the tasks by state, and list the workers")
    add("list", _list, "list the farms of this user, running or stopped")
    command = add("tasks", _tasks, "list tasks, newest last")
    command.add_argument("tasks", nargs="*", metavar="TASK", help="only these tasks")
    command.add_argument("--state", action="append", choices=STATES, help="only tasks in this state; may be repeated")
    command.add_argument("--limit", type=_positive, default=50, metavar="N", help="at most the newest N (default: 50)")
    command = add("log", _log, "print the output of a task so far")
    command.add_argument("task", metavar="TASK", help="an id, or a name: the newest task of that name")
    command = add("abort", _abort, "abort tasks, queued or running")
    command.add_argument("tasks", nargs="+", metavar="TASK", help=_WHICH)
    command = add("retry", _retry, "run finished tasks again, with the tasks that failed because of them")
    command.add_argument("tasks", nargs="+", metavar="TASK", help=_WHICH)
    command = add("clear", _clear, "clear finished tasks and their results")
    command.add_argument("tasks", nargs="*", metavar="TASK", help="only these (default: all finished tasks)")
    command = add("scale", _scale, "set the number of workers")
    command.add_argument(
        "workers", type=_count, metavar="N", help="the number; surplus workers end when their task has ended"
    )
    return parser


def _add_workers(parser: argparse.ArgumentParser) -> None:
    text = "number of workers (default: one for each core); on an engine, at most (default: as many as it has)"
    parser.add_argument("-n", "--workers", type=_count, metavar="N", help=text)
    add_engine_options(parser)


# commands


def _engine_of(arguments: argparse.Namespace) -> dict[str, Any]:
    try:
        return engine_arguments(arguments.on, arguments.resources, arguments.idle)
    except (TypeError, ValueError) as error:
        raise SystemExit(arguments.parser.error(str(error))) from None


def _start(arguments: argparse.Namespace) -> int:
    _import_from_here()
    with warnings_as_lines():
        farm = start(arguments.workers, name=arguments.name, fresh=arguments.fresh, **_engine_of(arguments))
    return _print_running(arguments, "runs already" if farm.attached else "started")


def _restart(arguments: argparse.Namespace) -> int:
    _import_from_here()
    _require_known(arguments.name)
    with warnings_as_lines():
        restart(arguments.name, arguments.workers, **_engine_of(arguments))
    return _print_running(arguments, "restarted")


def _print_running(arguments: argparse.Namespace, what: str) -> int:
    with attach_to_running(arguments.name) as client:
        workers = client.workers()
        info = read_connection(arguments.name)
        pid = info.pid if info else None
    if arguments.json:
        _print_json({"name": arguments.name, "state": "running", "was": what, "pid": pid, "workers": len(workers)})
    else:
        print(f"{arguments.name}: {what}, controller {pid}, {workers_text(workers)}")
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    _require_known(arguments.name)
    farm = LocalFarm(arguments.name)
    was = {Condition.ALIVE: "running", Condition.DEAD: "dead", Condition.STOPPED: "stopped"}[farm.condition()]
    stop(farm)
    if arguments.json:
        _print_json({"name": arguments.name, "state": "stopped", "was": was})
    else:
        print(f"{arguments.name}: {'was not running' if was == 'stopped' else f'stopped; {KEPT}'}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    with attach_to_running(arguments.name) as client:
        counts = client.queue_status()
        workers, engine = client.workers(), client.engine()
    if arguments.json:
        facts = {"tasks": _by_state(counts), "workers": _plain_data(workers), "engine": _plain_data(engine)}
        _print_json({"name": arguments.name, "state": "running", **facts})
        return 0
    print(_status_text(arguments.name, counts, workers, engine))
    if note := describe_suspension(LocalFarm(arguments.name)):
        print(f"\n{note}; until then no dead or hanging process is replaced or stopped")
    return 0


def _status_text(name: str, counts: dict[str, int], workers: Sequence[WorkerInfo], engine: EngineInfo | None) -> str:
    """Return the counts of tasks and the list of workers; `counts` as `queue_status` returns them."""
    n_workers = sum(not worker.is_substitute for worker in workers)
    at_home = f"{name}: running, {workers_text(workers)}"
    parts = [at_home if engine is None else farm_caption(name, counts, n_workers, engine)]
    by_state = _by_state(counts)
    parts.append(_format_table([[str(count) for count in by_state.values()]], list(by_state), right=range(len(STATES))))
    if workers:
        headers, rows = workers_table(workers)
        parts.append(_format_table(rows, headers, right=(0, 1, 3)))
    return "\n\n".join(parts)


def _by_state(counts: dict[str, int]) -> dict[str, int]:
    return {state: counts["pending" if state == "running" else state] for state in STATES}


def _list(arguments: argparse.Namespace) -> int:
    farms = [_farm_facts(name) for name in known_farms()]
    if arguments.json:
        _print_json(farms)
    elif farms:
        rows = [[one_line(farm[column]) for column in ("name", "state", "pid", "store", "note")] for farm in farms]
        print(_format_table(rows, ["name", "state", "controller", "store", ""], right=(2,)))
    else:
        print("no farms; start one with: taskfc start")
    return 0


def _farm_facts(name: str) -> dict[str, object]:
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
    except FarmError as error:  # a problem of one farm must not hide the others
        return {**facts, "note": error.message}
    return {**facts, "pid": info.pid if info else None, "note": describe_suspension(farm)}


def _tasks(arguments: argparse.Namespace) -> int:
    with attach_to_running(arguments.name) as client:
        taskids = _taskids(client, arguments.tasks) if arguments.tasks else None
        tasks = client.list_tasks(taskids=taskids, states=arguments.state, limit=arguments.limit)
    if arguments.json:
        _print_json(_plain_data(tasks))
    elif tasks:
        headers = ["id", "name", "state", "worker", "attempts", "time", "what", ""]
        print(_format_table([_task_cells(task) for task in tasks], headers, right=(0, 3, 4, 5)))
    else:
        print("no tasks")
    return 0


def _task_cells(task: TaskInfo) -> list[str]:
    row = task_row(task)
    return [row.taskid, row.name, row.state, row.worker, row.attempts, row.time, row.label, row.message]


def _log(arguments: argparse.Namespace) -> int:
    with attach_to_running(arguments.name) as client:
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
                else:  # it has ended
                    errors.append(error)
            else:
                aborted.append(taskid)
        unfinished = client.list_tasks(taskids=aborted, states=UNFINISHED, limit=MAX_IDS) if aborted else []
    if arguments.json:
        _print_json({"aborted": aborted})
    elif aborted:
        print(describe_abort(aborted, {task.taskid for task in unfinished}))
    for refused in errors:
        _print_error(refused)
    if unknown:  # one line, however long the range
        what = "is no task" if len(unknown) == 1 else "are no tasks"
        _print_error(UnknownTask(f"there {what} {list_ids(unknown)}", hint=_SEE))
    return 1 if errors or unknown else 0


def _retry(arguments: argparse.Namespace) -> int:
    new_ids: dict[int, int] = {}
    lines: list[str] = []
    errors: list[TaskFCError] = []
    with attach_to_running(arguments.name) as client:
        for taskid in sorted(_taskids(client, arguments.tasks)):
            if taskid in new_ids:
                continue  # it was retried with its dependency, whose id is smaller
            try:
                pairs = client.resubmit(taskid, here=False)
            except (RequestRefused, UnknownTask) as error:
                errors.append(error)
            else:
                new_ids.update(pairs)
                lines.append(describe_retry([taskid], pairs))
    if arguments.json:
        _print_json({"retried": [{"taskid": new, "retry_of": old} for old, new in new_ids.items()]})
    else:
        print(*lines, sep="\n", end="\n" if lines else "")
    for refused in errors[:_MOST_ERRORS]:
        _print_error(refused)
    if len(errors) > _MOST_ERRORS:
        _print_error(UnknownTask(f"and {len(errors) - _MOST_ERRORS:,} more cannot run again"))
    return 1 if errors else 0


def _clear(arguments: argparse.Namespace) -> int:
    with attach_to_running(arguments.name) as client:
        n_cleared = client.clear(_taskids(client, arguments.tasks) if arguments.tasks else None)
    if arguments.json:
        _print_json({"cleared": n_cleared})
    else:
        print(describe_clear(n_cleared))
    return 0


def _scale(arguments: argparse.Namespace) -> int:
    with attach_to_running(arguments.name) as client:
        before = client.scale(arguments.workers)
    if arguments.json:
        _print_json({"workers": arguments.workers, "before": before})
    else:
        print(f"{arguments.name}: {describe_scale(before, arguments.workers)}")
    return 0


# farms and tasks by name


def _require_known(name: str) -> None:
    if name not in known_farms():
        raise ControllerUnavailable(f"there is no farm {name!r}", hint="list the farms with: taskfc list")


def _taskids(client: BlockingTaskClient, words: Sequence[str], most: int = MAX_IDS) -> list[int]:
    """Return the tasks that `words` name: ids, ranges of ids, names, also separated by commas."""
    try:
        selection = parse_selection(",".join(words))
    except BadSelection as error:
        raise UnknownTask(plain_text(str(error))) from None
    if count_ids(selection) > most:
        raise UnknownTask(f"{' '.join(words)} are too many tasks: {most:,} at once")
    taskids: list[int] = []
    for part in selection:
        if isinstance(part, range):
            taskids.extend(part)
            continue
        notebook, name = split_name(part)
        newest = client.list_tasks(name=name, owner=notebook, limit=1)
        if not newest:
            raise UnknownTask(f"there is no task named {part!r}", hint=_SEE)
        taskids.append(newest[-1].taskid)
    if not 0 < len(taskids) <= most:
        raise UnknownTask(f"{' '.join(words)!r} names {len(taskids):,} tasks; between 1 and {most:,} are possible")
    return taskids


def _import_from_here() -> None:
    # workers get the import path of this process; the folder's modules belong to it, as in a notebook
    sys.path.insert(0, os.getcwd())


# arguments


def _farm_name(word: str) -> str:
    try:
        farm_paths(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def _count(word: str) -> int:
    if not re.fullmatch(r"\d{1,5}", word) or int(word) > MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 0 to {MAX_WORKERS}")
    return int(word)


def _positive(word: str) -> int:
    if not re.fullmatch(r"\d{1,6}", word) or not 1 <= int(word) <= MAX_IDS:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number from 1 to {MAX_IDS}")
    return int(word)


# answers


def _format_table(rows: Sequence[Sequence[str]], headers: Sequence[str], right: Container[int] = ()) -> str:
    """Return a table for stdout; on a terminal, lines are cut at its width."""
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return table(rows, headers, right=right, most=most)


def _plain_data(value: object) -> object:
    return msgspec.to_builtins(value)


def _print_json(value: object) -> None:
    # only ASCII: text of tasks cannot steer the terminal
    print(json.dumps(value, indent=2))


def _print_error(error: BaseException) -> None:
    message = error.message if isinstance(error, TaskFCError) else str(error) or type(error).__name__
    hint = error.hint if isinstance(error, TaskFCError) else ""
    if hint and isinstance(error, UnknownTask) and not isinstance(error, ResultExpired):
        hint = _SEE  # the client's own hint is for Python
    print(f"taskfc: {one_line(message)}{f' ({one_line(hint)})' if hint else ''}", file=sys.stderr)


def _tolerate_any_text() -> None:
    # task names and outputs may have characters that the encoding of the terminal lacks
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
