"""The Jupyter server's part: this user's farms for JupyterLab's sidebar, under `{base_url}taskfc/api/`.

    GET  farms                       the farms: `Farms`
    GET  farms/NAME/tasks/ID?known=  everything about a task: `TaskDetails`
    POST farms/NAME                  a command: `AnyCommand` -> `CommandAnswer`
    WS   watch                       `ViewQuestion`s in, `ViewMessage`s out: `Farms` first, then the watched queues

A Jupyter server imports this, and it is there then. So `jupyter_server` is no dependency of the package: kernels and
terminals do without it. It has to be 2.13 or later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "taskfc_ext.server_extension"}]


def _load_jupyter_server_extension(serverapp: ServerApp) -> None:
    import os

    if os.name != "posix":
        serverapp.log.warning("taskfc_ext runs on Linux and macOS: there are no farms for the sidebar here")
        return
    from taskfc_ext.server_extension.handlers import add_handlers
    from taskfc_ext.widget.built import NOT_BUILT, STATIC

    if not STATIC.is_dir():
        serverapp.log.warning(NOT_BUILT)
    add_handlers(serverapp.web_app, root_dir=serverapp.root_dir)
