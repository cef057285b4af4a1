"""Baselines: one record that stands for all before it, written while no task is unfinished.

Without them each start would read all records since the first day, and the store would keep a trace of every task.
"""

from __future__ import annotations

import zlib

from taskfc_ext.core.effects import Step
from taskfc_ext.core.state.broadcast import KeptBroadcast
from taskfc_ext.core.state.codes import Codes, code_of
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.protocol.records import Baseline, Began, BroadcastsCleared, Cleared, Expired, KnownSession, StopAsked
from taskfc_ext.protocol.states import FINISHED

AFTER_RECORDS = 10_000
"""Records after which a baseline is due in any case: replaying them takes some 50 ms."""

AFTER_CLEAR = 20
"""Records after which one is due at a start or a stop, and after a clear, whose traces are to go."""

_OCCASIONS = (Began, StopAsked, Cleared, Expired, BroadcastsCleared)

_COMPRESSION = 1  # the fastest level leaves a thousandth of a row of equal bytes


def is_due(farm: Farm, step: Step) -> bool:
    """Return whether a baseline is due behind the records of `step`."""
    if farm.tasks or not step.records or farm.n_records <= AFTER_CLEAR:
        return False
    return farm.n_records > AFTER_RECORDS or any(isinstance(record, _OCCASIONS) for record in step.records)


def take(farm: Farm) -> Baseline:
    """Return the record of all durable state; no task may be unfinished."""
    sessions = tuple(
        KnownSession(client.session, client.done_below, tuple(client.answers.values()))
        for client in farm.sessions.values()
        if client.answers or client.done_below
    )
    return Baseline(
        incarnation=farm.incarnation,
        stop_asked=farm.stop_asked,
        ended=zlib.compress(farm.ended, _COMPRESSION),
        next_lease=farm.next_lease,
        next_broadcast=farm.next_broadcast,
        names=dict(farm.names),
        retried=dict(farm.retried),
        codes=dict(farm.codes.sizes),
        spans=farm.codes.spans(),
        broadcasts=tuple(kept.record for kept in farm.broadcasts.values()),
        deaths=tuple(kept.deaths for kept in farm.broadcasts.values()),
        sessions=sessions,
        began=farm.began,
    )


def apply(farm: Farm, record: Baseline) -> None:
    """Restore `farm` from `record`. A running farm has this state already: the record was made from it."""
    farm.n_records = 0
    if farm.incarnation:
        return
    farm.incarnation = record.incarnation
    farm.began = record.began
    farm.stop_asked = record.stop_asked
    farm.ended = bytearray(zlib.decompress(record.ended))
    farm.counts.update({state: len(farm.ids_in(state)) for state in FINISHED})
    farm.next_lease = record.next_lease
    farm.next_broadcast = record.next_broadcast
    farm.names = dict(record.names)
    farm.retried = dict(record.retried)
    farm.codes = Codes.from_record(record.codes, record.spans)
    for kept, deaths in zip(record.broadcasts, record.deaths, strict=True):
        farm.broadcasts[kept.number] = KeptBroadcast(kept, deaths)
        farm.codes.add_needs(code_of(kept))
    for known in record.sessions:
        client = farm.session(known.session)
        client.done_below = known.done_below
        for answer in known.answers:
            client.remember(answer)
