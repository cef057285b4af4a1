"""Lines of text that show a progress, made by tqdm or rich, whichever is installed; imported on first use."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.text import format_seconds, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

Unit = Literal["tasks", "bytes"]

_MAX_WHAT = 30
_BAR = 30  # columns of rich's bar, where there is room
_NARROWEST = 5


class Style(NamedTuple):
    """The characters that a screen can show.

    Attributes:
        has_unicode: not only those of ASCII.
        has_colors: it understands the escape sequences of colours.
    """

    has_unicode: bool = True
    has_colors: bool = False


class Format(Protocol):
    """Makes a line of a progress."""

    def __call__(self, what: str, unit: Unit, counts: Counts, seconds: float, columns: int) -> str:
        """Return one line of at most `columns` columns, which may contain escape sequences of colours.

        Args:
            what: the name of what is waited for.
            unit: the unit of the counts.
            counts: the counts now.
            seconds: the time since the wait has begun.
            columns: the width of the screen.
        """
        ...


class TqdmFormat:
    """tqdm's line.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self, style: Style) -> None:
        from tqdm.std import tqdm

        self._format = tqdm.format_meter
        self._is_ascii = not style.has_unicode

    def __call__(self, what: str, unit: Unit, counts: Counts, seconds: float, columns: int) -> str:
        is_bytes = unit == "bytes"
        line: str = self._format(
            counts.done,
            counts.total,
            seconds,
            ncols=columns,
            prefix=", ".join(filter(None, (_shorten(what, columns), _failed_text(counts)))),
            ascii=self._is_ascii,
            unit="B" if is_bytes else " tasks",
            unit_scale=is_bytes,
        )
        return line


class RichFormat:
    """A bar of rich, with the counts and the times beside it.

    Raises:
        ImportError: rich is not installed.
    """

    def __init__(self, style: Style) -> None:
        from rich.console import Console

        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8" if style.has_unicode else "ascii")
        self._console = Console(
            file=stream,  # for its encoding: nothing is written to it
            force_terminal=style.has_colors,
            force_jupyter=False,
            color_system="standard" if style.has_colors else None,
        )

    def __call__(self, what: str, unit: Unit, counts: Counts, seconds: float, columns: int) -> str:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        name = Text(_shorten(what, columns))
        if counts.failed:
            name.append(", ").append(_failed_text(counts), style="red")
        cells: list[RenderableType] = [name, Text(f"{_amounts(unit, counts)}, {_times(counts, seconds)}")]
        room = columns - sum(len(cell.plain) + 1 for cell in cells if isinstance(cell, Text))
        if room >= _NARROWEST:
            cells.insert(1, ProgressBar(total=counts.total, completed=counts.done, width=min(_BAR, room)))
        row = Table.grid(padding=(0, 1))
        for _ in cells:
            row.add_column(no_wrap=True, overflow="crop")
        row.add_row(*cells)
        with self._console.capture() as capture:
            self._console.print(row, width=columns)
        return capture.get().split("\n")[0].rstrip()


def find_format(style: Style, find: Callable[[str], object] = find_spec) -> Format | None:
    """Return the format of tqdm, else that of rich; `None` if neither is installed.

    Args:
        style: the characters of its lines.
        find: returns `None` for a module that is not installed.
    """
    if find("tqdm") is not None:
        return TqdmFormat(style)
    if find("rich") is not None:
        return RichFormat(style)
    return None


def _shorten(what: str, columns: int) -> str:
    text, most = one_line(what), min(_MAX_WHAT, columns // 3)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _failed_text(counts: Counts) -> str:
    return f"{counts.failed:,} failed" if counts.failed else ""


def _amounts(unit: Unit, counts: Counts) -> str:
    if unit == "bytes":
        from rich.filesize import decimal

        done, total = decimal(counts.done), None if counts.total is None else decimal(counts.total)
    else:
        done, total = f"{counts.done:,}", None if counts.total is None else f"{counts.total:,}"
    return done if total is None else f"{done} of {total}"


def _times(counts: Counts, seconds: float) -> str:
    if not counts.total or not 0 < counts.done < counts.total:
        return format_seconds(seconds)
    return f"{format_seconds(seconds)}, {format_seconds(seconds * (counts.total - counts.done) / counts.done)} left"
