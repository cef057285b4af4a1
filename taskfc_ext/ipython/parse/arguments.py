"""The grammar of `%task` and `%%task`: a line of text in, a request out. Pure: no IPython, no namespace, no client.

A first word is a verb only if it is exactly one and no operator follows: `%task status` shows the queue, while
`%task status(3)`, `%task status + 1` and `%task status.code` run an expression. `-x` or `--xyz` after a space starts
an option.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from taskfc_ext.ipython.hints import ELSEWHERE, MEANT, did_you_mean, nearest
from taskfc_ext.ipython.parse import requests
from taskfc_ext.ipython.parse.argument import Argument, argument, changed, flag
from taskfc_ext.ipython.parse.first_line import Expand, words_of
from taskfc_ext.ipython.parse.requests import BadUsage, Request, Run, Status, Submission
from taskfc_ext.ipython.parse.values import (
    dotted_names,
    expression,
    integer,
    names,
    names_or_all,
    parse_selection,
    seconds,
    task_name,
    variable,
)
from taskfc_ext.protocol.limits import MAX_IDS, MAX_PRIORITY, MAX_RETRIES, MAX_SEED, MAX_WORKERS

_FIRST_WORD = re.compile(r"\s*([A-Za-z_]\w*)(?=\s|;|$)")
_OPERATOR = re.compile(
    r"\s*(?!-[A-Za-z]|--(?:[A-Za-z\s]|$))(?:[(.\[=+\-*/%@<>&|^!,:]|(?:if|in|is|and|or|not\s+in|for)\b)"
)


# the tables


def _tasks(required: bool) -> Argument:
    text = "ids, ranges (3-7), variables that hold a future, or names of tasks, separated by commas"
    return argument("tasks", help=text, metavar="TASKS", type=parse_selection, **({} if required else _OPTIONAL))


_OUT: dict[str, Any] = {"dest": "out", "metavar": "NAMES", "type": names_or_all, "default": ()}
_OPTIONAL: dict[str, Any] = {"nargs": "?", "default": ()}
_TIMEOUT = argument("--timeout", help="give up waiting after S seconds", metavar="S", type=seconds)
_ALL = flag("--all", "everybody's tasks, not only this notebook's")
_WORKERS = integer(0, MAX_WORKERS)
_LIMIT = integer(1, MAX_IDS)
_PRIORITY = argument("--priority", help="higher goes first", metavar="N", type=integer(-MAX_PRIORITY, MAX_PRIORITY))
_N_WORKERS = argument("-n", help="how many workers", metavar="N", type=_WORKERS)


WAIT_MORE = (
    "Raises TasksFailed if a task that was waited for did not succeed, so that a headless run fails too. Without "
    "TASKS, that includes tasks of this notebook that had failed before, since the extension was loaded; each failure "
    "is raised once. An interrupt or a timeout ends the wait and harms no task."
)


RETRY_MORE = (
    "Each runs again as a new task, with the code, arguments and options of the old one, whatever that ended in; its "
    "name then means the new one, also the variable of that name here. The value is the new future, or a list of them."
)


DEBUG_MORE = (
    "The task runs in this process, with the arguments, names and inputs that were recorded when it was submitted; its "
    "time limit and its conditions on workers do not apply. Where it does not raise here, the value is its result."
)


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it makes, what it says of itself, what it takes, and what else its help tells."""

    makes: Callable[..., Request]
    summary: str
    arguments: tuple[Argument, ...] = field(default=())
    more: str = ""


VERBS: dict[str, Verb] = {
    "status": Verb(requests.Status, "the queue and the newest tasks (also: no verb at all)", (_tasks(False), _ALL)),
    "run": Verb(requests.Run, "run an expression as a task, whatever its first word is"),
    "result": Verb(requests.Result, "wait for tasks and return their values", (_tasks(True), _TIMEOUT)),
    "show": Verb(requests.Show, "show the cards of tasks, with what they printed", (_tasks(True),)),
    "pull": Verb(
        requests.Pull,
        "wait for tasks and bind the -o names that came back",
        (
            _tasks(True),
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
    "hold": Verb(requests.Hold, "keep queued tasks from the workers until they are released", (_tasks(True),)),
    "release": Verb(requests.Release, "let held tasks go on", (_tasks(True),)),
    "move": Verb(
        requests.Move,
        "give unfinished tasks another priority",
        (_tasks(True), changed(_PRIORITY, required=True)),
    ),
    "clear": Verb(requests.Clear, "forget finished tasks and their results", (_tasks(False), _ALL)),
    "spin": Verb(requests.Spin, "look again at what can run now"),
    "log": Verb(requests.Log, "print what tasks have printed", (_tasks(True),)),
    "history": Verb(
        requests.History,
        "what ran; `h = %task history` has .rows and .to_frame()",
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
        ),
    ),
    "scale": Verb(
        requests.Scale, "set the number of workers", (argument("n", help="how many", metavar="N", type=_WORKERS),)
    ),
    "stop": Verb(requests.Stop, "stop the farm; unfinished tasks stay in its store"),
    "restart": Verb(requests.Restart, "stop the farm and start it again; it carries on", (_N_WORKERS,)),
    "list": Verb(requests.List, "list your farms"),
    "use": Verb(requests.Use, "use another farm from now on", (argument("name", help="its name", metavar="NAME"),)),
    "widget": Verb(requests.Widget, "show the live queue, with buttons; where there are no widgets, as a table"),
    "help": Verb(requests.Help, "explain all this, or one verb", (argument("verb", help="which", nargs="?"),)),
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
        "-i", help="ship these names, instead of those that the cell uses", dest="ship", metavar="NAMES", type=names
    ),
    argument("-o", help="bring these names back; '*': all that the cell binds or changes in place", **_OUT),
    argument(
        "--retries",
        help="run it again when it fails, up to N times",
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
        "--recover", help="call this function, without arguments, when it has failed", metavar="NAME", type=variable
    ),
    argument("--after", help="start when these have succeeded", metavar="TASKS", type=parse_selection, default=()),
    argument(
        "--depend",
        help="run only where this is true of the worker's properties: \"properties.get('gpu')\"",
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
    changed(_PRIORITY, default=0),
    argument(
        "--on-lost",
        help="what to do when its worker dies: retry (at least once) or fail (at most once)",
        choices=("retry", "fail"),
        default="retry",
    ),
    flag("--keep", "run in the worker's persistent namespace instead of a fresh one"),
    flag("--clear-before", "with --keep: clear that namespace first"),
    flag("--clear-after", "with --keep: clear it afterwards, also after a failure"),
    flag("--wait", "wait here, and bind the -o names"),
    flag("--everywhere", "no task: run it on every worker, those that join later included"),
    flag("--dry-run", "show what would be sent, and send nothing"),
)


EVERYWHERE = frozenset(("-i", "--everywhere", "--dry-run"))
"""The options that say something of a cell that runs on every worker."""


_OF_THE_FARM = frozenset(("stop", "restart", "scale", "workers"))
"""The verbs after which a farm's name would be no wonder."""


# parsing

_parsers: dict[str, _Parser] = {}


class _Parser(argparse.ArgumentParser):
    """Speaks one line per error, and never exits."""

    def __init__(self, prog: str, arguments: Sequence[Argument], description: str = "") -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False, description=description)
        for each in arguments:
            self.add_argument(*each.flags, **each.settings)

    def error(self, message: str) -> NoReturn:
        message, n_missing = re.subn("^the following arguments are required: ", "needs ", message)
        message = re.sub(r"^argument (?:-\w/)?", "", message)
        more = f"; see `%task help {self.prog.split()[-1]}`" if n_missing else ""
        raise BadUsage(f"{self.prog}: {' '.join(message.split())}{more}")


def parse_cell_line(line: str, expand: Expand = str) -> Submission | requests.Help:
    """Return what the line after `%%task` asks for.

    Args:
        expand: fills values into a word of the line, for `{x}` and `$x`.

    Raises:
        BadUsage: the line is not understood.
    """
    submission: Submission | requests.Help = _parse("%%task", SUBMISSION, line, Submission, "%task", expand)
    if isinstance(submission, Submission):
        _check_together(submission)
    return submission


def _check_together(submission: Submission) -> None:
    """Refuse options that make no sense together."""
    if submission.everywhere:
        _check_everywhere(submission)
    if not submission.keep:
        for flag, given in (("--clear-before", submission.clear_before), ("--clear-after", submission.clear_after)):
            if given:
                raise BadUsage(f"%%task: {flag} needs --keep; without it every cell has a fresh namespace")
    if not submission.retries:
        for flag, needs in (("--backoff", submission.backoff), ("--retry-on", submission.retry_on)):
            if needs:
                raise BadUsage(f"%%task: {flag} needs --retries; without it nothing is run again")


def _check_everywhere(submission: Submission) -> None:
    if submission.name is not None:
        raise BadUsage(f"%%task: --everywhere makes no task that could be called {submission.name!r}")
    usual = Submission()
    for each in SUBMISSION:
        option = each.flags[0]
        name = each.settings.get("dest") or option.lstrip("-").replace("-", "_")
        if option not in EVERYWHERE and getattr(submission, name) != getattr(usual, name):
            raise BadUsage(f"%%task: --everywhere makes no task, so {option} means nothing; it takes -i and --dry-run")


def parse_line(line: str, expand: Expand = str) -> Request:
    """Return what the line after `%task` asks for.

    Args:
        expand: fills values into a word of a verb's arguments; an expression is the user's own code.

    Raises:
        BadUsage: the line is not understood.
    """
    if not line.strip():
        return Status()
    if line.strip() in ("-h", "--help"):
        return requests.Help()
    word, rest = split_verb(line)
    if word is None:
        return Run(line.strip())
    if word == "run":
        return _parse_run(rest)
    verb = VERBS[word]
    request: Request = _parse(f"%task {word}", verb.arguments, rest, verb.makes, word, expand)
    return request


def split_verb(line: str) -> tuple[str | None, str]:
    """Return the verb that `line` starts with and what follows; `None` where it is an expression."""
    match = _FIRST_WORD.match(line)
    if match is None or match[1] not in VERBS:
        return None, line
    rest = line[match.end() :]
    return (None, line) if _OPERATOR.match(rest) else (match[1], rest)


def _parse_run(rest: str) -> Run:
    text = rest.strip()
    if text == "--" or text.startswith("-- "):
        text = text[2:].strip()
    elif re.match(r"--?[A-Za-z]", text):
        raise BadUsage(f"%task run takes no options; write `%task run -- {text}` for the expression, or use %%task")
    if not text:
        raise BadUsage("%task run: needs an expression")
    return Run(text)


def _parse(
    prog: str, arguments: Sequence[Argument], text: str, makes: Callable[..., Any], topic: str, expand: Expand
) -> Any:  # the request that `makes` makes, or `Help`
    words = words_of(prog, text, expand)
    if "-h" in words or "--help" in words:
        return requests.Help(verb=None if topic == "%task" else topic)
    _check_options(prog, words, arguments)
    values, unexpected = _parser(prog, arguments).parse_known_args(words)
    if unexpected:
        raise BadUsage(f"{prog}: unexpected {unexpected[0]!r}{_why_unexpected(unexpected[0], topic, arguments)}")
    return makes(**vars(values))


def _parser(prog: str, arguments: Sequence[Argument]) -> _Parser:
    """Return the parser of a magic or a verb; making one takes longer than all that it parses."""
    parser = _parsers.get(prog)
    if parser is None:
        parser = _parsers[prog] = _Parser(prog, arguments)
    return parser


def _why_unexpected(word: str, topic: str, arguments: Sequence[Argument]) -> str:
    flags = {argument.flags[0] for argument in arguments}
    if "-i" in flags:
        return "; a task has one name, and lists are separated by commas"
    if "tasks" in flags:
        return "; lists are separated by commas"
    if "-n" in flags and word.isdecimal():
        return f"; the number of workers is given as -n {word}"
    if "--name" in flags:
        return f"; the farm's name is given as --name {word}"
    if topic in _OF_THE_FARM:
        return "; it means the farm of this notebook, which `%task use` changes"
    return "" if arguments else "; nothing comes after it"


def _check_options(prog: str, words: Sequence[str], arguments: Sequence[Argument]) -> None:
    """Refuse unknown options first: what `argparse` says of the words around them would only mislead."""
    flags = [flag for argument in arguments for flag in argument.flags if flag.startswith("-")]
    for word in words:
        flag = word.partition("=")[0]
        if not re.match(r"--?[A-Za-z]", flag) or flag in flags or flag[:2] in flags:
            continue
        raise BadUsage(f"{prog}: no option {flag}{did_you_mean(flag, flags)}")


# hints and help


def near_verb(line: str) -> str:
    """Return "; did you mean `%task verb`?" where the first word of `line` looks like a verb."""
    words = line.split(maxsplit=1)
    if words and words[0].lower() in ELSEWHERE:
        return f"{MEANT}`%task {ELSEWHERE[words[0].lower()]}`?"
    near = nearest(words[0], list(VERBS)) if words else ""
    return f"{MEANT}`%task {near}`?" if near else ""


def verb_help(name: str) -> str:
    """Return the usage of one verb.

    Raises:
        BadUsage: there is no such verb.
    """
    if name not in VERBS:
        near = did_you_mean(name, list(VERBS))
        raise BadUsage(f"%task help: no verb {name!r}{near or '; `%task help` lists them'}")
    verb = VERBS[name]
    if name == "run":
        return f"usage: %task run EXPR\n\n{verb.summary}"
    about = ". ".join(filter(None, (verb.summary, verb.more)))
    return _Parser(f"%task {name}", verb.arguments, about).format_help().rstrip()


def line_help() -> str:
    """Return the list of verbs."""
    return "\n".join(f"    {name:<8} {verb.summary}" for name, verb in VERBS.items())


def cell_help() -> str:
    """Return the usage of `%%task`."""
    return _parser("%%task", SUBMISSION).format_help().rstrip()
