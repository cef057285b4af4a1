"""IPython's shell for tasks: without a screen; displays are kept for the task."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils import process
from traitlets.config import Config

from taskfc_ext.protocol.outputs import PLAIN_TEXT
from taskfc_ext.worker.output.displays import Displays
from taskfc_ext.worker.output.widgets import without_view
from taskfc_ext.worker.run.cell_value import report, repr_of
from taskfc_ext.worker.run.interrupt import Guard, TaskInterrupt
from taskfc_ext.worker.run.subprocesses import Subprocesses

FORMATTERS = "IPython.core.formatters"


class TaskDisplays(DisplayPublisher):
    """Publisher of `display` and similar functions: keeps the displays for the task."""

    displays: Displays
    _shows: object = None

    @contextmanager
    def showing(self, value: object) -> Iterator[None]:
        """While `value` displays itself, use its text for a display that has none."""
        before, self._shows = self._shows, value
        try:
            yield
        finally:
            self._shows = before

    def publish(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *args: object,
        transient: Mapping[str, Any] | None = None,
        update: bool = False,
        **kwargs: object,
    ) -> None:
        """Keep a display. Same arguments as IPython's."""
        display_id = (transient or {}).get("display_id")
        if self._shows is not None and PLAIN_TEXT not in data:
            data = {**data, PLAIN_TEXT: repr_of(self._shows)}
        data, at_the_end = without_view(data)
        self.displays.add(data, metadata, display_id=display_id, update=update, at_the_end=at_the_end)

    def clear_output(self, wait: bool = False) -> None:
        """Clear the displays, and not the printed text, which is the task's log."""
        self.displays.clear(wait=wait)


class TaskShell(InteractiveShell):
    """IPython without a screen: errors that it would show are raised instead, and fail the task.

    On an interrupt IPython ends a subprocess and goes on; this shell ends the task too.

    Attributes:
        n_failed_forms: errors of formatters; the task goes on.
    """

    guard: Guard
    n_failed_forms = 0

    def run_cell(self, *args: Any, **kwargs: Any) -> Any:
        """Run a cell within a cell, for magics; an error in it is raised."""
        result = _superclass(self).run_cell(*args, **kwargs)
        result.raise_error()
        return result

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """Run a cell magic, which an interrupt ends with its subprocesses."""
        with self._interruptible():
            return _superclass(self).run_cell_magic(magic_name, line, cell)

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        """Run `x = !cmd`, which an interrupt ends with its subprocesses."""
        with self._interruptible():
            return _superclass(self).getoutput(cmd, split, depth + 1)

    def system(self, cmd: str) -> None:
        """Run `!cmd`. IPython's `system_piped` cannot be called here, as it takes variables from its caller."""
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        untyped: Any = process
        with self._interruptible():
            self.user_ns["_exit_code"] = untyped.system(_superclass(self).var_expand(cmd, depth=1))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """On an interrupt within, end the processes that were started within, and the task, though IPython goes on."""
        programs, was_struck = Subprocesses(), self.guard.has_struck
        before, self.guard.on_strike = self.guard.on_strike, programs.note
        try:
            yield
        finally:
            self.guard.on_strike = before
            if self.guard.has_struck and not was_struck:
                programs.terminate()
                raise TaskInterrupt

    def enable_gui(self, gui: str | None = None) -> None:
        """Refuse every gui but `inline`, which `%matplotlib inline` enables before IPython 8.24."""
        if gui not in (None, "inline"):
            raise UsageError(f"a task has no screen for {gui}: use `%matplotlib inline`")

    def showtraceback(self, *args: object, **kwargs: object) -> None:
        """Raise the error; print that of a formatter, as a notebook does, which shows the other forms."""
        error = sys.exc_info()[1]
        if error is not None and sys._getframe(1).f_globals.get("__name__") == FORMATTERS:
            self.n_failed_forms += 1
            report(error)
        else:
            _raise_current()

    def showsyntaxerror(self, *args: object, **kwargs: object) -> None:
        _raise_current()


def _superclass(shell: TaskShell) -> Any:
    return super(TaskShell, shell)  # its methods are untyped


def _raise_current() -> NoReturn:
    error = sys.exc_info()[1]
    raise error if error is not None else RuntimeError("IPython wanted to show an error, and there was none")


def task_shell(guard: Guard, displays: Displays) -> Any:
    """Return IPython's only shell, for tasks that `guard` interrupts and whose displays `displays` takes."""
    config = Config()
    config.HistoryManager.enabled = False
    untyped: Any = TaskShell
    shell = untyped.instance(config=config, user_module=ModuleType("__main__"), display_pub_class=TaskDisplays)
    shell.guard = guard
    shell.display_pub.displays = displays
    return shell


class OnDemand:
    """Placeholder for IPython's shell, made when `display`, matplotlib or a progress bar first needs it."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._is_making = False

    def __get__(self, instance: object, owner: Any) -> object:
        with self._lock:
            if self._is_making or owner.__dict__.get("_instance", self) is not self:
                return None  # asked for while it is made
            self._is_making = True
            try:
                self._make()
            finally:
                self._is_making = False
        return owner._instance


def offer_shell(make: Callable[[], object]) -> None:
    """Let code that asks IPython for its shell get the one that `make` makes at that time."""
    shells: Any = InteractiveShell
    if shells._instance is None:
        shells._instance = OnDemand(make)
