"""The ids of workers, which are never used again."""

from __future__ import annotations

import time
from collections.abc import Callable

from taskfc_ext.drivers.files import replace_file
from taskfc_ext.drivers.paths import FarmPaths


def reserve_ids(paths: FarmPaths, n: int, *, log: Callable[[str], object]) -> int:
    """Reserve `n` worker ids in the store, before any of them is used; return the first.

    Args:
        log: gets a line if the file is damaged.
    """
    try:
        first = int(paths.next_worker.read_text())
    except FileNotFoundError:
        first = 0
    except ValueError:
        # damaged: continue with larger ids than any before, since ids must never be reused
        first = int(time.time())
        log(f"{paths.next_worker} is damaged; worker ids go on with {first}")
    replace_file(paths.next_worker, str(first + n).encode())
    return first
