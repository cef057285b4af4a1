"""What our widgets have in common: they are heard while a cell runs, wherever the kernel can do that."""

from __future__ import annotations

from typing import Any

import anywidget


class SubshellWidget(anywidget.AnyWidget):
    """A widget that leaves what a front end says to it on the subshell that the front end has chosen."""

    def open(self) -> None:
        """Open the connection to the front end."""
        super().open()
        keep_subshell(self.comm)

    def view(self) -> dict[str, Any]:
        """Return the part of a bundle that shows it."""
        return {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            }
        }


def keep_subshell(comm: Any) -> None:
    """Leave the messages of a front end on the subshell that it has chosen.

    ipykernel 7.4 moves them to the subshell of whoever spoke last, and our updates speak from a thread whose parent is
    a cell of the main shell: a click would then wait for the cell to end. The hook is private to ipykernel; where it
    is absent there is nothing to change.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
