"""Whether a generator was seeded, at a price that each attempt can pay.

A Mersenne Twister holds 624 words, which change all at once: when it is seeded, or when they are used up. Two of them
tell that something of the kind has happened; the whole state, which is what there is an interface for, costs 10 us.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any

_Words = Callable[[], Any]


class Twister:
    """Two words of a generator's state.

    Args:
        address: of its second word; 0 where that is not known.
        words: returns the second and the third by way of the public interface.
    """

    def __init__(self, address: int, words: _Words) -> None:
        self.read: _Words = words
        if address:
            raw = ctypes.c_uint64.from_address(address)
            found = raw.value
            if (found & 0xFFFFFFFF, found >> 32) == tuple(words()):
                self.read = lambda: raw.value

    @classmethod
    def of_module_random(cls) -> Twister:
        """Return that of the generator behind `random.random`."""
        hidden: Any = vars(random)["_inst"]
        # after the head of an object come an int and the words
        address = id(hidden) + object.__basicsize__ + 8
        return cls(address, lambda: hidden.getstate()[1][1:3])
