"""Damaged files of a farm: connection file, lock file, options, count of stops; and images of its store.

A damaged connection file must lead to no farm, to the farm itself, or to an error of one sentence; never to another
process, which might then be signalled, and never to another file, which might then be removed.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import msgspec

from taskfc_ext.client.farm.launch import stored_options
from taskfc_ext.client.farm.silence import end_controller, resume_suspended
from taskfc_ext.drivers.connection_file import (
    ConnectionInfo,
    boot_id,
    identity_of,
    last_connection,
    process_started,
    read_connection,
    remove_connection,
    write_connection,
)
from taskfc_ext.drivers.paths import FarmPaths, farm_paths, prepare
from taskfc_ext.drivers.stops import count_stops
from taskfc_ext.errors import FarmError
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.supervisor.takeover import settle_options
from tests.damage.harness import run as run_damage
from tests.fuzz import mutate
from tests.fuzz.outcome import Outcome, Progress, Report
from tests.homes import new_home

BYTES_DAMAGED = (
    mutate.bits_flipped, mutate.bytes_changed, mutate.cut, mutate.part_removed, mutate.part_doubled,
    mutate.part_inserted, mutate.spliced, mutate.noise,
)  # fmt: skip

ODD = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, 1e308, "", "x", "\x00", "a\x00b", "/", ".", "/nowhere",
    "x" * 5000, "\ud7ff", [], [[]], {}, {"a": 1}, os.getpid(), "/proc/self/fd", "dask", "disk",
)  # fmt: skip
"""Process 1 is another one. This one's parent is not among them: where both have started in the same tick of the
system's clock, of 10 ms, nothing tells them apart but their numbers."""

N_STORES = 200
"""Each so-many-th case damages the image of a store, which takes long."""


class Wrong(Exception):
    """A damaged file has led to the wrong thing."""


def info_of(paths: FarmPaths) -> ConnectionInfo:
    """Return the connection file of a farm whose processes are this one."""
    pid = os.getpid()
    started = process_started(pid)
    assert started is not None
    return ConnectionInfo(
        name="default", protocol=PROTOCOL, version="0", host=os.uname().nodename, boot_id=boot_id(), pid=pid,
        pid_started=started, supervisor_pid=pid, supervisor_started=started, clients=str(paths.clients),
        python="/usr/bin/python3", store=str(paths.store),
    )  # fmt: skip


def options_of() -> FarmOptions:
    """Return options with all that they may have."""
    return FarmOptions(
        n_workers=2, python="/usr/bin/python3", cwd="/tmp", sys_path=("/tmp", ""), properties={"gpu": [1, "x"]},
        resources={"licence": 2}, durability="disk",
    )  # fmt: skip


def run(*, n: int, seed: int, case: int | None = None, report: Report) -> Outcome:
    """Damage `n` files, one in `N_STORES` of them a store; case `i` depends on `seed` and `i` only."""
    outcome, progress = Outcome(), Progress(report)
    with new_home(in_memory=True):
        paths = farm_paths("default")
        prepare(paths)
        for number in range(n) if case is None else [case]:
            run_case(paths, seed, number, outcome)
            progress.at(number + 1, n, outcome, "files")
    if case is None and n >= N_STORES:
        with tempfile.TemporaryDirectory() as folder:
            stores = run_damage(Path(folder), cases=n // N_STORES, seed=seed, report=report)
        for (_, end), count in stores.counts.items():
            outcome.counts["image of a store", end] += count
        outcome.failures += stores.violations
    return outcome


def run_case(paths: FarmPaths, seed: int, number: int, outcome: Outcome) -> None:
    """Damage one file, and read it as all of its readers do."""
    draw = random.Random(f"{seed}/{number}")
    name, (prepare_file, read) = draw.choice(list(FILES.items()))
    path = prepare_file(paths, draw)
    content = damage(draw, path)
    what = f"case {number}: {name}: {content[:300]!r}"
    before = time.thread_time()
    try:
        end = read(paths)
    except Exception as error:
        end = "failure"
        outcome.failures.append(f"{type(error).__name__}: {error}: {what}")
    outcome.took(time.thread_time() - before, what)
    outcome.counts[name, end] += 1
    if path.is_dir():
        path.rmdir()


def damage(draw: random.Random, path: Path) -> bytes:
    """Damage one file; return its new content."""
    content = path.read_bytes()
    choice = draw.random()
    if choice < 0.02:
        path.unlink()
        path.mkdir()
        return b"a folder"
    if choice < 0.04:
        path.unlink()
        path.symlink_to(path)
        return b"a link to itself"
    if choice < 0.55 and content.startswith(b"{"):
        tree = msgspec.json.decode(content)
        places = mutate.places_in(tree)
        for _ in range(draw.choice((1, 1, 2, 3))):
            place, key = draw.choice(places)
            place[key] = draw.choice(ODD)
        content = msgspec.json.encode(tree)
    else:
        for _ in range(draw.choice((1, 1, 1, 3))):
            sample = mutate.Sample(content or b"x", None, ())
            content = draw.choice(BYTES_DAMAGED)(draw, sample, sample)
    path.write_bytes(content)
    return content


def _connection(paths: FarmPaths, draw: random.Random) -> Path:
    _clean(paths)
    write_connection(paths, info_of(paths))
    if draw.random() < 0.5:
        paths.lock.write_bytes(b"")
    return paths.connection_file


def _lock(paths: FarmPaths, draw: random.Random) -> Path:
    _connection(paths, draw)
    write_connection(paths, info_of(paths))
    if draw.random() < 0.5:
        paths.connection_file.unlink()
    return paths.lock


def _options(paths: FarmPaths, draw: random.Random) -> Path:
    _clean(paths)
    paths.options.write_bytes(msgspec.json.encode(options_of()))
    return paths.options


def _stops(paths: FarmPaths, draw: random.Random) -> Path:
    _clean(paths)
    paths.stops.write_text(draw.choice(("1", "42")))
    return paths.stops


def _clean(paths: FarmPaths) -> None:
    for path in (paths.connection_file, paths.lock, paths.options, paths.stops):
        path.unlink(missing_ok=True)


def _read_connection(paths: FarmPaths) -> str:
    signalled: list[int] = []
    with patch("os.kill", lambda pid, number: signalled.append(pid)):
        try:
            info = read_connection("default")
            end = "no farm"
            if info is not None:
                end = "the farm"
                resume_suspended(info)
                end_controller(info)
                identity_of(info)
                signalled.append(info.supervisor_pid)  # what `stop` sends SIGTERM if the farm does not understand it
        except FarmError as error:
            end = "an error"
            if not error.message or "Traceback" in error.message:
                raise Wrong("an error that says nothing") from error
        last_connection(paths)
    if set(signalled) - {os.getpid()}:
        raise Wrong(f"another process would be signalled: {signalled}")
    before = _files(paths)
    with_lock = paths.lock.is_file() and not paths.lock.is_symlink()
    if with_lock:  # else no supervisor gets so far: it has locked the file
        remove_connection(paths)
    if gone := before - _files(paths) - {paths.connection_file}:
        raise Wrong(f"another file was removed: {gone}")
    return end


def _files(paths: FarmPaths) -> set[Path]:
    return {path for path in Path(os.environ["XDG_STATE_HOME"]).parent.rglob("*") if not path.is_dir()}


def _read_options(paths: FarmPaths) -> str:
    found = stored_options(paths)
    try:
        options = settle_options(paths, b"")
    except FarmError as error:
        if found is not None or not error.message:
            raise Wrong("the readers do not agree") from error
        return "an error"
    if options != found:
        raise Wrong("the readers do not agree")
    return "options"


def _read_stops(paths: FarmPaths) -> str:
    count_stops(paths)
    return "a number"


FILES: dict[str, tuple[Callable[[FarmPaths, random.Random], Path], Callable[[FarmPaths], str]]] = {
    "connection file": (_connection, _read_connection),
    "lock file": (_lock, _read_connection),
    "options": (_options, _read_options),
    "count of stops": (_stops, _read_stops),
}
"""Each kind of file: a function that writes it whole, and its readers, which return how it ends."""
