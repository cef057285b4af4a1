"""Tests of the user's own files, and of the detection of changes in them."""

from __future__ import annotations

import os
import sysconfig
import time
from pathlib import Path

import pytest

from taskfc_ext.drivers.user_folder import GONE, UserCode, is_installed, stamp_of
from tests.processes import DEADLINE


def test_files_in_the_folder_are_the_users_own(tmp_path: Path) -> None:
    folder = UserCode(str(tmp_path / "a"))
    assert folder.holds(str(tmp_path / "a" / "x.py"))
    assert folder.holds(str(tmp_path / "a" / "deep" / "x.py"))
    assert not folder.holds(str(tmp_path / "ab" / "x.py"))
    assert not UserCode("").holds("/x.py")


@pytest.mark.parametrize("place", ["site-packages", "deep/dist-packages/x", "env", "env/lib", "conda"])
def test_installed_files_are_not_the_users_own(tmp_path: Path, place: str) -> None:
    for sign in ("env/pyvenv.cfg", "conda/conda-meta/history"):
        (tmp_path / sign).parent.mkdir(parents=True)
        (tmp_path / sign).touch()
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    assert not UserCode(str(tmp_path)).holds(str(tmp_path / place / "x.py"))
    assert is_installed(str(tmp_path / place))


def test_files_on_the_module_path_are_the_users_own(tmp_path: Path) -> None:
    for name in ("book", "src/deep", "env", "target/x-1.dist-info", "src/site-packages", ".tool"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    path = [str(tmp_path / name) for name in ("src", "env", "target", "gone", "src/site-packages", ".tool")]
    code = UserCode(str(tmp_path / "book"), ["", "/", *path, sysconfig.get_path("stdlib")])
    for name in ("book/x.py", "book/deep/x.py", "src/x.py", "src/deep/x.py", "src/deep/"):
        assert code.holds(f"{tmp_path}/{name}"), name
    for name in ("env/x.py", "target/x.py", "gone/x.py", "src/site-packages/x.py", ".tool/x.py", "x.py"):
        assert not code.holds(f"{tmp_path}/{name}"), name
    assert not code.holds(os.path.join(sysconfig.get_path("stdlib"), "json", "__init__.py"))
    assert code.holds(str(tmp_path / "x.py"), beyond_path=True)
    assert not code.holds(str(tmp_path / "target" / "x.py"), beyond_path=True)
    assert not UserCode(str(tmp_path / "book")).holds(str(tmp_path / "src" / "x.py"), beyond_path=True)


def test_python_itself_is_installed_wherever_the_folder_is() -> None:
    assert not UserCode("/").holds(os.path.join(sysconfig.get_path("stdlib"), "json", "__init__.py"))


def test_a_stamp_shows_a_change_within_a_tick_of_the_clock(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    assert stamp_of(str(file)) == GONE
    file.write_text("1")
    soon = time.time_ns() + int(DEADLINE * 1e9)  # so that the change is recent also on a slow machine
    os.utime(file, ns=(soon, soon))
    assert stamp_of(str(file)) != stamp_of(str(file))  # it could change without a trace
    os.utime(file, ns=(10**18, 10**18))
    stamp = stamp_of(str(file))
    assert stamp == stamp_of(str(file))
    os.utime(file, ns=(10**18, 10**18 + 1))
    assert stamp_of(str(file)) != stamp
