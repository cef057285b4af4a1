"""The parser of `taskfc`, from the tables. Each error is one line, and exit code 2."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from taskfc_ext.cli.tables import COMMANDS, COMMON, Command
from taskfc_ext.near_misses import OTHER_VERBS, nearest, nearest_option
from taskfc_ext.version import __version__
from taskfc_ext.view.argument import Argument

EPILOG = """\
TASK is an id (12), a range of ids (3-7), or a name: the newest task of that name.
Exit codes: 0 done, 1 the command failed, 2 bad usage, 130 Ctrl-C.
Colours: on a terminal, unless NO_COLOR is set or TERM is dumb; FORCE_COLOR: everywhere.
"""

OTHER_WORDS = {
    **OTHER_VERBS,
    "ls": "list",
    "ps": "tasks",
    "queue": "tasks",
    "tail": "log",
    "top": "status",
    "watch": "status",
    "worker": "workers",
}
"""Names that other tools have for our commands."""


class Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        message = " ".join(message.replace("the following arguments are required: ", "needs ").split())
        sys.stderr.write(f"{self.prog}: {message} (see: {self.prog} --help)\n")
        sys.exit(2)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; `--help` and the reference in docs/ come from it."""
    parser = Parser(
        prog="taskfc",
        description="Start, stop and show task farms of this user on this machine; show and steer their tasks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"taskfc {__version__}")
    _add(parser, COMMON)
    parser.set_defaults(command=None, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, command in COMMANDS.items():
        child = commands.add_parser(
            name,
            help=command.summary,
            description=_describe(command),
            epilog=_examples(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        _add(child, command.arguments)
        _add(child, COMMON, default=argparse.SUPPRESS)  # else they would undo what stands before the command
        child.set_defaults(command=name, parser=child)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line; `command` is `None` where none is given."""
    if (word := _first_word(words)) is not None and word not in COMMANDS:
        Parser(prog="taskfc").error(f"there is no command {word!r}{_guess(word)}")
    arguments, unknown = make_parser().parse_known_args(words)
    if unknown:  # reported by the parser of the command, whose help lists the arguments
        arguments.parser.error(f"unexpected {' '.join(unknown)!r}{_suggest(unknown[0], arguments.command)}")
    return arguments


def _add(parser: argparse.ArgumentParser, arguments: Sequence[Argument], **settings: Any) -> None:
    for each in arguments:
        parser.add_argument(*each.flags, **{**each.settings, **settings})


def _describe(command: Command) -> str:
    text = f"{command.summary[0].upper()}{command.summary[1:]}."
    return _wrap(f"{text} {command.more}".strip())


def _wrap(text: str) -> str:
    width = max(20, shutil.get_terminal_size().columns - 2)  # as argparse does, which leaves examples alone only raw
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _examples(command: Command) -> str:
    width = max((len(line) for line, _ in command.examples), default=0)
    lines = [f"  {line:<{width}}  # {what}" for line, what in command.examples]
    return "\n".join(["examples:", *lines]) if lines else ""


def _first_word(words: Sequence[str]) -> str | None:
    """Return the word that stands where a command does; `None` if there is none."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--name":
            rest = rest[1:]
        elif not word.startswith("-"):
            return word
    return None


def _guess(word: str) -> str:
    near = OTHER_WORDS.get(word) or nearest(word, COMMANDS)
    return f"; did you mean `taskfc {near}`?" if near else ""


def _suggest(word: str, command: str | None) -> str:
    """Return a hint about `word`, which the command does not take; empty if there is none."""
    if word.isdecimal() and command in ("start", "restart"):
        return f"; the number of workers is given as -n {word}"
    if word.startswith("-n") and command == "scale":
        return "; the number of workers is given alone: taskfc scale 4"
    if word.startswith("-"):
        flags = [flag for each in (*COMMON, *(COMMANDS[command].arguments if command else ())) for flag in each.flags]
        near = nearest_option(word.partition("=")[0], [flag for flag in flags if flag[0] == "-"])
        return f"; did you mean {near}?" if near else ""
    if command in ("start", "restart", "stop", "status", "workers", "properties"):
        return f"; the farm's name is given as --name {word}"
    return ""
