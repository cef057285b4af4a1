"""The user's modules: found, sent, and dropped after edits."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.protocol.context import Module, encode_modules
from taskfc_ext.serialize import digest
from taskfc_ext.worker.context.modules import UserModules, with_children


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UserModules]:
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = UserModules()
    modules.serve((), str(tmp_path), lambda digest: b"")
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


def test_a_shared_namespace_package_stays(
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


class Submissions:
    """Bodies of modules, by digest."""

    def __init__(self, modules: UserModules, folder: Path) -> None:
        self.modules = modules
        self.folder = folder
        self.bodies: dict[bytes, bytes] = {}

    def pack(self, *modules: Module) -> bytes:
        body = encode_modules(modules)
        self.bodies[digest(body)] = body
        return digest(body)

    def module(self, name: str, source: str) -> Module:
        return Module(name=name, source=source.encode(), path=bytes(self.folder / f"{name}.py"))

    def enter(self, *digests: bytes) -> None:
        """Set the modules as a worker does before an attempt."""
        self.modules.serve(digests, str(self.folder), self.bodies.__getitem__)
        if self.modules.are_stale():
            self.modules.drop()


@pytest.fixture
def submissions(modules: UserModules, tmp_path: Path) -> Submissions:
    return Submissions(modules, tmp_path)


def test_sent_modules_take_precedence_over_the_disk(submissions: Submissions, tmp_path: Path) -> None:
    write(tmp_path, "tf_a.py", "N = 'disk'")
    packs = [submissions.pack(submissions.module("tf_a", f"N = {n}\ndef f():\n    return {n}\n")) for n in (1, 2)]
    for i in (0, 1, 0):
        submissions.enter(packs[i])
        found = importlib.import_module("tf_a")
        assert (found.N, found.f(), found.__file__) == (i + 1, i + 1, str(tmp_path / "tf_a.py"))
        assert inspect.getsource(found.f) == f"def f():\n    return {i + 1}\n"


def test_the_same_source_is_the_same_module(submissions: Submissions, tmp_path: Path) -> None:
    one, other = submissions.module("tf_a", "N = 1"), submissions.module("tf_b", "N = 2")
    submissions.enter(submissions.pack(one))
    found = importlib.import_module("tf_a")
    submissions.enter(submissions.pack(one, other))
    assert importlib.import_module("tf_a") is found
    write(tmp_path, "tf_a.py", "N = 1")  # another client does not send it, and has the same file
    submissions.enter(submissions.pack(other))
    assert importlib.import_module("tf_a") is found
    write(tmp_path, "tf_a.py", "N = 3")
    submissions.enter(submissions.pack(other))
    assert importlib.import_module("tf_a").N == 3


def test_only_edited_modules_are_compiled_again(submissions: Submissions) -> None:
    same = submissions.pack(submissions.module("tf_same", "def f(): pass"))
    codes = []
    for n in (1, 2):
        submissions.enter(same, submissions.pack(submissions.module("tf_a", f"import tf_same\ndef f(): return {n}")))
        found = importlib.import_module("tf_a")
        assert found.f() == n
        codes.append((found, found.tf_same, found.tf_same.f.__code__))
    assert codes[0][:2] != codes[1][:2]  # modules that hold parts of an old one are new
    assert codes[0][2] is codes[1][2]


def test_a_module_from_disk_is_dropped_for_a_sent_one(submissions: Submissions, tmp_path: Path) -> None:
    write(tmp_path, "tf_a.py", "N = 1")
    submissions.enter()
    assert importlib.import_module("tf_a").N == 1
    submissions.enter(submissions.pack(submissions.module("tf_a", "N = 2")))
    assert importlib.import_module("tf_a").N == 2


def test_a_sent_module_need_not_be_on_disk(submissions: Submissions, tmp_path: Path) -> None:
    place = bytes(tmp_path / "tf_space")
    space = Module(name="tf_space", locations=(place,))
    package = Module(
        name="tf_space.p", source=b"from . import leaf", path=place + b"/p/__init__.py", locations=(place + b"/p",)
    )
    leaf = Module(name="tf_space.p.leaf", source=b"N = 1", path=place + b"/p/leaf.py")
    submissions.enter(submissions.pack(space, package), submissions.pack(leaf))
    assert importlib.import_module("tf_space.p").leaf.N == 1
    submissions.enter()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tf_space.p")


def test_a_source_that_cannot_be_decoded_is_a_syntax_error(submissions: Submissions) -> None:
    bad = Module(name="tf_bad", source=b"x = '\xff'", path=bytes(submissions.folder / "tf_bad.py"))
    submissions.enter(submissions.pack(bad))
    with pytest.raises(SyntaxError):
        importlib.import_module("tf_bad")


def test_what_lies_elsewhere_on_the_module_path_follows_edits_on_disk(
    modules: UserModules, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    src, installed = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("installed")
    (installed / "thing-1.0.dist-info").mkdir()
    for place in src, installed:
        monkeypatch.syspath_prepend(str(place))
        write(place, f"tf_{place.name[:3]}.py", "N = 1")
    modules.serve((), str(tmp_path), lambda digest: b"", list(sys.path))
    found = [importlib.import_module(name) for name in ("tf_src", "tf_ins")]
    for place in src, installed:
        write(place, f"tf_{place.name[:3]}.py", "N = 22")
    assert modules.are_stale()
    modules.drop()
    assert importlib.import_module("tf_src").N == 22
    assert importlib.import_module("tf_ins") is found[1]
