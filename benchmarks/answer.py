"""Command line of a module with measures: `python -m benchmarks.measures.MODULE SYSTEM MEASURE N`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

Answer = dict[str, float]
"""Quantities and their values."""

Measure = Callable[[str, int], Answer]
"""Measures a system, by its name; `n` is the size of the work."""


def answer(*measures: Measure) -> None:
    """Run the measure that the command line names, and print its answer as one line of JSON."""
    system, name, n = sys.argv[1:]
    measure = {measure.__name__: measure for measure in measures}[name]
    print(json.dumps(measure(system, int(n))))
