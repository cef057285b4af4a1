"""Arguments, named values and results.

Plain pickle serves where it cannot differ from cloudpickle: it costs 0.3 us a call, cloudpickle 13.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskfc_ext.errors import UnpicklableArgument, UnpicklableResult
from taskfc_ext.serialize.blame import complaint, first_complaint
from taskfc_ext.serialize.code_names import NotingPickler
from taskfc_ext.serialize.exceptions import Exceptions, WithChains

PICKLE_PROTOCOL = 5

ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})
"""Types whose values have no parts and never change."""

_dumps = pickle.dumps
_loads = pickle.loads


@dataclass(frozen=True, slots=True)
class InputRef:
    """Stands for the result of the `index`-th input task, as a whole argument."""

    index: int


@dataclass(frozen=True)
class SourceResult:
    """What a string task or a cell has brought: it tells itself apart from the value of a function.

    Attributes:
        value: of a cell's last expression; `None` for a string task.
        ns: the names that were asked back, in that order.
    """

    value: object
    ns: dict[str, Any]
    is_cell: bool

    @property
    def as_input(self) -> object:
        """What another task gets that has this one's future as an argument: a cell's value, a string task's names."""
        return self.value if self.is_cell else self.ns


def pickled(value: object) -> bytes:
    """Return `value` pickled; raises whatever its own code raises."""
    if type(value) in ATOMS:
        return _dumps(value, PICKLE_PROTOCOL)
    chains = WithChains()
    try:
        return pickled_with(value, chains)
    except Exception:
        if not chains.met_chains:
            raise
    return pickled_with(value, Exceptions())  # what an exception came of keeps nothing else from travelling


def pickled_with(value: object, exceptions: Exceptions) -> bytes:
    """Return `value` pickled, with the exceptions in it reduced like this; raises whatever its own code raises."""
    file = io.BytesIO()
    pickler = NotingPickler(file, PICKLE_PROTOCOL)
    pickler.exceptions = exceptions
    pickler.dump(value)
    return file.getvalue()


RETURN_INSTEAD = "return what can be pickled instead: plain data, arrays, or the path of a file that the task writes"


def dump_value(value: object, *, what: str) -> bytes:
    """Return `value` pickled, with what `__main__` defines in it by value.

    Args:
        value: anything.
        what: how messages call it, as in "the result of fit".

    Raises:
        UnpicklableResult: it cannot be pickled; the message names the part that cannot.
    """
    if type(value) in ATOMS:
        return _dumps(value, PICKLE_PROTOCOL)
    try:
        return pickled(value)
    except Exception as error:
        raise UnpicklableResult(complaint(what, value, error), hint=RETURN_INSTEAD) from error


def load_value(body: bytes) -> object:
    """Return the value in `body`; raises whatever its own code raises."""
    return _loads(body)


def dump_call(args: tuple[object, ...], kwargs: Mapping[str, object], *, what: str) -> bytes:
    """Return the arguments of one call pickled; a result of another task is an `InputRef` in place of an argument.

    Args:
        args: the positional arguments.
        kwargs: the named ones.
        what: how messages call the function.

    Raises:
        UnpicklableArgument: one of them cannot be pickled; the message names it.
    """
    if not kwargs:
        for argument in args:
            if type(argument) not in ATOMS:
                break
        else:
            return _dumps((args, None), PICKLE_PROTOCOL)
    try:
        return pickled((args, dict(kwargs) or None))
    except Exception as error:
        named = [(f"argument {i} of {what}", value) for i, value in enumerate(args, 1)]
        named += [(f"argument `{name}` of {what}", value) for name, value in kwargs.items()]
        raise UnpicklableArgument(first_complaint(named, error)) from error


def load_call(body: bytes, inputs: Sequence[bytes] = ()) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return (args, kwargs); each `InputRef` among them becomes the value of that input."""
    args, kwargs = _loads(body)
    if inputs:
        args = tuple([_resolved(value, inputs) for value in args])
        kwargs = kwargs and {name: _resolved(value, inputs) for name, value in kwargs.items()}
    return args, kwargs or {}


def dump_names(names: Mapping[str, object], out: Sequence[str], *, what: str) -> bytes:
    """Return the body of a string task or a cell: values that go in, by name, and the names that come back.

    Raises:
        UnpicklableArgument: one of the values cannot be pickled; the message gives its name.
    """
    try:
        return pickled((dict(names), tuple(out)))
    except Exception as error:
        named = [(f"the name `{name}` given to {what}", value) for name, value in names.items()]
        raise UnpicklableArgument(first_complaint(named, error)) from error


def load_names(body: bytes, inputs: Sequence[bytes] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return (values that go in, names that come back); each `InputRef` becomes the value of that input."""
    names, out = _loads(body)
    return {name: _resolved(value, inputs) for name, value in names.items()}, tuple(out)


def _resolved(value: object, inputs: Sequence[bytes]) -> object:
    if type(value) is not InputRef:
        return value
    result = load_value(inputs[value.index])
    return result.as_input if type(result) is SourceResult else result
