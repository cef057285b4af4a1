"""Pickling of random generators.

The global generator of a module (behind `random.random` or `numpy.random.rand`) is pickled by reference, and so are its
methods, however they were imported. Each worker has its own, so no two tasks draw the same numbers. A generator that
the user has made is pickled with its state. Two tasks that start with it in the same state draw the same numbers, which
is seldom intended, so there is one warning.
"""

from __future__ import annotations

import pickle
import random
import sys
import warnings
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from taskfc_ext.errors import RepeatedStreamWarning
from taskfc_ext.serialize import scope

_HIDDEN = {
    "random": "_inst",
    "numpy.random.mtrand": "_rand",
    "torch": "default_generator",
}
"""The global generator of each module."""

_KINDS = {
    "numpy.random": ("Generator", "RandomState"),
    "torch": ("Generator",),
}
"""The generator types of modules that may not be loaded."""

_MAX_KNOWN = 256
"""Largest number of remembered generators."""

carried: list[Any] = []
"""Generators pickled with their state since the start of a submission or the last call of `report_repeats`."""

_known: dict[int, tuple[Any, int | None, bool]] = {}
"""By id: the generator, held so that the id stays unique; the state at the start of a task; whether it was reported."""


def _reduce(generator: Any) -> Any:
    """Reduce a generator, for a pickler's `dispatch_table`."""
    for module, name in _HIDDEN.items():
        if generator is getattr(sys.modules.get(module), name, None):
            return _hidden, (module, name)
    if scope.host() is None:  # else it is returned by a task
        carried.append(generator)
    return generator.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _hidden(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


TABLE: dict[type, Callable[[Any], Any]] = {random.Random: _reduce}
"""Part of the `dispatch_table` of this package's picklers."""

_unlearned = dict(_KINDS)


def learn_types() -> None:
    """Add the types of modules imported since the last call to `TABLE`."""
    if _unlearned:
        for module in [module for module in _unlearned if module in sys.modules]:
            found = [getattr(sys.modules[module], name, None) for name in _unlearned[module]]
            if None not in found:  # else the module is partly imported
                TABLE.update(dict.fromkeys([kind for kind in found if kind is not None], _reduce))
                del _unlearned[module]


def report_repeats(n_tasks: int = 1) -> None:
    """Warn, once for each generator, when a task starts with it in the same state as the last task. Clears `carried`.

    Args:
        n_tasks: the number of tasks that get the generators in `carried`.
    """
    for generator in {id(generator): generator for generator in carried}.values():
        state = hash(pickle.dumps(_state(generator), pickle.HIGHEST_PROTOCOL))
        _, before, was_reported = _known.get(id(generator), (generator, None, False))
        is_repeated = n_tasks > 1 or before == state
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[id(generator)] = generator, state, was_reported or is_repeated
        if is_repeated and not was_reported:
            carried.clear()
            warnings.warn(_text(generator), RepeatedStreamWarning, stacklevel=level_of_caller())
    carried.clear()


def _state(generator: Any) -> Any:
    for read in (attrgetter("bit_generator.state"), attrgetter("state")):
        try:
            return read(generator)
        except AttributeError:
            continue
    for name in ("getstate", "get_state"):
        if hasattr(generator, name):
            state = getattr(generator, name)()
            return state.numpy().tobytes() if hasattr(state, "numpy") else state
    return generator.__reduce_ex__(pickle.HIGHEST_PROTOCOL)[1:]


def _text(generator: Any) -> str:
    kind = type(generator)
    how = {
        "Generator": "one of `rng.spawn(n)` for each of n tasks",
        "Random": "`random.Random(seed)` made in the task, with a seed for each item",
    }.get(kind.__name__, "a generator made in the task, with a seed for each item")
    name = f"{kind.__module__.partition('._')[0]}.{kind.__name__}"
    return (
        f"two tasks start with the same {name} in the same state and draw the same numbers; "
        f"give each task its own stream: {how}"
    )


def level_of_caller() -> int:
    """Return the `stacklevel` of the first frame outside this package, for a warning by the calling function."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "taskfc_ext":
        level, frame = level + 1, frame.f_back
    return level
