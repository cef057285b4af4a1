"""Waits for a group in a cell: the card that shows them, and the handle that an interrupt leaves."""

from __future__ import annotations

from typing import Any

from taskfc_ext.client.progress import switch
from taskfc_ext.ipython.cards.board import CardBoard
from taskfc_ext.ipython.cards.publishing import is_headless


class GroupWaits:
    """The front end of a client's waits for groups; see `taskfc_ext.client.group.front`.

    Args:
        shell: IPython's shell.
        board: shows cards.
    """

    def __init__(self, shell: Any, board: CardBoard) -> None:
        self._shell = shell
        self._board = board

    def show_wait(self, group: Any) -> bool:
        """Show the card of `group` under the running cell, in place of a bar; return whether it is kept up to date."""
        if not self._board.is_live or not switch.is_on() or is_headless(self._shell):
            return False
        self._board.show(group)
        return True

    def keep(self, group: Any) -> str:
        """Make `group` the newest output, as if the cell had returned it; return its name."""
        user_ns = self._shell.user_ns
        self._shell.displayhook.update_user_ns(group)
        if user_ns.get("_") is group:
            return "_"
        numbered = f"_{self._shell.execution_count}"  # where the user has a `_` of their own
        if user_ns.get(numbered) is not group:  # the shell keeps no outputs
            user_ns[numbered] = group
        return numbered
