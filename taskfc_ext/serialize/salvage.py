"""Partial loading of a pickle of which some parts cannot be rebuilt. Slow: it runs only after a failure.

It uses Python's own unpickler, which is written in Python. A part that raises is replaced by a stand-in that holds the
reason, and the content of that part is dropped.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn

from taskfc_ext.serialize.blame import describe_error
from taskfc_ext.serialize.bodies import Received, split_body

_pickle: Any = pickle
_Unpickler: Any = _pickle._Unpickler


class Broken:
    """Stand-in for a part that could not be rebuilt; a part built from it is broken too."""

    def __init__(self, reason: str) -> None:
        self.__dict__["_reason"] = reason

    def __setstate__(self, state: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Broken:
        return self

    append = extend = update = add = __setitem__ = __call__

    def __setattr__(self, name: str, value: object) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> NoReturn:
        raise CannotRebuild(self.__dict__["_reason"])


class CannotRebuild(Exception):
    """Raised for a broken part, with the reason."""


class _Salvager(_Unpickler):  # type: ignore[misc]  # a private class, without types
    """Unpickler that puts a `Broken` wherever code called by the pickle raises."""

    dispatch = dict(_Unpickler.dispatch)
    failed_call: tuple[Broken, object] | None = None
    """The stand-in for the last call that raised, and the first argument of that call."""

    def replace_half_built(self, value: object, broken: Broken) -> None:
        """Replace an object that could not be filled by `broken` in the rest of the pickle."""
        for place, known in list(self.memo.items()):
            if known is value:
                self.memo[place] = broken

    def load_pop(self) -> None:
        """Drop the last value. If it is the result of a failed setter of an object's state, the object is broken.

        A pickle calls such a setter with the object below on the stack, and drops the result.
        """
        top = self.stack[-2:]
        _Unpickler.dispatch[pickle.POP[0]](self)
        if len(top) == 2 and self.failed_call is not None:
            broken, first = self.failed_call
            if top[1] is broken and top[0] is first:
                self.stack[-1] = broken
                self.replace_half_built(first, broken)

    dispatch[pickle.POP[0]] = load_pop


def _guard(opcode: bytes, n_arguments: int) -> None:
    """Make an opcode that raises replace the values that it takes from the stack by one `Broken`."""
    inherited = _Unpickler.dispatch[opcode[0]]

    def load(self: Any) -> None:
        before = list(self.stack)
        try:
            inherited(self)
        except (Exception, SystemExit) as error:
            if isinstance(error, EOFError | pickle.UnpicklingError):
                raise
            broken = Broken(f"it cannot be rebuilt here: {describe_error(error)}")
            kept = len(before) - n_arguments
            self.stack[:] = [*before[:kept], broken]
            if opcode == pickle.BUILD:
                self.replace_half_built(before[kept], broken)
            elif opcode == pickle.REDUCE:  # the called function itself is not broken
                arguments = before[-1]
                self.failed_call = broken, arguments[0] if type(arguments) is tuple and arguments else None

    _Salvager.dispatch[opcode[0]] = load


for _opcode, _n_arguments in (
    (pickle.REDUCE, 2),
    (pickle.NEWOBJ, 2),
    (pickle.NEWOBJ_EX, 3),
    (pickle.BUILD, 2),
    (pickle.STACK_GLOBAL, 2),
):
    _guard(_opcode, _n_arguments)


def salvage_value(body: Received) -> object:
    """Return the value in `body`, with a `Broken` in place of each part that cannot be rebuilt.

    Objects that took in a part before it failed to be filled still hold the half-built part.

    Raises:
        Exception: the pickle cannot be loaded even in this way.
    """
    pickled, buffers = split_body(body)
    return _Salvager(io.BytesIO(pickled), buffers=buffers).load()
