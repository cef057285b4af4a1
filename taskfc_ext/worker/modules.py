"""The user's own modules, which are edited between tasks: imported as they are on disk, never as they were."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_NOT_THE_USERS = (os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_Stamp = tuple[int, int]  # time of the last change in ns, size


class _FreshLoader(SourceFileLoader):
    """Reads the source itself: a .pyc counts in seconds, and may be that of the version before an edit."""

    def path_stats(self, path: Any) -> Any:
        raise OSError("no cached bytecode")


class UserModules(MetaPathFinder):
    """Notes which version of each source file under `folder` was imported.

    Attributes:
        folder: where the user's modules lie; "" for nowhere.
    """

    def __init__(self) -> None:
        self.folder = ""
        self._imported: dict[str, tuple[str, _Stamp]] = {}
        self._namespaces: set[str] = set()

    def install(self) -> None:
        """Look for modules right before, and in the same places as, Python's own search of `sys.path`."""
        sys.meta_path.insert(sys.meta_path.index(PathFinder), self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return what Python's own search finds; what is the user's is noted."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None:
            return None
        if type(spec.loader) is SourceFileLoader and self._is_the_users(spec.loader.path):
            self._imported[fullname] = spec.loader.path, _stamp(spec.loader.path)  # before it is read
            spec.loader = _FreshLoader(fullname, spec.loader.path)
        elif spec.loader is None and all(map(self._is_the_users, spec.submodule_search_locations or ("",))):
            self._namespaces.add(fullname)
        return spec

    def have_changed(self) -> bool:
        """Whether any file is not what was imported."""
        return any(_stamp(path) != stamp for path, stamp in list(self._imported.values()))

    def drop(self) -> None:
        """Forget all of them, as each may hold parts of each: the next import reads what is on disk.

        A package goes with all that is in it: what stayed would look for its parent, and not find it.
        """
        for name in with_children({*self._imported, *self._namespaces}, list(sys.modules)):
            sys.modules.pop(name, None)
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(child, None)
        self._imported.clear()
        self._namespaces.clear()
        importlib.invalidate_caches()

    def _is_the_users(self, file: str) -> bool:
        folder = self.folder
        if not folder or not file.startswith(os.path.join(folder, "")):
            return False
        if "site-packages" in file or any(file.startswith(os.path.join(other, "")) for other in _NOT_THE_USERS):
            return False
        here = os.path.dirname(file)
        while len(here) >= len(folder):  # an environment may lie within the notebook's folder
            if os.path.exists(os.path.join(here, "pyvenv.cfg")) or os.path.exists(os.path.join(here, "conda-meta")):
                return False
            if here == os.path.dirname(here):
                break
            here = os.path.dirname(here)
        return True


def with_children(names: Collection[str], known: Iterable[str]) -> list[str]:
    """Return those of `known` that are in `names`, or in a package that is."""
    return [name for name in known if any(part in names for part in _and_parents(name))]


def _and_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _stamp(path: str) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return 0, -1
    return found.st_mtime_ns, found.st_size
