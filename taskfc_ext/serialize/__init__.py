"""Pickling of functions, arguments, results and exceptions. Used by clients and workers only.

Objects defined in `__main__` are pickled by value, others by reference. Errors name the part that cannot be pickled.
"""

from __future__ import annotations

from taskfc_ext.serialize.bodies import Body, Received, join, parts_of
from taskfc_ext.serialize.failures import dump_exception, load_failure
from taskfc_ext.serialize.functions import bytes_loaded_per_task, check_of, digest, dump_function, load_function
from taskfc_ext.serialize.pickler import names_in_code
from taskfc_ext.serialize.sources import remember_source
from taskfc_ext.serialize.values import (
    EVERYTHING,
    FUTURES,
    CellOptions,
    InputRef,
    SourceResult,
    dump_call,
    dump_names,
    dump_put,
    dump_value,
    load_call,
    load_cell,
    load_submitted,
    load_value,
    salvage_result,
)

__all__ = [
    "EVERYTHING",
    "FUTURES",
    "Body",
    "CellOptions",
    "InputRef",
    "Received",
    "SourceResult",
    "bytes_loaded_per_task",
    "check_of",
    "digest",
    "dump_call",
    "dump_exception",
    "dump_function",
    "dump_names",
    "dump_put",
    "dump_value",
    "join",
    "load_call",
    "load_cell",
    "load_failure",
    "load_function",
    "load_submitted",
    "load_value",
    "names_in_code",
    "parts_of",
    "remember_source",
    "salvage_result",
]
