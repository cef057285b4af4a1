"""Hand-made mistakes in the real code, each of which the simulation has to find within some seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.controller.answers import Answers
from taskfc_ext.controller.loop import Controller
from taskfc_ext.core.handlers import attempts, dispatch, requests, workers
from taskfc_ext.core.journal import apply, endings, retry_policy
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.protocol.client_messages import Reply
from taskfc_ext.protocol.payloads import Outcome
from taskfc_ext.protocol.worker_messages import Ready
from taskfc_ext.worker.link import Link


@dataclass(frozen=True)
class Mistake:
    """A mistake: `make` gets the right function and returns the wrong one.

    Attributes:
        owner: the module or class with the function.
        seeds: within so many it is found.
    """

    text: str
    owner: Any
    name: str
    make: Callable[[Any], Any]
    seeds: int = 300

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the mistake for a while."""
        right = getattr(self.owner, self.name)
        setattr(self.owner, self.name, self.make(right))
        try:
            yield
        finally:
            setattr(self.owner, self.name, right)


def _send_before_commit(right: Any) -> Any:
    def finish_turn(self: Any) -> None:
        effects, self._effects = self._effects, []
        for effect in effects:
            for send in effect.sends:
                self._send(send)
        self._to_workers.flush()
        self._to_clients.flush()
        self._effects = [type(effect)(records=effect.records, wake_at=effect.wake_at, exit=effect.exit)
                         for effect in effects] + self._effects  # fmt: skip
        right(self)

    return finish_turn


def _early_barrier(right: Any) -> Any:
    def barrier(farm: Any, client: Any, message: Any) -> Any:
        answer = right(farm, client, message)
        return Reply(message.seq) if answer is None and len(farm.tasks) < 3 else answer

    return barrier


def _forget_answers(right: Any) -> Any:
    def remember(self: Any, answer: Any) -> None:
        right(self, answer)
        self.answers.pop(answer.seq - 1, None)  # as if only the last one could be asked for again
        self.done_below = 0

    return remember


def _keep_leases(right: Any) -> Any:
    def on_ready(farm: Any, step: Any, worker: Any, message: Ready, now: Any) -> None:
        right(farm, step, worker, Ready(**{**_fields(message), "leases": tuple(worker.leases)}), now)

    return on_ready


def _fields(message: Ready) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


def _blameless(right: Any) -> Any:
    def lose_attempt(farm: Any, endings: Any, task: Any, lease: int, message: Any) -> None:
        right(farm, endings, task, lease, type(message)(
            worker=message.worker, pid=0, started=0, running=False, note="", planned=True))  # fmt: skip

    return lose_attempt


def _no_resume(right: Any) -> Any:
    def watch_tasks(self: Any, taskids: Any) -> list[Any]:
        return []

    return watch_tasks


def _one_retry_more(right: Any) -> Any:
    def after_failure(task: Any, reason: Any, *, retryable: bool) -> Any:
        past = task.history
        if past is not None and retryable and past.retries == task.spec.retries == 1 and reason == "error":
            return retry_policy.Verdict.RETRY
        return right(task, reason, retryable=retryable)

    return after_failure


def _ack_too_much(right: Any) -> Any:
    def forget(self: Any, seq: int) -> None:
        right(self, seq + 1)

    return forget


def _lose_unacked(right: Any) -> Any:
    def reconnect(self: Any) -> None:
        self._unacked.clear()
        right(self)

    return reconnect


def _abort_forgotten(right: Any) -> Any:
    def end_attempt(farm: Any, endings: Any, worker: Any, task: Any, outcome: Any, *rest: Any) -> None:
        if task.aborting and outcome is Outcome.OK:
            endings.succeed((task,), rest[:1], rest[1:2])
        else:
            right(farm, endings, worker, task, outcome, *rest)

    return end_attempt


def _held_is_ready(right: Any) -> Any:
    def apply_held(farm: Any, record: Any) -> None:
        right(farm, record)
        if len(record.ids) > 1:
            farm.held.clear()

    return apply_held


def _no_completion(right: Any) -> Any:
    def complete(self: Any, message: Any) -> Any:
        return [] if type(message).__name__ == "SendEnded" else right(self, message)

    return complete


def _clear_needed(right: Any) -> Any:
    def clear(farm: Any, step: Any, client: Any, message: Any) -> None:
        tasks, farm.tasks = farm.tasks, {}
        ids = tuple(t for t in (message.taskids or tuple(farm.finished_ids())) if t not in tasks)
        farm.tasks = tasks
        requests.commit(farm, step, requests.Cleared(ids, client.session, message.seq))

    return clear


def _negative_room(right: Any) -> Any:
    def find_room(farm: Any, worker: Any, first: Any, allowed: int, share: int, n_idle: int) -> int:
        n_held = len(worker.leases)
        if min(allowed, dispatch.credit_of(farm, first, worker.ahead)) < n_held:
            farm.queue.has(-1)
        return right(farm, worker, first, allowed, share, n_idle)

    return find_room


MISTAKES = (
    Mistake("messages are sent before the commit", Controller, "_finish_turn", _send_before_commit),
    Mistake("a wait is answered early", requests, "_barrier", _early_barrier),
    Mistake("only the last answer is kept for a repeat", ClientSession, "remember", _forget_answers),
    Mistake("a lease that its worker does not report is kept", attempts, "on_ready", _keep_leases),
    Mistake("an attempt that a worker died in had not started", workers, "_lose_attempt", _blameless),
    Mistake("ends are not asked for on a new link", SessionState, "_watch_tasks", _no_resume),
    Mistake("a task is retried once more than allowed", endings, "after_failure", _one_retry_more, 600),
    Mistake("a worker forgets a report that is not committed", Link, "_forget", _ack_too_much),
    Mistake("a worker forgets its reports on a new connection", Link, "reconnect", _lose_unacked),
    Mistake("a result counts after the abort", attempts, "_end_attempt", _abort_forgotten, 600),
    Mistake("a hold of some tasks does nothing", apply, "_apply_held", _held_is_ready, 600),
    Mistake("ends that are asked for are not sent", Answers, "complete_for_client", _no_completion),
    Mistake("a needed input is cleared", requests, "_clear", _clear_needed, 600),
    Mistake("the room for a task may be negative", dispatch, "_find_room", _negative_room, 600),
)
