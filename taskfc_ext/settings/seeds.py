"""Seeds of the hidden generators of modules that may not be loaded yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

SEEDED = ("random", "numpy.random", "torch")
"""Modules with a hidden generator."""


def seed_loaded(seed: int, modules: Sequence[str]) -> tuple[str, ...]:
    """Seed the generators of those of `modules` that are loaded; return the others."""
    left = []
    for name in modules:
        module: Any = sys.modules.get(name)
        seed_it = getattr(module, "manual_seed" if name == "torch" else "seed", None)
        if seed_it is None:
            left.append(name)
        else:
            seed_it(seed)
    return tuple(left)
