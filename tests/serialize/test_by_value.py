"""Modules pickled by value: always in their current state, also through another function."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from taskfc_ext.serialize import dump_function
from taskfc_ext.serialize.by_value import is_importable, is_pickled_by_value, is_unimportable

SOURCE = "K = 1\ndef f(): return K\nclass C:\n    def k(self): return K\n"


def make_module(name: str) -> ModuleType:
    module = ModuleType(name)
    exec(SOURCE, vars(module))
    return module


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Modules of each kind that an import on a worker does not find in this state."""
    (tmp_path / "registered.py").write_text(SOURCE)
    (tmp_path / "book.ipynb").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    registered = importlib.import_module("registered")
    cloudpickle.register_pickle_by_value(registered)
    unimportable, book = make_module("unimportable"), make_module("book")
    book.__file__ = str(tmp_path / "book.ipynb")
    book.__spec__ = importlib.util.spec_from_file_location("book", book.__file__, loader=object())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "unimportable", unimportable)
    monkeypatch.setitem(sys.modules, "book", book)
    yield {"dynamic": make_module("dynamic"), "registered": registered, "unimportable": unimportable, "book": book}
    for name in cloudpickle.list_registry_pickle_by_value() & {"registered", "unimportable", "book"}:
        cloudpickle.unregister_pickle_by_value(sys.modules[name])
    sys.modules.pop("registered", None)


def elsewhere(*bodies: bytes) -> list[str]:
    """Return the values of functions called in a process without these modules."""
    code = f"import pickle, sys; file = sys.stdin.buffer\nfor _ in range({len(bodies)}):"
    code += " print(repr(pickle.load(file)())); pickle.load(file)"  # the second pickle holds source lines
    ran = subprocess.run([sys.executable, "-c", code], input=b"".join(bodies), capture_output=True, check=True)
    return ran.stdout.decode().splitlines()


WAYS: dict[str, str] = {
    "attribute": "def use(): return m.K, m.f()",
    "function": "f = m.f\ndef use(): return f()",
    "class": "C = m.C\ndef use(): return C().k()",
    "another function": "def inner(): return m.K\ndef use(): return inner()",
    "default": "def use(module=m): return module.K",
    "closure": "def make():\n    module = m\n    def use(): return module.f()\n    return use\nuse = make()",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["dynamic", "registered", "unimportable", "book"])
def test_a_function_sees_the_module_as_it_is_now(modules: dict[str, ModuleType], name: str, way: str) -> None:
    module = modules[name]
    namespace: dict[str, Any] = {"__name__": "__main__", "m": module}
    exec(WAYS[way], namespace)
    use: Callable[[], object] = namespace["use"]
    first, value = dump_function(use)[1], repr(use())
    module.K = 7
    assert repr(use()) != value
    assert elsewhere(first, dump_function(use)[1]) == [value, repr(use())]


def test_a_module_may_be_registered_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "later.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    later = importlib.import_module("later")
    namespace: dict[str, Any] = {"__name__": "__main__", "m": later}
    exec("def use(): return m.K", namespace)
    by_name = dump_function(namespace["use"])[1]
    assert dump_function(namespace["use"])[1] is by_name
    cloudpickle.register_pickle_by_value(later)
    try:
        assert elsewhere(dump_function(namespace["use"])[1]) == ["1"]
    finally:
        cloudpickle.unregister_pickle_by_value(later)
        del sys.modules["later"]


def test_modules_found_by_an_import_are_importable() -> None:
    for name, module in list(sys.modules.items()):
        if type(module) is ModuleType and not name.startswith("_") and module.__name__ == name and name != "__main__":
            assert not is_unimportable(module) or getattr(module, "__file__", None) is None, name
    for name in "os", "posixpath", "sys", "time", "importlib", "numpy", "numpy.random", "taskfc_ext", "json.decoder":
        module = importlib.import_module(name)
        assert not is_unimportable(module)
        assert not is_pickled_by_value(module)
    assert is_importable(importlib.import_module("json").dumps)
