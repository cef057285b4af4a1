"""The ids of workers, which are never used again."""

from __future__ import annotations

import time
from collections.abc import Callable

from taskfc_ext.drivers.files import replace_file
from taskfc_ext.drivers.paths import FarmPaths


def reserve_ids(paths: FarmPaths, n: int, *, log: Callable[[str], object], at_least: int = 0) -> int:
    """Reserve `n` worker ids in the store, before any of them is used; return the first.

    Args:
        paths: the files of the farm.
        n: the number of ids.
        log: gets a line if the file is damaged.
        at_least: the first id that may be free, if the file is missing: at the first start, or because it was removed.
    """
    try:
        first = int(paths.next_worker.read_text())
    except FileNotFoundError:
        first = at_least
    except ValueError:
        # damaged: continue with larger ids than any before, since ids must never be reused
        first = int(time.time())
        log(f"{paths.next_worker} is damaged; worker ids go on with {first}")
    replace_file(paths.next_worker, str(first + n).encode())
    return first


def restore_ids(paths: FarmPaths, first: int) -> bool:
    """Note again that ids from `first` on are free, if a task has removed the file; return whether it had.

    Raises:
        OSError: the store's folder cannot be written.
    """
    if paths.next_worker.exists():
        return False
    replace_file(paths.next_worker, str(first).encode())
    return True
