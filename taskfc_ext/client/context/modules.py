"""The user's own modules that tasks may need, as they are on disk now, packed into a few bodies."""

from __future__ import annotations

import os
import re
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source
from typing import NamedTuple

from taskfc_ext import serialize
from taskfc_ext.client.context.imports import imported_names, with_parents
from taskfc_ext.drivers.user_folder import Stamp, UserCode, stamp_of
from taskfc_ext.protocol.context import Module, encode_modules
from taskfc_ext.protocol.limits import MAX_PACKS

MAX_FILE = 2**20
"""Bytes of one module; a larger one is data, and the task reads it from disk."""

MAX_FILES = 2_000
MAX_TOTAL = 20 * 2**20
"""Modules of a folder, and their bytes; of a folder with more, tasks read all from disk."""

MAX_FILES_ELSEWHERE = 500
MAX_TOTAL_ELSEWHERE = 5 * 2**20
"""The same for code outside of the folder: of more, tasks read all from disk; modules beside the notebook are still
sent."""

LOOK_RATIO = 30
"""File checks take a thirtieth of the time at most."""

LOOP = 30e-6
"""Seconds between two submissions of a loop; after a longer pause, files are always checked. To write one takes as
long."""

LOOK_EVERY = 0.005
"""Seconds between two checks within a loop, at least. The loop itself has no time to write a file. Each check lets
other threads run, and the next submission then waits for them."""

_QUICK = 3e-6
"""Seconds that a check of one file takes on a usual disk."""

Packs = tuple[tuple[bytes, bytes], ...]
"""(digest, body) of each."""

_NAMES = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


class _File(NamedTuple):
    """A file as it was read: its content, and the names that this imports."""

    stamp: Stamp
    source: bytes
    imports: frozenset[str]


class _Size:
    """Number and bytes of the modules to send."""

    def __init__(self) -> None:
        self._n_files = 0
        self._total = 0

    def add(self, source: bytes) -> None:
        self._n_files += 1
        self._total += len(source)

    def exceeds(self, max_files: int, max_total: int) -> bool:
        return self._n_files > max_files or self._total > max_total


class Sources:
    """The user's modules of one folder and module path.

    They are the modules that this process has imported, the modules that cells and submitted code import, and the
    imports of these. A name that is made at run time (`importlib.import_module`) is left to the worker, which finds it
    on disk. Outside of the folder, only modules that this process has imported are included.

    Args:
        folder: the folder of the user's own modules.
        path: `sys.path`, each entry absolute.
        elsewhere: whether code outside of the folder is sent.

    Attributes:
        packs: the modules, as last read.
        next_look: when the files are due to be checked again in a loop of submissions, as `time.perf_counter`.
    """

    def __init__(self, folder: str, path: Sequence[str], *, elsewhere: bool = False) -> None:
        self.packs: Packs = ()
        self.next_look = 0.0
        self._folder = UserCode(folder)
        self._elsewhere = UserCode(folder, path) if elsewhere else None
        self._path = tuple(path)
        entries = dict.fromkeys(entry.rstrip("/") for entry in path)
        self._entries = [entry for entry in entries if self._folder.holds(os.path.join(entry, ""))]
        self._wanted: dict[str, None] = {}
        self._seen_modules: set[str] = set()
        self._seen_code: set[tuple[str, ...]] = set()
        self._n_code = -1
        self._n_modules = -1
        self._look_costs = 0.0
        self._next_search = 0.0
        self._is_incomplete = True
        self._files: dict[str, _File] = {}  # by path
        self._places: dict[str, Stamp] = {}  # folders that decide which files there are
        self._tops: set[str] = set()
        self._buckets: dict[int, tuple[list[Module], tuple[bytes, bytes]]] = {}

    def is_due(self, now: float, pause: float) -> bool:
        """Return whether the files have to be checked again.

        Args:
            now: the time of `time.perf_counter`.
            pause: seconds since the last submission: in less than `LOOP` nobody edits a file.
        """
        return now >= self.next_look or pause >= LOOP or len(serialize.names_in_code) != self._n_code

    def want(self, names: Iterable[str]) -> None:
        """Include the modules of these full names, if they exist."""
        for name in names:
            if name not in self._wanted and _NAMES.match(name):
                self._wanted[name] = None
                self._next_search = 0.0  # its file may be new
                self._is_incomplete |= name.partition(".")[0] in self._tops

    def look(self, *, for_new: bool = False) -> None:
        """Bring `packs` up to date; the same object if nothing has changed.

        Args:
            for_new: search for new files now; else they may be found a little later.
        """
        self._add_imported()
        self._add_named_in_code()
        began = time.perf_counter()
        changed = [path for path in self._files if self._has_changed(path)]
        if for_new or began >= self._next_search:
            changed += [place for place, stamp in self._places.items() if stamp_of(place) != stamp]
        looked = time.perf_counter()
        if changed or self._is_incomplete:
            self._is_incomplete = True  # in case that this is interrupted
            packs = self._pack(self._find_all())
            if packs != self.packs:
                self.packs = packs
            self._is_incomplete = False
            now = time.perf_counter()
            self._next_search = now + (now - looked) * LOOK_RATIO
        # a check that other threads delayed does not mean that the next one is as slow
        most = max(_QUICK * (len(self._files) + len(self._places)), 1.5 * self._look_costs)
        self._look_costs = min(looked - began, most)
        self.next_look = looked + max(LOOK_EVERY, self._look_costs * LOOK_RATIO)

    def _has_changed(self, path: str) -> bool:
        known = self._files[path]
        stamp = stamp_of(path)
        if stamp == known.stamp:
            return False
        if _content(path) != known.source:
            return True
        self._files[path] = known._replace(stamp=stamp)
        return False

    # names

    def _add_imported(self) -> None:
        if len(sys.modules) == self._n_modules:
            return
        for name, module in list(sys.modules.items()):
            if name not in self._seen_modules:
                file = getattr(module, "__file__", None)
                if isinstance(file, str) and name != "__main__" and self._may_send(name, file):
                    self.want([name])
                    self._is_incomplete = True  # wherever it lies
                self._seen_modules.add(name)
        self._n_modules = len(sys.modules)

    def _add_named_in_code(self) -> None:
        known = serialize.names_in_code
        if len(known) == self._n_code:
            return
        for names in set(known) - self._seen_code:
            self.want(names)
            packages = [name for name in names if self._may_be_package(name)]  # as in: from NAME import OTHER
            self.want(f"{package}.{name}" for package in packages for name in names)
            self._seen_code.add(names)
        self._n_code = len(self._seen_code)

    def _may_be_package(self, name: str) -> bool:
        return any(os.path.isdir(os.path.join(entry, *name.split("."))) for entry in self._entries)

    # files

    def _may_send(self, name: str, file: str) -> bool:
        if self._folder.holds(file):
            return True
        elsewhere = self._elsewhere
        return elsewhere is not None and name in sys.modules and elsewhere.holds(file, beyond_path=True)

    def _find_all(self) -> list[Module]:
        """Return all wanted modules of the user, and note the files and folders that they depend on."""
        self._places = {entry: stamp_of(entry) for entry in self._entries}
        self._tops = {name for entry in self._entries for name in _top_names(entry)}
        for entry in self._entries:
            _forget_listing(entry)
        files, self._files = self._files, {}
        found: dict[str, Module | None] = {}
        names = list(self._wanted)
        beside, elsewhere = _Size(), _Size()
        while names:
            full = names.pop()
            for name in with_parents(full):
                if name in found:
                    continue
                module = found[name] = self._module(name, found, files)
                if module is None or module.source is None:
                    continue
                path = os.fsdecode(module.path)
                (beside if self._folder.holds(path) else elsewhere).add(module.source)
                if elsewhere.exceeds(MAX_FILES_ELSEWHERE, MAX_TOTAL_ELSEWHERE):
                    self._elsewhere, self._files = None, files
                    return self._find_all()
                if beside.exceeds(MAX_FILES, MAX_TOTAL):
                    self._files.clear()
                    return []
                names += self._files[path].imports
        return [module for module in found.values() if module is not None]

    def _module(self, name: str, found: dict[str, Module | None], before: dict[str, _File]) -> Module | None:
        spec = self._spec(name, found)
        if spec is None:
            return None
        locations = list(spec.submodule_search_locations or ())
        for place in locations:
            if self._folder.holds(os.path.join(place, "")):
                self._places[place] = stamp_of(place)
                _forget_listing(place)
        encoded = tuple(map(os.fsencode, locations))
        if spec.loader is None or not spec.has_location:
            ours = locations and all(self._may_send(name, os.path.join(place, "")) for place in locations)
            return Module(name=name, locations=encoded) if ours else None
        path = spec.origin
        if type(spec.loader) is not SourceFileLoader or path is None or not self._may_send(name, path):
            return None
        file = self._read(path, name if locations else name.rpartition(".")[0], before.get(path))
        if file is None:
            return None
        return Module(name=name, source=file.source, path=os.fsencode(path), locations=encoded)

    def _spec(self, name: str, found: dict[str, Module | None]) -> ModuleSpec | None:
        """Return the spec that an import would find; else the spec of the imported module."""
        parent = found.get(name.rpartition(".")[0])
        spec = None
        if parent is not None:
            # by its last part: by its full name, a namespace package would have to have been imported here
            spec = PathFinder.find_spec(name.rpartition(".")[2], list(map(os.fsdecode, parent.locations)))
        elif name in self._tops:
            spec = PathFinder.find_spec(name, self._path)
        if spec is None and name in self._seen_modules:
            spec = getattr(sys.modules.get(name), "__spec__", None)
        return spec

    def _read(self, path: str, package: str, before: _File | None) -> _File | None:
        stamp = stamp_of(path)
        if before is not None and stamp == before.stamp:
            self._files[path] = before
            return before
        source = _content(path)
        if source is None:
            return None
        imports = before.imports if before is not None and source == before.source else _imports(source, package)
        file = self._files[path] = _File(stamp, source, imports)
        return file

    # packs

    def _pack(self, modules: list[Module]) -> Packs:
        buckets: dict[int, list[Module]] = {}
        for module in sorted(modules, key=lambda module: module.name):
            buckets.setdefault(zlib.crc32(module.name.encode()) % MAX_PACKS, []).append(module)
        before, self._buckets = self._buckets, {}
        for number, together in sorted(buckets.items()):
            old = before.get(number)
            if old is not None and old[0] == together:
                self._buckets[number] = old
            else:
                body = encode_modules(together)
                self._buckets[number] = together, (serialize.digest(body), body)
        return tuple([pack for _, pack in self._buckets.values()])


def _content(path: str) -> bytes | None:
    """Return the content of a file, if it exists and is small enough to send."""
    try:
        with open(path, "rb") as file:
            source = file.read(MAX_FILE + 1)
    except OSError:
        return None
    return source if len(source) <= MAX_FILE else None


def _imports(source: bytes, package: str) -> frozenset[str]:
    try:
        return frozenset(filter(_NAMES.match, imported_names(decode_source(source), package)))
    except (SyntaxError, UnicodeDecodeError):
        return frozenset()


def _top_names(folder: str) -> Iterator[str]:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return
    for name in names:
        stem, dot, _ = name.partition(".")
        if not dot or name.endswith(".py"):
            yield stem


def _forget_listing(folder: str) -> None:
    """Let the next import see new files of the same tick of the file system's clock."""
    finder = sys.path_importer_cache.get(folder)
    if isinstance(finder, FileFinder):
        finder.invalidate_caches()
