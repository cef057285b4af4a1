"""Which of the user's modules go along, as they are on disk."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import serialize
from taskfc_ext.client import modules
from taskfc_ext.client.modules import Sources
from taskfc_ext.protocol.context import Module, decode_modules


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **texts: str) -> None:
    """Write a.b as `a__b`."""
    for name, text in texts.items():
        file = folder / (name.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def sources_in(folder: Path, *entries: str) -> Sources:
    return Sources(str(folder), [*entries, *sys.path])


def sent(sources: Sources) -> dict[str, Module]:
    sources.look()
    return {module.name: module for _, body in sources.packs for module in decode_modules(body)}


def test_a_wanted_module_goes_with_what_it_imports(folder: Path) -> None:
    write(folder, tf_a="import tf_b, math, no_such", tf_b="from tf_c import x", tf_c="x = 1", tf_d="never named")
    sources = sources_in(folder)
    assert sent(sources) == {}
    sources.want(["tf_a"])
    found = sent(sources)
    assert set(found) == {"tf_a", "tf_b", "tf_c"}
    assert found["tf_c"] == Module(name="tf_c", source=b"x = 1", path=bytes(folder / "tf_c.py"))


def test_packages_go_with_their_parents(folder: Path) -> None:
    write(folder, tf_space__regular__leaf="from . import other\nfrom .. import far", tf_space__far="")
    write(folder, tf_space__regular__other="")
    (folder / "tf_space" / "regular" / "__init__.py").touch()
    sources = sources_in(folder)
    sources.want(["tf_space.regular.leaf"])
    found = sent(sources)
    assert sorted(found) == [
        "tf_space",
        "tf_space.far",
        "tf_space.regular",
        "tf_space.regular.leaf",
        "tf_space.regular.other",
    ]
    assert found["tf_space"] == Module(name="tf_space", locations=(bytes(folder / "tf_space"),))
    assert found["tf_space.regular"].locations == (bytes(folder / "tf_space" / "regular"),)


def test_what_is_imported_here_goes_along(folder: Path) -> None:
    write(folder, tf_here="")
    importlib.import_module("tf_here")
    assert set(sent(sources_in(folder))) == {"tf_here"}


def test_code_that_travels_by_value_names_its_modules(folder: Path) -> None:
    write(folder, tf_named="", tf_pack__deep="")
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("def f():\n    import tf_named\n    from tf_pack import deep", space)
    sources = sources_in(folder)
    assert sent(sources) == {}
    serialize.dump_call((space["f"],), {}, what="f")
    assert sources.is_due(time.perf_counter())
    assert set(sent(sources)) == {"tf_named", "tf_pack", "tf_pack.deep"}


def test_nothing_travels_twice_and_an_edit_does(folder: Path) -> None:
    write(folder, tf_a="1", tf_b="2")
    sources = sources_in(folder)
    sources.want(["tf_a", "tf_b"])
    sources.look()
    before = sources.packs
    write(folder, tf_a="1")
    sources.look()
    assert sources.packs is before
    write(folder, tf_a="3")
    assert sent(sources)["tf_a"].source == b"3"
    assert len(set(before) & set(sources.packs)) == 1  # the other one's
    (folder / "tf_a.py").unlink()
    assert set(sent(sources)) == {"tf_b"}


def test_a_file_that_has_come_is_found(folder: Path) -> None:
    sources = sources_in(folder)
    sources.want(["tf_later"])
    assert sent(sources) == {}
    write(folder, tf_later="import tf_last")
    sources.look(for_new=True)
    write(folder, tf_last="")
    sources.want(["tf_last"])
    assert set(sent(sources)) == {"tf_later", "tf_last"}


def test_of_what_is_installed_nothing_travels(folder: Path) -> None:
    write(folder, env__tf_in_env="", site_packages__tf_in_site="")
    (folder / "env" / "pyvenv.cfg").touch()
    (folder / "site_packages").rename(folder / "site-packages")
    sources = sources_in(folder, str(folder / "env"), str(folder / "site-packages"))
    sources.want(["tf_in_env", "tf_in_site", "msgspec", "json", "taskfc_ext"])
    assert sent(sources) == {}


def test_what_python_would_find_elsewhere_stays(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = tmp_path_factory.mktemp("first")
    write(first, tf_a="")
    write(folder, tf_a="")
    sources = sources_in(folder, str(first))
    sources.want(["tf_a"])
    assert sent(sources) == {}


def test_what_is_too_large_is_left_to_the_disk(folder: Path) -> None:
    write(folder, tf_large="x = 1\n" * 200_000, tf_small="x = 1", tf_other="x = 1")
    sources = sources_in(folder)
    sources.want(["tf_large", "tf_small"])
    assert set(sent(sources)) == {"tf_small"}
    for n in range(modules.MAX_FILES):
        write(folder, **{f"tf_many_{n}": ""})
    sources.want(f"tf_many_{n}" for n in range(modules.MAX_FILES))
    assert sent(sources) == {}
