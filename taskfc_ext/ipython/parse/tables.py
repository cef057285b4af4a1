"""Tables of the magics: the verbs of `%task`, the options of `%%task`, and their help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskfc_ext.ipython.parse import requests
from taskfc_ext.ipython.parse.requests import Request
from taskfc_ext.ipython.parse.values import (
    amounts,
    dotted_names,
    expression,
    integer,
    names,
    names_or_all,
    parse_selection,
    seconds,
    seconds_from_0,
    size,
    task_name,
    variable,
)
from taskfc_ext.protocol.limits import MAX_IDS, MAX_PRIORITY, MAX_RETRIES, MAX_SEED, MAX_UNITS, MAX_WORKERS
from taskfc_ext.view.argument import Argument, argument, flag, with_settings
from taskfc_ext.view.engine_words import RESOURCES
from taskfc_ext.view.store_words import OF_STORE


def _tasks(required: bool) -> Argument:
    text = (
        "ids, ranges (3-7), variables that hold a future, or names of tasks, separated by commas; NOTEBOOK:NAME is a "
        "task of another notebook"
    )
    return argument("tasks", help=text, metavar="TASKS", type=parse_selection, **({} if required else _OPTIONAL))


_OUT: dict[str, Any] = {"dest": "out", "metavar": "NAMES", "type": names_or_all, "default": ()}
_OPTIONAL: dict[str, Any] = {"nargs": "?", "default": ()}
_TIMEOUT = argument("--timeout", help="give up waiting after S seconds", metavar="S", type=seconds)
_ALL = flag("--all", "everybody's tasks, not only this notebook's")
_ALL_NAMES = flag("--all", "names mean everybody's tasks, not only this notebook's")
_WORKERS = integer(0, MAX_WORKERS)
_LIMIT = integer(1, MAX_IDS)
_UNITS = integer(1, MAX_UNITS)
_PRIORITY = argument("--priority", help="higher goes first", metavar="N", type=integer(-MAX_PRIORITY, MAX_PRIORITY))
_N_WORKERS = argument("-n", help="how many workers; on an engine, at most", metavar="N", type=_WORKERS)

_ENGINE: tuple[Argument, ...] = (
    argument("--on", help="run the workers on this Dask or Ray cluster; 'home': on this machine", metavar="ENGINE"),
    RESOURCES,
    argument("--idle", help="end a worker there after S idle seconds (60; 0: never)", metavar="S", type=seconds_from_0),
)

ON_MORE = (
    "ENGINE is the address of a Dask scheduler (tcp://head:8786), a scheduler file, a variable that holds a "
    "distributed.Client or a cluster (LocalCluster, SLURMCluster, ...); the address of a Ray cluster "
    "(ray://head:10001), or `ray`: this machine is a node of it. `%task restart --on ENGINE` moves the queue there, "
    "`%task restart --on home` brings it back."
)


WAIT_MORE = (
    "Raises TasksFailed if a task did not succeed, so that a headless run fails too. Without TASKS it also raises for "
    "tasks of this notebook that failed earlier, since the extension was loaded; each failure is raised once. An "
    "interrupt or a timeout ends the wait; the tasks go on."
)


RETRY_MORE = (
    "Each task runs again as a new task with the same code, arguments and options. Its name, and the variable of that "
    "name here, then mean the new task. The value is the new future, or a list of them."
)


MAP_MORE = (
    "The `for` and `if` clauses are those of a comprehension. They run here, and the expression runs in the tasks. The "
    "value is the group of the tasks, which is displayed as one card: `sweep = %task map fit(x, y) for x in xs for y "
    "in ys`, then sweep.result(), sweep.to_frame(), sweep.retry_failed()."
)


DEBUG_MORE = (
    "The task runs in this process, with the arguments, names and inputs that were recorded when it was submitted. Its "
    "time limit, its resources and its conditions on workers do not apply. If it does not raise, the value is its "
    "result."
)


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: the request that it makes, its summary, its arguments, and more help."""

    makes: Callable[..., Request]
    summary: str
    arguments: tuple[Argument, ...] = field(default=())
    more: str = ""


VERBS: dict[str, Verb] = {
    "status": Verb(requests.Status, "show the queue and the newest tasks (also without a verb)", (_tasks(False), _ALL)),
    "map": Verb(
        requests.Map, "run an expression as a task for each item: `%task map fit(x) for x in xs`", (), MAP_MORE
    ),
    "run": Verb(requests.Run, "run an expression as a task, whatever its first word is"),
    "result": Verb(requests.Result, "wait for tasks and return their values", (_tasks(True), _ALL_NAMES, _TIMEOUT)),
    "show": Verb(requests.Show, "show the cards of tasks, with what they printed", (_tasks(True), _ALL_NAMES)),
    "pull": Verb(
        requests.Pull,
        "wait for tasks and bind the -o names that came back",
        (
            _tasks(True),
            _ALL_NAMES,
            argument("-o", help="only these names", **_OUT),
        ),
    ),
    "wait": Verb(
        requests.Wait, "wait until tasks have ended, raise if any failed", (_tasks(False), _ALL, _TIMEOUT), WAIT_MORE
    ),
    "abort": Verb(requests.Abort, "drop queued tasks, stop running ones", (_tasks(True),)),
    "retry": Verb(
        requests.Retry, "run finished tasks again, with those that failed because of them", (_tasks(True),), RETRY_MORE
    ),
    "debug": Verb(
        requests.Debug,
        "run a task again here, and enter the debugger where it raises",
        (_tasks(True), flag("--no-debugger", "only show the traceback; `%%debug` then opens the debugger")),
        DEBUG_MORE,
    ),
    "hold": Verb(requests.Hold, "hold queued tasks back until they are released", (_tasks(True),)),
    "release": Verb(requests.Release, "release held tasks", (_tasks(True),)),
    "move": Verb(
        requests.Move,
        "give unfinished tasks another priority",
        (_tasks(True), with_settings(_PRIORITY, required=True)),
    ),
    "clear": Verb(requests.Clear, "delete finished tasks and their results", (_tasks(False), _ALL)),
    "spin": Verb(requests.Spin, "check again which tasks can run now"),
    "log": Verb(requests.Log, "print what tasks have printed", (_tasks(True), _ALL_NAMES)),
    "history": Verb(
        requests.History,
        "list tasks that have run; `h = %task history` has .rows and .to_frame()",
        (_tasks(False), _ALL, argument("--limit", help="the newest N (100)", metavar="N", type=_LIMIT, default=100)),
    ),
    "workers": Verb(requests.Workers, "list the workers"),
    "start": Verb(
        requests.Start,
        "start a farm, or attach to the one that runs",
        (
            _N_WORKERS,
            argument("--name", help="the farm's name", metavar="NAME"),
            flag("--fresh", "begin with an empty store"),
            *OF_STORE,
            *_ENGINE,
        ),
        ON_MORE,
    ),
    "scale": Verb(
        requests.Scale, "set the number of workers", (argument("n", help="how many", metavar="N", type=_WORKERS),)
    ),
    "stop": Verb(requests.Stop, "stop the farm; unfinished tasks stay in its store on the disk"),
    "restart": Verb(
        requests.Restart, "stop the farm and start it again; its tasks stay", (_N_WORKERS, *_ENGINE), ON_MORE
    ),
    "list": Verb(requests.List, "list your farms"),
    "use": Verb(requests.Use, "use another farm from now on", (argument("name", help="its name", metavar="NAME"),)),
    "widget": Verb(requests.Widget, "show the live queue, with buttons; where there are no widgets, as a table"),
    "help": Verb(requests.Help, "explain the magics, or one verb", (argument("verb", help="which", nargs="?"),)),
}

SUBMISSION: tuple[Argument, ...] = (
    argument(
        "name",
        help="the task's name; its future is bound to it where it is an identifier",
        metavar="NAME",
        nargs="?",
        type=task_name,
    ),
    argument(
        "-i", help="send these names instead of the names that the cell uses", dest="ship", metavar="NAMES", type=names
    ),
    argument("-o", help="bring these names back; '*': every name that the cell binds or changes in place", **_OUT),
    argument(
        "--retries",
        help="run it again when it fails, at most N times",
        metavar="N",
        type=integer(0, MAX_RETRIES),
        default=0,
    ),
    argument(
        "--retry-on",
        help="spend retries on these exceptions only",
        metavar="E",
        type=dotted_names,
        default=(),
    ),
    argument(
        "--backoff", help="wait S seconds before the first retry, twice as long each time", metavar="S", type=seconds
    ),
    argument(
        "--recover", help="call this function without arguments when the task has failed", metavar="NAME", type=variable
    ),
    argument("--after", help="start when these have succeeded", metavar="TASKS", type=parse_selection, default=()),
    argument(
        "--depend",
        help="run only on workers for whose properties this is true: \"properties.get('gpu')\"",
        metavar="EXPR",
        type=expression,
    ),
    argument("--timeout", help="stop an attempt after S seconds; it counts as failed", metavar="S", type=seconds),
    argument(
        "--seed",
        help="draw the same random numbers each time: seeds random, numpy and torch",
        metavar="N",
        type=integer(0, MAX_SEED),
    ),
    argument("--cores", help="start when N cores are free; its thread pools have as many", metavar="N", type=_UNITS),
    argument(
        "--memory",
        help="start when so much is free (500M, 8G, 1.5GiB), and end it when it uses more",
        metavar="SIZE",
        type=size,
    ),
    argument("--gpus", help="start when N GPUs are free; CUDA_VISIBLE_DEVICES names them", metavar="N", type=_UNITS),
    argument(
        "--resources",
        help="start when so much of the farm's own resources is free",
        metavar="NAME=N,...",
        type=amounts,
    ),
    with_settings(_PRIORITY, default=0),
    argument(
        "--on-lost",
        help="what to do when its worker dies: retry (at least once) or fail (at most once)",
        choices=("retry", "fail"),
        default="retry",
    ),
    flag("--keep", "run in the worker's persistent namespace instead of a fresh one"),
    flag("--clear-before", "with --keep: clear that namespace first"),
    flag("--clear-after", "with --keep: clear it afterwards, also after a failure"),
    flag("--wait", "wait for the task, and bind the -o names"),
    flag("--replace", "abort the unfinished task of this cell, and run this"),
    flag("--beside", "run this beside the unfinished task of this cell"),
    flag("--reuse", "take the result of this notebook's task with the same code, inputs, modules and options"),
    flag("--everywhere", "run it on every worker instead of as a task, also on workers that join later"),
    flag("--dry-run", "show the names that would be sent, and send nothing"),
)


EVERYWHERE = frozenset(("-i", "--everywhere", "--dry-run"))
"""The options that apply to a cell that runs on every worker."""


OF_THE_FARM = frozenset(("stop", "restart", "scale", "workers"))
"""The verbs that people expect to take a farm's name."""
