"""Tests of taking a farm over: the lock, the options, and the files of a dead supervisor."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from taskfc_ext.client.farm.launch import stored_options
from taskfc_ext.drivers.processes import Page
from taskfc_ext.drivers.worker_ids import reserve_ids
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.launch import LaunchStatus
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import Farm, WorkerDown, WorkerUp
from taskfc_ext.supervisor.controller_process import fit
from taskfc_ext.supervisor.socket_process import open_log
from taskfc_ext.supervisor.status import StatusPipe
from taskfc_ext.supervisor.takeover import settle_options, take_lock, take_over


@pytest.fixture
def paths(farm):
    return farm.paths


@pytest.fixture
def lock_fd(paths):
    fd = take_lock(paths)
    yield fd
    os.close(fd)


OPTIONS = FarmOptions(n_workers=2, python="p", cwd="/", sys_path=("/a",))


def test_given_options_are_kept(paths):
    assert settle_options(paths, msgspec.json.encode(OPTIONS)) == OPTIONS
    assert settle_options(paths, b"") == OPTIONS
    assert paths.options.stat().st_mode & 0o777 == 0o600


def test_damaged_options_do_not_replace_good_ones(paths):
    settle_options(paths, msgspec.json.encode(OPTIONS))
    with pytest.raises(StartFailed, match="n_workers"):
        settle_options(paths, b'{"n_workers": "many"}')
    assert settle_options(paths, b"") == OPTIONS


def test_a_first_start_finds_nothing(paths, lock_fd):
    assert take_over(paths, lock_fd) == []
    assert paths.lock.read_bytes() == b"{}"


TAKE_OVER = """
import sys
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.protocol.launch import LaunchStatus
from taskfc_ext.supervisor.takeover import take_lock, take_over
paths = farm_paths("default")
take_over(paths, take_lock(paths))
print(*sorted(name for name in sys.modules if name.startswith("jupyter_core")))
"""


def test_a_usual_start_does_not_search_for_a_connection_file(farm):
    command = [sys.executable, "-c", TAKE_OVER]
    modules = subprocess.run(command, env=farm.environ, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert modules == "\n"  # jupyter_core is slow to import, and only needed for the usual place of the file


def test_pages_of_a_killed_predecessor_are_read_and_removed(paths, lock_fd):
    for worker, started, ended in ((2, 7, 7), (10, 9, 8)):
        fd = Page.create(paths.page(worker))
        page = Page(fd)
        page.words[Page.STARTED], page.words[Page.ENDED] = started, ended
        page.close()
        os.close(fd)
    paths.page(11).touch(0o600)  # killed while it made this one
    paths.clients.touch()
    ends = take_over(paths, lock_fd)
    assert [(end.worker, end.started, end.running, end.planned) for end in ends] == [
        (2, 7, False, True),
        (10, 9, True, True),
        (11, 0, False, True),
    ]
    assert list(paths.sockets.iterdir()) == []


def test_worker_ids_are_never_reused(paths):
    lines = []
    assert reserve_ids(paths, 3, log=lines.append) == 0
    assert reserve_ids(paths, 1, log=lines.append) == 3
    paths.next_worker.write_text("")
    assert lines == []
    assert reserve_ids(paths, 1, log=lines.append) > 1_000_000
    assert "damaged" in lines[0]


def test_a_farm_message_fits_into_a_frame(paths):
    dead = tuple(WorkerDown(worker=i, pid=1, started=0, running=False, note="x" * 4096) for i in range(1000))
    farm = Farm(supervisor_pid=1, n_workers=1, alive=(WorkerUp(1000, 2),), dead=dead)
    cut = fit(farm)
    assert len(msgspec.msgpack.encode(cut)) < 200_000
    assert [down.worker for down in cut.dead] == list(range(1000))
    assert fit(msgspec.structs.replace(farm, dead=dead[:2])).dead == dead[:2]


def test_a_large_log_is_emptied(paths):
    paths.controller_log.write_bytes(b"x" * 2**21)
    os.close(open_log(paths.controller_log))
    assert paths.controller_log.stat().st_size == 0


def test_the_status_is_sent_once_and_its_pipe_closed():
    reader, writer = os.pipe()
    status = StatusPipe(writer)
    status.send(LaunchStatus(ready=5))
    status.send(LaunchStatus(error="too late"))
    with open(reader, "rb") as file:
        assert file.read() == b'{"ready":5}\n'


def test_nobody_has_to_read_the_status():
    reader, writer = os.pipe()
    os.close(reader)
    StatusPipe(writer).send(LaunchStatus(ready=5))


@pytest.mark.parametrize("content", [b"\xff{}", b"", b"[" * 100_000, b"\x00"], ids=["text", "empty", "deep", "zero"])
def test_options_that_are_not_understood_end_a_start_with_a_sentence(paths, content):
    paths.options.write_bytes(content)
    with pytest.raises(StartFailed, match=r"options of farm '.*' are not understood"):
        settle_options(paths, b"")
    assert stored_options(paths) is None


def test_options_that_cannot_be_read_end_a_start_with_a_sentence(paths):
    paths.options.mkdir()
    with pytest.raises(StartFailed, match=r"cannot read .*options"):
        settle_options(paths, b"")
    assert stored_options(paths) is None
