"""Repair of a damaged store: a new one of all that is whole, in which each loss is the named end of a task.

Up to the first missing record, the records stand for themselves. Behind it, only those count that say something by
themselves: submissions, ends, clears. A task whose submission is lost is a failed task with this reason; so is one that
had ended and whose end is lost before the last baseline. A task without an end behind a gap may have run: it runs
again, unless it may run only once; then it is lost.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from taskfc_ext.core.journal.apply import apply
from taskfc_ext.core.journal.endings import failed_unseen, has_failed, select_rows
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.drivers.aside import put_aside
from taskfc_ext.drivers.paths import FarmPaths, payloads_of, witness_of
from taskfc_ext.drivers.payload_files import find_fault, number_of, refs_in
from taskfc_ext.drivers.salvage import Salvaged, salvage
from taskfc_ext.drivers.schema import DEFINED
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.witness import read_witness
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define, Ended
from taskfc_ext.protocol.ids import list_ids, spans_of
from taskfc_ext.protocol.payloads import Failure, PayloadRef, Reason
from taskfc_ext.protocol.records import (
    Baseline,
    Began,
    Broadcasted,
    BroadcastsCleared,
    Cleared,
    Record,
    StopAsked,
    Submitted,
    decode_record,
)
from taskfc_ext.protocol.spec import Kind, OnLost, Spec
from taskfc_ext.text import plural

logger = logging.getLogger(__name__)

_LOST_CODE = b"\0" * 16
_LOST = "the store was damaged, and this task's submission is lost"
_LOST_END = "the store was damaged, and the result of this task is lost"
_ONLY_ONCE = "the store was damaged: this task may have run, and it may run only once"

_STANDALONE = (Began, StopAsked, Broadcasted, BroadcastsCleared)
"""Records that mean the same without those before them."""


@dataclass
class Plan:
    """The records of a repaired store, and the losses.

    Attributes:
        groups: each is committed in one transaction.
        losses: lines.
        n_kept: tasks that are not cleared and whose submissions are whole.
    """

    groups: list[list[Record]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    n_kept: int = 0


def plan(found: Salvaged, next_seq: int) -> Plan:
    """Return the repaired store for what was salvaged; `next_seq`: of the damaged one, as far as is known."""
    return _Planner(found, next_seq).plan


class _Planner:
    def __init__(self, found: Salvaged, next_seq: int) -> None:
        self.plan = Plan()
        self._farm = Farm()
        self._code = {_LOST_CODE, *found.code}
        records = {seq: decode_record(row[5]) for seq, row in sorted(found.rows.items()) if row[1] != DEFINED}
        baselines = [seq for seq, record in records.items() if isinstance(record, Baseline)]
        base = max(baselines, default=0)
        self._add([Define(_LOST_CODE, b"")], *self._code_of(found))
        if base:
            self._keep_before(base, [record for seq, record in records.items() if seq < base], records[base])
        due = base + 1
        whole = 0  # rows from the baseline on that follow each other without a gap
        for seq in sorted(each for each in found.rows if each > base):
            if seq != due:
                break
            due, whole = due + 1, seq
        later = [record for seq, record in records.items() if seq > max(base, whole)]
        self._replay(record for seq, record in records.items() if base < seq <= whole)
        n_expected = max(next_seq, max(found.rows, default=0) + 1) - due
        n_lost = n_expected - sum(seq >= due for seq in found.rows)
        if n_lost > 0 or later:
            self._lose(f"{plural(max(n_lost, 1), 'record')} after the first {max(base, whole)} lost")
            self._join(later)
            self._settle()
        self.plan.n_kept = sum(self._farm.knows(taskid) for taskid in range(len(self._farm.ended)))

    def _add(self, *groups: list[Record]) -> None:
        self.plan.groups += [group for group in groups if group]

    def _lose(self, line: str) -> None:
        self.plan.losses.append(line)

    def _code_of(self, found: Salvaged) -> Iterator[list[Record]]:
        for key, (body, file, size) in found.code.items():
            if body is not None:
                yield [Define(key, body)]
            elif file is not None:
                yield [Define(key, PayloadRef(f"{file:x}", size))]

    # before the baseline

    def _keep_before(self, base: int, records: list[Record], baseline: Record) -> None:
        """Keep submissions and ends from before the baseline, and name those of known tasks that are missing."""
        apply(self._farm, baseline)
        known = {taskid for taskid in range(len(self._farm.ended)) if self._farm.knows(taskid)}
        submitted = [r for r in records if isinstance(r, Submitted) and not known.isdisjoint(_ids_of(r))]
        ended = [r for r in records if isinstance(r, Ended) and not known.isdisjoint(r.ids)]
        unsubmitted = known - {taskid for record in submitted for taskid in _ids_of(record)}
        unended = known - {taskid for record in ended for taskid in record.ids}
        standing = [_stand_in(first, n) for first, n in spans_of(unsubmitted)]
        ends = [_make_failure(sorted(unended), _LOST_END)] if unended else []
        if unsubmitted:
            self._lose(f"{_tasks(unsubmitted)}: the submission is lost, and with it the name")
        if unended:
            self._lose(f"{_tasks(unended, submitted)}: the result is lost")
        self._add([*sorted((*submitted, *standing), key=lambda record: record.first), *ended, *ends, baseline])

    # from the baseline on

    def _replay(self, records: Iterable[Record]) -> None:
        for record in records:
            apply(self._farm, record)
            self._add([record])

    def _commit(self, record: Record) -> None:
        apply(self._farm, record)
        self._farm.cascade_failed.clear()
        self._add([record])

    def _join(self, records: Iterable[Record]) -> None:
        """Take from records behind a gap what says something by itself."""
        for record in records:
            match record:
                case Submitted():
                    n_missing = record.first - len(self._farm.ended)
                    if n_missing > 0:
                        self._stand_in(n_missing)
                    if n_missing >= 0:
                        self._commit(replace(record, retry_of=()))
                case Ended():
                    rows = [row for row, taskid in enumerate(record.ids) if taskid in self._farm.tasks]
                    if rows:
                        self._commit(select_rows(record, rows))
                case Cleared():
                    ids = tuple(
                        taskid for taskid in record.ids if self._farm.knows(taskid) and taskid not in self._farm.tasks
                    )
                    if ids:
                        self._commit(replace(record, ids=ids))
                case _ if isinstance(record, _STANDALONE):
                    self._commit(record)

    def _stand_in(self, n: int) -> None:
        first = len(self._farm.ended)
        self._lose(f"{_tasks(range(first, first + n))}: the submission is lost, and with it the name")
        self._commit(_stand_in(first, n))  # an end of them may follow

    def _settle(self) -> None:
        """End the tasks that cannot run: lost code, a parent that failed, or one attempt only."""
        again: list[int] = []
        for taskid, task in list(self._farm.tasks.items()):
            batch = task.batch
            parents = (*batch.inputs, *batch.after)
            failed = next((each for each in parents if self._has_failed(each, batch.inputs)), None)
            if batch.spec.code == _LOST_CODE:
                self._commit(_make_failure([taskid], _LOST))
            elif batch.spec.code not in self._code:
                self._end(taskid, _LOST, "its code is lost")
            elif failed is not None and not (batch.after_any and failed not in batch.inputs):
                text = f"task {failed}, whose end it needs, has failed or is lost"
                self._commit(_make_failure([taskid], text, Reason.DEPENDENCY, parent=failed))
            elif batch.spec.on_lost is OnLost.FAIL:
                self._commit(_make_failure([taskid], _ONLY_ONCE, Reason.LOST))
                self._lose(f"{_task(taskid, batch.name)}: lost, as it may have run, and may run only once")
            else:
                again.append(taskid)
        if again:
            self._lose(f"{_tasks(again)}: no end is left; runs again at the next start")

    def _has_failed(self, taskid: int, inputs: tuple[int, ...]) -> bool:
        return has_failed(self._farm, taskid) or (taskid in inputs and not self._farm.knows(taskid))

    def _end(self, taskid: int, text: str, what: str) -> None:
        self._lose(f"{_task(taskid, self._farm.tasks[taskid].batch.name)}: {what}")
        self._commit(_make_failure([taskid], text))


def _ids_of(record: Submitted) -> range:
    return range(record.first, record.first + len(record.bodies))


def _stand_in(first: int, n: int) -> Submitted:
    spec = Spec(kind=Kind.STRING, code=_LOST_CODE, label="lost")
    return Submitted(first=first, session="", seq=0, owner="", wall=0.0, spec=spec, bodies=(b"",) * n)


def _make_failure(ids: Iterable[int], text: str, reason: Reason = Reason.ERROR, *, parent: int | None = None) -> Ended:
    type_name = "StoreError" if reason is Reason.ERROR else ""
    return failed_unseen(tuple(ids), Failure(reason, text, type_name=type_name, parent=parent))


def _task(taskid: int, name: str | None) -> str:
    return f"task {taskid} ({name})" if name else f"task {taskid}"


def _tasks(taskids: Iterable[int], submitted: Iterable[Submitted] = ()) -> str:
    ids = sorted(taskids)
    names = sorted({record.name for record in submitted if record.name and not set(_ids_of(record)).isdisjoint(ids)})
    text = f"task {ids[0]}" if len(ids) == 1 else f"tasks {list_ids(ids, at_most=20)}"
    return f"{text} ({', '.join(names[:5])})" if names else text


@dataclass(frozen=True)
class Repaired:
    """The result of a repair.

    Attributes:
        aside: the folder with the store as it was.
        losses: lines; none: nothing of the tasks was lost.
        n_tasks: tasks in the repaired store.
    """

    aside: Path
    losses: tuple[str, ...]
    n_tasks: int


def repair(paths: FarmPaths) -> Repaired | None:
    """Replace a damaged store, whose lock the caller holds, by one of all that is whole; `None`: it is whole.

    Raises:
        StoreError: nothing can be salvaged.
        OSError: the disk is full, or a file cannot be read.
    """
    try:
        _read(paths)
        return None
    except StoreError as error:
        logger.info("repairing: %s", error.message)
    next_seq = _expected_seq(paths.journal)
    aside = put_aside(paths)
    if aside is None:
        raise StoreError(f"the store {paths.store} is empty", hint="start the farm")
    for name in (paths.options.name, paths.stops.name, paths.next_worker.name):
        if (aside / name).exists():
            shutil.copy2(aside / name, paths.store / name)
    damaged = aside / paths.journal.name
    planned = plan(salvage(damaged), next_seq)
    store = Store(paths.journal)
    try:
        for group in planned.groups:
            for ref in sorted({ref for record in group for ref in refs_in(record)}, key=number_of):
                path = payloads_of(damaged) / ref.file
                store.take_file(path)  # also a damaged one, so that its readers see what it is
                if fault := find_fault(path, ref):
                    planned.losses.append(f"the payload file {ref.file} {fault}")
            store.commit(group)
    finally:
        store.close()
    _read(paths)
    return Repaired(aside, tuple(planned.losses), planned.n_kept)


def foresee_losses(paths: FarmPaths) -> tuple[str, ...]:
    """Return the losses that a repair of a damaged store, whose lock the caller holds, would name. Changes nothing.

    Raises:
        OSError: a file cannot be read.
    """
    return tuple(plan(salvage(paths.journal), _expected_seq(paths.journal)).losses)


def _expected_seq(journal: Path) -> int:
    """Return the number of the next record by the witness; 0: not known."""
    note = read_witness(witness_of(journal))
    return note.next_seq if note is not None else 0


def _read(paths: FarmPaths) -> None:
    """Read a whole store, as a start does and beyond.

    Raises:
        StoreError: it is damaged.
    """
    store = Store(paths.journal)
    try:
        Scheduler(store.records(), name=paths.name)
        for _ in store.newest_ended():
            pass
        store.read_submissions()
    finally:
        store.close()
