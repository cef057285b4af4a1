"""Import hook: a call at the first import of a module."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def when_imported(name: str, then: Callable[[], None]) -> None:
    """Call `then` after the first import of the top-level module `name`, in that thread; now if it is loaded."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Finder(name, then))


class _Finder(MetaPathFinder):
    """Finder of one module, used once."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _NotifyingLoader(spec.loader, self, self._then)
        return spec


class LoaderProxy(Loader):
    """Loader that stands for another one until the module runs.

    Attributes:
        loader: the real loader.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def restore_loader(self, module: ModuleType) -> None:
        """Set the real loader as the module's loader, just before the module runs."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader

    def __getattr__(self, name: str) -> Any:  # `is_package`, `get_source`, ... before it runs
        if name == "loader":  # this object is incomplete: it is being copied
            raise AttributeError(name)
        return getattr(self.loader, name)


class _NotifyingLoader(LoaderProxy):
    """Loader that makes the call after the module has run."""

    def __init__(self, loader: Loader, finder: _Finder, then: Callable[[], None]) -> None:
        super().__init__(loader)
        self._finder = finder
        self._then = then

    def exec_module(self, module: ModuleType) -> None:
        self.restore_loader(module)
        self.loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
            self._then()
