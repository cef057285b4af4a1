"""The words for a farm's store in the terminal and in `%task`: what is kept, and for how long the farm runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, Protocol

from taskfc_ext.protocol.limits import MAX_DAYS
from taskfc_ext.protocol.options import DAY, HOUR, FarmOptions, age_text
from taskfc_ext.protocol.resources import format_size, parse_size
from taskfc_ext.view.argument import Argument, argument


class StoreWords(Protocol):
    """Parsed arguments that have the ones of `OF_STORE`; `None`: not given."""

    @property
    def store(self) -> str | None:
        """The place of tasks and results: `disk` or `memory`."""

    @property
    def keep_days(self) -> float | None:
        """Days for which finished tasks are kept; 0: for ever."""

    @property
    def keep_bytes(self) -> int | None:
        """Bytes that the store may take; 0: no limit."""

    @property
    def idle_stop(self) -> float | None:
        """Hours without use after which the farm stops; 0: never."""

    @property
    def durability(self) -> str | None:
        """What accepted tasks survive: `process` or `disk`."""


def _number_of(unit: str, *, such_as: int, at_most: float, zero: str) -> Callable[[str], float]:
    """Return the type of an argument that is a number of `unit`; `zero`: the meaning of 0."""

    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number <= at_most:
            takes = f"takes a number of {unit}, such as {such_as} or 0.5"
            raise argparse.ArgumentTypeError(f"{takes}, not {text!r}; 0: {zero}")
        return number

    return convert


_days = _number_of("days", such_as=7, at_most=MAX_DAYS, zero="for ever")
_hours = _number_of("hours", such_as=12, at_most=24 * MAX_DAYS, zero="never")


def _size(text: str) -> int:
    if text.strip() == "0":
        return 0
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"takes {error}; 0: no limit") from None


OF_STORE: tuple[Argument, ...] = (
    argument(
        "--store",
        help="keep tasks and results on the disk (the default), or in memory only: gone when the farm ends",
        metavar="disk|memory",
        choices=("disk", "memory"),
    ),
    argument("--keep-days", help="keep finished tasks for N days (7; 0: for ever)", metavar="N", type=_days),
    argument(
        "--keep-bytes", help="keep a store of up to so many bytes (10GB; 0: no limit)", metavar="SIZE", type=_size
    ),
    argument("--idle-stop", help="stop the farm after H hours without use (12; 0: never)", metavar="H", type=_hours),
    argument(
        "--durability",
        help="what accepted tasks survive: the death of any process, or of the disk's power too",
        metavar="process|disk",
        choices=("process", "disk"),
    ),
)
"""Options of `taskfc start` and `%task start`; what is not given, but `--store`, stays as it was at the last start."""


def store_arguments(words: StoreWords) -> dict[str, Any]:
    """Return the arguments of `start` for the options of a store; only what is given.

    Raises:
        ValueError: two of them exclude each other.
    """
    if words.store == "memory" and words.durability == "disk":
        raise ValueError("--store memory writes nothing to the disk, so it cannot have --durability disk")
    given = {
        "store": words.store,
        "keep_days": words.keep_days,
        "keep_bytes": words.keep_bytes,
        "idle_stop": words.idle_stop,
        "durability": words.durability,
    }
    return {name: value for name, value in given.items() if value is not None}


def limits_of(options: FarmOptions) -> dict[str, str | float | int]:
    """Return the limits of a farm by the names of `start`'s arguments; 0: no limit."""
    return {
        "store": "memory" if options.is_in_memory else "disk",
        "durability": "none" if options.is_in_memory else options.durability,
        "keep_days": options.keep_days,
        "keep_bytes": options.keep_bytes,
        "idle_stop": options.idle_stop,
    }


def describe_limits(options: FarmOptions) -> str:
    """Return the limits of a farm in words."""
    days = f"for {age_text(options.keep_days * DAY)}" if options.keep_days else "until they are cleared"
    room = f", in a store of up to {format_size(options.keep_bytes)}" if options.keep_bytes else ""
    hours = age_text(options.idle_stop * HOUR)
    idle = f"stops after {hours} without use" if options.idle_stop else "never stops by itself"
    if options.is_in_memory:
        room = f", in up to {format_size(options.keep_bytes)} of memory" if options.keep_bytes else ""
        return f"keeps tasks in memory only: they are gone when it ends; finished ones {days}{room}; {idle}"
    survives = "a power cut" if options.durability == "disk" else "the death of any process"
    return f"keeps finished tasks {days}{room}; {idle}; survives {survives}"
