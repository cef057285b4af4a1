"""Pickling for child processes of a task: definitions in its `__main__` go by value.

`multiprocessing` pickles by reference, and a child that was not forked has another `__main__`.
"""

from __future__ import annotations

import pickle
from types import FunctionType
from typing import Any

from taskfc_ext.serialize import classes, machinery
from taskfc_ext.serialize.bodies import join
from taskfc_ext.serialize.by_value import is_importable, is_pickled_by_reference
from taskfc_ext.serialize.values import pickle_alone


def serve_multiprocessing() -> None:
    """Make `multiprocessing`, which must be imported, send the notebook's definitions to children by value."""
    from multiprocessing.reduction import ForkingPickler

    untyped: Any = ForkingPickler
    untyped.reducer_override = _reduce


def _reduce(pickler: object, item: Any) -> Any:
    kind = type(item)
    if kind is FunctionType:
        by_value = not is_pickled_by_reference(item)
    elif kind is machinery.LruCache:
        by_value = not is_importable(item)
    else:
        by_value = issubclass(kind, type) and classes.is_by_value(item)
    return (_load, (join(pickle_alone(item)),)) if by_value else NotImplemented


def _load(body: bytes) -> Any:
    serve_multiprocessing()  # results of the child may be of a class that was sent by value
    return pickle.loads(body)
