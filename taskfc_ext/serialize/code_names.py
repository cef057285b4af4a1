"""The names in code that travels by value: among them are those of the modules that it imports when it runs."""

from __future__ import annotations

from collections import ChainMap
from types import CodeType
from typing import Any

import cloudpickle

from taskfc_ext.serialize import chance

names_in_code: set[tuple[str, ...]] = set()
"""`co_names` of all code that this process has pickled by value. It only grows."""

_inherited: Any = cloudpickle.Pickler.dispatch_table


_FILENAME = 10
"""Where `CodeType` takes the name of the file."""


def _reduce(code: CodeType) -> Any:
    names_in_code.add(code.co_names)
    make, arguments = _inherited[CodeType](code)
    # from 3.1.2 on, cloudpickle calls every file "<dynamic-code>", under which no traceback finds its lines
    return make, (*arguments[:_FILENAME], code.co_filename, *arguments[_FILENAME + 1 :])


class NotingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Notes the names in all code that it pickles by value; costs nothing where there is none."""

    dispatch_table = ChainMap({CodeType: _reduce}, chance.TABLE, _inherited)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        chance.learn_types()
        super().__init__(*args, **kwargs)
