"""Settings of the Jupyter server's part: `c.TaskFarms` in `jupyter_server_config.py`."""

from __future__ import annotations

from typing import Any

from traitlets import Bool
from traitlets.config import Configurable


class TaskFarms(Configurable):
    """Task farms in a Jupyter server."""

    let_idle = Bool(
        True,
        help="Whether pages in the background close their connection while no task is unfinished, so that a hub or a "
        "proxy, which counts each connection as activity, may end an idle server.",
    ).tag(config=True)


def add_settings_of_pages(settings: dict[str, Any], farms: TaskFarms) -> None:
    """Add what pages have to know to `settings`, those of the server's web application."""
    if not farms.let_idle:
        settings.setdefault("page_config_data", {})["taskfcStaysConnected"] = "true"
