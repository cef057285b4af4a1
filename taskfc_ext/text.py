"""Text for people: safe to print, aligned, in the units that people read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskfc_ext.protocol.infos import WorkerInfo

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # device control strings
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_ESCAPES_BEGIN = "\x1b\x9b\x9d"
_ASCII_CONTROL = dict.fromkeys(code for code in range(128) if _CONTROL.match(chr(code)))


def plural(count: int, noun: str) -> str:
    """Return the count with its noun: `1 task`, `2 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def with_article(noun: str) -> str:
    """Return the noun with its article: `a list`, `an int`."""
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def workers_text(workers: Iterable[WorkerInfo]) -> str:
    """Return how many workers there are: `2 workers`, `2 workers and 1 substitute`."""
    substitutes = [worker.is_substitute for worker in workers]
    text = plural(substitutes.count(False), "worker")
    return f"{text} and {plural(sum(substitutes), 'substitute')}" if any(substitutes) else text


def plain_text(text: str) -> str:
    """Return `text` as it is safe to print: no escape sequences, no control or text-direction characters.

    Of a line that was rewritten with carriage returns, as progress bars do, the last writing remains.
    """
    # views look at a log of a million characters once a second: 160 ms by expressions alone, 2 ms if it is as most are
    if "\r" in text:
        text = "\n".join([line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")])
    if any(begin in text for begin in _ESCAPES_BEGIN):
        text = _ESCAPE.sub("", text)
    return text.translate(_ASCII_CONTROL) if text.isascii() else _CONTROL.sub("", text)


def encodable(text: str) -> str:
    """Return `text` with what UTF-8 cannot carry (lone surrogates, as in odd file names) shown escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def format_seconds(seconds: float) -> str:
    """Return a run time as people read it: `0.25 s`, `12.3 s`, `2:05 min`, `1:02:03 h`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def name_option(farm: str) -> str:
    """Return what a command in a terminal takes to mean this farm: nothing where it is the default one."""
    return "" if farm == "default" else f" --name {farm}"


def one_line(value: object) -> str:
    """Return `value` as it is safe to print in one line; `None` is empty."""
    return "" if value is None else " ".join(plain_text(str(value)).split())


def sentence(error: Exception) -> str:
    """Return what an error says, with what to do about it, as one line that begins with a capital."""
    hint = one_line(getattr(error, "hint", ""))
    text = one_line(getattr(error, "message", "") or str(error) or type(error).__name__)
    text = f"{text}: {hint}" if hint else text
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def format_progress(done: float, total: float | None, description: str = "") -> str:
    """Return how far something is: `42 % (42 of 100) fit`, or `42 done` where there is no telling."""
    text = f"{percent(done, total)} % ({done:,.10g} of {total:,.10g})" if total else f"{done:,.10g} done"
    return f"{text} {one_line(description)}".rstrip()


def percent(done: float, total: float) -> int:
    """Return how much of `total` is done; 100 only when it is all."""
    return int(min(100.0, 100 * done / total))


def table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], *, right: Container[int] = (), most: int | None = None
) -> str:
    """Return aligned columns, those in `right` to the right; lines are cut at `most` columns of a terminal."""
    widths = [max(_width(row[column]) for row in [headers, *rows]) for column in range(len(headers))]
    lines = []
    for row in [headers, *rows]:
        cells = []
        for column, text in enumerate(row):
            gap = " " * (widths[column] - _width(text))
            cells.append(gap + text if column in right else text + gap)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines if most is None else [_truncate(line, most) for line in lines])


def _truncate(line: str, most: int) -> str:
    if _width(line) <= most:
        return line
    while _width(line) > most - 1:
        line = line[:-1]
    return line + "…"


def _width(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
