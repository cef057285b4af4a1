from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.ipython.cell.expansion import expand_values
from taskfc_ext.ipython.parse.first_line import joined_lines, without_comment, words_of
from taskfc_ext.ipython.parse.grammar import parse_cell_line, parse_line
from taskfc_ext.ipython.parse.requests import BadUsage, Scale, Submission

NAMES: dict[str, Any] = {"T": 30, "n": 2, "names": ["a", "b"], "s": "fit", "d": {"k": 4}}


def expand(word: str) -> str:
    return expand_values(word, NAMES)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fit --wait  # the slow one", ["fit", "--wait"]),
        ("# all of it", []),
        ("--depend 'a # b' # c", ["--depend", "a # b"]),
        ("fit#1", ["fit#1"]),
        ('--depend "it\'s # in"', ["--depend", "it's # in"]),
        ("-o a, b", ["-o", "a,b"]),
        ("--timeout {T} x-{n}", ["--timeout", "30", "x-2"]),
        ("--timeout {T * 2}", ["--timeout", "60"]),
        ("--timeout { T + n }", ["--timeout", "32"]),
        ("--timeout={T}", ["--timeout=30"]),
        ("-i {names} $s", ["-i", "a,b", "fit"]),
        ("--priority \"{d['k']}\"", ["--priority", "4"]),
        ("--depend \"properties.get('g', {}) == {'a'}\"", ["--depend", "properties.get('g', {}) == {'a'}"]),
        ("--depend={'a':1}", ["--depend={a:1}"]),
        ("--timeout {max(T*k for k in d.values())}", ["--timeout", "120"]),
        ("--timeout {(lambda:T)()}", ["--timeout", "30"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert words_of("%%task", line, expand) == words


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{TT}", "%%task: {TT}: unknown name 'TT'"),
        ("$TT", "%%task: $TT: unknown name 'TT'"),
        ("{nmes}", "%%task: {nmes}: unknown name 'nmes'; did you mean names?"),
        ("{T +}", "%%task: {T +} is not an expression; write the value itself"),
        ("{T / 0}", "%%task: {T / 0}: ZeroDivisionError: division by zero"),
    ],
)
def test_values_that_cannot_be_filled_in(word: str, message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        words_of("%%task", word, expand)
    assert str(caught.value) == message
    with pytest.raises(BadUsage) as caught:
        words_of("%task wait", word, expand)
    assert str(caught.value) == message.replace("%%task", "%task wait")


@pytest.mark.parametrize(
    ("line", "cell", "expected"),
    [
        ("fit \\", "  --retries 2\n1 + 1\n", ("fit  --retries 2", "1 + 1\n")),
        ("fit \\", "-o x \\\n--wait\nx = 1", ("fit  -o x  --wait", "x = 1")),
        ("fit", "1\n", ("fit", "1\n")),
        ("fit \\", "", ("fit  ", "")),
        ("fit # not \\", "1\n", ("fit # not \\", "1\n")),
    ],
)
def test_continued_lines(line: str, cell: str, expected: tuple[str, str]) -> None:
    assert joined_lines(line, cell) == expected


def test_both_magics_understand_them() -> None:
    assert parse_cell_line("fit --timeout {T} -o '*', y # later", expand) == Submission(
        name="fit", timeout=30, out=("*", "y")
    )
    assert parse_line("scale {n} # workers", expand) == Scale(n=2)
    assert without_comment("a 'b # c' # d") == "a 'b # c' "


def test_the_star_means_names_that_come_back() -> None:
    assert parse_cell_line("-o *") == Submission(out=("*",))
    with pytest.raises(BadUsage, match="is not a variable name"):
        parse_cell_line("-i '*'")
