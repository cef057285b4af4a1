"""Which modules are the user's, and how they leave."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.worker.modules import UserModules, with_children


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UserModules]:
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = UserModules()
    modules.folder = str(tmp_path)
    modules.install()
    before = set(sys.modules)
    yield modules
    sys.meta_path.remove(modules)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("first", ["tf_space", "tf_regular"])
def test_a_namespace_package_leaves_with_its_parent_and_its_children(
    modules: UserModules, tmp_path: Path, first: str
) -> None:
    write(tmp_path, "tf_regular/__init__.py", "")
    for n in (1, 22):
        write(tmp_path, f"{first}/inner/deep/leaf.py", f"N = {n}")
        write(tmp_path, f"{first}/inner/other/leaf.py", f"N = {n}")
        leaves = [importlib.import_module(f"{first}.inner.{place}.leaf") for place in ("deep", "other")]
        assert [leaf.N for leaf in leaves] == [n, n]
        modules.drop()
        assert not [name for name in sys.modules if name.startswith(first)]


def test_a_namespace_that_is_shared_with_others_stays(
    modules: UserModules, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.syspath_prepend(str(elsewhere))
    write(tmp_path, "tf_shared/ours.py", "")
    write(elsewhere, "tf_shared/theirs.py", "")
    theirs = importlib.import_module("tf_shared.theirs")
    importlib.import_module("tf_shared.ours")
    modules.drop()
    assert sys.modules["tf_shared.theirs"] is theirs
    assert "tf_shared.ours" not in sys.modules
    assert not hasattr(sys.modules["tf_shared"], "ours")


def test_children_are_those_of_a_package_and_not_of_its_name() -> None:
    assert with_children({"a", "b.c"}, ["a", "a.x.y", "ab", "b", "b.c.d"]) == ["a", "a.x.y", "b.c.d"]
