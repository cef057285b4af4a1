"""Colours, odd encodings, and help of the terminal. No farm."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from taskfc_ext.cli.output import has_colours
from taskfc_ext.cli.parser import make_parser
from taskfc_ext.cli.tables import COMMANDS
from taskfc_ext.text import paint, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
    ],
)
def test_who_gets_colours(stream: io.StringIO, environ: dict[str, str], expected: bool) -> None:
    assert has_colours(stream, environ) is expected


def test_colours_have_no_width() -> None:
    plain = table([["ab", "cd"], ["a", "日本語"]], ["x", "y"], most=6)
    painted = table([["ab", paint("cd", "31")], ["a", paint("日本語", "31")]], ["x", "y"], most=6)
    assert plain.splitlines() == ["x   y", "ab  cd", "a   …"]
    assert painted.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain
    assert painted.splitlines()[-1].endswith("…\x1b[0m")  # no colour runs on behind a line that is cut


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_examples_that_parse(name: str) -> None:
    parser = make_parser()
    for line, _ in COMMANDS[name].examples:
        words = line.partition(" | ")[0].partition(" >")[0].split()[1:]
        assert parser.parse_args(words).command == name
    child = parser.parse_args([*_least(name)]).parser
    assert "\nexamples:\n  taskfc " in child.format_help()


def _least(name: str) -> list[str]:
    return COMMANDS[name].examples[0][0].partition(" >")[0].split()[1:]


def test_the_farm_may_be_named_before_the_command_or_behind_it() -> None:
    parser = make_parser()
    assert parser.parse_args(["--name", "night", "status"]).name == "night"
    assert parser.parse_args(["status", "--name", "night"]).name == "night"
    assert parser.parse_args(["status"]).name == "default"


def test_help_imports_no_client_and_odd_encodings_are_spelt() -> None:
    program = (
        "import sys\nfrom taskfc_ext.cli import main\nfrom taskfc_ext.cli.output import tolerate_any_text\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "main(['complete', 'bash', 'sta'])\n"
        "tolerate_any_text()\nprint('a · b… é \\ud800')\n"
        "print([name for name in sys.modules if name.startswith(('taskfc_ext.client', 'zmq'))])\n"
    )
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    version, *words, spelt, imported = done.stdout.splitlines()
    assert version.startswith("taskfc ")
    assert words == ["start", "status"]
    assert spelt == "a - b... \\xe9 \\ud800"
    assert imported == "[]"
