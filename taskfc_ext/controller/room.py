"""The controller's care for room on the disk: it notices that there is none, and goes on by itself when there is.

    room ──little is free, or a commit fails──> no room ──not even a small commit is possible──> stuck
      ^─────────────────there is room again────────┘ ^───────what waited is committed──────────────┘

Without room, the core accepts and dispatches nothing new (see `core.handlers.no_room`). What the workers report is left
in the socket, with what the supervisor reports of dead workers, unless there is some room left for it: a worker keeps
its results until they are committed. So the room that is left, and then the reserve, are for what makes room.

The controller is *stuck* when a turn cannot be committed, not even into the reserve. Its memory is ahead of its store
then. The records and effects of that turn wait, and so do those of later turns; nothing that depends on them is sent,
and the commit is tried again until it succeeds. A stop ends the wait, and with it what waited: nobody knows of it.
Changes for subscribers are numbered, and later ones may pass those that wait: who misses one is told, and asks again.
So is who was sent the whole queue meanwhile: the ends that wait are missing in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import msgspec

from taskfc_ext.core.effects import ClientSend, Effects, Send, SendSnapshot, SupervisorSend
from taskfc_ext.drivers.room import LOW, megabytes, storage_full
from taskfc_ext.drivers.store import Store
from taskfc_ext.errors import StorageFull
from taskfc_ext.protocol.client_messages import Changed, Reply, Resync, Stopping
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.infos import NoRoom
from taskfc_ext.protocol.records import Cleared, Record
from taskfc_ext.protocol.supervisor_messages import Shutdown

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.2
"""Seconds between two looks at the free bytes, while there is room."""

TRY_AGAIN = 0.5
"""Seconds before a commit that has failed, and the search for room, are tried again."""

DEAF_BELOW = LOW // 4
"""Free bytes below which no results are taken from the workers."""

SMALL = 64 * 2**10
"""Bytes received in one turn up to which it is not checked whether there is room for them."""


class Room:
    """Committer of a controller's turns, as long as there is room.

    Args:
        store: the store.
        tell: tells the core that there is no room; `None`: there is room again.
        is_stopping: returns whether the farm was stopped, so that nothing is worth a wait.
    """

    def __init__(self, store: Store, tell: Callable[[NoRoom | None], None], is_stopping: Callable[[], bool]) -> None:
        self._store = store
        self._folder = store.path.parent
        self._tell = tell
        self._is_stopping = is_stopping
        self._no_room: NoRoom | None = None
        self._failed = False  # a write has failed since there was room: the number of free bytes means nothing
        self._error = StorageFull()
        self._look_at = 0.0
        self._records: list[Record] = []
        self._effects: list[Effects] = []
        self._behind: dict[Session, None] = {}  # those who were sent the queue while the store was behind the memory
        self._is_abandoned = False

    @property
    def is_stuck(self) -> bool:
        """Whether a turn waits for its commit, or was given up: the memory is ahead of the store."""
        return bool(self._records) or self._is_abandoned

    @property
    def is_deaf(self) -> bool:
        """Whether reports of workers, and of their deaths, have to wait."""
        no_room = self._no_room
        if no_room is None or self._is_stopping():
            return False
        return self.is_stuck or self._failed or no_room.free < DEAF_BELOW

    @property
    def text(self) -> str:
        """Sentences for people while there is no room."""
        return self._no_room.text if self._no_room is not None else ""

    @property
    def wake_at(self) -> float | None:
        """The monotonic time of the next look, while there is no room."""
        return None if self._no_room is None or self._is_abandoned else self._look_at

    # looking

    def look(self, mono: float) -> None:
        """Look whether there is room now. Call this in each turn, before messages are handled."""
        if mono < self._look_at or self.is_stuck:
            return
        if self._no_room is None:
            self._look_at = mono + LOOK_EVERY
            if self._store.reserve.free_beside() < LOW:
                self._begin(storage_full(self._folder), mono)
            return
        self._look_at = mono + TRY_AGAIN
        self._look_for_room()

    def expect(self, n_bytes: int, mono: float) -> None:
        """Notice that there is no room for messages of `n_bytes`, before they are handled.

        They are written twice: into the log, and later into the database.
        """
        if n_bytes > SMALL and self._no_room is None and self._store.reserve.free_beside() < 2 * n_bytes + LOW:
            self._begin(storage_full(self._folder, wanted=n_bytes), mono)

    def has_room(self, n_bytes: int, mono: float) -> bool:
        """Return whether there is room for a message of `n_bytes`; else the core is told, and refuses new work."""
        self.expect(n_bytes, mono)
        return self._no_room is None

    def takes(self, n_bytes: int, mono: float) -> bool:
        """Return whether there is room for reports of workers of `n_bytes`; else they have to wait."""
        self.expect(n_bytes, mono)
        no_room = self._no_room
        return no_room is None or self._is_stopping() or (not self.is_deaf and 4 * n_bytes <= no_room.free)

    def note(self, error: StorageFull, mono: float) -> None:
        """Note that something could not be written."""
        self._failed, self._error = True, error
        self._begin(error, mono)

    def _begin(self, error: StorageFull, mono: float) -> None:
        if self._no_room is None:
            logger.warning("no room: %s", error.message)
            self._look_at = mono + TRY_AGAIN
        self._report(error)

    def _report(self, error: StorageFull) -> None:
        no_room = NoRoom(
            message=error.message, hint=error.hint, path=error.path, free=error.free, is_stuck=self.is_stuck
        )
        before, self._no_room = self._no_room, no_room
        if before is None or (no_room.message, no_room.is_stuck) != (before.message, before.is_stuck):
            self._tell(no_room)

    def _look_for_room(self) -> None:
        reserve = self._store.reserve
        needed = 2 * LOW + (0 if reserve.exists else reserve.size)
        if reserve.free_beside() >= needed and reserve.make() and reserve.has_room_beside():
            logger.info("there is room again: %s free", megabytes(reserve.free_beside()))
            self._no_room, self._failed = None, False
            self._tell(None)
        else:
            self._report(storage_full(self._folder, self._error if self._failed else None))

    # committing

    def commit(self, records: list[Record], effects: list[Effects], mono: float) -> list[Effects]:
        """Commit `records`; return the effects that may be carried out now: those of this turn, and what waited.

        Raises:
            sqlite3.Error: the store cannot be used.
        """
        if self._is_abandoned:
            return list(map(_without_promises, effects))
        if not self.is_stuck:
            if not records:
                self._store.unstage()
                return effects
            if self._try(records, mono):
                return effects
            self._records = records
            told = self._keep(effects)
            self._begin(self._error, mono)
            return self._abandon(told) if self._is_stopping() else told
        free = [effect for effect in effects if effect.is_free]
        self._records += records
        self._behind.update(dict.fromkeys(_receivers_of_snapshots(free)))
        free = self._keep([effect for effect in effects if not effect.is_free]) + free
        if mono < self._look_at and not self._is_stopping():
            return free
        self._look_at = mono + TRY_AGAIN
        if not self._try(self._records, mono):
            self._report(self._error)
            return self._abandon(free) if self._is_stopping() else free
        waiting, self._records, self._effects = self._effects, [], []
        behind, self._behind = self._behind, {}
        logger.info("what waited for room is committed: %d effects", len(waiting))
        self._report(storage_full(self._folder))
        return _resync(behind) + waiting + free

    def _keep(self, effects: list[Effects]) -> list[Effects]:
        """Keep effects until their records are committed; return what tells subscribers that they miss changes."""
        missed: dict[Session, None] = {}
        for effect in effects:
            sends: list[Send] = []
            for send in effect.sends:
                if isinstance(send, ClientSend) and isinstance(send.message, Changed | SendSnapshot):
                    missed[send.session] = None
                else:
                    sends.append(send)
            self._effects.append(msgspec.structs.replace(effect, sends=tuple(sends)))
        return _resync(missed, effects[-1].wake_at if effects else None)

    def refuse_to_begin(self) -> None:
        """Refuse to serve a store that cannot take even the begin.

        Raises:
            StorageFull: it cannot.
        """
        if self.is_stuck:
            raise self._error

    def _try(self, records: list[Record], mono: float) -> bool:
        """Commit `records`, if there is room for them, or in the reserve; return whether that is done."""
        if self._no_room is not None and any(isinstance(record, Cleared) for record in records):
            self._store.reserve.give_back()  # a compaction needs room, too, and gives back more
        while True:
            try:
                self._store.commit(records)
            except StorageFull as error:
                self._failed, self._error = True, error
                if self._store.reserve.give_back():
                    continue
                return False
            if self._failed and self._no_room is None:
                self._begin(self._error, mono)
            return True

    def _abandon(self, effects: list[Effects]) -> list[Effects]:
        """Give up what waits: the farm stops, and its next controller begins with what is in the store."""
        logger.warning("stopping without room: %d records are given up", len(self._records))
        self._is_abandoned = True
        effects = self._effects + effects
        self._records, self._effects = [], []
        return list(map(_without_promises, effects))


def _receivers_of_snapshots(effects: list[Effects]) -> list[Session]:
    """Return the clients that the queue is sent to: the store completes it, and lacks the ends that wait for room."""
    return [
        send.session
        for effect in effects
        for send in effect.sends
        if isinstance(send, ClientSend) and isinstance(send.message, SendSnapshot)
    ]


def _resync(sessions: Collection[Session], wake_at: float | None = None) -> list[Effects]:
    """Return what tells subscribers, if there are any, that they miss changes: they ask for the queue again."""
    told = tuple(ClientSend(session, Resync()) for session in sessions)
    return [Effects(sends=told, wake_at=wake_at)] if told else []


def _without_promises(effects: Effects) -> Effects:
    """Return `effects` with what only a stop has to send."""
    stops = any(isinstance(send, SupervisorSend) and isinstance(send.message, Shutdown) for send in effects.sends)

    def is_safe(send: Send) -> bool:
        if isinstance(send, ClientSend):
            return isinstance(send.message, Stopping) or (stops and isinstance(send.message, Reply))
        return isinstance(send, SupervisorSend)

    return msgspec.structs.replace(effects, records=(), sends=tuple(filter(is_safe, effects.sends)))
