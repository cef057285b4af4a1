"""Rebuilding what can be rebuilt of a pickle of which a part cannot. Slow: it runs only after a failure.

Python's own unpickler is used, written in Python: where a part raises, a stand-in with the reason takes its place, and
what was to go into that part goes nowhere.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn

from taskfc_ext.serialize.blame import text_of, type_name_of

_pickle: Any = pickle
_Unpickler: Any = _pickle._Unpickler


class Broken:
    """Stands for what could not be rebuilt; whatever is built of it is broken too."""

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
    """Says what a part that could not be rebuilt has raised."""


class _Salvager(_Unpickler):  # type: ignore[misc]  # a private class, without types
    """Puts a `Broken` wherever code of the pickle's own raises."""

    dispatch = dict(_Unpickler.dispatch)
    failed_call: tuple[Broken, object] | None = None
    """What stands for the last call that has raised, and that call's first argument."""

    def replace_half_built(self, value: object, broken: Broken) -> None:
        """Let what the pickle has made, but could not fill, be broken wherever it is used from here on."""
        for place, known in list(self.memo.items()):
            if known is value:
                self.memo[place] = broken

    def load_pop(self) -> None:
        """Drop the last value. Where that is what a failed setter of an object's state returned, the object is broken.

        A pickle calls such a setter with the object that lies beneath, and drops what it returns.
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
    """Let the values that an opcode takes from the stack become one `Broken` where it raises."""
    inherited = _Unpickler.dispatch[opcode[0]]

    def load(self: Any) -> None:
        before = list(self.stack)
        try:
            inherited(self)
        except (Exception, SystemExit) as error:
            if isinstance(error, EOFError | pickle.UnpicklingError):
                raise
            broken = Broken(f"it cannot be rebuilt here: {type_name_of(type(error))}: {text_of(error)}")
            kept = len(before) - n_arguments
            self.stack[:] = [*before[:kept], broken]
            if opcode == pickle.BUILD:
                self.replace_half_built(before[kept], broken)
            elif opcode == pickle.REDUCE:  # what is called is used again, with other arguments
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


def salvage_value(body: bytes) -> object:
    """Return the value in `body`, with a `Broken` in place of each part that cannot be rebuilt.

    Of a part that failed when it was filled, what had taken it in before holds the half-built object still.

    Raises:
        Exception: not even that is possible.
    """
    return _Salvager(io.BytesIO(body)).load()
