"""Bars of long waits: a line of text in a terminal, or under the cell of a notebook that waits.

The line is drawn by the thread that waits, between two looks at what it waits for, and vanishes with the wait. In a
notebook it is text, not a widget: it works in each front end, and the saved notebook keeps nothing of it.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from typing import Any, Protocol, TextIO

from taskfc_ext.client.progress import switch
from taskfc_ext.client.progress.counts import Counts
from taskfc_ext.client.progress.formats import Format, Style, Unit, find_format

_MAX_COLUMNS = 100
_CELL_COLUMNS = 60  # a narrow notebook has some more


class Screen(Protocol):
    """A place where one line of text is shown, and replaced.

    Attributes:
        style: the characters that it can show.
    """

    style: Style

    @property
    def columns(self) -> int:
        """Its width now."""
        ...

    def show(self, line: str) -> None:
        """Show a line in place of the one before."""
        ...

    def make_room(self) -> None:
        """Make room for what others write; `show` goes on after that."""
        ...

    def clear(self) -> None:
        """Remove the line."""
        ...


class Terminal:
    """The line of a terminal where the cursor is.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_shown = False
        encoding = (getattr(stream, "encoding", None) or "").lower()
        self.style = Style(has_unicode=encoding.startswith("utf"), has_colors=True)

    @property
    def columns(self) -> int:
        """Its width, less the last column, at which some terminals begin a new line."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            columns = 80
        return max(1, min(columns - 1, _MAX_COLUMNS))

    def show(self, line: str) -> None:
        """Show a line in place of the one before."""
        self._is_shown = True  # first: an interrupt may come in the middle
        self._write(f"\r{line}\x1b[K")

    def make_room(self) -> None:
        """Erase the line: the next text begins at its start."""
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    clear = make_room

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class CellOutput:
    """An output of the cell that runs. It is empty, and another one is made, once that cell has ended.

    Args:
        shell: the shell of a kernel.
    """

    style = Style()
    columns = _CELL_COLUMNS

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._display_id = self._line = ""

    def show(self, line: str) -> None:
        """Show a line in place of the one before."""
        if line == self._line:
            return  # nobody has removed it
        self._line = line
        is_new = not self._display_id
        if is_new:
            self._display_id = uuid.uuid4().hex
            self._shell.events.register("post_run_cell", self._on_end_of_cell)
        self._publish(line, is_new=is_new)

    def make_room(self) -> None:
        """Do nothing: what others write has a place of its own."""

    def clear(self) -> None:
        """Remove the text; notebooks have no way to remove an output."""
        if self._display_id:
            self._shell.events.unregister("post_run_cell", self._on_end_of_cell)
            self._publish("", is_new=False)
            self._display_id = self._line = ""

    def _on_end_of_cell(self, *_: object) -> None:
        self.clear()  # an iterator that is read in several cells stays open

    def _publish(self, line: str, *, is_new: bool) -> None:
        transient = {"display_id": self._display_id}
        self._shell.display_pub.publish({"text/plain": line}, transient=transient, update=not is_new)


class Bar:
    """A bar on a screen.

    Args:
        screen: the place.
        form: makes its lines.
    """

    def __init__(self, screen: Screen, form: Format) -> None:
        self._screen = screen
        self._form = form
        self._line = ""
        self._is_paused = False

    def show(self, what: str, unit: Unit, counts: Counts, seconds: float) -> None:
        """Draw the bar."""
        self._line = self._form(what, unit, counts, seconds, self._screen.columns)
        self._is_paused = False
        self._screen.show(self._line)

    def pause(self) -> None:
        """Make room for the user's own output."""
        self._is_paused = True
        self._screen.make_room()

    def resume(self) -> None:
        """Draw the bar as it was before the pause."""
        if self._is_paused:
            self._is_paused = False
            self._screen.show(self._line)

    def close(self) -> None:
        """Remove the bar."""
        self._screen.clear()


def open_bar() -> Bar | None:
    """Return a bar where the user looks; `None` where nobody does, or nothing is to be shown.

    Only the main thread shows bars: several lines at once would overwrite each other.
    """
    if threading.current_thread() is not threading.main_thread() or not switch.is_on() or user_has_bar():
        return None
    ipython = sys.modules.get("IPython")
    screen = find_screen(ipython.get_ipython() if ipython is not None else None, sys.stderr)
    form = find_format(screen.style) if screen is not None else None
    return None if screen is None or form is None else Bar(screen, form)


def find_screen(shell: Any, stream: TextIO | None) -> Screen | None:
    """Return the running cell if `shell` is a kernel's, else `stream` if it is a terminal, else `None`."""
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:  # nbclient and papermill take no input: nobody looks, and the notebook is kept as it is
        return CellOutput(shell) if getattr(kernel, "_allow_stdin", True) else None
    try:
        is_terminal = stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return None
    # a dumb terminal cannot erase a line
    return Terminal(stream) if stream and is_terminal and os.environ.get("TERM", "dumb") != "dumb" else None


def user_has_bar() -> bool:
    """Return whether a bar of the user's own is open: it shows the progress, or ours would write over it."""
    tqdm = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    console = getattr(sys.modules.get("rich"), "_console", None)
    found = getattr(tqdm, "_instances", None), *(getattr(console, name, None) for name in ("_live", "_live_stack"))
    return any(found)
