"""Seeding of the modules' global random generators."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

SEEDED = ("random", "numpy.random", "torch")
"""Modules with a global generator."""


def seed_loaded(seed: int, modules: Sequence[str]) -> tuple[str, ...]:
    """Seed the generators of the loaded ones of `modules`; return the modules that are not loaded yet."""
    left = []
    for name in modules:
        module: Any = sys.modules.get(name)
        seed_it = getattr(module, "manual_seed" if name == "torch" else "seed", None)
        if seed_it is None:
            left.append(name)
        else:
            seed_it(seed)
    return tuple(left)
