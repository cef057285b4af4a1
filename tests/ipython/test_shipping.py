from __future__ import annotations

import concurrent.futures
import os
import pickle
import threading
from typing import Any

import pytest

from taskfc_ext.ipython.cell.names import used_names
from taskfc_ext.ipython.cell.shipping import ABSENT, Shipment, choose, pack
from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.protocol.resources import format_size
from taskfc_ext.serialize import CellOptions, dump_value, load_cell
from taskfc_ext.serialize.packed_names import PackedNames


def pack_cell(source: str, ship: tuple[str, ...] | None = None, **namespace: Any) -> Shipment:
    hidden = {"open": namespace["open"]} if namespace.get("open") == "the shell's" else {}
    return pack(choose(source, ship, namespace, hidden=hidden))


def test_needed_names_are_sent_and_possible_ones_if_they_exist() -> None:
    assert pack_cell("if a:\n    b = 1\nb", a=1, b=2, c=3).values == {"a": 1, "b": 2}
    assert pack_cell("if a:\n    b = 1\nb", a=1).values == {"a": 1}


def test_modules_and_functions_are_sent() -> None:
    def f() -> None: ...

    assert pack_cell("f(os)", f=f, os=os).values == {"f": f, "os": os}


def test_a_name_that_code_of_the_notebook_binds_is_known() -> None:
    here: dict[str, Any] = {"__name__": "__main__"}
    exec("def load():\n    global data\n    data = 1\nclass Other: pass", here)
    assert pack_cell("load()\ndata", **here).values == {"load": here["load"]}
    with pytest.raises(BadUsage, match="unknown name 'dta'"):
        pack_cell("load()\ndta", **here)


def test_a_builtin_is_sent_only_if_it_was_replaced() -> None:
    assert pack_cell("sum(open, len)", sum=1, open="the shell's").values == {"sum": 1}


@pytest.mark.parametrize(
    ("source", "namespace", "message"),
    [
        ("dta", {"data": 1}, "unknown name 'dta'; did you mean data?"),
        ("prnt(1)", {}, "unknown name 'prnt'; did you mean print?"),
        ("resutl\nresult = 1", {}, "unknown name 'resutl'; did you mean result?"),
        ("zzz", {"data": 1}, "unknown name 'zzz'"),
        ("_x", {"_xy": 1}, "unknown name '_x'"),
    ],
)
def test_an_unknown_name_and_the_suggestion(source: str, namespace: dict[str, Any], message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        pack_cell(source, **namespace)
    assert str(caught.value) == message


def test_the_part_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(BadUsage, match=r"^settings: .*lock.* \(a _thread.lock\) cannot be pickled: "):
        pack_cell("settings", settings={"lock": threading.Lock()})


def test_given_names_need_not_be_used() -> None:
    assert pack_cell("1", ("a",), a=1).values == {"a": 1}
    assert pack_cell("a", (), a=1).values == {}
    with pytest.raises(BadUsage, match="unknown name 'b'"):
        pack_cell("1", ("b",), a=1)


def test_sizes_are_counted_without_copies() -> None:
    shipment = pack_cell("a, b, c", a=bytearray(3_000_000), b=b"x" * 1_500_000, c=7)
    assert 3_000_000 <= shipment.sizes["a"] < 3_001_000
    assert shipment.large() == "a (3 MB), b (1.5 MB)"


class Counted:
    """Counts how often it is pickled."""

    def __init__(self) -> None:
        self.n_pickles = 0

    def __reduce__(self) -> tuple[object, ...]:
        self.n_pickles += 1
        return int, (7,)


@pytest.mark.parametrize(
    "source", ["used", "globals()['used']", "f('a > @used')", "if x:\n    used", "pickle.load(used)", "used, future"]
)
def test_each_value_is_pickled_once(source: str) -> None:
    used, future = Counted(), concurrent.futures.Future[int]()
    here = {"used": used, "f": len, "x": 1, "pickle": pickle, "future": future}
    shipment = pack(choose(source, None, here, hidden={}), ["y"], {"flags": 1})
    assert used.n_pickles == 1
    assert isinstance(shipment.values, PackedNames)
    names, out, options = load_cell(shipment.values.body, [dump_value(5, what="x")])
    expected = {**shipment.values, "used": 7} | ({"future": 5} if "future" in source else {})
    assert (names, out, options) == (expected, ("y",), {"flags": 1})


def test_a_name_that_is_left_out_costs_one_more_try() -> None:
    used, lock = Counted(), threading.Lock()
    options: CellOptions = {"there_first": ("lock", "used"), "changed": ("used", "lock")}
    shipment = pack(
        choose("f(used, 'a > @lock')", None, {"used": used, "f": len, "lock": lock}, hidden={}), (), options
    )
    assert set(shipment.values) == {"f", "used"}
    assert used.n_pickles == 2  # in the body with the lock, and in the body without
    assert isinstance(shipment.values, PackedNames)
    assert load_cell(shipment.values.body)[2] == {"there_first": ("used",), "changed": ("used",)}


def test_a_value_that_two_names_share_is_sent_once_and_stays_shared() -> None:
    items = list(range(100_000))
    shipment = pack(choose("a, b, c", None, {"a": 1, "b": items, "c": {"items": items}}, hidden={}))
    assert isinstance(shipment.values, PackedNames)
    names, _, _ = load_cell(shipment.values.body)
    assert names["b"] is names["c"]["items"]
    assert shipment.sizes["b"] + 2**16 > len(shipment.values.body) > shipment.sizes["b"] > shipment.sizes["c"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1500, "1.5 kB"),
        (999_600, "1 MB"),
        (2_500_000, "2.5 MB"),
        (9_240_000_000, "9.24 GB"),
        (2e15, "2,000 TB"),
    ],
)
def test_sizes_as_people_read_them(size: float, text: str) -> None:
    assert format_size(size) == text


def test_names_of_startup_files_are_sent_like_the_notebooks_own() -> None:
    namespace = {"tool": 1, "sum": 2, "In": [], "_i": "", "exit": 3, "data": 4}
    source = "try:\n    data, tool, In, _i, sum, exit\nexcept NameError:\n    pass"
    shipment = pack(choose(source, None, namespace, hidden=dict(namespace, data=None)))
    assert shipment.values == {"data": 4, "tool": 1, "sum": 2}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("f('a > @small')", "f small"),
        ("f('a > @large')", "f large"),
        ("f('small * 2')", "f small"),
        ("f('large * 2')", "f"),
        ("f('huge * 2')", "f"),
        ("f('a > @huge')", "f"),
        ("f('a > @lock')", "f"),
        ("f('future + 1')", "f"),
        ("eval('future + 1')", "future"),
        ("f(query)", "f query small"),
        ("eval(code)", "code small"),
        ("f(code)", "f code"),
        ("f('small ~ other')", "f small"),
        ("print('small * 2')", ""),
        ("globals()['small'], globals()['hidden_one']", "small"),
    ],
)
def test_names_in_strings_are_sent_where_they_can_be(source: str, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskfc_ext.ipython.cell.shipping.MENTIONED", 3_000_000)
    namespace = {
        "f": len,
        "small": 1,
        "large": b"x" * 2_000_000,
        "huge": b"x" * 4_000_000,
        "lock": threading.Lock(),
        "future": concurrent.futures.Future[int](),
        "query": "a > @small",
        "code": "small + 1",
    }
    assert set(pack_cell(source, **namespace).values) == set(names.split())
    assert set(pack_cell(source, ("f",), **namespace).values) == {"f"}


def test_a_display_of_the_notebooks_own_is_sent() -> None:
    import IPython.display

    assert pack_cell("display(1)", display=IPython.display.display).values == {}
    assert pack_cell("display.display(1)", display=IPython.display).values == {"display": IPython.display}
    assert set(pack_cell("display(1)", display=lambda x: x).values) == {"display"}
    assert pack_cell("exit(); quit()", exit="mine").values == {"exit": "mine"}


def test_the_last_binding_of_a_kept_name_counts() -> None:
    value = [1]
    there = {"kept": value, "gone": ABSENT, "rebound": ABSENT}
    shipment = pack(choose("kept, gone, rebound, unseen", None, {"kept": value, "rebound": 2}, hidden={}, there=there))
    assert shipment.values == {"kept": value, "rebound": 2}
    assert shipment.there_first == ("kept",)
    with pytest.raises(BadUsage, match=r"unknown name 'kept'; if an earlier --keep cell has made it: `-i ''`"):
        choose("kept", None, {}, hidden={}, there={})


def test_a_cell_that_reads_pickles_gets_the_classes_in_them() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "lock": threading.Lock()}
    exec("class Model: pass\ndef helper(): pass\ndef locked(): return lock", namespace)
    namespace["pickle"] = pickle
    reads = pack(choose("pickle.load(open('m.pkl', 'rb'))", None, namespace, hidden={}))
    assert sorted(reads.values) == ["Model", "helper", "pickle"], "what cannot be sent is left out"
    assert sorted(pack(choose("pickle.dumps(1)", None, namespace, hidden={})).values) == ["pickle"]


@pytest.mark.parametrize("line", ["", "-o y", "--keep -o y", "--everywhere", "--dry-run"])
def test_a_cell_is_analysed_and_its_values_pickled_once(
    shell: Any, farm: Any, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed: list[str] = []

    def count(source: str, **options: Any) -> Any:
        analysed.append(source)
        return used_names(source, **options)

    monkeypatch.setattr("taskfc_ext.ipython.cell.shipping.used_names", count)
    shell.ns["value"] = value = Counted()
    shell.run(f"%%task {line}\ny = value")
    assert (len(analysed), value.n_pickles) == (1, 1)
