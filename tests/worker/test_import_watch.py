"""Watch of imports: modules that `UserModules` loads and drops are the user's, all others are libraries."""

from __future__ import annotations

import importlib
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.worker.context.import_watch import ImportWatch
from taskfc_ext.worker.context.modules import UserModules


class Notes:
    """A listener that records its events."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def before_import(self) -> None:
        self.found.append("before")

    def after_import(self, before: None) -> None:
        self.found.append("library")

    def after_user_import(self, before: None) -> None:
        self.found.append("user's")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the module path, beside the notebook's."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def notes(folder: Path, tmp_path: Path) -> Notes:
    modules, notes = UserModules(), Notes()
    modules.serve((), str(tmp_path / "notebooks"), lambda digest: b"", sys.path)
    modules.install()
    ImportWatch(notes).install()
    return notes


def test_a_module_on_the_module_path_is_the_users(folder: Path, notes: Notes) -> None:
    (folder / "tf_plain.py").write_text("")
    importlib.import_module("tf_plain")
    assert notes.found == ["before", "user's"]


def test_a_module_installed_by_pip_is_a_librarys(folder: Path, notes: Notes) -> None:
    (folder / "tf_target-1.dist-info").mkdir()
    (folder / "tf_target.py").write_text("import tf_inner")
    (folder / "tf_inner.py").write_text("")
    importlib.import_module("tf_target")
    assert notes.found == ["before", "library"]


def test_a_module_without_source_counts_as_a_librarys(folder: Path, notes: Notes) -> None:
    source = folder / "tf_compiled.py"
    source.write_text("")
    py_compile.compile(str(source), str(folder / "tf_compiled.pyc"))
    source.unlink()
    importlib.import_module("tf_compiled")
    assert notes.found == ["before", "library"]
