"""Tests of connection files: they lead to running farms only."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from taskfc_ext.drivers.connection_file import (
    ConnectionInfo,
    boot_id,
    process_started,
    read_connection,
    remove_connection,
    write_connection,
)
from taskfc_ext.drivers.paths import farm_paths, prepare
from taskfc_ext.errors import FarmError
from taskfc_ext.protocol.ids import PROTOCOL


@pytest.fixture
def paths(monkeypatch):
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", f"{home}/jupyter")
    paths = farm_paths("default")
    prepare(paths)
    yield paths
    shutil.rmtree(home)


def make_info(**changes):
    """Return the connection info of a farm whose supervisor is this process."""
    values = {
        "name": "default",
        "protocol": PROTOCOL,
        "version": "0",
        "host": os.uname().nodename,
        "boot_id": boot_id(),
        "pid": os.getpid(),
        "pid_started": process_started(os.getpid()),
        "supervisor_pid": os.getpid(),
        "supervisor_started": process_started(os.getpid()),
        "clients": "/run/x.c",
        "python": sys.executable,
    }
    return ConnectionInfo(**(values | changes))


def test_a_written_file_is_read(paths):
    write_connection(paths, make_info())
    assert read_connection("default") == make_info()
    assert stat.S_IMODE(paths.connection_file.stat().st_mode) == 0o600
    assert [file.name for file in paths.connection_file.parent.iterdir()] == ["taskfc-default.json"]


def test_it_is_replaced(paths):
    write_connection(paths, make_info())
    write_connection(paths, make_info(version="1"))
    assert read_connection("default").version == "1"


def test_a_missing_file_is_none(paths):
    assert read_connection("default") is None


def test_it_is_found_through_the_store_from_another_environment(paths, monkeypatch):
    write_connection(paths, make_info())
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/nonexistent")
    assert read_connection("default") == make_info()


def test_it_is_found_through_the_store_after_it_was_removed(paths):
    write_connection(paths, make_info())
    shutil.rmtree(paths.connection_file.parent)
    assert read_connection("default") == make_info()
    remove_connection(paths)
    assert read_connection("default") is None


def test_it_is_found_without_the_store(paths):
    write_connection(paths, make_info())
    paths.lock.unlink()
    assert read_connection("default") == make_info()


def test_a_dead_supervisor_makes_it_stale(paths):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_connection(paths, make_info(supervisor_pid=ended.pid))
    assert read_connection("default") is None


def test_a_reused_pid_makes_it_stale(paths):
    write_connection(paths, make_info(supervisor_started=process_started(os.getpid()) - 1))
    assert read_connection("default") is None


def test_a_boot_makes_it_stale(paths):
    write_connection(paths, make_info(boot_id="an earlier one"))
    assert read_connection("default") is None


def test_another_host_is_named(paths):
    write_connection(paths, make_info(host="far-away", boot_id="its own"))
    with pytest.raises(FarmError, match="runs on far-away") as caught:
        read_connection("default")
    assert str(paths.connection_file) in caught.value.hint


def test_a_file_that_others_can_read_is_refused(paths):
    write_connection(paths, make_info())
    paths.connection_file.chmod(0o644)
    with pytest.raises(FarmError, match="not a file of this user alone"):
        read_connection("default")


def test_a_link_is_refused(paths):
    write_connection(paths, make_info())
    paths.connection_file.rename(paths.store / "planted")
    paths.connection_file.symlink_to(paths.store / "planted")
    with pytest.raises(FarmError, match="cannot read"):
        read_connection("default")


@pytest.mark.parametrize(
    "content", [b'{"host": "here"}', b'{"host": "\xff"}', b'{"more": ' + 30_000 * b"["], ids=["other", "text", "deep"]
)
def test_a_damaged_file_is_named(paths, content):
    write_connection(paths, make_info())
    paths.connection_file.write_bytes(content)
    with pytest.raises(FarmError, match="is not understood"):
        read_connection("default")


def test_nonsense_in_the_lock_file_is_ignored(paths):
    write_connection(paths, make_info())
    paths.lock.write_bytes(b'{"connection_file": "\xff"}')
    assert read_connection("default") == make_info()


def test_fields_of_a_later_version_do_not_matter(paths):
    write_connection(paths, make_info())
    content = msgspec.json.decode(paths.connection_file.read_bytes())
    paths.connection_file.write_bytes(msgspec.json.encode(content | {"more": 1}))
    assert read_connection("default") == make_info()


def test_removing_leaves_nothing_but_an_empty_lock(paths):
    write_connection(paths, make_info())
    remove_connection(paths)
    remove_connection(paths)
    assert read_connection("default") is None
    assert list(paths.connection_file.parent.iterdir()) == []
    assert paths.lock.read_bytes() == b""


def test_a_folder_in_its_place_is_an_error(paths):
    paths.connection_file.parent.mkdir(parents=True, exist_ok=True)
    paths.connection_file.mkdir()
    with pytest.raises(FarmError, match="is not a file of this user alone"):
        read_connection("default")
    remove_connection(paths)  # it leads to no process


@pytest.mark.parametrize("other", ["notes.txt", "taskfc-other.json"])
def test_a_damaged_record_leads_to_no_other_file(paths, other):
    write_connection(paths, make_info())
    valued = paths.connection_file.with_name(other)
    valued.write_bytes(msgspec.json.encode(make_info(version="of another")))
    valued.chmod(0o600)
    paths.lock.write_bytes(paths.lock.read_bytes().replace(paths.connection_file.name.encode(), other.encode()))
    assert read_connection("default") == make_info()
    remove_connection(paths)
    assert valued.exists()


def test_a_record_that_is_no_path_is_no_record(paths):
    write_connection(paths, make_info())
    content = paths.lock.read_bytes().replace(b"taskfc-default", b"\\u0000/taskfc-default", 1)
    paths.lock.write_bytes(content)
    assert b"u0000" in content
    assert read_connection("default") == make_info()
    remove_connection(paths)


@pytest.mark.parametrize("field", ["pid_started", "supervisor_started"])
def test_a_process_without_its_start_time_is_no_process_to_signal(paths, field):
    write_connection(paths, make_info())
    paths.lock.write_bytes(b"")
    content = paths.connection_file.read_bytes()
    started = f'"{field}":{getattr(make_info(), field)}'.encode()
    paths.connection_file.write_bytes(content.replace(started, f'"{field}":null'.encode()))
    with pytest.raises(FarmError, match="is not understood"):
        read_connection("default")
