"""Guessed globals, which are dropped if they cannot be pickled and are never named in errors."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

import pytest

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.ipython.cell.shipping import choose, pack
from taskfc_ext.protocol.payloads import encode_failure
from taskfc_ext.serialize import dump_call, dump_exception, dump_function, dump_names, load_failure
from taskfc_ext.serialize.scope import new_main

SOURCE = """
import pickle
def query(): return conn.execute("select 1")
def load(path): return pickle.load(open(path, "rb"))
class Loader:
    def load(self, path): return pickle.load(open(path, "rb"))
class WithLoader(Exception):
    pass
def evaluate():
    eval("conn")
    return generator
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Make a notebook with a function that holds a connection."""
    main = new_main({"conn": sqlite3.connect(":memory:"), "generator": (i for i in ())})
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(SOURCE, vars(main))
    return vars(main)


def test_a_function_that_reads_pickles_is_sent_without_unpicklable_guesses(here: dict[str, Any]) -> None:
    loader = here["Loader"]()
    assert dump_function(loader.load)
    assert dump_function(here["load"])
    assert dump_call((loader,), {}, what="f")
    assert dump_names({"loader": loader}, [], what="the cell")


def test_a_cell_may_use_a_function_that_reads_pickles(here: dict[str, Any]) -> None:
    values = {"load": here["load"], "Loader": here["Loader"]}
    assert set(pack(choose("load, Loader", None, values, hidden={})).sizes) == {"load", "Loader"}


def test_an_exception_may_hold_a_function_that_reads_pickles(here: dict[str, Any]) -> None:
    error = here["WithLoader"]("text")
    error.loader = here["Loader"]()
    failure = dump_exception(error, traceback="")
    assert failure.note == ""
    loaded = load_failure(encode_failure(failure), None)
    assert type(loaded.loader).__name__ == "Loader"  # type: ignore[attr-defined]


def test_the_error_names_a_needed_global(here: dict[str, Any]) -> None:
    with pytest.raises(UnpicklableArgument, match=r"its global `generator` \(a generator\) cannot be pickled"):
        dump_function(here["evaluate"])
