"""Text for people: safe to print, aligned, in readable units."""

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

_STYLE = re.compile(r"(\x1b\[[\d;]*m)")
"""Escape sequences that `paint` adds. Text of tasks has none: `plain_text` removes them."""

_ESCAPES_BEGIN = "\x1b\x9b\x9d"
_ASCII_CONTROL = dict.fromkeys(code for code in range(128) if _CONTROL.match(chr(code)))


def plural(count: int, noun: str) -> str:
    """Return the count with its noun: `1 task`, `2 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def with_article(noun: str) -> str:
    """Return the noun with its article: `a list`, `an int`."""
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def workers_text(workers: Iterable[WorkerInfo]) -> str:
    """Return the number of workers in words: `2 workers`, `2 workers and 1 substitute`."""
    substitutes = [worker.is_substitute for worker in workers]
    text = plural(substitutes.count(False), "worker")
    return f"{text} and {plural(sum(substitutes), 'substitute')}" if any(substitutes) else text


def workers_table(workers: Sequence[WorkerInfo]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers and rows of a list of workers, with their hosts and last problems if any has one."""
    headers: tuple[str, ...] = ("worker", "pid", "state", "task")
    rows: list[tuple[str, ...]] = [
        (str(each.worker), str(each.pid), each.described, "" if each.running is None else str(each.running))
        for each in workers
    ]
    if any(each.place for each in workers):
        headers += ("host",)
        rows = [(*row, one_line(each.place)) for row, each in zip(rows, workers, strict=True)]
    if any(each.problem for each in workers):
        headers += ("problem",)
        rows = [(*row, one_line(each.problem)) for row, each in zip(rows, workers, strict=True)]
    return headers, rows


def plain_text(text: str) -> str:
    """Return `text` without escape sequences, control characters and text-direction characters.

    A line that was rewritten with carriage returns, as progress bars do, keeps its last form.
    """
    # views read a log of a million characters every second: 160 ms with expressions, 2 ms for most logs without
    if "\r" in text:
        text = "\n".join([line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")])
    if any(begin in text for begin in _ESCAPES_BEGIN):
        text = _ESCAPE.sub("", text)
    return text.translate(_ASCII_CONTROL) if text.isascii() else _CONTROL.sub("", text)


def encodable(text: str) -> str:
    """Return `text` with lone surrogates escaped: UTF-8 cannot encode them, and odd file names have them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def format_seconds(seconds: float) -> str:
    """Return a run time: `0.25 s`, `12.3 s`, `2:05 min`, `1:02:03 h`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def name_option(farm: str) -> str:
    """Return the option that selects this farm in the terminal; empty for the default farm."""
    return "" if farm == "default" else f" --name {farm}"


def one_line(value: object) -> str:
    """Return `value` as one line that is safe to print; empty for `None`."""
    return "" if value is None else " ".join(plain_text(str(value)).split())


def sentence(error: Exception) -> str:
    """Return the message and the hint of an error as one sentence."""
    hint = one_line(getattr(error, "hint", ""))
    text = one_line(getattr(error, "message", "") or str(error) or type(error).__name__)
    return as_sentence(f"{text}: {hint}" if hint else text)


def as_sentence(text: str) -> str:
    """Return `text` with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def format_progress(done: float, total: float | None, description: str = "") -> str:
    """Return a progress: `42 % (42 of 100) fit`, or `42 done` if the total is unknown."""
    text = f"{percent(done, total)} % ({done:,.10g} of {total:,.10g})" if total else f"{done:,.10g} done"
    return f"{text} {one_line(description)}".rstrip()


def percent(done: float, total: float) -> int:
    """Return the done part of `total` in percent; 100 only if all is done."""
    return int(min(100.0, 100 * done / total))


def table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], *, right: Container[int] = (), most: int | None = None
) -> str:
    """Return aligned columns. `right`: columns aligned to the right. `most`: the width at which lines are cut."""
    widths = [max(_width(row[column]) for row in [headers, *rows]) for column in range(len(headers))]
    lines = []
    for row in [headers, *rows]:
        cells = []
        for column, text in enumerate(row):
            gap = " " * (widths[column] - _width(text))
            cells.append(gap + text if column in right else text + gap)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines if most is None else [_truncate(line, most) for line in lines])


def paint(text: str, style: str) -> str:
    """Return `text` with the escape sequences of a style, such as "31" for red; tables count only the text."""
    return f"\x1b[{style}m{text}\x1b[0m" if text else text


def _truncate(line: str, most: int) -> str:
    if _width(line) <= most:
        return line
    kept, room = "", most - 1
    for part in _STYLE.split(line):
        if _STYLE.fullmatch(part):
            kept += part
            continue
        for char in part:
            room -= _width(char)
            if room < 0:
                return f"{kept}…\x1b[0m" if "\x1b" in kept else f"{kept}…"
            kept += char
    return kept


def _width(text: str) -> int:
    """Return the width of `text` in columns of a terminal."""
    if "\x1b" in text:
        text = _STYLE.sub("", text)
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
