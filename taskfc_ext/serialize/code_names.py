"""The names in code that travels by value: among them are those of the modules that it imports when it runs."""

from __future__ import annotations

import builtins
from collections import ChainMap
from types import CodeType
from typing import Any

import cloudpickle

names_in_code: set[tuple[str, ...]] = set()
"""`co_names` of all code that this process has pickled by value. It only grows."""

_inherited: Any = cloudpickle.Pickler.dispatch_table


_FILENAME = 10
"""Where `CodeType` takes the name of the file."""


def _reduce_exit(exit_of_a_shell: object) -> Any:
    return exit_here, ()


def exit_here() -> object:
    """Return `exit` of the process that loads it: that of IPython holds its whole shell, and hides the builtin."""
    return getattr(builtins, "exit", None)


class _Reducers(dict[type, Any]):
    """Reducers of ours; IPython's `exit` is known by the module of its type, as IPython may be imported later."""

    def __missing__(self, kind: type) -> Any:
        if kind.__module__ == "IPython.core.autocall":
            return _reduce_exit
        raise KeyError(kind)


def _reduce(code: CodeType) -> Any:
    names_in_code.add(code.co_names)
    make, arguments = _inherited[CodeType](code)
    # from 3.1.2 on, cloudpickle calls every file "<dynamic-code>", under which no traceback finds its lines
    return make, (*arguments[:_FILENAME], code.co_filename, *arguments[_FILENAME + 1 :])


class NotingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Notes the names in all code that it pickles by value; costs nothing where there is none."""

    dispatch_table = ChainMap(_Reducers({CodeType: _reduce}), _inherited)
