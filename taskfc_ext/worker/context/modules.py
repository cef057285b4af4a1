"""The user's own modules, which may be edited between tasks: imported as they were at submission."""

from __future__ import annotations

import importlib
import linecache
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from taskfc_ext.drivers.user_folder import Stamp, UserCode, stamp_of
from taskfc_ext.protocol.context import Module, decode_modules
from taskfc_ext.serialize import remember_source

_MAX_KNOWN = 200
"""Largest number of bodies whose decoded modules are cached."""

_Compiled = dict[str, tuple[bytes, CodeType]]

_NO_STAMP: Stamp = 0, -2, 0, 0


@dataclass
class _Imported:
    """Origin of an imported module.

    Attributes:
        path: its file.
        source: the content of the file.
        stamp: the stamp of the file with that content; none before the first check.
    """

    path: str
    source: bytes
    stamp: Stamp = _NO_STAMP

    def is_on_disk(self) -> bool:
        """Return whether the file has this content now."""
        stamp = stamp_of(self.path)
        if stamp != self.stamp:
            if _content(self.path) != self.source:
                return False
            self.stamp = stamp
        return True


class UserLoader(SourceFileLoader):
    """Loader of a module from given source. Data files are read from the module's folder as usual.

    Args:
        fullname: the module's name.
        path: its file.
        source: the content of the file.
        compiled: (source, code) by path of all modules so far: a module that was dropped only because another one was
            edited is not compiled again.
    """

    def __init__(self, fullname: str, path: str, source: bytes, compiled: _Compiled) -> None:
        super().__init__(fullname, path)
        self._source = source
        self._compiled = compiled

    def get_data(self, path: Any) -> bytes:
        return self._source if path == self.path else super().get_data(path)

    def path_stats(self, path: Any) -> Any:
        raise OSError("no cached bytecode: its time stamp has a resolution of seconds, so it may be out of date")

    def get_code(self, fullname: str) -> CodeType | None:
        known = self._compiled.get(self.path)
        if known is not None and known[0] == self._source:
            return known[1]
        code = super().get_code(fullname)
        if code is not None:
            self._compiled[self.path] = self._source, code
        return code

    def exec_module(self, module: ModuleType) -> None:
        with suppress(ImportError):  # not decodable: `exec_module` below raises the better error
            source = self.get_source(self.name) or ""
            remember_source(self.path, source.splitlines(keepends=True))  # tracebacks must not show later edits
        super().exec_module(module)


class UserModules(MetaPathFinder):
    """Finder of the modules sent with a submission and of the user's modules on disk. Notes the version of each."""

    def __init__(self) -> None:
        self._code = UserCode("")
        self._codes: dict[tuple[str, tuple[str, ...]], UserCode] = {}
        self._digests: tuple[bytes, ...] = ()
        self._sent: dict[str, Module] = {}
        self._decoded: dict[bytes, tuple[Module, ...]] = {}
        self._imported: dict[str, _Imported] = {}
        self._namespaces: set[str] = set()
        self._compiled: _Compiled = {}

    def install(self) -> None:
        """Add this finder just before Python's own search of `sys.path`."""
        sys.meta_path.insert(sys.meta_path.index(PathFinder), self)

    def serve(
        self, digests: tuple[bytes, ...], folder: str, body_of: Callable[[bytes], bytes], path: Sequence[str] = ()
    ) -> None:
        """Set the modules to find first.

        Args:
            digests: the digests of the bodies that hold the modules.
            folder: the folder of the notebook or the script; modules in it are the user's own.
            body_of: returns the body of a digest.
            path: the module path; modules found on it may be the user's own too.
        """
        key = folder, tuple(path)
        if key != (self._code.folder, self._code.path):
            if len(self._codes) > _MAX_KNOWN:
                self._codes.clear()
            self._code = self._codes.get(key) or self._codes.setdefault(key, UserCode(*key))
        if digests == self._digests:
            return
        if len(self._decoded) > _MAX_KNOWN:
            self._decoded.clear()
        for digest in digests:
            if digest not in self._decoded:
                self._decoded[digest] = decode_modules(body_of(digest))
        self._sent = {module.name: module for digest in digests for module in self._decoded[digest]}
        self._digests = digests

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return the spec of a sent module, else the result of Python's own search; note the user's modules."""
        sent = self._sent.get(fullname)
        if sent is not None:
            return self._spec_of(sent)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None:
            return None
        if type(spec.loader) is SourceFileLoader and self._code.holds(spec.loader.path):
            file = spec.loader.path
            stamp = stamp_of(file)  # before it is read
            source = spec.loader.get_data(file)
            self._imported[fullname] = _Imported(file, source, stamp)
            spec.loader = UserLoader(fullname, file, source, self._compiled)
        elif spec.loader is None and self._are_users(spec.submodule_search_locations or ()):
            self._namespaces.add(fullname)
        return spec

    def _spec_of(self, sent: Module) -> ModuleSpec:
        path = os.fsdecode(sent.path)
        if sent.source is None:
            self._namespaces.add(sent.name)
            spec = ModuleSpec(sent.name, None, is_package=True)
        else:
            self._imported[sent.name] = _Imported(path, sent.source)
            loader = UserLoader(sent.name, path, sent.source, self._compiled)
            spec = ModuleSpec(sent.name, loader, origin=path, is_package=bool(sent.locations))
            spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations += map(os.fsdecode, sent.locations)
        return spec

    def _are_users(self, locations: Iterable[str]) -> bool:
        return all(self._code.holds(os.path.join(place, "")) for place in locations)

    def are_stale(self) -> bool:
        """Return whether an imported module differs from the sent one, or from its file if none was sent."""
        for name, imported in list(self._imported.items()):
            sent = self._sent.get(name)
            if sent is None:
                if not imported.is_on_disk():
                    return True
            elif sent.source != imported.source or os.fsencode(imported.path) != sent.path:
                return True
        return False

    def drop(self) -> None:
        """Remove all of the user's modules from `sys.modules`, as they may hold parts of one another.

        A package goes with all its submodules: one left behind would not find its parent.
        """
        for name in with_children({*self._imported, *self._namespaces}, list(sys.modules)):
            sys.modules.pop(name, None)
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(child, None)
        for imported in self._imported.values():
            linecache.cache.pop(imported.path, None)
        self._imported.clear()
        self._namespaces.clear()
        importlib.invalidate_caches()


def with_children(names: Collection[str], known: Iterable[str]) -> list[str]:
    """Return the names in `known` that are in `names`, or in a package in `names`."""
    return [name for name in known if any(part in names for part in _and_parents(name))]


def _and_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
