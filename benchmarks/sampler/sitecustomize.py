"""Samples where one process of a farm spends its CPU time. Python imports it at start, by its name, from PYTHONPATH.

A timer of CPU time interrupts the process every few milliseconds of computing, and the stack of that moment is counted:
far cheaper than a tracing profiler, which would make cheap calls look dear. Only the process whose command line
contains `TASKFC_SAMPLE` is sampled; its counts go to the file `TASKFC_SAMPLE_FILE`, twice a second.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import FrameType

INTERVAL = 0.001  # s of CPU time; the kernel makes it one of its own ticks, often 4 ms
WRITE_EVERY = 0.5  # s: the process may be ended by a signal, so nothing can be left for its exit


def sample(path: str) -> None:
    """Count stacks from now on, and keep the counts in the file `path`."""
    counts: Counter[str] = Counter()
    written = time.monotonic()

    def count(number: int, frame: FrameType | None) -> None:
        nonlocal written
        stack = []
        while frame is not None:
            stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        counts[";".join(stack)] += 1
        if time.monotonic() - written > WRITE_EVERY:
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump(counts, file)
            os.replace(path + ".new", path)
            written = time.monotonic()

    block = signal.pthread_sigmask

    def block_others(how: int, mask: Iterable[int]) -> set[int]:
        """Set the mask without our timer's signal: the controller blocks all signals, and reads them from a queue."""
        return block(how, set(mask) - {signal.SIGPROF})

    signal.pthread_sigmask = block_others
    block(signal.SIG_UNBLOCK, {signal.SIGPROF})  # the supervisor's block is inherited
    signal.signal(signal.SIGPROF, count)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)  # Python restores the signal's default, which kills


if os.environ.get("TASKFC_SAMPLE", "\0") in " ".join(sys.orig_argv):
    sample(os.environ["TASKFC_SAMPLE_FILE"])
