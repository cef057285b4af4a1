"""Base widget: receives its messages on a kernel subshell, so that clicks work while a cell runs."""

from __future__ import annotations

from typing import Any

import anywidget


class SubshellWidget(anywidget.AnyWidget):
    """A widget whose messages stay on the subshell that the front end has chosen."""

    def open(self) -> None:
        """Open the connection to the front end."""
        super().open()
        keep_subshell(self.comm)

    def view(self) -> dict[str, Any]:
        """Return the part of a bundle that shows the widget."""
        return {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            }
        }


def keep_subshell(comm: Any) -> None:
    """Leave the messages of a front end on the subshell that it has chosen.

    ipykernel 7.4 moves them to the subshell that sent last. Updates are sent from a thread whose parent is a cell of
    the main shell, so a click would wait for the end of the cell. The hook is private to ipykernel; other versions
    need no change.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
