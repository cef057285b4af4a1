"""Tests of pages, commands, and the identification of processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys

import pytest

from taskfc_ext.drivers.process_tree import stat_fields
from taskfc_ext.drivers.processes import (
    FARM,
    FARM_PID,
    FARM_WORKER,
    Page,
    WatchedPage,
    environment_outside_farms,
    kill_tagged,
    process_alive,
    process_started,
    python_command,
    sweep,
    tagged_processes,
)
from tests.processes import DEADLINE

TAG = f"test{os.getpid():x}"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def spawn():
    """Start processes that wait for ever, and end them after the test."""
    started = []

    def start(*command, **options):
        process = subprocess.Popen(command or ["sleep", "1000"], **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def spawn_tagged(spawn, tag=TAG, worker=0):
    return spawn(env=os.environ | {FARM: tag, FARM_WORKER: str(worker)})


def test_two_mappings_of_a_page_are_one(tmp_path):
    fd = Page.create(tmp_path / "page")
    ours, theirs = Page(fd), Page(fd)
    os.close(fd)
    assert (ours.started, ours.running, ours.ready) == (0, False, False)

    theirs.words[Page.STARTED] = 2**60
    assert (ours.started, ours.running, ours.ready) == (2**60, True, True)
    assert ours.is_running(2**60)
    assert not ours.is_running(2**60 - 1)

    theirs.words[Page.ENDED] = 2**60
    assert (ours.started, ours.running) == (2**60, False)
    assert not ours.is_running(2**60)
    ours.close()
    theirs.close()


def test_kept_results_are_those_before_the_last_start(tmp_path):
    fd = Page.create(tmp_path / "page")
    page, watched = Page(fd), WatchedPage(fd)
    for lease in range(1, 5):
        page.words[Page.STARTED] = lease
        page.keep(lease, lease / 8, bytes(47 if lease < 3 else 48))
    page.words[Page.STARTED] = 5
    assert watched.results() == [(1, 1 / 8, bytes(47)), (2, 2 / 8, bytes(47))], "longer ones are not kept"
    page.words[Page.STARTED] = 2
    assert watched.results() == [(1, 1 / 8, bytes(47))], "the second is not over"
    page.words[Page.STARTED] = 1000
    for lease in range(10, 71):
        page.keep(lease, 0.0, b"value")
    assert len(watched.results()) == 62, "the next one comes into the place of the first, which may be half written"
    assert watched.results()[0] == (2, 2 / 8, bytes(47))
    page.keep(71, 0.0, b"value")
    assert watched.results()[0] == (71, 0.0, b"value")
    assert len(watched.results()) == 62
    os.truncate(fd, 64)
    assert watched.results() == []
    watched.close()
    os.close(fd)
    page.close()


def test_a_page_is_private_and_never_taken_over(tmp_path):
    os.close(Page.create(tmp_path / "page"))
    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Page.create(tmp_path / "page")


def test_a_command_runs_a_role_from_any_folder(tmp_path):
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from the current folder')")
    result = subprocess.run(
        python_command("supervisor", "not a name"), cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert "'not a name' is not a farm name" in json.loads(result.stdout)["error"]


def test_an_environment_outside_farms():
    environ = {"PATH": "/bin", FARM: "t", FARM_PID: "1", FARM_WORKER: "2"}
    assert environment_outside_farms(environ) == {"PATH": "/bin"}


def test_processes_are_identified_by_pid_and_start(spawn):
    process = spawn()
    started = process_started(process.pid)
    assert process_alive(process.pid, started)
    assert process_alive(process.pid, None)
    assert not process_alive(process.pid, started - 1)
    process.kill()
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not process_alive(process.pid, started)  # a zombie
    process.wait()
    assert process_started(process.pid) is None


@linux
def test_a_command_name_with_parentheses_does_not_confuse(tmp_path, spawn):
    program = tmp_path / "a) Z (b"
    program.symlink_to("/bin/sleep")
    assert process_alive(spawn(str(program), "1000").pid, None)


@linux
def test_processes_are_found_by_their_farm(spawn):
    ours, second, other = spawn_tagged(spawn), spawn_tagged(spawn, worker=1), spawn_tagged(spawn, tag=f"{TAG}0")
    assert sorted(tagged_processes(TAG)) == sorted([ours.pid, second.pid])
    assert tagged_processes(TAG, worker=1) == [second.pid]

    assert kill_tagged(TAG, worker=1) == [second.pid]
    assert second.wait(DEADLINE) == -signal.SIGKILL
    assert sweep(TAG) == []
    assert ours.wait(DEADLINE) == -signal.SIGKILL
    assert other.poll() is None


@linux
def test_a_sweep_never_hits_its_own_process(spawn):
    code = f"from taskfc_ext.drivers.processes import sweep; print(sweep({TAG!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {FARM: TAG, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert result.stdout.strip() == "[]"


@linux
def test_a_process_dies_with_its_parent(spawn):
    child = (
        "import os, time\nfrom taskfc_ext.drivers.processes import die_with_parent\n"
        "die_with_parent(os.getppid()); print('armed', flush=True); time.sleep(1000)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = spawn(sys.executable, "-c", parent, stdout=subprocess.PIPE, env=environ)
    assert process.stdout.readline() == b"armed\n"
    process.kill()
    assert select.select([process.stdout], [], [], DEADLINE)[0]
    assert process.stdout.read() == b""  # both ends are closed


@linux
def test_an_orphan_does_not_begin():
    code = "from taskfc_ext.drivers.processes import die_with_parent; die_with_parent(1 << 22)"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environ).returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("flags", "expected"), [(0x4000000, True), (0x4000004, False)])
def test_a_process_that_exits_is_not_alive_even_while_it_holds_its_locks(
    monkeypatch: pytest.MonkeyPatch, flags: int, expected: bool
) -> None:
    fields = stat_fields(os.getpid())
    fields[6] = str(flags).encode()
    monkeypatch.setattr("taskfc_ext.drivers.processes.stat_fields", lambda pid: fields)
    assert process_alive(os.getpid(), None) is expected
