"""Loading the magics into a shell, and unloading them. Starts nothing, and imports nothing heavy while no farm runs.

All state is on the `TaskMagics` instance in the shell's registry, never in a module: so a second shell has its own,
and `%reload_ext` finds the state of an older version of this module.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from typing import Any

from taskfc_ext.ipython.completion import make_matcher
from taskfc_ext.ipython.inspection import wrap_inspection
from taskfc_ext.ipython.magics import TaskMagics
from taskfc_ext.ipython.sessions import Farms, LocalFarms
from taskfc_ext.ipython.welcome import welcome

FUTURE = ("taskfc_ext.client.future.future", "TaskFuture")
GROUP = ("taskfc_ext.client.group.group", "TaskGroup")
"""The types that are displayed as cards; by name, so that loading does not import them."""


def load(shell: Any, farms: Farms | None = None) -> None:
    """Register the magics, the cards and the completion in `shell`."""
    unload(shell)
    magics = TaskMagics(shell, farms or LocalFarms())
    undo = [
        _register_magics(shell, magics),
        _register_card(shell, FUTURE, magics.show_future),
        _register_card(shell, GROUP, magics.show_group),
        _register_completion(shell, magics),
        wrap_inspection(shell),
        _register_events(shell, magics),
    ]
    atexit.register(magics.close)
    undo.append(lambda: atexit.unregister(magics.close))
    magics.undo = undo
    line = welcome(magics.session, shell.user_ns)
    if line:
        sys.stdout.write(f"{line}\n")


def unload(shell: Any) -> None:
    """Undo `load`; the farm and its tasks go on."""
    magics = shell.magics_manager.registry.get(TaskMagics.__name__)
    if magics is None:
        return
    for undo in reversed(magics.undo):
        undo()
    magics.close()


Undo = Callable[[], None]


def _register_magics(shell: Any, magics: TaskMagics) -> Undo:
    tables = shell.magics_manager.magics
    shadowed = {kind: tables[kind].get("task") for kind in ("line", "cell")}
    shell.register_magics(magics)

    def undo() -> None:
        for kind, magic in shadowed.items():
            if tables[kind].get("task") == magics.magics[kind]["task"]:  # otherwise the user has replaced it
                del tables[kind]["task"]
                if magic is not None:
                    tables[kind]["task"] = magic
        del shell.magics_manager.registry[type(magics).__name__]
        shell.configurables[:] = [each for each in shell.configurables if each is not magics]

    return undo


def _register_card(shell: Any, shown: tuple[str, str], show: Callable[[Any], None]) -> Undo:
    formatter = shell.display_formatter.ipython_display_formatter
    before = formatter.for_type_by_name(*shown, show)

    def undo() -> None:
        formatter.pop(".".join(shown), None)
        if before is not None:
            formatter.for_type_by_name(*shown, before)

    return undo


def _register_completion(shell: Any, magics: TaskMagics) -> Undo:
    matchers = shell.Completer.custom_matchers
    matcher = make_matcher(shell, magics)
    matchers.append(matcher)
    return lambda: matchers.remove(matcher) if matcher in matchers else None


def _register_events(shell: Any, magics: TaskMagics) -> Undo:
    def on_main_thread(act: Callable[[], None]) -> Callable[..., None]:
        def handle(*_: object) -> None:
            if threading.current_thread() is threading.main_thread():  # messages of a front end may run on others
                act()

        return handle

    handlers = {"pre_run_cell": on_main_thread(magics.before_cell), "post_run_cell": on_main_thread(magics.after_cell)}
    for event, handler in handlers.items():
        shell.events.register(event, handler)

    def undo() -> None:
        for event, handler in handlers.items():
            shell.events.unregister(event, handler)

    return undo
