from __future__ import annotations

import functools
import gc
import importlib
import linecache
import math
import mmap
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.serialize import Body, digest, dump_function, join, load_function
from taskfc_ext.serialize.bodies import Pieces


def define(source: str, name: str = "f", /, **variables: object) -> Any:
    """Return the function defined by `source`, in `__main__` as in a notebook."""
    namespace: dict[str, Any] = {"__name__": "__main__", **variables}
    exec(source, namespace)
    return namespace[name]


def test_a_function_of_main_is_pickled_by_value() -> None:
    f = define("def f(x): return x + offset", offset=3)
    name, body = dump_function(f)
    assert name == digest(body)
    assert load_function(body)(4) == 7


def file_of(body: Body) -> mmap.mmap:
    """Return a mapping with the content of `body`."""
    content = mmap.mmap(-1, len(body))
    content[:] = join(body)
    return content


@pytest.mark.parametrize("size", [100_000, 100_001, 100_007])
def test_a_large_array_of_a_function_is_no_part_of_its_pickle_and_may_change(size: int) -> None:
    array = bytearray(size)
    f = define("def f(): return array", array=Array(array))
    name, body = dump_function(f)
    assert isinstance(body, Pieces)
    assert digest(body) == name
    sent = {b"other": mmap.mmap(-1, len(body)), b"it": file_of(body)}
    assert dump_function(f, sent)[0] == b"it", "not hashed, as it is the same"
    for at in (0, size // 2, size - 1):
        array[at] = 1
        assert dump_function(f, sent)[0] == digest(dump_function(f)[1]) != name, at
        array[at] = 0


def test_a_buffer_that_cannot_be_written_to_is_compared_as_well() -> None:
    f = define("def f(): return array", array=Array(bytes(100_001)))
    name, body = dump_function(f)
    sent = {b"it": file_of(body)}
    assert dump_function(f, sent)[0] == b"it"
    f.__globals__["array"] = Array(bytes(100_000) + b"x")
    assert dump_function(f, sent)[0] not in (b"it", name)


class Array:
    """An object with a large buffer."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content = content

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Array, (pickle.PickleBuffer(self.content),)


def test_a_large_pickle_of_constants_is_made_again_when_it_is_needed() -> None:
    f = define("def f(): return text", text="x" * 100_000)
    first = dump_function(f)
    again = dump_function(f)
    assert again[1] is not first[1]
    assert (again[0], join(again[1])) == (first[0], first[1])
    assert len(again[1]) == len(first[1])
    exec("def f(): return text", f.__globals__)  # as a cell that runs again
    assert dump_function(f.__globals__["f"], {b"it": file_of(first[1])})[0] == b"it"
    f.__globals__["text"] = "y" * 100_000
    assert dump_function(f)[0] != first[0]
    assert load_function(file_of(first[1]))() == "x" * 100_000


POWERS = functools.partial(pow, 2)


@pytest.mark.parametrize("function", [math.sqrt, abs, POWERS, functools.lru_cache(POWERS), str.upper, int])
def test_other_callables_are_pickled(function: Callable[..., object]) -> None:
    argument = "9" if function in (str.upper, int) else 9
    assert load_function(dump_function(function)[1])(argument) == function(argument)


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("def f(x): return x", {}),
        ("def f(x): return x + a", {"a": 1}),
        ("def f(x, a=(1, 'b'), *, c=2.0): return x", {}),
        ("def f(x): return math.sqrt(x)", {"math": math}),
        ("def g(x): return x\ndef f(x): return g(x)", {}),
        ("def f(x): return f(x - 1) if x else 0", {}),
    ],
)
def test_a_function_that_captures_only_constants_is_pickled_once(source: str, variables: dict[str, object]) -> None:
    f = define(source, "f", **variables)
    assert dump_function(f)[1] is dump_function(f)[1]


def test_a_submodule_may_be_imported_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "package_of_two"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "part.py").write_text("value = 3")
    f = define("import package_of_two\ndef f(): return package_of_two.part.value")
    try:
        assert b"package_of_two.part" not in dump_function(f)[1]
        importlib.import_module("package_of_two.part")
        body = dump_function(f)[1]
    finally:
        for name in "package_of_two", "package_of_two.part":
            sys.modules.pop(name, None)
    assert load_function(body)() == 3


def test_a_change_of_a_captured_object_is_noticed() -> None:
    f = define("def g(x): return x + 1\ndef f(x): return g(x) + a", a=1)
    run = f.__globals__

    def result() -> object:
        return load_function(dump_function(f)[1])(10)

    assert result() == 12
    run["a"] = 2
    assert result() == 13
    exec("def g(x): return x * 2", run)
    assert result() == 22
    run["a"] = [5]
    exec("def g(x): return x + a[0] - a[0] * a[0] ** 0", run)
    f.__code__ = define("def f(x): return g(x) + a[0]").__code__
    assert result() == 15
    run["a"][0] = 7  # inside the same list
    assert result() == 17


def test_an_equal_object_is_a_change() -> None:
    f = define("def f(): return a", a=1)
    assert load_function(dump_function(f)[1])() == 1
    f.__globals__["a"] = True
    assert load_function(dump_function(f)[1])() is True


def test_a_changed_closure_default_or_attribute_is_noticed() -> None:
    f, change = define(
        "def make(a):\n def f(b=0): return a + b\n def c(v):\n  nonlocal a; a = v\n return f, c", "make"
    )(1)
    assert load_function(dump_function(f)[1])() == 1
    change(5)
    assert load_function(dump_function(f)[1])() == 5
    f.__defaults__ = (10,)
    assert load_function(dump_function(f)[1])() == 15
    f.note = "attribute"
    assert load_function(dump_function(f)[1]).note == "attribute"  # type: ignore[attr-defined]


def test_the_cache_does_not_keep_a_function_alive() -> None:
    f = define("def f(x): return x")
    dump_function(f)
    seen = weakref.ref(f)
    del f
    gc.collect()
    assert seen() is None


def test_an_unpicklable_captured_object_is_named() -> None:
    f = define("def g(): return lock\ndef f(): return g()", lock=threading.Lock())
    with pytest.raises(
        UnpicklableArgument, match=r"^f: its global `g`, its global `lock` \(a _thread.lock\)"
    ) as caught:
        dump_function(f)
    assert "cannot pickle '_thread.lock' object" in str(caught.value)


def test_source_lines_are_sent_with_a_cells_functions() -> None:
    lines = ["def g(x):\n", "    return 1 / x\n", "def f(x):\n", "    return g(x)\n"]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    filename = "<cell of a test>"
    linecache.cache[filename] = (1, None, lines, filename)
    exec(compile("".join(lines), filename, "exec"), namespace)
    body = dump_function(namespace["f"])[1]
    del linecache.cache[filename]
    function = load_function(body)
    with pytest.raises(ZeroDivisionError) as caught:
        function(0)
    shown = "".join(traceback.format_exception(caught.value))
    assert f'File "{filename}", line 2, in g\n    return 1 / x\n' in shown


def test_a_builtin_is_pickled_once_and_a_method_of_an_object_each_time() -> None:
    assert dump_function(len)[1] is dump_function(len)[1]
    items: list[int] = []
    before = dump_function(items.append)[1]
    items.append(1)
    assert dump_function(items.append)[1] != before
