"""The names in code that travels by value: among them are those of the modules that it imports when it runs."""

from __future__ import annotations

from collections import ChainMap
from types import CodeType
from typing import Any

import cloudpickle

names_in_code: set[tuple[str, ...]] = set()
"""`co_names` of all code that this process has pickled by value. It only grows."""

_inherited: Any = cloudpickle.Pickler.dispatch_table


def _reduce(code: CodeType) -> Any:
    names_in_code.add(code.co_names)
    return _inherited[CodeType](code)


class NotingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Notes the names in all code that it pickles by value; costs nothing where there is none."""

    dispatch_table = ChainMap({CodeType: _reduce}, _inherited)
