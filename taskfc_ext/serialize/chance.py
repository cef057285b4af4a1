"""Generators of random numbers on their way to tasks.

The hidden generator of a module (that behind `random.random` or `numpy.random.rand`) travels by name, and with it the
functions that are its methods, however they were imported: each worker has one of its own, and no two tasks draw the
same numbers. A generator that the user has made travels as it is, with its state; of two tasks that both begin with it
as it is now, both draw the same. That is what was asked for, and seldom what was meant, so it is said once.
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
"""The hidden generator of each module."""

_KINDS = {
    "numpy.random": ("Generator", "RandomState"),
    "torch": ("Generator",),
}
"""The types of generators of modules that may not be loaded."""

_MAX_KNOWN = 256
"""Generators that are remembered."""

carried: list[Any] = []
"""Generators that were pickled with their state since a submission began, or since `report_repeats` was called."""

_known: dict[int, tuple[Any, int | None, bool]] = {}
"""By id: a generator, held so that the id is no other's; the state that a task began with; whether it was said."""


def _reduce(generator: Any) -> Any:
    """Return how a generator is pickled, for a pickler's `dispatch_table`."""
    for module, name in _HIDDEN.items():
        if generator is getattr(sys.modules.get(module), name, None):
            return _hidden, (module, name)
    if scope.host() is None:  # else it is a task's own, which goes back
        carried.append(generator)
    return generator.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _hidden(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


TABLE: dict[type, Callable[[Any], Any]] = {random.Random: _reduce}
"""Part of the `dispatch_table` of our picklers."""

_unlearned = dict(_KINDS)


def learn_types() -> None:
    """Take the types of modules that were imported meanwhile into `TABLE`."""
    if _unlearned:
        for module in [module for module in _unlearned if module in sys.modules]:
            found = [getattr(sys.modules[module], name, None) for name in _unlearned[module]]
            if None not in found:  # else it is half imported
                TABLE.update(dict.fromkeys([kind for kind in found if kind is not None], _reduce))
                del _unlearned[module]


def report_repeats(n_tasks: int = 1) -> None:
    """Warn, once for each generator, when a second task begins with it in the same state as the last one.

    Args:
        n_tasks: how many tasks get the generators in `carried`, which is empty afterwards.
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
        f"two tasks begin with the same {name} in the same state, and draw the same numbers from it; to draw "
        f"others in each, give it a stream of its own: {how}"
    )


def level_of_caller() -> int:
    """Return the `stacklevel`, for a warning of the function that calls this, of the first frame that is not ours."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "taskfc_ext":
        level, frame = level + 1, frame.f_back
    return level
