"""Environments of sessions, where they differ from the farm's own. They may have secrets: no record holds them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from taskfc_ext.protocol.context import Edits, edits_between


class Environments:
    """The variables with which sessions began, as changes of the farm's own.

    Args:
        own: the variables of the farm's processes that a session may have otherwise; `None`: tasks get no others, as
            on an engine, whose hosts have their own.
    """

    def __init__(self, own: Mapping[bytes, bytes] | None = None) -> None:
        self._own = own
        self._edits: dict[str, Edits] = {}

    def __bool__(self) -> bool:
        return bool(self._edits)

    def note(self, session: str, environ: Collection[tuple[bytes, bytes]]) -> None:
        """Note the variables of a session; none: they are not known, and the farm's own count."""
        if self._own is None:
            return
        edits = edits_between(self._own, dict(environ)) if environ else ()
        if edits:
            self._edits[session] = edits
        else:
            self._edits.pop(session, None)

    def edits_of(self, session: str) -> Edits:
        """Return the changes of the farm's environment for a task of `session`; empty for none."""
        return self._edits.get(session, ())

    def keep_only(self, sessions: Collection[str]) -> None:
        """Forget all other sessions. To be called when no task is unfinished, as a task outlives its session."""
        for session in [session for session in self._edits if session not in sessions]:
            del self._edits[session]
