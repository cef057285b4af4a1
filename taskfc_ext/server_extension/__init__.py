"""The Jupyter server's part: this user's farms for JupyterLab's sidebar, under `{base_url}taskfc/api/`.

    GET  farms                       the farms: `Farms`
    GET  farms/NAME/tasks/ID?known=  everything about a task: `TaskDetails`
    POST farms/NAME                  a command: `AnyCommand` -> `CommandAnswer`
    WS   watch                       `ViewQuestion`s in, `ViewMessage`s out: `Farms` first, then the watched queues

Only a Jupyter server imports this, so `jupyter_server` is not a dependency of the package. Kernels and terminals do
without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

OLDEST_SERVER = (2, 13)
"""The first version with authentication of WebSockets."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "taskfc_ext.server_extension"}]


def _load_jupyter_server_extension(serverapp: ServerApp) -> None:
    import os

    if os.name != "posix":
        serverapp.log.warning("taskfc_ext runs on Linux and macOS: there are no farms for the sidebar here")
        return
    from jupyter_server import __version__

    if tuple(map(int, __version__.split(".")[:2])) < OLDEST_SERVER:
        needed = ".".join(map(str, OLDEST_SERVER))
        serverapp.log.warning(f"taskfc_ext's sidebar needs jupyter_server {needed} or later; this is {__version__}")
        return
    from taskfc_ext.server_extension.configuration import TaskFarms, add_settings_of_pages
    from taskfc_ext.server_extension.handlers import add_handlers
    from taskfc_ext.widget.built import NOT_BUILT, STATIC

    if not STATIC.is_dir():
        serverapp.log.warning(NOT_BUILT)
    add_settings_of_pages(serverapp.web_app.settings, TaskFarms(parent=serverapp))
    add_handlers(serverapp.web_app, root_dir=serverapp.root_dir)
