"""Whether a generator was seeded, at a price that each attempt can pay.

A Mersenne Twister holds 624 words, which change all at once: when it is seeded, or when they are used up. Two of them
tell that something of the kind has happened; the whole state, which is what there is an interface for, costs 10 us.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any


def quick_read(address: int, words: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that reads two words of a generator's state.

    Args:
        address: of its second word; 0 where that is not known.
        words: returns the second and the third by way of the public interface.
    """
    if address:
        raw = ctypes.c_uint64.from_address(address)
        if (raw.value & 0xFFFFFFFF, raw.value >> 32) == tuple(words()):
            return lambda: raw.value
    return words


def quick_read_of_random() -> Callable[[], Any]:
    """Return `quick_read` of the generator behind `random.random`."""
    hidden: Any = vars(random)["_inst"]
    # after the head of an object come an int and the words
    address = id(hidden) + object.__basicsize__ + 8
    return quick_read(address, lambda: hidden.getstate()[1][1:3])
