"""Grammar of `%task` and `%%task`: a line of text becomes a request. Pure: no IPython, no namespace, no client.

The first word is a verb if it is exactly the name of one and no operator follows: `%task status` shows the queue, while
`%task status(3)`, `%task status + 1` and `%task status.code` run an expression. `-x` or `--xyz` after a space begins
an option.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from taskfc_ext.ipython.hints import ELSEWHERE, MEANT, did_you_mean
from taskfc_ext.ipython.parse import requests
from taskfc_ext.ipython.parse.first_line import Expand, words_of
from taskfc_ext.ipython.parse.requests import BadUsage, Request, Run, Status, Submission
from taskfc_ext.ipython.parse.tables import EVERYWHERE, OF_THE_FARM, SUBMISSION, VERBS
from taskfc_ext.near_misses import nearest, nearest_option
from taskfc_ext.view.argument import Argument

_FIRST_WORD = re.compile(r"\s*([A-Za-z_]\w*)(?=\s|;|$)")
_OPERATOR = re.compile(
    r"\s*(?!-[A-Za-z]|--(?:[A-Za-z\s]|$))(?:[(.\[=+\-*/%@<>&|^!,:]|(?:if|in|is|and|or|not\s+in|for)\b)"
)
_NUMBER_OF_WORKERS = re.compile(r"(?:(?:n|workers|n_workers)=)?(\d+)")


# parsing

_parsers: dict[str, _Parser] = {}


class _Parser(argparse.ArgumentParser):
    """Raises each error as one line, and never exits."""

    def __init__(self, prog: str, arguments: Sequence[Argument], description: str = "") -> None:
        super().__init__(prog=prog, add_help=False, allow_abbrev=False, description=description)
        for each in arguments:
            self.add_argument(*each.flags, **each.settings)

    def error(self, message: str) -> NoReturn:
        message, n_missing = re.subn("^the following arguments are required: ", "needs ", message)
        message = re.sub(r"^argument (?:-\w/)?", "", message).replace("expected one argument", "needs a value")
        more = f"; see `%task help {self.prog.split()[-1]}`" if n_missing else ""
        raise BadUsage(f"{self.prog}: {' '.join(message.split())}{more}")


def parse_cell_line(line: str, expand: Expand = str) -> Submission | requests.Help:
    """Return the request of a line after `%%task`.

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
    """Refuse options that contradict each other."""
    if submission.everywhere:
        _check_everywhere(submission)
    if submission.replace and submission.beside:
        raise BadUsage("%%task: --replace aborts this cell's unfinished task and --beside leaves it; give one of them")
    if submission.reuse and submission.keep:
        raise BadUsage("%%task: --reuse cannot know what --keep finds in the worker's namespace; give one of them")
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
        raise BadUsage(f"%%task: --everywhere makes no task, so it takes no name: {submission.name!r}")
    usual = Submission()
    for each in SUBMISSION:
        option = each.flags[0]
        name = each.settings.get("dest") or option.lstrip("-").replace("-", "_")
        if option not in EVERYWHERE and getattr(submission, name) != getattr(usual, name):
            raise BadUsage(f"%%task: --everywhere takes only -i and --dry-run, not {option}")


def parse_line(line: str, expand: Expand = str) -> Request:
    """Return the request of a line after `%task`.

    Args:
        expand: fills values into a word of a verb's arguments, but not into an expression, which is code.

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
    if word == "map" and rest.strip() not in ("-h", "--help"):
        return requests.Map(rest.strip())
    verb = VERBS[word]
    request: Request = _parse(f"%task {word}", verb.arguments, rest, verb.makes, word, expand)
    return request


def split_verb(line: str) -> tuple[str | None, str]:
    """Return the verb at the start of `line`, and the rest; `None` if the line is an expression."""
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
) -> Any:  # the request from `makes`, or `Help`
    words = words_of(prog, text, expand)
    if "-h" in words or "--help" in words:
        return requests.Help(verb=None if topic == "%task" else topic)
    _check_options(prog, words, arguments)
    values, unexpected = _parser(prog, arguments).parse_known_args(words)
    if unexpected:
        raise BadUsage(f"{prog}: unexpected {unexpected[0]!r}{_why_unexpected(unexpected[0], topic, arguments)}")
    return makes(**vars(values))


def _parser(prog: str, arguments: Sequence[Argument]) -> _Parser:
    """Return the parser of a magic or a verb. It is kept, as making one takes longer than a parse."""
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
    if "-n" in flags and (number := _NUMBER_OF_WORKERS.fullmatch(word)):
        return f"; the number of workers is given as -n {number[1]}"
    if "--name" in flags:
        return f"; the farm's name is given as --name {word}"
    if topic in OF_THE_FARM:
        return "; it applies to the farm of this notebook, which `%task use` changes"
    usage = " ".join(_usage(argument) for argument in arguments)
    return f"; it is `%task {topic} {usage}`" if arguments else "; it takes no arguments"


def _check_options(prog: str, words: Sequence[str], arguments: Sequence[Argument]) -> None:
    """Refuse unknown options first: the messages of `argparse` about the words around them would mislead."""
    flags = [flag for argument in arguments for flag in argument.flags if flag.startswith("-")]
    for word in words:
        flag = word.partition("=")[0]
        if not re.match(r"--?[A-Za-z]", flag) or flag in flags or flag[:2] in flags:
            continue
        near = nearest_option(flag, flags)
        raise BadUsage(f"{prog}: unknown option {flag}{f'{MEANT}{near}?' if near else _instead(prog, flag, arguments)}")


def _instead(prog: str, flag: str, arguments: Sequence[Argument]) -> str:
    """Return what a magic takes in place of an option that is like none of its own."""
    if arguments is SUBMISSION:
        return "; its name comes first: `%%task NAME`" if flag == "--name" else "; `%%task -h` lists the options"
    if of_task := nearest_option(flag, [each for argument in SUBMISSION for each in argument.flags if each[0] == "-"]):
        return f"; {of_task} is an option of a task: `%%task {of_task} ...`"
    usage = " ".join(_usage(argument) for argument in arguments)
    return f"; it is `{prog} {usage}`" if usage else "; it takes no options"


def _usage(argument: Argument) -> str:
    """Return an argument as the usage of a magic shows it."""
    flag, metavar = argument.flags[0], argument.settings.get("metavar", "")
    if not flag.startswith("-"):
        return f"[{metavar}]" if argument.settings.get("nargs") == "?" else metavar
    return f"[{flag} {metavar}]" if metavar else f"[{flag}]"


# hints and help


def near_verb(line: str) -> str:
    """Return "; did you mean `%task verb`?" if the first word of `line` looks like a verb.

    Raises:
        BadUsage: it is one, and a negative number follows, which no verb takes; the line is an expression only in form.
    """
    words = line.split(maxsplit=1)
    if len(words) == 2 and words[0] in VERBS and re.fullmatch(r"[-+][\d.]+", words[1].strip()):
        verb = VERBS[words[0]]
        _parse(f"%task {words[0]}", verb.arguments, words[1], verb.makes, words[0], str)
        raise BadUsage(f"a number has no sign here: `%task {words[0]} {words[1].strip(' +')}`")
    if option := re.search(r"\s(--?[a-z][\w-]*)", line):
        flags = [flag for argument in SUBMISSION for flag in argument.flags if flag.startswith("-")]
        if option[1] in flags:
            return f"; a line takes no options: give {option[1]} to a %%task cell"
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
        raise BadUsage(f"%task help: unknown verb {name!r}{near or '; `%task help` lists them'}")
    verb = VERBS[name]
    if name == "run":
        return f"usage: %task run EXPR\n\n{verb.summary}"
    if name == "map":
        return f"usage: %task map EXPR for NAME in ITEMS\n\n{verb.summary}. {verb.more}"
    about = ". ".join(filter(None, (verb.summary, verb.more)))
    return _Parser(f"%task {name}", verb.arguments, about).format_help().rstrip()


def line_help() -> str:
    """Return the list of verbs."""
    return "\n".join(f"    {name:<8} {verb.summary}" for name, verb in VERBS.items())


def cell_help() -> str:
    """Return the usage of `%%task`."""
    return _parser("%%task", SUBMISSION).format_help().rstrip()
