"""`taskfc doctor`: everything about the store of one farm, and whether it is whole."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from taskfc_ext.cli.output import print_json
from taskfc_ext.client.attach import attach_to_running
from taskfc_ext.client.farm.launch import LocalFarm, require_known, stored_options
from taskfc_ext.controller.repair import foresee_losses
from taskfc_ext.drivers.connection_file import boot_id
from taskfc_ext.drivers.examination import Examination, examine
from taskfc_ext.drivers.files import try_lock
from taskfc_ext.drivers.paths import FarmPaths, network_file_system
from taskfc_ext.drivers.room import LOW, free_bytes, megabytes
from taskfc_ext.drivers.survey import Sizes, find_exposed, find_lock_holder, measure
from taskfc_ext.errors import TaskFCError
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.text import one_line, plural, table
from taskfc_ext.view.store_words import limits_of
from taskfc_ext.view.wording import GONE

_AT_MOST = 50
"""Lines of one kind that are printed; `--json` has all."""


@dataclass(frozen=True)
class Diagnosis:
    """Everything about one store.

    Attributes:
        state: of the farm: running, stopped or dead.
        paths: its files.
        is_locked: a process holds the lock; `holder`: which, if that is known.
        found: what is in the store.
        foreseen: losses that a repair would name; `None`: there is nothing to repair, or the farm is not stopped.
        sizes: of the files.
        exposed: files that are not this user's alone.
        options: of the last start; `None`: not known.
        repairs: of a running farm's state; `None`: it does not run or does not answer.
    """

    state: str
    paths: FarmPaths
    is_locked: bool
    holder: int | None
    found: Examination
    foreseen: tuple[str, ...] | None
    sizes: Sizes
    exposed: list[str]
    options: FarmOptions | None
    repairs: int | None


def doctor(arguments: argparse.Namespace) -> int:
    """Examine a store; the exit code tells whether it is whole."""
    name = arguments.farm or arguments.name
    require_known(name)
    diagnosis = _diagnose(name)
    if arguments.json:
        print_json(_facts(name, diagnosis))
    else:
        print(_text(name, diagnosis))
    return 0 if diagnosis.found.is_whole else 1


def _diagnose(name: str) -> Diagnosis:
    farm = LocalFarm(name)
    state = farm.condition().word
    paths = farm.current_paths()
    if state != "running":
        paths = replace(paths, memory=None)  # what was there is gone
    with _hold(paths) as is_held:
        found = examine(paths.journal, is_idle=is_held)
        return Diagnosis(
            state=state,
            paths=paths,
            is_locked=not is_held,
            holder=None if is_held else find_lock_holder(paths.lock),
            found=found,
            foreseen=foresee_losses(paths) if found.damages and is_held else None,
            sizes=measure(paths),
            exposed=find_exposed(paths),
            options=stored_options(paths),
            repairs=_count_repairs(name) if state == "running" else None,
        )


@contextmanager
def _hold(paths: FarmPaths) -> Iterator[bool]:
    """Keep a farm from starting meanwhile; yields `False` if a process holds the lock already."""
    try:
        lock = os.open(paths.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # it has never started
        yield True
        return
    try:
        yield try_lock(lock, shared=True)
    finally:
        os.close(lock)


def _count_repairs(name: str) -> int | None:
    try:
        with attach_to_running(name) as client:
            return client.repairs()
    except TaskFCError:
        return None


def _witness_word(found: Examination) -> str:
    if found.note is None:
        return "none"
    if found.note.synced:
        return "on the disk"
    return "this boot" if found.note.boot == boot_id() else "an earlier boot"


def _facts(name: str, diagnosis: Diagnosis) -> dict[str, object]:
    found, options, folder = diagnosis.found, diagnosis.options, diagnosis.paths.data
    return {
        "name": name,
        "state": diagnosis.state,
        "whole": found.is_whole,
        "damages": [*found.damages, *found.lost_files],
        "repair_would_lose": None if diagnosis.foreseen is None else list(diagnosis.foreseen),
        "notes": _notes(diagnosis),
        "store": str(folder),
        "schema": found.version,
        "records": found.n_records,
        "payload_files": found.n_files,
        "bytes": asdict(diagnosis.sizes),
        "free": free_bytes(folder),
        "network_file_system": network_file_system(folder) or None,
        "options": None if options is None else limits_of(options),
        "witness": _witness_word(found),
        "locked": diagnosis.is_locked,
        "lock_holder": diagnosis.holder,
        "repairs": diagnosis.repairs,
        "exposed": diagnosis.exposed,
    }


def _notes(diagnosis: Diagnosis) -> list[str]:
    """Return the facts that are no damage and need attention."""
    folder, notes = diagnosis.paths.data, list(diagnosis.found.notes)
    place = "memory" if diagnosis.paths.memory else "disk"
    if diagnosis.paths.note:
        notes.append(diagnosis.paths.note)
    if diagnosis.paths.memory is None and diagnosis.options is not None and diagnosis.options.is_in_memory:
        notes.append(f"this is its store on the disk; when it ran last, {GONE}")
    if file_system := network_file_system(folder):
        notes.append(f"the store is on a network file system ({file_system}), whose locks are not reliable")
    if (free := free_bytes(folder)) < LOW:
        notes.append(f"the {place} is full ({megabytes(free)} free): nothing new is accepted, results wait")
    if diagnosis.state == "running" and not diagnosis.sizes.reserve:
        notes.append(f"the reserve is given back: the {place} is or was full")
    if diagnosis.state != "running" and diagnosis.is_locked:
        notes.append(f"a process that is no running farm holds {diagnosis.paths.lock}")
    if diagnosis.repairs:
        notes.append(
            f"{plural(diagnosis.repairs, 'contradiction')} in the farm's state repaired: please report the lines in "
            f"{diagnosis.paths.controller_log}"
        )
    return notes


def _text(name: str, diagnosis: Diagnosis) -> str:
    found = diagnosis.found
    n_damages = len(found.damages) + len(found.lost_files)
    verdict = "the store is whole" if found.is_whole else f"the store is not whole: {plural(n_damages, 'damage')}"
    first, *rows = _rows(diagnosis)
    parts = [f"{name}: {diagnosis.state}, {verdict}", table(rows, first)]
    if found.damages:
        repair = f"taskfc repair {name}"
        how = f"repair: {repair}" if diagnosis.state == "stopped" else f"stop the farm, then: {repair}"
        parts.append(_list(f"damaged ({how})", found.damages))
    if diagnosis.foreseen is not None:
        parts.append(_list("a repair would lose", diagnosis.foreseen or ["nothing"]))
    if found.lost_files:
        parts.append(_list("lost payloads (a task without one fails; a value without one is gone)", found.lost_files))
    if notes := _notes(diagnosis):
        parts.append(_list("notes", notes))
    if diagnosis.exposed:
        parts.append(_list("files that are not this user's alone", diagnosis.exposed))
    return "\n\n".join(parts)


def _list(title: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _AT_MOST} more: see --json"] if len(lines) > _AT_MOST else []
    return "\n".join([f"{title}:", *(f"  {one_line(line)}" for line in lines[:_AT_MOST]), *more])


def _rows(diagnosis: Diagnosis) -> list[list[str]]:
    found, sizes, folder = diagnosis.found, diagnosis.sizes, diagnosis.paths.data
    aside = f"{plural(len(sizes.aside), 'store')}, {megabytes(sum(sizes.aside.values()))}"
    file_system = network_file_system(folder) or "local"
    place = "memory" if diagnosis.paths.memory else "disk"
    reserve = f"reserve {megabytes(sizes.reserve)}" if sizes.reserve else "no reserve"
    holder = "" if diagnosis.holder is None else f" by process {diagnosis.holder}"
    rows = [
        ["store", f"{one_line(folder)}, in memory only" if diagnosis.paths.memory else one_line(folder)],
        ["schema", str(found.version) if found.version else "none yet"],
        ["records", f"{found.n_records:,}"],
        ["journal", f"{megabytes(sizes.journal)}, log {megabytes(sizes.log)}"],
        ["payload files", f"{found.n_files:,}, {megabytes(sizes.payloads)}"],
        ["uploads", megabytes(sizes.uploads)],
        ["put aside", aside],
        [place, f"{file_system}, {megabytes(free_bytes(folder))} free, {reserve}"],
        *_option_rows(diagnosis.options),
        ["last commit noted", _witness_word(found)],
        ["lock", f"held{holder}" if diagnosis.is_locked else "free"],
        ["files", "this user's alone" if not diagnosis.exposed else f"{len(diagnosis.exposed)} open to others"],
    ]
    if diagnosis.state == "running":
        rows.append(["repairs", "unknown: no answer" if diagnosis.repairs is None else str(diagnosis.repairs)])
    return rows


def _option_rows(options: FarmOptions | None) -> list[list[str]]:
    if options is None:
        return [["options", "not known"]]
    days = (
        f"{plural(round(options.keep_days), 'day')}" if options.keep_days.is_integer() else f"{options.keep_days} days"
    )
    kept = days if options.keep_days else "for ever"
    size = f"up to {megabytes(options.keep_bytes)}" if options.keep_bytes else "no limit of bytes"
    idle = f"after {options.idle_stop:g} h without use" if options.idle_stop else "never"
    return [["durability", str(limits_of(options)["durability"])], ["kept", f"{kept}, {size}"], ["idle stop", idle]]
