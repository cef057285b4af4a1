"""Settings of this process: restored after each attempt, and set to those of the notebook for its tasks."""

from __future__ import annotations

import faulthandler
import logging
import pickle
import sys
from collections.abc import Sequence
from typing import Any

from taskfc_ext.serialize.scope import ABSENT, trial
from taskfc_ext.settings import TABLE, CannotRestore, Setting, Value
from taskfc_ext.settings.seeds import SEEDED, seed_loaded
from taskfc_ext.settings.setting import Read
from taskfc_ext.settings.standard import forget_shown_warnings
from taskfc_ext.worker.context.import_watch import ImportWatch

logger = logging.getLogger(__name__)

_Packed = bytes | tuple[str, bytes]


class _Kept:
    """A setting whose module is loaded.

    Attributes:
        own: the value in this process outside of any context.
        expected: the value at the start of an attempt in the current context.
        quick: the return value of `read` while `expected` is in force.
    """

    __slots__ = ("expected", "own", "quick", "setting")

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.expect_current()
        self.own = self.expected

    def expect_current(self) -> None:
        """Take the current value as that of the current context."""
        self.expected = self.setting.take_fully()
        self.quick = self.setting.take()


class ProcessSettings:
    """Keeper of the settings in `table`. Main thread; import events may come from other threads.

    Attributes:
        why_unusable: the reason why this process cannot run another task; "" if it can.
        are_modules_stale: whether a user's module has changed a setting when it ran. It has to run again in the next
            task that imports it.
    """

    def __init__(self, table: Sequence[Setting] = TABLE) -> None:
        self._table = list(table)
        self._kept: dict[str, _Kept] = {}
        self._quick_reads: list[tuple[Read, _Kept]] = []
        self._n_modules = -1
        self._body: bytes | None = None
        self._packed: dict[str, _Packed] = {}
        self._incomplete: set[str] = set()
        self._for_root: dict[str, _Kept] = {}
        self._is_ready = False
        self._seed: int | None = None
        self._unseeded: tuple[str, ...] = ()
        self.why_unusable = ""
        self.are_modules_stale = False

    def watch_imports(self) -> None:
        """Start to distinguish settings changed by the import of a library from those changed by a task."""
        ImportWatch(self).install()

    @property
    def has_pending(self) -> bool:
        """Whether `leave` has to be called even after an attempt that cannot have changed a setting."""
        return bool(self._for_root)

    def seed(self, seed: int | None) -> None:
        """Seed the random generators for the next attempt, including those of modules that it imports."""
        self._seed = seed
        if seed is not None:
            self._unseeded = seed_loaded(seed, SEEDED)

    # around an attempt

    def enter(self, body: bytes) -> None:
        """Put the settings of one context into force, in place of those of the previous context.

        Args:
            body: the settings, as packed by `travel`; b"" for none.
        """
        if body is self._body:
            return
        if not self._is_ready:
            self._is_ready = True
            self._refresh()
        if body != self._body:
            self._body = None  # if an interrupt comes, the next `enter` starts over
            self._leave_context()
            self._packed = _decode(body)
            self._add_registered()
            self._refresh()
            for name in self._packed:
                self._apply(name)
        self._body = body

    def leave(self, *, fully: bool) -> None:
        """Restore the settings that the ended attempt changed.

        Args:
            fully: check also settings that take longer to read.
        """
        if not self._is_ready:
            return
        for _ in range(3):
            try:
                self._restore_all(fully)
                return
            except Exception as error:  # noqa: BLE001  raised by a signal handler of the task, not yet removed
                logger.warning("settings could not be restored: %s: %s", type(error).__name__, error)
        self.why_unusable = "its settings could not be restored"

    def keep_changes(self) -> None:
        """Keep the settings changed since `enter`, by a broadcast, for all later tasks."""
        if not self._is_ready:
            return
        self._write_in_root()
        self._refresh()
        for kept in list(self._kept.values()):
            now = kept.setting.take_fully()
            if not _equal(now, kept.expected):
                kept.own = kept.setting.merge(kept.own, kept.expected, now)
                kept.expect_current()
        self.are_modules_stale = False

    def _restore_all(self, fully: bool) -> None:
        if self._for_root:
            self._write_in_root()
        if len(sys.modules) != self._n_modules:
            self._refresh()
        for read, kept in self._quick_reads:
            try:
                if read() == kept.quick:
                    continue
            except Exception:  # noqa: BLE001  deleted, or not comparable
                pass
            self._restore(kept)
        if fully:
            for kept in list(self._kept.values()):
                if kept.setting.read_fully is not None and not _equal(kept.setting.read_fully(), kept.expected):
                    self._restore(kept)
        forget_shown_warnings()
        faulthandler.cancel_dump_traceback_later()  # this timer cannot be read, so it is always cancelled

    def _restore(self, kept: _Kept) -> None:
        try:
            kept.setting.write(kept.expected)
            kept.quick = kept.setting.take()
        except CannotRestore as error:
            self.why_unusable = str(error)
        except Exception as error:  # noqa: BLE001  the task may have replaced any part of it
            self.why_unusable = f"{kept.setting.name} cannot be restored: {type(error).__name__}: {error}"

    def _write_in_root(self) -> None:
        """Set settings of a `contextvars` context in the worker's context; each attempt runs in a copy of it."""
        for kept in list(self._for_root.values()):
            kept.setting.write(kept.expected)
            kept.quick = kept.setting.take()
        self._for_root.clear()

    # the settings of a context

    def _leave_context(self) -> None:
        for name in self._packed:
            kept = self._kept.get(name)
            if kept is not None:
                kept.expected = kept.own
                self._restore(kept)
                if kept.setting.is_in_context:
                    self._for_root[name] = kept
                if isinstance(kept.setting, _Registered):
                    del self._kept[name]
        self._table = [setting for setting in self._table if not isinstance(setting, _Registered)]
        self._incomplete.clear()

    def _add_registered(self) -> None:
        for name, packed in self._packed.items():
            if isinstance(packed, tuple):
                self._table.append(_Registered.of(name, *packed))

    def _apply(self, name: str) -> None:
        kept = self._kept.get(name)
        if kept is None or kept.setting.unpack is None:
            return  # its module is not loaded, or this version does not know it
        packed = self._packed[name]
        try:
            value = None if isinstance(packed, tuple) else pickle.loads(packed)
            is_whole = kept.setting.unpack(value) is not False
        except Exception as error:  # noqa: BLE001  another version of the library, or a class that cannot be loaded
            logger.warning("%s of the notebook cannot be set here: %s: %s", name, type(error).__name__, error)
            is_whole = True
        (self._incomplete.discard if is_whole else self._incomplete.add)(name)
        kept.expect_current()
        if kept.setting.is_in_context:
            self._for_root[name] = kept

    # the loaded settings

    def _refresh(self) -> None:
        """Find the settings whose modules are loaded."""
        self._n_modules = len(sys.modules)
        for setting in self._table:
            if setting.name not in self._kept and (not setting.module or setting.module in sys.modules):
                try:
                    self._kept[setting.name] = _Kept(setting)
                except Exception:  # noqa: BLE001  partly imported, or another version of the library
                    continue
        found = [self._kept[setting.name] for setting in self._table if setting.name in self._kept]
        self._quick_reads = [(kept.setting.read, kept) for kept in found]

    # imports

    # These run inside the user's imports, in any thread: they must not raise.

    def before_import(self) -> Any:
        """Return the values before the import, for `after_import`."""
        return {name: _read_all(kept.setting) for name, kept in list(self._kept.items())} if self._is_ready else {}

    def after_import(self, before: dict[str, Any]) -> None:
        """Keep the settings changed by the import, unless the notebook or the task has changed them."""
        if not self._is_ready:
            return
        for name, was in before.items():
            kept = self._kept.get(name)
            if kept is not None:
                try:
                    self._take_over(kept, was, is_packed=name in self._packed)
                except Exception as error:  # noqa: BLE001  the module was deleted, or is partly imported
                    _warn_of_import(name, error)
        known = set(self._kept)
        self._refresh()  # in the order of the table
        for name in self._packed:
            if (name in self._kept and name not in known) or self._can_complete(name):
                try:
                    self._apply(name)
                except Exception as error:  # noqa: BLE001  as above
                    _warn_of_import(name, error)
        if self._seed is not None and self._unseeded:
            self._unseeded = seed_loaded(self._seed, self._unseeded)

    def after_user_import(self, before: dict[str, Any]) -> None:
        """Note whether the module has changed a setting."""
        for name, was in before.items():
            kept = self._kept.get(name)
            if kept is not None and _is_changed(was, _read_all(kept.setting)):
                self.are_modules_stale = True

    def _take_over(self, kept: _Kept, was: Any, *, is_packed: bool) -> None:
        """Record the change of a setting since `was` as a library's own."""
        setting = kept.setting
        now = _read_all(setting)
        if not _is_changed(was, now):
            return
        kept.own = setting.merge(kept.own, was, now)
        if is_packed:
            setting.write(setting.keep(was, now))
            now = setting.take_fully()
        kept.expected = setting.merge(kept.expected, was, now)
        # `read` may return the task's value now: let the next check find a difference and restore all of it
        kept.quick = kept.expected if setting.read_fully is None else object()

    def _can_complete(self, name: str) -> bool:
        """Return whether a setting is in force only in part and unchanged since."""
        return name in self._incomplete and _equal(self._kept[name].setting.take_fully(), self._kept[name].expected)


class _Registered(Value):
    """A setting that a user has registered, sent with its functions."""

    @classmethod
    def of(cls, name: str, module: str, body: bytes) -> _Registered:
        loaded: list[Any] = []

        def parts() -> Any:
            if not loaded:
                with trial():  # not in the namespace of the importing attempt, which does not last
                    loaded.extend(pickle.loads(body))
            return loaded

        def unpack(_: None) -> None:
            _, write, value = parts()
            write(value)

        return cls(
            name=name,
            module=module,
            read=lambda: parts()[0](),
            write=lambda value: parts()[1](value),
            unpack=unpack,
        )


def _read_all(setting: Setting) -> Any:
    """Return the value of a setting; `ABSENT` if it cannot be read because its module is partly imported."""
    try:
        return setting.take_fully()
    except Exception:  # noqa: BLE001  raised by the library
        return ABSENT


def _is_changed(was: Any, now: Any) -> bool:
    return was is not ABSENT and now is not ABSENT and not _equal(was, now)


def _warn_of_import(name: str, error: Exception) -> None:
    logger.warning("%s cannot be set after an import: %s: %s", name, type(error).__name__, error)


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  raised by a library's comparison
        return one is other


def _decode(body: bytes) -> dict[str, _Packed]:
    if not body:
        return {}
    try:
        found: dict[str, _Packed] = pickle.loads(body)
        return found
    except Exception as error:  # noqa: BLE001  packed by another version
        logger.warning("the settings of a context cannot be read: %s: %s", type(error).__name__, error)
        return {}
