"""The names that a cell brings back, as cards and lines show them: with their sizes, and why others stayed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from taskfc_ext.protocol.resources import format_size
from taskfc_ext.text import one_line

_LARGE = 10**6
"""Bytes from which the size of a name is shown, as for names that are sent."""

_REASON = re.compile(r"it \((?P<what>.+?)\) cannot be pickled(?:: .*)?")


def describe_back(names: Mapping[str, Any]) -> str:
    """Return names with the sizes of the large ones, the largest first, modules last: `model (1.6 MB), n`."""
    sizes = {name: _size(value) for name, value in names.items()}
    order = sorted(
        names, key=lambda name: (isinstance(names[name], ModuleType), -sizes[name] * (sizes[name] >= _LARGE))
    )
    return ", ".join(f"{name} ({format_size(sizes[name])})" if sizes[name] >= _LARGE else name for name in order)


def describe_lost(lost: Mapping[str, str], quote: str = "") -> list[str]:
    """Return a phrase for each name that did not come back, with the reason in few words."""
    return [f"{quote}{name}{quote} did not come back: {few_words(why)}" for name, why in lost.items()]


def few_words(why: str) -> str:
    """Return the reason why a value cannot be pickled without what says so twice."""
    why = one_line(why)
    match = _REASON.fullmatch(why)
    return f"{match['what']} cannot be pickled" if match else why.removeprefix("it: ")


def _size(value: object) -> float:
    """Return the bytes of a value as far as they are known without pickling it; 0 else."""
    try:
        if isinstance(value, str | bytes | bytearray):
            return len(value)
        n_bytes: Any = getattr(value, "nbytes", None)
        if n_bytes is None and hasattr(value, "memory_usage"):  # of pandas
            n_bytes = value.memory_usage()
        n_bytes = n_bytes.sum() if hasattr(n_bytes, "sum") else n_bytes
        return float(n_bytes or 0)
    except Exception:  # noqa: BLE001 - the user's class
        return 0.0
