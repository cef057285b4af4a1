"""The scheduler: `handle(event, now) -> Effects`.

An event changes the farm; its effects are committed and then sent. An event of a superseded attempt has no effect; an
illegal one raises and changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from taskfc_ext.core.effects import Effects, Step
from taskfc_ext.core.events import (
    Audit,
    Event,
    FromClient,
    FromParent,
    FromWorker,
    Now,
    PeerLost,
    Recalled,
    RoomChanged,
    StoreRead,
    Tick,
)
from taskfc_ext.core.handlers import (
    attempts,
    audit,
    broadcasts,
    engines,
    expiry,
    idle_stop,
    idle_workers,
    lending,
    no_room,
    refusals,
    requests,
    retry_request,
    returns,
    stopping,
    workers,
)
from taskfc_ext.core.handlers.dispatch import dispatch, drop_unneeded_code
from taskfc_ext.core.journal import baseline
from taskfc_ext.core.journal.apply import restore
from taskfc_ext.core.journal.endings import commit
from taskfc_ext.core.state.environments import Environments
from taskfc_ext.core.state.farm import Farm, Timer, TimerKind
from taskfc_ext.core.state.limits import Limits
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.views import subscriptions
from taskfc_ext.protocol.client_messages import (
    ClientMessage,
    Define,
    ErrorKind,
    Hello,
    Refused,
    Released,
    Request,
    Stopping,
)
from taskfc_ext.protocol.limits import MAX_SESSIONS
from taskfc_ext.protocol.options import MAX_DEATHS, UNREACHABLE_AFTER
from taskfc_ext.protocol.records import Began, Record
from taskfc_ext.protocol.resources import Totals
from taskfc_ext.protocol.supervisor_messages import EngineState, FromSupervisor, Revoked, WorkerDown, WorkerUp
from taskfc_ext.protocol.supervisor_messages import Farm as FarmMessage
from taskfc_ext.protocol.worker_messages import (
    Displayed,
    Finished,
    Output,
    Progress,
    PropertiesChanged,
    Ready,
    Returned,
    SetUp,
    Started,
    WorkerMessage,
)

FORGET_SESSION_AFTER = 600.0
"""Seconds after which a lost client is forgotten; a repeat comes within seconds, or never."""

STOPPED_AFTER = 60.0
"""Seconds between two ticks, which come every few seconds, from which this controller itself did not run: it or its
machine was stopped. Its clients may have been, too, so this time does not count against them."""


class Scheduler:
    """Decisions of one farm: takes events, returns effects.

    Args:
        records: the records of the store, in order.
        name: the name of the farm.
        unreachable_after: a task fails when all live workers have refused it for so many seconds.
        max_deaths: a task fails when so many workers have died of it.
        engine_idle: seconds after which an idle worker on an engine ends; 0: never.
        totals: the resources that tasks may need.
        limits: the limits of a farm that nobody clears or stops.
        environ: the variables of the farm's processes, see `Environments`.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        *,
        name: str = "",
        unreachable_after: float = UNREACHABLE_AFTER,
        max_deaths: int = MAX_DEATHS,
        engine_idle: float = 0.0,
        totals: Totals = Totals(),  # noqa: B008  it cannot change
        limits: Limits = Limits(),  # noqa: B008  it cannot change
        environ: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.farm = Farm(
            name=name, unreachable_after=unreachable_after, max_deaths=max_deaths, totals=totals, limits=limits
        )
        self.farm.engine_idle = engine_idle
        self.farm.environments = Environments(environ)
        self._ticked_at: float | None = None
        restore(self.farm, records)

    def begin(self, now: Now) -> Effects:
        """Return the effects of the start on this store."""
        step = Step()
        self._ticked_at = now.mono
        commit(self.farm, step, Began(self.farm.incarnation + 1, now.wall))
        self._tidy(step)
        for session in self.farm.sessions.values():
            session.last_seen = now.mono
        return self._effects(step)

    def handle(self, event: Event, now: Now) -> Effects:
        """Handle `event`; return its effects."""
        step = Step()
        match event:
            case FromClient(session, message):
                self._from_client(step, session, message, now)
            case FromWorker(worker, message):
                self._from_worker(step, worker, message, now)
            case FromParent(message):
                self._from_parent(step, message, now)
            case PeerLost(session):
                self._lose_client(session)
            case Recalled():
                retry_request.on_recalled(self.farm, step, event, now)
            case RoomChanged(without):
                self.farm.no_room = without
                step.is_free = True
            case Tick() if self._is_stuck:
                step.is_free = True
            case StoreRead():
                expiry.on_store_read(self.farm, step, event, now)
            case Tick():
                self._tick(step, now)
            case Audit():
                if not self._is_stuck:
                    audit.audit(self.farm, step, now)
        if not self._is_stuck:
            self._follow_up(step, now)
        if self.farm.subscribers is not None:
            subscriptions.send_changes(self.farm, step, now)
        if self.farm.waits is not None and not self._is_stuck:
            # last: whoever looks at the queue drops entries of tasks that have ended, and these count as needs
            lending.time_surplus(self.farm, self.farm.waits, now)
        return self._effects(step)

    @property
    def _is_stuck(self) -> bool:
        return self.farm.no_room is not None and self.farm.no_room.is_stuck

    def _follow_up(self, step: Step, now: Now) -> None:
        """Do what may be due after any event."""
        refusals.end_unreachable(self.farm, step, now)
        if self.farm.waits is not None:
            lending.settle(self.farm, step, self.farm.waits)
        dispatch(self.farm, step, now)
        if self.farm.engine is not None:
            engines.after_dispatch(self.farm, step, self.farm.engine, now)
        refusals.stop_clocks(self.farm)
        self._tidy(step)

    def stop(self, now: Now) -> Effects:
        """Stop the farm on purpose, as a `Stop` request does."""
        step = Step()
        requests.stop_farm(self.farm, step, now)
        self._tidy(step)
        return self._effects(step)

    def _tidy(self, step: Step) -> None:
        """Drop code that nothing needs, and commit a baseline where one is due."""
        if self.farm.codes.idle:
            drop_unneeded_code(self.farm, step)
        if baseline.is_due(self.farm, step):
            commit(self.farm, step, baseline.take(self.farm))

    def _effects(self, step: Step) -> Effects:
        farm = self.farm
        return Effects(
            records=tuple(step.records),
            sends=tuple(step.sends),
            wake_at=farm.timers[0][0] if farm.timers else None,
            exit=farm.stop_asked and not farm.workers,
            repairs=tuple(step.repairs),
            is_free=self._is_stuck and step.is_free and not step.records,
        )

    def _from_client(self, step: Step, session: str, message: ClientMessage, now: Now) -> None:
        farm = self.farm
        if isinstance(message, Hello):
            if session not in farm.sessions and len(farm.sessions) >= MAX_SESSIONS:
                text = f"farm {farm.name!r} has {len(farm.sessions):,} clients, the most that it takes"
                hint = "those that left are forgotten ten minutes later"
                step.to_client(session, Refused(0, ErrorKind.TOO_MUCH, text, hint))
                return
            subscriptions.unsubscribe(farm, session)  # it subscribed on another connection
            client = farm.session(session)
            client.label, client.owner, client.worker = message.label, message.owner, message.worker
            client.viewer = message.viewer
            farm.environments.note(session, message.environ)
            came_to_idle_end = farm.stop_asked and farm.alone_since is not None
            client.connected = True
            client.last_seen = now.mono
            _forget_defined(farm, client)  # on this connection it defines code again before it names it
            if not client.viewer and not came_to_idle_end:
                farm.alone_since = None
            if farm.stop_asked and (client.viewer or not came_to_idle_end):
                step.to_client(session, Stopping())  # else it starts the farm again, as nobody has stopped it
            return
        known = farm.sessions.get(session)
        if known is None or not known.connected:
            seq = message.seq if isinstance(message, Request) else 0
            text = "this session is no longer known"
            step.to_client(session, Refused(seq, ErrorKind.SAY_HELLO, text, "say hello again, then resend"))
            return
        known.last_seen = now.mono
        if farm.stop_asked:
            return  # unanswered, so the client repeats it after the next start
        if isinstance(message, Define):
            if farm.no_room is not None and message.digest not in farm.codes:
                no_room.refuse_code(step, known, message)
                return
            known.defined.add(message.digest)
            if message.digest not in farm.codes:
                commit(farm, step, message)
        elif isinstance(message, Released):
            known.defined.difference_update(message.digests)
            farm.codes.release_idle(message.digests)
        else:
            requests.on_request(farm, step, known, message, now)

    def _from_worker(self, step: Step, worker_id: int, message: WorkerMessage, now: Now) -> None:
        farm = self.farm
        worker = farm.workers.get(worker_id)
        if worker is None:
            return  # its death was reported before
        match message:
            case Ready():
                attempts.on_ready(farm, step, worker, message, now)
            case Started():
                attempts.on_started(farm, step, worker, message, now)
            case Finished():
                attempts.on_finished(farm, step, worker, message, now)
            case Returned():
                attempts.on_returned(farm, step, worker, message, now)
            case Output():
                attempts.on_output(farm, worker, message)
            case Displayed():
                attempts.on_displayed(farm, worker, message)
            case Progress():
                attempts.on_progress(farm, worker, message)
            case PropertiesChanged():
                refusals.on_properties(farm, worker)
            case SetUp():
                broadcasts.on_set_up(farm, step, worker, message)

    def _from_parent(self, step: Step, message: FromSupervisor, now: Now) -> None:
        match message:
            case FarmMessage():
                workers.on_farm(self.farm, step, message, now)
            case WorkerUp():
                workers.on_worker_up(self.farm, message)
            case WorkerDown():
                workers.on_worker_down(self.farm, step, message, now)
            case EngineState():
                engines.on_engine_state(self.farm, message, now)
            case Revoked():
                attempts.on_revoked(self.farm, step, message, now)

    def _lose_client(self, session: str) -> None:
        farm = self.farm
        client = farm.sessions.get(session)
        if client is not None:
            client.connected = False
            _forget_defined(farm, client)
        subscriptions.unsubscribe(farm, session)
        for key in list(farm.barriers.of_session(session)):
            farm.close_barrier(key)
        for key in [key for key in farm.broadcast_waits if key[0] == session]:
            del farm.broadcast_waits[key]
        for taskid in [taskid for taskid, sessions in farm.result_subscribers.items() if session in sessions]:
            farm.result_subscribers[taskid].discard(session)
            if not farm.result_subscribers[taskid]:
                del farm.result_subscribers[taskid]
        if client is not None and not client.is_worth_keeping:
            self._forget_client(session)

    def _tick(self, step: Step, now: Now) -> None:
        farm = self.farm
        while farm.timers and farm.timers[0][0] <= now.mono:
            self._on_timer(step, heapq.heappop(farm.timers), now)
        attempts.retire_late_surplus(farm, step)
        self._forget_clients(now)
        if farm.environments and not farm.tasks:
            farm.environments.keep_only(farm.sessions)
        idle_stop.stop_if_idle(farm, step, now)

    def _forget_clients(self, now: Now) -> None:
        """Forget the clients that stay away."""
        sessions, before, self._ticked_at = self.farm.sessions, self._ticked_at, now.mono
        if before is not None and now.mono - before > STOPPED_AFTER:
            for session in sessions.values():
                session.last_seen += now.mono - before
        gone = [
            session.session
            for session in sessions.values()
            if not session.connected and now.mono - session.last_seen > FORGET_SESSION_AFTER
        ]
        for name in gone:
            self._forget_client(name)

    def _forget_client(self, session: str) -> None:
        del self.farm.sessions[session]
        lending.forget_session(self.farm, session)

    def _on_timer(self, step: Step, timer: Timer, now: Now) -> None:
        farm = self.farm
        _, _, kind, key, extra = timer
        match kind:
            case TimerKind.BACKOFF:
                task = farm.tasks.get(key)
                if task is not None and task.past().not_before is not None and farm.is_queued(key):
                    task.past().not_before = None
                    farm.mark((task,))
                    farm.offer(task)
            case TimerKind.REDELIVER:
                refusals.on_redeliver_timer(farm, key, extra)
            case TimerKind.UNREACHABLE:
                farm.refusals.check_later((key,))
            case TimerKind.DEADLINE:
                stopping.on_deadline(farm, step, key, now)
            case TimerKind.ESCALATION:
                stopping.on_escalation(farm, step, key, now)
            case TimerKind.REVOKE:
                returns.on_timer(farm, step, key, extra, now)
            case TimerKind.SUBSCRIBERS:
                subscriptions.on_timer(farm)
            case TimerKind.SUBSTITUTES:
                lending.on_timer(farm, step)
            case TimerKind.IDLE:
                idle_workers.on_idle_timer(farm, step)


def _forget_defined(farm: Farm, client: ClientSession) -> None:
    """Note that `client` must define code again before it names it."""
    defined, client.defined = client.defined, set()
    farm.codes.release_idle(defined)
