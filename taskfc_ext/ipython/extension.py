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

from taskfc_ext.errors import TaskFCError
from taskfc_ext.ipython.magics import TaskMagics
from taskfc_ext.ipython.parse.completion import complete
from taskfc_ext.ipython.sessions import Farms, LocalFarms
from taskfc_ext.ipython.welcome import welcome

FUTURE = ("taskfc_ext.client.future.future", "TaskFuture")
"""The type that is displayed as a card; by name, so that loading does not import it."""


def load(shell: Any, farms: Farms | None = None) -> None:
    """Register the magics, the cards and the completion in `shell`."""
    unload(shell)
    magics = TaskMagics(shell, farms or LocalFarms())
    undo = [
        _register_magics(shell, magics),
        _register_card(shell, magics),
        _register_completion(shell, magics),
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


def _register_card(shell: Any, magics: TaskMagics) -> Undo:
    formatter = shell.display_formatter.ipython_display_formatter
    before = formatter.for_type_by_name(*FUTURE, magics.show_future)

    def undo() -> None:
        formatter.pop(".".join(FUTURE), None)
        if before is not None:
            formatter.for_type_by_name(*FUTURE, before)

    return undo


def _register_completion(shell: Any, magics: TaskMagics) -> Undo:
    def words(shell: Any, event: Any) -> list[str]:
        return complete(event.text_until_cursor, task_names)

    def task_names() -> list[str]:
        try:
            return magics.notebook().task_names()
        except TaskFCError:  # Tab does not report problems of the farm
            return []

    for key in ("%task", "%%task"):
        shell.set_hook("complete_command", words, str_key=key)
    dispatcher = shell.strdispatchers["complete_command"]

    def undo() -> None:
        for key in ("%task", "%%task"):
            chain = dispatcher.strs[key]
            chain.chain[:] = [(priority, hook) for priority, hook in chain.chain if hook.__func__ is not words]
            if not chain.chain:
                del dispatcher.strs[key]

    return undo


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
