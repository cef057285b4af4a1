"""Source text as a task: its namespace, the names that come back, and its value."""

from __future__ import annotations

import linecache
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from taskfc_ext.serialize import EVERYTHING, CellOptions, SourceResult, scope
from taskfc_ext.serialize.fingerprint import changed_names, fingerprints
from taskfc_ext.serialize.in_place import ClassWatch
from taskfc_ext.serialize.scope import ABSENT, Host
from taskfc_ext.worker.load.namespaces import Namespaces
from taskfc_ext.worker.output.displays import Displays
from taskfc_ext.worker.output.figures import show_figures
from taskfc_ext.worker.run.cell_value import show_value
from taskfc_ext.worker.run.exits import EXITS
from taskfc_ext.worker.run.interrupt import Guard
from taskfc_ext.worker.run.shell import task_shell
from taskfc_ext.worker.run.source import FutureImports, add_shell_names, notebook_settings, run_source, set_namespace

KEPT_SOURCES = 256
"""Cells whose source lines are kept, for the tracebacks of functions that they have left."""

_OF_THE_SHELL = frozenset(("_", "_dh", "_exit_code", "get_ipython"))

Load = Callable[[], tuple[Mapping[str, Any], Sequence[str], CellOptions]]
"""Returns the names that go in, the names that come back ("*": every name that the source binds), and the settings.

Called in the namespace of the source."""


class CellRunner:
    """Runs source in the worker's persistent namespace, or in a fresh one.

    Args:
        guard: interrupts the tasks.
        displays: takes their displays.
        namespaces: their namespaces.
    """

    def __init__(self, guard: Guard, displays: Displays, namespaces: Namespaces) -> None:
        self._guard = guard
        self._namespaces = namespaces
        self._displays = displays
        outer = sys.modules["__main__"]
        self._shell: Any = task_shell(guard, displays)  # largely untyped
        sys.modules["__main__"] = outer
        namespaces.add_everywhere({"get_ipython": self._shell.get_ipython, **EXITS})
        self._shell.user_ns_hidden.update(EXITS)
        self._kept_imports = FutureImports()
        self._broadcast_flags = 0
        self._sources: deque[str] = deque()

    def run(
        self,
        source: str,
        load: Load,
        *,
        taskid: int,
        is_fresh: bool,
        wants_value: bool,
        clear_before: bool = False,
    ) -> SourceResult:
        """Run `source` with its names; return the names to bring back and, if wanted, the last value.

        Its namespace is `__main__` until the caller leaves it, as results are pickled in it.

        Raises:
            NameError: a name to bring back is not defined afterwards.
            BaseException: whatever loading the names or the source raises.
        """
        if clear_before:
            self.clear()
        host = self._namespaces.fresh() if is_fresh else self._namespaces.kept
        self._enter(host)
        try:
            try:
                names, out, options = load()
                first = options.get("there_first", ())
                main = host.main
                host.push(
                    {name: value for name, value in names.items() if name not in first or not hasattr(main, name)}
                )
                host.brings_back = frozenset(out)
                wants_all = EVERYTHING in out
                before = dict(main.__dict__) if wants_all else {}
                prints = fingerprints(host.shipped) if wants_all else {}
                wanted = host.shipped if wants_all else {name: host.shipped.get(name) for name in out}
                watch = ClassWatch(wanted)
                try:
                    with notebook_settings(self._shell, options):
                        value = self._execute(source, main, f"<task {taskid}>", options, wants_value=wants_value)
                        value = show_value(self._shell, self._displays, value)
                finally:
                    show_figures()  # before the value is pickled: an open figure is shown again where it is unpickled
                changes = watch.changes()
                if wants_all:
                    within = [*options.get("changed", ()), *changed_names(prints, main.__dict__), *changes]
                    out = list(dict.fromkeys([*_bound_since(before, main), *within, *out]))
                    host.brings_back = frozenset(out)
                pulled = {name: _pull(main, name) for name in out if name != EVERYTHING}
                return SourceResult(
                    value,
                    pulled,
                    is_cell=wants_value,
                    class_changes=changes,
                    sent_functions=_functions_in_both(pulled, host.shipped),
                )
            finally:
                self._guard.disarm()
        finally:  # no interrupt is raised here: there is one at most, and it was raised or is disarmed
            set_namespace(self._shell, self._namespaces.kept.main)

    def set_up(self, source: str, load: Load, number: int) -> None:
        """Run a broadcast in the persistent namespace. The names that it binds there survive every clearing.

        Raises:
            BaseException: whatever the source raises; names that it had bound by then stay.
        """
        flags = self._kept_imports.flags
        with self._namespaces.broadcasting() as main:
            self._enter(self._namespaces.kept)
            try:
                names, _, options = load()
                self._namespaces.kept.push(names)
                self._execute(source, main, f"<broadcast {number}>", options, wants_value=False)
            finally:
                set_namespace(self._shell, main)
                self._broadcast_flags |= self._kept_imports.flags & ~flags

    # namespaces

    def _enter(self, host: Host) -> None:
        scope.enter(host)
        add_shell_names(host.main)
        set_namespace(self._shell, host.main)

    def clear(self) -> None:
        """Remove the names that tasks have left in the persistent namespace."""
        self._namespaces.clear()
        self._kept_imports.flags = self._broadcast_flags

    # running

    def _execute(
        self, source: str, main: ModuleType, filename: str, options: CellOptions, *, wants_value: bool
    ) -> object:
        self._note_source(filename)
        is_kept = main is self._namespaces.kept.main
        imports = self._kept_imports if is_kept else FutureImports()
        return run_source(self._shell, source, main, filename, options, wants_value=wants_value, imports=imports)

    def _note_source(self, filename: str) -> None:
        self._sources.append(filename)
        if len(self._sources) > KEPT_SOURCES:
            oldest = self._sources.popleft()
            if oldest not in self._sources:
                linecache.cache.pop(oldest, None)


def _bound_since(before: Mapping[str, object], main: ModuleType) -> list[str]:
    """Return the names that were bound or rebound since `before`, without IPython's own."""
    return [
        name
        for name, value in main.__dict__.items()
        if before.get(name, ABSENT) is not value and not name.startswith("__") and name not in _OF_THE_SHELL
    ]


def _functions_in_both(pulled: Mapping[str, object], shipped: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of functions that were sent and come back as the same object."""
    return tuple([name for name, value in pulled.items() if type(value) is FunctionType and shipped.get(name) is value])


def _pull(main: ModuleType, name: str) -> object:
    try:
        return main.__dict__[name]
    except KeyError:
        raise NameError(
            f"name {name!r} is not defined after the task's code, so it cannot come back", name=name
        ) from None
