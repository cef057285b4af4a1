"""Tables of the terminal: the commands of `taskfc`, their arguments, their help and their examples. Pure.

The parser, the shells' completion and the reference on the site come from these; `dispatch.py` has the function of each
command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskfc_ext.cli.values import farm_name, seconds, whole_number, worker_property
from taskfc_ext.protocol.limits import MAX_IDS, MAX_PRIORITY, MAX_WORKERS
from taskfc_ext.protocol.states import FINISHED, UNFINISHED
from taskfc_ext.view.argument import Argument, argument, flag
from taskfc_ext.view.engine_words import RESOURCES
from taskfc_ext.view.store_words import OF_STORE

STATES = [state.value for state in (*UNFINISHED, *FINISHED)]

SHELLS = ("bash", "zsh", "fish")
"""The shells for which there is a completion."""

TASK = "TASK"
"""The metavar of arguments that name tasks: they complete to names of tasks."""

FARM = "FARM"
"""The metavar of arguments that name a farm: they complete to names of farms."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its summary, its arguments, its examples (a line and its effect), and more help."""

    summary: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    more: str = ""


COMMON: tuple[Argument, ...] = (
    argument("--name", help="the farm (default: default)", metavar=FARM, type=farm_name, default="default"),
    flag("--json", "print one JSON document"),
)
"""The arguments of every command."""


def _tasks(required: bool, text: str = "") -> Argument:
    which = (
        "ids (12), ranges of ids (3-7), or names: the newest task of that name; NOTEBOOK:NAME for that of one notebook"
    )
    many: dict[str, Any] = {"nargs": "+" if required else "*", "metavar": TASK}
    return argument("tasks", help=text or which, **many)


_WORKERS = whole_number(0, MAX_WORKERS)

_N_WORKERS = argument(
    "-n",
    "--workers",
    help="number of workers (default: one for each core); on an engine, at most (default: as many as it has)",
    metavar="N",
    type=_WORKERS,
)

_ENGINE: tuple[Argument, ...] = (
    argument(
        "--on",
        help="run the workers on the cluster of a Dask scheduler (tcp://head:8786, or its scheduler file), or of Ray "
        "(ray://head:10001; ray: this machine is a node of it); home: here",
        metavar="ENGINE",
    ),
    RESOURCES,
    argument("--idle", help="end a worker there after S idle seconds (60; 0: never)", metavar="S", type=float),
)

_LIMIT = argument(
    "--limit", help="at most the newest N (default: 50)", metavar="N", type=whole_number(1, MAX_IDS), default=50
)

RESULT_MORE = (
    "Loading a value imports the modules that it needs, from this folder too. A task that is unfinished is waited for; "
    "Ctrl-C ends the wait, and the task goes on. A task that has failed is exit code 1."
)

COMPLETION_MORE = (
    "Tab then completes commands, options, states, and the names of farms and tasks. Install it once: for bash "
    "`taskfc completion bash >> ~/.bashrc`; for zsh `taskfc completion zsh >> ~/.zshrc`, below `compinit`; for fish "
    "`taskfc completion fish > ~/.config/fish/completions/taskfc.fish`."
)


COMMANDS: dict[str, Command] = {
    "start": Command(
        "start a farm, or report that it runs",
        (
            _N_WORKERS,
            flag("--fresh", "with an empty store; the one before is put aside, and the newest three of these are kept"),
            argument(
                "--property",
                help="a property of every worker, for conditions on workers; may be repeated",
                dest="properties",
                metavar="NAME=VALUE",
                type=worker_property,
                action="append",
                default=[],
            ),
            *OF_STORE,
            *_ENGINE,
        ),
        (
            ("taskfc start -n 4", "four workers"),
            ("taskfc start --name night --fresh", "a farm of its own, with an empty store"),
            ("taskfc start --property gpu=true", "for tasks that need `properties.get('gpu')`"),
        ),
    ),
    "stop": Command(
        "stop a farm; unfinished tasks stay in its store and go on at the next start",
        (),
        (("taskfc stop --name night", "the farm `night`"),),
    ),
    "restart": Command(
        "stop a farm and start it again with the same options",
        (_N_WORKERS, *_ENGINE),
        (
            ("taskfc restart", "with as many workers as before"),
            ("taskfc restart -n 8", "with eight workers"),
            ("taskfc restart --on home", "with its workers on this machine again"),
        ),
    ),
    "forget": Command(
        "delete the stores of stopped farms, with all their tasks and results",
        (argument("farms", help="the farms", metavar=FARM, nargs="+", type=farm_name),),
        (("taskfc forget night", "the farm `night` is in no list any more"),),
    ),
    "doctor": Command(
        "examine the store of a farm, running or stopped, and change nothing",
        (argument("farm", help="the farm (default: that of --name)", metavar=FARM, nargs="?", type=farm_name),),
        (
            ("taskfc doctor night", "the farm `night`"),
            ("taskfc doctor --json | jq .damages", "for a script"),
        ),
        "It reads every record, and shows sizes, options, free space, permissions and the lock. The exit code is 0 if "
        "the store is whole, 1 if something in it is damaged or gone.",
    ),
    "repair": Command(
        "replace the damaged stores of stopped farms by what is whole in them, and name what is lost",
        (argument("farms", help="the farms", metavar=FARM, nargs="+", type=farm_name),),
        (("taskfc repair night", "the store as it was is put aside"),),
        "Tasks whose end is lost run again at the next start, unless they may run only once.",
    ),
    "status": Command(
        "count the tasks by state, and list the workers",
        (flag("--watch", "show it again every second, until Ctrl-C"),),
        (
            ("taskfc status", "once"),
            ("taskfc status --watch", "like `top`, with the running and newest tasks"),
            ("taskfc status --json | jq .tasks.failed", "a number for a script"),
        ),
    ),
    "list": Command(
        "list the farms of this user, running or stopped", (), (("taskfc list --json", "with paths of their stores"),)
    ),
    "workers": Command(
        "list the workers, with their processes and what they run", (), (("taskfc workers", "the default farm's"),)
    ),
    "properties": Command(
        "show the properties with which workers begin",
        (),
        (("taskfc properties", "as `taskfc start --property` has set them"),),
        "A task changes its worker's with `taskfc_ext.worker.properties`.",
    ),
    "scale": Command(
        "set the number of workers",
        (
            argument(
                "workers", help="the number; surplus workers end when their task has ended", metavar="N", type=_WORKERS
            ),
        ),
        (("taskfc scale 8", "eight workers"), ("taskfc scale 0", "none: tasks wait")),
    ),
    "tasks": Command(
        "list tasks, newest last",
        (
            _tasks(False, "only these tasks"),
            argument("--state", help="only tasks in this state; may be repeated", action="append", choices=STATES),
            _LIMIT,
        ),
        (
            ("taskfc tasks --state running --state failed", "by state"),
            ("taskfc tasks 12-40", "by id"),
            ("taskfc tasks --limit 5", "the newest five"),
        ),
    ),
    "history": Command(
        "list tasks that have run, with the times of their submission",
        (_tasks(False, "only these tasks"), _LIMIT),
        (("taskfc history --limit 200", "the newest 200"),),
    ),
    "show": Command(
        "show all about tasks: state, times, output, traceback",
        (_tasks(True),),
        (("taskfc show 12", "task 12"), ("taskfc show train:fit", "the newest `fit` of train.ipynb")),
    ),
    "log": Command(
        "print the output of tasks so far",
        (_tasks(True), flag("-f", "print also what comes, until the task has ended", "--follow")),
        (("taskfc log 12", "once"), ("taskfc log -f fit", "as it comes"), ("taskfc log fit | tail", "its last lines")),
    ),
    "result": Command(
        "wait for tasks and print their values",
        (
            _tasks(True),
            argument("--timeout", help="give up waiting after S seconds", metavar="S", type=seconds),
        ),
        (("taskfc result fit", "the newest task of that name"), ("taskfc result 3-5 --json", "for a script")),
        RESULT_MORE,
    ),
    "abort": Command(
        "abort tasks, queued or running",
        (_tasks(True),),
        (("taskfc abort 12", "task 12"), ("taskfc abort 3-7 fit", "several")),
    ),
    "retry": Command(
        "run finished tasks again, with the tasks that failed because of them",
        (_tasks(True),),
        (("taskfc retry 12", "as a new task, with the same code and arguments"),),
    ),
    "hold": Command(
        "hold queued tasks back until they are released", (_tasks(True),), (("taskfc hold 20-40", "twenty-one tasks"),)
    ),
    "release": Command("release held tasks", (_tasks(True),), (("taskfc release 20-40", "they may run again"),)),
    "move": Command(
        "give unfinished tasks another priority",
        (
            _tasks(True),
            argument(
                "--priority",
                help="higher goes first",
                metavar="N",
                type=whole_number(-MAX_PRIORITY, MAX_PRIORITY),
                required=True,
            ),
        ),
        (("taskfc move fit --priority 10", "before all with less"),),
    ),
    "clear": Command(
        "clear finished tasks and their results",
        (_tasks(False, "only these (default: all finished tasks)"),),
        (("taskfc clear", "all finished tasks"), ("taskfc clear 3-7", "some")),
    ),
    "completion": Command(
        "print the completion of a shell",
        (argument("shell", help="bash, zsh or fish", metavar="SHELL", choices=SHELLS),),
        (("taskfc completion bash >> ~/.bashrc", "for every new bash"),),
        COMPLETION_MORE,
    ),
}
