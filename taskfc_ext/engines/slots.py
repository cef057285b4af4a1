"""The slots of a farm on its engine: which are asked for, which run a worker, and on which connection. Pure.

A *token* stands for one request to the engine ("hold a place for us"); a *slot* is one incarnation of it in a process
of the engine. An engine that loses a process may start the token again elsewhere: that is a new slot with a new worker.

    ask -> asked -> (hello) greeted -> (up) announced -> (down, or its place is gone) ended

Events are methods, effects are their results, and time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from taskfc_ext.drivers.backoff import StartBackoff
from taskfc_ext.protocol.slot_messages import (
    MARK,
    Begin,
    EndSlot,
    FromHosted,
    LimitHosted,
    SlotDown,
    SlotHello,
    SlotUp,
    StopHosted,
    ToHost,
    ToHosted,
    token_of,
)
from taskfc_ext.protocol.supervisor_messages import LimitMemory, SetWorkers, StopAttempt, WorkerDown, WorkerUp

AT_ONCE = 64
"""Slots that are asked for in one turn; one after a failure."""

SURPLUS_FOR = 5.0
"""Seconds after which requests are withdrawn that the demand does not need any more. A place takes a second or more:
if each pause of a caller ended the requests, a farm would never have a second worker for short tasks."""

# effects


class Ask(NamedTuple):
    """Ask the engine to hold a place."""

    token: str


class Withdraw(NamedTuple):
    """Tell the engine that the place is not needed, whatever has become of it."""

    token: str


class Put(NamedTuple):
    """Send a message to the host of a slot."""

    slot: str
    message: ToHost


class Leave(NamedTuple):
    """Send nothing more to the host of a slot, which is lost."""

    slot: str


class Open(NamedTuple):
    """Open a connection to the controller for this worker, in the place of an earlier one."""

    worker: int


class Close(NamedTuple):
    """Close the worker's connection to the controller."""

    worker: int


class Forward(NamedTuple):
    """Send frames to the controller on the worker's connection."""

    worker: int
    frames: tuple[bytes, ...]


class Report(NamedTuple):
    """Send a message to the supervisor."""

    message: WorkerUp | WorkerDown


Effect = Ask | Withdraw | Put | Leave | Open | Close | Forward | Report


@dataclass
class _Incarnation:
    """One incarnation of a token.

    Attributes:
        worker: its worker's id.
        up: the report of its worker's start; `None` before it.
        is_announced: the controller knows the worker.
        held: frames of the worker from before it was announced.
        n_marks: marks sent down and not yet answered: what comes up meanwhile belongs to an old connection.
        is_ending: it was asked to end.
    """

    token: str
    worker: int
    place: str
    up: WorkerUp | None = None
    is_announced: bool = False
    held: list[bytes] = field(default_factory=list)
    n_marks: int = 0
    is_ending: bool = False


class Slots:
    """The slots of one farm.

    Args:
        limit: the most slots that may be held at once.
        begin: makes the message that starts the worker of this id.
        is_fit: returns why no worker can run in a place; "" if one can.
    """

    def __init__(self, limit: int, begin: Callable[[int], Begin], is_fit: Callable[[SlotHello], str]) -> None:
        self._limit = limit
        self._begin = begin
        self._is_fit = is_fit
        self._demand = 0
        self._is_untried = True
        self._asked: set[str] = set()
        self._surplus_since: float | None = None
        self._n_tokens = 0
        self._slots: dict[str, _Incarnation] = {}
        self._slot_of: dict[int, str] = {}
        self._is_closed = False
        self._backoff = StartBackoff(at_once=1)
        self.problem = ""

    @property
    def places(self) -> set[str]:
        """The places of the workers that run."""
        return {slot.place for slot in self._slots.values() if slot.up is not None}

    def __contains__(self, slot: str) -> bool:
        """Return whether a slot is held."""
        return slot in self._slots

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held and nothing asked for."""
        return not self._slots and not self._asked

    def wake_at(self) -> float | None:
        """Return the time of the next call of `fill`; `None`: there is nothing to fill."""
        return self._backoff.not_before if self._missing > 0 else None

    # how many

    @property
    def _n_held(self) -> int:
        return sum(not slot.is_ending for slot in self._slots.values()) + len(self._asked)

    @property
    def _missing(self) -> int:
        wanted = max(self._demand, int(self._is_untried))  # a start shows whether it works, without a task
        return 0 if self._is_closed else min(self._limit, wanted) - self._n_held

    def _withdraw_surplus(self, now: float) -> list[Effect]:
        """Withdraw requests above the limit at once, and those above the demand after a while."""
        if self._surplus_since is None:
            self._surplus_since = now
        is_lasting = now - self._surplus_since >= SURPLUS_FOR
        n = -self._missing if is_lasting else max(0, self._n_held - self._limit)
        surplus = sorted(self._asked)[max(0, len(self._asked) - n) :]
        self._asked.difference_update(surplus)
        return [Withdraw(one) for one in surplus]

    def resize(self, message: SetWorkers) -> list[Effect]:
        """Take a new limit, and end the slots of the retired workers."""
        self._limit = message.n + message.substitutes
        return self._end([slot for worker in message.retire if (slot := self._slot_of.get(worker)) is not None])

    def demand(self, n: int) -> None:
        """Take the number of tasks that could run now."""
        self._demand = n

    def fill(self, now: float, token: Callable[[int], str]) -> list[Effect]:
        """Ask for missing slots, unless in a back-off; withdraw surplus requests.

        Args:
            now: monotonic time in seconds.
            token: makes a token of a number.
        """
        missing = self._missing
        if missing < 0:
            return self._withdraw_surplus(now)
        self._surplus_since = None
        if now < self._backoff.not_before:
            return []
        asked = []
        for _ in range(min(missing, 1 if self._backoff.is_failing else AT_ONCE)):
            self._n_tokens += 1
            asked.append(token(self._n_tokens))
        self._asked.update(asked)
        return [Ask(one) for one in asked]

    # a slot's life

    def on_hello(self, slot: str, hello: SlotHello, new_worker: Callable[[], int], now: float) -> list[Effect]:
        """Handle a placed slot: start its worker, or let it go."""
        if slot in self._slots:
            return []
        token = token_of(slot)
        effects: list[Effect] = []
        for old in [old for old, state in self._slots.items() if state.token == token]:
            effects += self._give_up(old, "the engine started its slot again elsewhere")
        reason = self._is_fit(hello)
        if reason:
            effects += [Put(slot, EndSlot()), *self.on_token_failed(token, f"{hello.place}: {reason}", now)]
            return effects
        if token not in self._asked and not effects:  # withdrawn, or of an earlier bridge
            return [Put(slot, EndSlot()), Withdraw(token)]
        self._asked.discard(token)
        state = self._slots[slot] = _Incarnation(token, new_worker(), hello.place)
        self._slot_of[state.worker] = slot
        return [*effects, Put(slot, self._begin(state.worker))]

    def on_up(self, slot: str, message: SlotUp) -> list[Effect]:
        """Handle the start of a slot's worker."""
        state = self._slots.get(slot)
        if state is None or state.up is not None:
            return []
        self._backoff.note_good_start()
        self._is_untried = False
        self.problem = ""
        state.up = WorkerUp(state.worker, message.pid, place=state.place)
        return [Report(state.up)]

    def on_announced(self, workers: Iterable[int]) -> list[Effect]:
        """Handle that the controller knows these workers: open their connections."""
        effects: list[Effect] = []
        for worker in workers:
            state = self._state_of(worker)
            if state is not None and not state.is_announced:
                state.is_announced = True
                effects.append(Open(worker))
                if state.held:
                    effects.append(Forward(worker, tuple(state.held)))
                    state.held.clear()
        return effects

    def on_down(self, slot: str, message: SlotDown, now: float) -> list[Effect]:
        """Handle the end of a slot's worker, whose page its host has read."""
        state = self._remove(slot)
        if state is None:
            return []
        withdraw = Withdraw(state.token)
        if state.up is None:
            self._note_failure(message.note, now)
            return [withdraw]
        down = WorkerDown(
            worker=state.worker,
            pid=state.up.pid,
            started=message.started,
            running=message.running,
            note=message.note,
            planned=message.planned or state.is_ending,
            over_memory=message.over_memory,
        )
        return [*self._closing(state), Report(down), withdraw]

    def on_place_gone(self, slot: str, note: str) -> list[Effect]:
        """Handle the loss of a slot with its host: nobody has read the worker's page.

        The host may be there all the same, behind a network that is cut: its slot must end, as the attempt is made
        again elsewhere.
        """
        effects = self._give_up(slot, note)
        return [*effects, Withdraw(token_of(slot))] if effects else []

    def _give_up(self, slot: str, note: str) -> list[Effect]:
        """Forget a slot, and report its worker as lost with its place."""
        state = self._remove(slot)
        if state is None:
            return []
        if state.up is None:
            return [Leave(slot)]
        down = WorkerDown(
            worker=state.worker,
            pid=state.up.pid,
            started=0,
            running=False,
            note=f"{state.place} is lost: {note}",
            place_lost=True,
        )
        return [*self._closing(state), Report(down), Leave(slot)]

    def on_token_failed(self, token: str, reason: str, now: float) -> list[Effect]:
        """Handle that the engine cannot hold a place, or does not hold it any more."""
        effects: list[Effect] = [Withdraw(token)]
        for slot in [slot for slot, state in self._slots.items() if state.token == token]:
            effects += self._give_up(slot, reason)
        if token in self._asked:
            self._asked.discard(token)
            self._note_failure(reason, now)
        return effects

    def on_engine_lost(self, reason: str) -> list[Effect]:
        """Handle the loss of the engine: nothing that was asked of it is valid any more."""
        self._asked.clear()
        return [effect for slot in list(self._slots) for effect in self._give_up(slot, reason)]

    # frames

    def on_frames(self, slot: str, message: FromHosted) -> list[Effect]:
        """Handle frames of a worker: pass on those of the present connection."""
        state = self._slots.get(slot)
        if state is None:
            return []
        frames = []
        for frame in message.frames:
            if frame == MARK:
                state.n_marks = max(0, state.n_marks - 1)
            elif state.n_marks == 0:
                frames.append(frame)
        if not state.is_announced:
            state.held += frames
            return []
        return [Forward(state.worker, tuple(frames))] if frames else []

    def on_frames_of_controller(self, worker: int, frames: tuple[bytes, ...]) -> list[Effect]:
        """Handle frames of the controller for a worker."""
        slot = self._slot_of.get(worker)
        return [] if slot is None else [Put(slot, ToHosted(frames))]

    def on_new_controller(self) -> list[Effect]:
        """Handle a new controller, which knows all workers that were reported."""
        effects: list[Effect] = []
        for state in self._slots.values():
            if state.up is not None:
                effects += self.reopen(state.worker)
        return effects

    def reopen(self, worker: int) -> list[Effect]:
        """Open a new connection for a worker: what is on its way on the old one must not arrive."""
        slot, state = self._slot_of.get(worker), self._state_of(worker)
        if slot is None or state is None:
            return []
        if not state.is_announced:  # its first connection, which nothing has used yet
            return self.on_announced([worker])
        state.n_marks += 1
        return [Open(worker), Put(slot, ToHosted((MARK,)))]

    # the end

    def stop_attempt(self, message: StopAttempt) -> list[Effect]:
        """Take one step to stop an attempt."""
        slot = self._slot_of.get(message.worker)
        return [] if slot is None else [Put(slot, StopHosted(message.lease, message.step))]

    def limit_memory(self, message: LimitMemory) -> list[Effect]:
        """Limit the memory of one attempt."""
        slot = self._slot_of.get(message.worker)
        return [] if slot is None else [Put(slot, LimitHosted(message.lease, message.limit))]

    def close(self) -> list[Effect]:
        """End all slots, and ask for no more."""
        self._is_closed = True
        asked = sorted(self._asked)
        self._asked.clear()
        return [*[Withdraw(token) for token in asked], *self._end(list(self._slots))]

    def _end(self, slots: Iterable[str]) -> list[Effect]:
        effects: list[Effect] = []
        for slot in slots:
            if not self._slots[slot].is_ending:
                self._slots[slot].is_ending = True
                effects.append(Put(slot, EndSlot()))
        return effects

    def _state_of(self, worker: int) -> _Incarnation | None:
        slot = self._slot_of.get(worker)
        return None if slot is None else self._slots[slot]

    def _remove(self, slot: str) -> _Incarnation | None:
        state = self._slots.pop(slot, None)
        if state is not None:
            del self._slot_of[state.worker]
        return state

    def _closing(self, state: _Incarnation) -> list[Effect]:
        return [Close(state.worker)] if state.is_announced else []

    def _note_failure(self, reason: str, now: float) -> None:
        self.problem = reason
        self._is_untried = False
        self._backoff.note_failed_start(now)
