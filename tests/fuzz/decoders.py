"""Damaged frames into the decoders of all directions: each returns messages or raises `ProtocolError`, and at once."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

from taskfc_ext.drivers.memory import resident
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.codec import FrameDecoder
from tests.fuzz.mutate import Sample, damaged, make_sample
from tests.fuzz.outcome import MEMORY, Outcome, Progress, Report
from tests.fuzz.values import Maker, types_in

BATCH = 20_000
"""Frames that one seed makes; each batch is for one decoder."""

SAMPLES = 400
"""Whole frames for each decoder, of which the damaged ones are made."""

WEIGHTS = {"from_client": 6, "from_controller": 2, "from_worker": 3, "from_supervisor": 2}
"""Of the decoders that read what other processes send; each other one has 1."""

DECODERS: dict[str, FrameDecoder] = {
    name: value for name, value in sorted(vars(codec).items()) if isinstance(value, FrameDecoder)
}


@cache
def samples_of(name: str, seed: int) -> tuple[Sample, ...]:
    """Return whole frames for a decoder: each type of message, alone and several in one frame."""
    draw, maker, found = random.Random(f"{seed}/{name}"), Maker(), list[Sample]()
    kinds = types_in(DECODERS[name].union)
    while len(found) < SAMPLES:
        chosen = [kinds[len(found) % len(kinds)], *draw.choices(kinds, k=draw.choice((0, 0, 0, 1, 4)))]
        try:
            frame = codec.encode([maker.make(kind, draw) for kind in chosen])
            DECODERS[name].decode(frame)
        except (UnicodeEncodeError, ProtocolError):
            continue
        found.append(make_sample(frame))
    return tuple(found)


def run_batch(batch: int, n: int, seed: int) -> tuple[Outcome, int]:
    """Decode the frames of one batch; return its outcome and the memory of this process behind it."""
    draw, outcome = random.Random(f"{seed}/{batch}"), Outcome()
    names = list(DECODERS)
    name = draw.choices(names, [WEIGHTS.get(each, 1) for each in names])[0]
    samples, decode, clock = samples_of(name, seed), DECODERS[name].decode, time.thread_time
    n_messages = n_refused = longest = 0
    slowest = b""
    for _ in range(0, n, 200):
        frames = damaged(draw, samples, min(200, n))
        gc.collect(0)  # else it is counted for some frame
        before = clock()
        for kind, frame in frames:
            try:
                decode(frame)
                n_messages += 1
            except ProtocolError:
                n_refused += 1
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
                outcome.failures.append(f"case {batch}: {name}, {kind.__name__}: {text}: {frame[:200].hex()}")
                outcome.counts[name, "failure"] += 1
            now = clock()
            if now - before > longest:
                longest, slowest = now - before, frame
            before = now
    outcome.counts[name, "messages"] += n_messages
    outcome.counts[name, "refused"] += n_refused
    outcome.took(longest, f"case {batch}: {name}, {len(slowest):,} bytes: {slowest[:60].hex()}")
    return outcome, resident(os.getpid())


def run(*, n: int, seed: int, processes: int = 1, case: int | None = None, report: Report) -> Outcome:
    """Decode `n` damaged frames.

    Args:
        seed: batch `i` depends on `seed` and `i` only.
        processes: that work side by side.
        case: only the batch of this number.
        report: receives a line every few seconds.
    """
    outcome, progress = Outcome(), Progress(report)
    sizes = [BATCH] * (n // BATCH) + [n % BATCH] * (n % BATCH > 0)
    batches = range(len(sizes)) if case is None else [case]
    sizes = sizes if case is None else [BATCH]
    memory: list[int] = []
    for found, held in _each(batches, sizes, seed, processes):
        outcome.add(found)
        memory.append(held)
        progress.at(outcome.n_inputs, n, outcome, "frames")
    warm = memory[: max(1, len(memory) // 10)]
    outcome.growth = max(0, max(memory) - max(warm))
    outcome.figures["frames a second"] = f"{outcome.n_inputs / progress.seconds:,.0f}"
    grown, most = outcome.growth / 2**20, max(memory) / 2**20
    outcome.figures["memory"] = f"{most:.0f} MiB, {grown:.1f} MiB of these since the first tenth"
    if outcome.growth > MEMORY:
        outcome.failures.append(f"memory grows: {outcome.figures['memory']}")
    return outcome


def _each(batches: range | list[int], sizes: list[int], seed: int, processes: int) -> Iterator[tuple[Outcome, int]]:
    one = partial(run_batch, seed=seed)
    if processes == 1:
        yield from map(one, batches, sizes)
    else:
        with ProcessPoolExecutor(processes) as pool:
            yield from pool.map(one, batches, sizes)
