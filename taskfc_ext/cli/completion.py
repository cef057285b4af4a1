"""Completion in shells: a few lines for the shell, which ask `taskfc complete SHELL WORD ...` at each Tab.

The candidates come from the tables of the parser; names of farms and tasks come from `Names`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from taskfc_ext.cli.tables import COMMANDS, COMMON, FARM, TASK, Command
from taskfc_ext.view.argument import Argument

SCRIPTS = {
    "bash": """\
_taskfc() {
    local IFS=$'\\n'
    COMPREPLY=($(taskfc complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -F _taskfc taskfc
""",
    "zsh": """\
_taskfc() {
    local -a found
    found=("${(@f)$(taskfc complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "$found" ]] && _describe taskfc found
}
compdef _taskfc taskfc
""",
    "fish": """\
function __taskfc_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    taskfc complete fish $words[2..-1] "$last" 2>/dev/null
end
complete -c taskfc -f -a '(__taskfc_complete)'
""",
}

_VERSION = Argument(("--version",), {"action": "version", "help": "print the version"})
_HELP = Argument(("--help",), {"action": "help", "help": "explain it"})


class Candidate(NamedTuple):
    """A word that may stand there, and its help."""

    word: str
    help: str = ""


class Names(Protocol):
    """Names that only the farms know."""

    def farms(self) -> Sequence[Candidate]:
        """Return the names of farms."""
        ...

    def tasks(self, farm: str) -> Sequence[Candidate]:
        """Return ids and names of the newest tasks of a farm; none if it does not run."""
        ...


def completion(arguments: argparse.Namespace) -> int:
    """Print the lines for a shell."""
    from taskfc_ext.cli.output import print_json

    script = SCRIPTS[arguments.shell]
    if arguments.json:
        print_json({"shell": arguments.shell, "script": script})
    else:
        print(script, end="")
    return 0


def print_candidates(words: Sequence[str]) -> int:
    """Answer a shell: `words` are its name and the words of the line, of which the last one may be empty."""
    shell, *line = words or [""]
    for word, text in find_candidates([each for each in line if each != "="] or [""], FarmNames()):
        match shell:
            case "zsh":
                escaped = word.replace(":", "\\:")
                print(f"{escaped}:{text}" if text else escaped)
            case "fish":
                print(f"{word}\t{text}" if text else word)
            case _:
                print(word)
    sys.stdout.flush()
    return 0


def find_candidates(line: Sequence[str], names: Names) -> list[Candidate]:
    """Return the words that may stand for the last one of `line`, which begins after `taskfc`."""
    *before, last = line
    read = _read(before)
    if read is None:
        return []
    command, farm, pending, n_given = read
    if pending is not None:
        return _starting(last, _values(pending, farm, names))
    if command is None:
        words = [] if last.startswith("-") else [Candidate(word, each.summary) for word, each in COMMANDS.items()]
        return _starting(last, words or _flags((*COMMON, _VERSION, _HELP)))
    if last.startswith("-"):
        return _starting(last, _flags((*command.arguments, *COMMON, _HELP)))
    positional = [each for each in command.arguments if not each.flags[0].startswith("-")]
    if not positional:
        return _starting(last, _flags((*command.arguments, *COMMON, _HELP)))
    place = positional[min(n_given, len(positional) - 1)]
    if n_given >= len(positional) and "nargs" not in place.settings:
        return []
    return _starting(last, _values(place, farm, names))


class _Line(NamedTuple):
    """A line read up to the last word: the command, the farm, the option that waits for its value."""

    command: Command | None
    farm: str
    pending: Argument | None
    n_given: int


def _read(words: Sequence[str]) -> _Line | None:
    """Read the words before the last one; `None` if there is no such command."""
    name: str | None = None
    farm = "default"
    pending: Argument | None = None
    n_given = 0
    for word in words:
        if pending is not None:
            farm = word if pending.flags[0] == "--name" else farm
            pending = None
        elif word.startswith("-"):
            known = (*COMMON, *(COMMANDS[name].arguments if name else ()))
            found = next((each for each in known if word in each.flags), None)
            pending = found if found is not None and found.settings.get("action") != "store_true" else None
        elif name is None:
            if word not in COMMANDS:
                return None
            name = word
        else:
            n_given += 1
    return _Line(COMMANDS[name] if name else None, farm, pending, n_given)


def _values(argument: Argument, farm: str, names: Names) -> Sequence[Candidate]:
    if choices := argument.settings.get("choices"):
        return [Candidate(choice) for choice in choices]
    match argument.settings.get("metavar"):
        case metavar if metavar == TASK:
            return names.tasks(farm)
        case metavar if metavar == FARM:
            return names.farms()
    return []


def _flags(arguments: Sequence[Argument]) -> list[Candidate]:
    return [
        Candidate(flag, each.settings["help"])
        for each in arguments
        for flag in each.flags
        if flag.startswith("--") or (flag.startswith("-") and len(each.flags) == 1)
    ]


def _starting(last: str, words: Sequence[Candidate]) -> list[Candidate]:
    """Return the words that begin like `last`, of which only the part after a comma counts."""
    kept, comma, part = last.rpartition(",")
    return [Candidate(f"{kept}{comma}{word}", text) for word, text in words if word.startswith(part)]


class FarmNames:
    """Names from the farms of this user; no problem of a farm is reported at a Tab."""

    def farms(self) -> Sequence[Candidate]:
        """Return the names of farms."""
        from taskfc_ext.drivers.paths import known_farms

        return [Candidate(name) for name in known_farms()]

    def tasks(self, farm: str) -> Sequence[Candidate]:
        """Return ids and names of the newest tasks of a farm."""
        return list(_tasks_of(farm))


MOST_TASKS = 100
"""Tasks that are offered: the newest."""


def _tasks_of(farm: str) -> Iterator[Candidate]:
    from taskfc_ext.client.attach import attach_to_running
    from taskfc_ext.errors import TaskFCError
    from taskfc_ext.view.wording import task_row

    try:
        with attach_to_running(farm) as client:
            found = client.list_tasks(limit=MOST_TASKS)
    except (TaskFCError, OSError, ValueError):
        return
    for row in map(task_row, reversed(found)):
        if row.name:
            yield Candidate(row.name, f"task {row.taskid}, {row.state}")
    for row in map(task_row, reversed(found)):
        yield Candidate(row.taskid, f"{row.title}, {row.state}")
