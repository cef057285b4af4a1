"""Discovery of farms from their files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.drivers.connection_file import (
    ConnectionInfo,
    boot_id,
    host_name,
    identity_of,
    process_started,
    write_connection,
)
from taskfc_ext.drivers.paths import farm_paths, prepare
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.snapshots import FarmState
from taskfc_ext.server_extension.discovery import TRUSTED_AFTER, Discovery
from tests.processes import DEADLINE


def publish(name: str, **other) -> ConnectionInfo:
    """Write the connection file of a farm whose supervisor is this process."""
    paths = farm_paths(name)
    prepare(paths)
    facts = {
        "name": name, "protocol": PROTOCOL, "version": "0", "host": host_name(), "boot_id": boot_id(),
        "pid": os.getpid(), "pid_started": process_started(os.getpid()), "supervisor_pid": os.getpid(),
        "supervisor_started": process_started(os.getpid()), "clients": str(paths.clients), "python": "3.11",
    }  # fmt: skip
    info = ConnectionInfo(**{**facts, **other})
    write_connection(paths, info)
    return info


@pytest.fixture
def farms(home: Path):
    """Three farms: one that is there, one that died, one that was stopped; their files are removed at the end."""
    there = publish("there")
    publish("died", supervisor_started=1)
    prepare(farm_paths("stopped"))
    yield there
    for file in (home / "j").iterdir():
        file.unlink()


def test_the_status_of_each_farm_is_read_from_its_files(farms):
    found = Discovery().find_farms()
    assert {name: status.state.value for name, status in found.items()} == {
        "there": "connecting", "died": "dead", "stopped": "stopped",
    }  # fmt: skip
    assert (found["there"].identity, found["there"].python) == (identity_of(farms), "3.11")
    assert "taskfc start --name died" in found["died"].message


def test_connected_farms_are_not_read(farms):
    farm_paths("there").connection_file.write_text("spoilt")
    discovery = Discovery()
    assert discovery.find_farms({"there"})["there"] is None
    assert discovery.find_farms()["there"].state is FarmState.REFUSED


def test_no_farm_of_another_host_is_taken_for_ours(farms):
    publish("away", host="far-away", boot_id="another", supervisor_started=1)
    status = Discovery().find_farms()["away"]
    assert (status.state, "far-away" in status.message) == (FarmState.REFUSED, True)


def test_the_start_of_a_farm_is_noticed(farms):
    discovery = Discovery()
    long_ago = time.time() - 10 * TRUSTED_AFTER
    for name in ("stopped", "died"):
        paths = farm_paths(name)
        for file in (paths.lock, paths.connection_file):
            if file.exists():
                os.utime(file, (long_ago, long_ago))
    assert [discovery.find_farms()[name].state.value for name in ("stopped", "died")] == ["stopped", "dead"]
    assert [discovery.find_farms()[name].state.value for name in ("stopped", "died")] == ["stopped", "dead"]
    for name in ("stopped", "died"):
        publish(name)
        for file in (farm_paths(name).lock, farm_paths(name).connection_file):
            os.utime(file, (long_ago + 1, long_ago + 1))  # however long that was ago
    assert {status.state.value for status in discovery.find_farms().values()} == {"connecting"}


def test_files_that_were_written_just_now_are_read_again(farms, home, tmp_path, monkeypatch):
    """A start writes the lock file first and then another one, perhaps in the runtime folder of another environment."""
    lock = farm_paths("stopped").lock
    lock.touch()
    written = time.time_ns() + int(DEADLINE * 1e9)  # so that it stays just now, however slow this machine is
    os.utime(lock, ns=(written, written))
    discovery = Discovery()
    assert discovery.find_farms()["stopped"].state is FarmState.STOPPED
    with monkeypatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        publish("stopped")
    os.utime(lock, ns=(written, written))
    assert discovery.find_farms()["stopped"].state is FarmState.CONNECTING


def test_a_store_that_is_gone_is_forgotten(farms):
    discovery = Discovery()
    discovery.find_farms()
    farm_paths("stopped").store.rmdir()
    assert set(discovery.find_farms()) == {"there", "died"}


def test_many_farms_that_do_not_run_are_read_quickly(farms):
    """Their files were not written since: two `stat`s each, and no process is looked for."""
    for n in range(50):
        prepare(farm_paths(f"rests{n}"))
    discovery, alone = Discovery(), LocalFarm("rests1")
    discovery.find_farms()
    begin = time.process_time()
    for _ in range(5):
        discovery.find_farms({"there"})
    cached = time.process_time() - begin
    begin = time.process_time()
    for _ in range(5 * 50):
        alone.condition()
    assert cached < time.process_time() - begin
