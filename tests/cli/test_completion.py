"""Completion in shells: candidates from the tables, and each shell that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from taskfc_ext.cli.completion import SCRIPTS, Candidate, find_candidates
from taskfc_ext.cli.tables import COMMANDS, SHELLS, STATES


class Names:
    """One farm with a task."""

    def farms(self) -> Sequence[Candidate]:
        return [Candidate("default"), Candidate("night")]

    def tasks(self, farm: str) -> Sequence[Candidate]:
        return [Candidate("fit", f"of {farm}"), Candidate("3")]


def words(line: str) -> list[str]:
    return [found.word for found in find_candidates(line.split(" "), Names())]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("st", ["start", "stop", "status"]),
        ("--name n", ["night"]),
        ("--name night sta", ["start", "status"]),
        ("--v", ["--version"]),
        ("abort ", ["fit", "3"]),
        ("abort 7,f", ["7,fit"]),
        ("abort 7 f", ["fit"]),
        ("move fit --priority ", []),
        ("tasks --state f", ["failed"]),
        ("tasks --state ", STATES),
        ("forget ", ["default", "night"]),
        ("scale ", []),
        ("scale 3 ", []),
        ("log --f", ["--follow"]),
        ("start --p", ["--property"]),
        ("stop ", ["--name", "--json", "--help"]),
        ("completion ", list(SHELLS)),
        ("fly ", []),
        ("status --wat", ["--watch"]),
    ],
)
def test_candidates(line: str, offered: list[str]) -> None:
    assert words(line) == offered


def test_names_are_of_the_farm_that_is_named() -> None:
    assert find_candidates(["abort", "--name", "night", "f"], Names()) == [Candidate("fit", "of night")]


def test_every_command_and_shell_has_what_it_needs() -> None:
    from taskfc_ext.cli.dispatch import ACTIONS

    assert list(ACTIONS) == list(COMMANDS) == words("")
    assert tuple(SCRIPTS) == SHELLS
    assert all(command.examples for command in COMMANDS.values())
    assert all(line.startswith(f"taskfc {name}") for name, each in COMMANDS.items() for line, _ in each.examples)


# In each shell: what it offers after `taskfc tasks --state s` and a Tab.
ASK = {
    "bash": "source s; COMP_WORDS=(taskfc tasks --state s) COMP_CWORD=3; _taskfc; printf '%s\\n' \"${COMPREPLY[@]}\"",
    "zsh": "compdef() { }; _describe() { print -l -- $found; }; source ./s; words=(taskfc tasks --state s); CURRENT=4; "
    "_taskfc",
    "fish": "source s; complete -C 'taskfc tasks --state s'",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "s").write_text(SCRIPTS[shell])
    taskfc = tmp_path / "bin" / "taskfc"
    taskfc.parent.mkdir()
    taskfc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m taskfc_ext.cli "$@"\n')
    taskfc.chmod(0o755)
    path = os.pathsep.join([str(taskfc.parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [shell, "-c", ASK[shell]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["scheduled", "succeeded"], done.stderr
