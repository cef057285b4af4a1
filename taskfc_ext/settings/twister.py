"""Cheap check whether a Mersenne Twister was seeded, for use after each attempt.

The generator holds 624 words, which change all at once: when it is seeded, or when they are used up. So two of them
show a change. The public interface returns the whole state, which costs 10 us.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any


def quick_read(address: int, words: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that reads two words of a generator's state.

    Args:
        address: the address of the second word; 0 if it is not known.
        words: returns the second and the third word by the public interface.
    """
    if address:
        raw = ctypes.c_uint64.from_address(address)
        if (raw.value & 0xFFFFFFFF, raw.value >> 32) == tuple(words()):
            return lambda: raw.value
    return words


def quick_read_of_random() -> Callable[[], Any]:
    """Return `quick_read` of the generator behind `random.random`."""
    hidden: Any = vars(random)["_inst"]
    # an int and the words follow the head of the object
    address = id(hidden) + object.__basicsize__ + 8
    return quick_read(address, lambda: hidden.getstate()[1][1:3])
