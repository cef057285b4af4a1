"""The examples on a page of Markdown: found, run in their order in one shell, and compared with what the page shows.

A fence's language says what becomes of it:

    python     run, statement by statement; a value is compared with the comment behind it (`pow(2, 3)  # 8; a cube`)
    ipython    run as one cell, magics and all
    output     compared with what the block before it has printed, displayed, returned or raised; `...` stands for any
               text, and times and durations for any others; the line that tells of tasks that have ended counts for
               nothing, as it comes under whichever cell has run by then
    console    its `taskfc` commands are understood; a block that shows answers is run, and these are compared
    text       not an example

A block that raises has to be followed by an `output` that ends in the exception.
"""

from __future__ import annotations

import ast
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from taskfc_ext.cli import main
from taskfc_ext.client.blocking import BlockingTaskClient
from tests.shells import end_shell, new_shell

LANGUAGES = frozenset(("python", "ipython", "output", "console", "text"))

_FENCE = re.compile(r"^(?P<in>[ ]*)```(?P<language>.*)\n(?P<source>(?:.*\n)*?)(?P=in)```$", re.MULTILINE)
_VALUE = re.compile(r"[\d('\"\[{-]|(?:None|True|False)\b")
_NOTICE = re.compile(r"^(?:[\d,]+ )?tasks? .+ ha(?:s|ve) ended: .*\n?", re.MULTILINE)
_MOMENTS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "YYYY-MM-DD HH:MM:SS"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:ms|s|min)\b"), "N s"),
    (re.compile(r"\b1 worker\b"), "1 workers"),  # of a machine that has one core
)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the line on which its text begins."""

    language: str
    source: str
    line: int


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    return [
        Block(found["language"].strip(), found["source"], page.count("\n", 0, found.start()) + 2)
        for found in _FENCE.finditer(page)
    ]


class _DisplayHook:
    """Keeps the value of a cell's last expression, and how it is shown."""

    def __init__(self, ip: Any) -> None:
        self._ip = ip
        self.value: Any = None

    def __call__(self, value: Any = None) -> None:
        if value is not None:
            self.value = value
            data, metadata = self._ip.display_formatter.format(value)
            self._ip.display_pub.outputs.append({"data": data, "metadata": metadata})


class Shell:
    """IPython as in a notebook, of which everything that it shows is kept."""

    def __init__(self) -> None:
        self.ip = new_shell()
        self._hook = self.ip.display_trap.hook = _DisplayHook(self.ip)
        self.ip._showtraceback = lambda *_: None  # the caller is told instead

    def run(self, cell: str) -> tuple[Any, str, BaseException | None]:
        """Run a cell; return its value, what it has shown, and what it has raised."""
        self.ip.display_pub.outputs.clear()
        self._hook.value = None
        printed = io.StringIO()
        with redirect_stdout(printed):
            outcome = self.ip.run_cell(cell)
        error = outcome.error_before_exec or outcome.error_in_exec
        texts = [output["data"]["text/plain"] for output in self.ip.display_pub.outputs if output["data"]]
        return self._hook.value, "\n".join(filter(None, (printed.getvalue().rstrip("\n"), *texts))), error

    def close(self) -> None:
        """Let go of the farm; nothing else is left of the shell."""
        for value in list(self.ip.user_ns.values()):
            if isinstance(value, BlockingTaskClient):
                value.close()
        if "taskfc_ext" in self.ip.extension_manager.loaded:
            self.ip.run_line_magic("unload_ext", "taskfc_ext")
        end_shell(self.ip)


@dataclass
class Checked:
    """The comparisons made on a page."""

    values: int = 0
    outputs: int = 0


def check(page: str, shell: Shell, where: str) -> Checked:
    """Run the examples of a page, and fail where they do not show what the page says."""
    checked = Checked()
    shown, error = "", None
    found = blocks(page)
    for block, following in zip_longest(found, found[1:]):
        place = f"{where}, line {block.line}"
        if block.language == "output":
            checked.outputs += 1
            _compare(block.source, shown, place)
        elif block.language == "console":
            checked.outputs += _check_console(block, place)
        elif block.language in ("python", "ipython"):
            if block.language == "python":
                shown, error, n_values = _run_statements(block, shell, place)
                checked.values += n_values
            else:
                _, shown, error = shell.run(block.source)
            if error is not None:
                shown = f"{shown}\n{type(error).__name__}: {error}".strip()
                told = following is not None and following.language == "output"
                assert told, f"{place}: {shown}"
    return checked


def _run_statements(block: Block, shell: Shell, place: str) -> tuple[str, BaseException | None, int]:
    lines = block.source.splitlines()
    shown, n_values = [], 0
    for statement in ast.parse(block.source).body:
        first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))])
        last = statement.end_lineno or first
        value, text, error = shell.run("\n".join(lines[first - 1 : last]))
        shown.append(text)
        if error is not None:
            return "\n".join(filter(None, shown)), error, n_values
        comment = lines[last - 1].rpartition("  # ")[2]
        if isinstance(statement, ast.Expr) and _VALUE.match(comment) and "  # " in lines[last - 1]:
            got = repr(value)
            assert comment == got or comment.startswith((f"{got};", f"{got}:")), f"{place}: {got}, not {comment}"
            n_values += 1
            shown.pop()
    return "\n".join(filter(None, shown)), None, n_values


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with the answer that is shown."""
    for part in re.split(r"^\$ ", block.source, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


def _check_console(block: Block, place: str) -> int:
    found = list(commands(block))
    assert found, f"{place}: no command"
    is_run = any(answer.strip() for _, answer in found)
    for command, answer in found:
        program, *words = shlex.split(command)
        if program != "taskfc":
            assert not is_run, f"{place}: only taskfc commands are run, not {command!r}"
        elif is_run:
            printed = io.StringIO()
            with redirect_stdout(printed):
                assert main(words) == 0, f"{place}: {command}"
            _compare(answer, printed.getvalue(), f"{place}: {command}")
        else:
            _understood(words, f"{place}: {command}")
    return sum(bool(answer.strip()) for _, answer in found)


def _understood(words: list[str], place: str) -> None:
    code: object = None
    try:
        with redirect_stdout(io.StringIO()):
            main([*words, "--help"])
    except SystemExit as end:
        code = end.code
    assert code == 0, place


def _compare(wanted: str, got: str, place: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    same = doctest.OutputChecker().check_output(_timeless(wanted), _timeless(_NOTICE.sub("", got)), flags)
    assert same, f"{place}: the page shows\n{wanted}\nbut it is\n{got}"


def _timeless(text: str) -> str:
    for pattern, instead in _MOMENTS:
        text = pattern.sub(instead, text)
    return text.strip() + "\n"


def read(path: Path) -> str:
    """Return a page's text."""
    return path.read_text(encoding="utf-8")
