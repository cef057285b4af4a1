"""Settings of a worker's process: effects of imports, broadcasts and registered settings."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest

from taskfc_ext.settings import Value
from taskfc_ext.worker.context.settings import ProcessSettings


def get_level() -> Any:
    library: Any = sys.modules["tf_library"]
    return library.level


def set_level(level: int) -> None:
    library: Any = sys.modules["tf_library"]
    library.level = level


LEVEL = Value(name="level", module="tf_library", read=get_level, write=set_level, pack=get_level, unpack=set_level)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with one setting, `level`."""
    monkeypatch.setitem(sys.modules, "tf_library", ModuleType("tf_library"))
    set_level(1)


def enter_settings(*table: Value, **packed: Any) -> ProcessSettings:
    settings = ProcessSettings(table)
    settings.enter(pickle.dumps({name: pickle.dumps(value) for name, value in packed.items()}))
    return settings


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("packed", [{}, {"level": 5}], ids=["plain", "packed"])
def test_no_import_fails_because_a_module_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, packed: dict[str, Any]
) -> None:
    settings = enter_settings(LEVEL, **packed)
    before = settings.before_import()
    monkeypatch.setitem(sys.modules, "tf_library", ModuleType("tf_library"))  # imported again, and not complete yet
    half = settings.before_import()
    settings.after_import(before)
    settings.after_user_import(before)
    set_level(3)
    settings.after_import(half)
    settings.after_user_import(half)
    settings.leave(fully=True)
    assert (settings.why_unusable, settings.are_modules_stale) == ("", False)
    assert get_level() == packed.get("level", 1)


@pytest.mark.usefixtures("library")
def test_no_import_fails_because_a_setting_cannot_be_written() -> None:
    def refuse(level: int) -> None:
        raise AttributeError("half imported")

    settings = enter_settings(
        Value(name="level", module="tf_library", read=get_level, write=refuse, pack=get_level, unpack=bool), level=1
    )
    before = settings.before_import()
    set_level(2)
    settings.after_import(before)


def test_an_import_may_find_more_settings_while_another_one_begins(request: pytest.FixtureRequest) -> None:
    def read() -> int:
        if settings is not None and "tf_library" not in sys.modules:  # as if by another thread
            request.getfixturevalue("library")
            settings.after_import({})
        return 1

    settings = None
    settings = enter_settings(Value(name="first", read=read, write=bool), LEVEL)
    assert settings.before_import() == {"first": 1}
    assert settings.before_import() == {"first": 1, "level": 1}
