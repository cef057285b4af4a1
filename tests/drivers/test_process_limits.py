"""Tests of the limits on files and threads, in child processes with limits of their own."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from taskfc_ext.drivers import process_limits
from taskfc_ext.drivers.process_limits import require_limits_of_farm
from taskfc_ext.errors import StartFailed
from tests.processes import DEADLINE

BEGIN = """
import os, resource, sys
from pathlib import Path
from taskfc_ext.client.session.io_thread import IOThread
from taskfc_ext.drivers.transport import Dealer, Router
from taskfc_ext.errors import FarmError
from taskfc_ext.protocol.codec import from_controller

def connect(make):
    try:
        make()
    except FarmError as error:
        print(error.message)
    else:
        print("connected")

MAKE = {
    "dealer": lambda: Dealer(Path(sys.argv[2], "c"), from_controller).socket.get_monitor_socket(1),
    "router": lambda: Router(Path(sys.argv[2], "c")),
    "client": IOThread,
}[sys.argv[1]]
"""

FEW_FILES = """
files = [os.open(os.devnull, os.O_RDONLY)]
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
try:
    while True:
        files.append(os.dup(files[0]))
except OSError:
    pass
for n in range(14):
    connect(MAKE)
    os.close(files.pop())
"""

NO_ROOM_FOR_A_THREAD = """
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, used + 2**24))
connect(MAKE)
"""


def _make_stacks_large() -> None:
    """Let each thread of this process's program take 64 MiB of addresses."""
    resource.setrlimit(resource.RLIMIT_STACK, (2**26, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def run(code: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", BEGIN + code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE, check=False, preexec_fn=_make_stacks_large
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("what", ["dealer", "router", "client"])
def test_a_process_with_few_descriptors_gets_a_sentence_until_it_has_enough(what: str, tmp_path: Path) -> None:
    told = run(FEW_FILES, what, tmp_path)
    n_refused = next((i for i, line in enumerate(told) if line == "connected"), len(told))
    assert n_refused >= 12
    for n, line in enumerate(told[:n_refused]):
        assert re.fullmatch(rf"a .*needs 1[25] more open files, and this process can open {n} \(.*limit is 200\)", line)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("what", ["dealer", "router", "client"])
def test_a_process_that_can_start_no_thread_gets_a_sentence(what: str, tmp_path: Path) -> None:
    (line,) = run(NO_ROOM_FOR_A_THREAD, what, tmp_path)
    assert "needs a thread, and the system starts none" in line


def test_the_threads_of_a_check_have_ended(tmp_path: Path) -> None:
    ended = run("from taskfc_ext.drivers.process_limits import _n_threads, require_threads\n"
                "before = _n_threads(); require_threads(20, 'it'); print(_n_threads() - before)", "client")  # fmt: skip
    assert ended == ["0"]


@pytest.mark.parametrize(
    ("n_workers", "refused"),
    [
        (12, ""),
        (
            13,
            "a farm with 13 workers needs 66 open files in one process, and the limit is 64\nhave at most 12 workers",
        ),
    ],
)
def test_a_farm_needs_descriptors(n_workers: int, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 64))
    monkeypatch.setattr(process_limits, "_free_threads", lambda wanted: None)
    check(n_workers, refused)


@pytest.mark.parametrize(
    ("n_workers", "refused"),
    [
        (3, ""),
        (4, "a farm with 4 workers needs 24 processes and threads, and the system lets this user start 20 more\n"
            "have at most 3 workers, or raise the limit: ulimit -u"),
    ],
)  # fmt: skip
def test_a_farm_needs_processes(n_workers: int, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "_free_threads", lambda wanted: 20)
    check(n_workers, refused)


def test_a_farm_that_runs_needs_processes_for_the_additional_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "_free_threads", lambda wanted: 20)
    require_limits_of_farm(15, n_running=10)
    refused = (
        "a farm with 16 workers needs 24 more processes and threads, and the system lets this user start 20 more\n"
    )
    with pytest.raises(StartFailed, match=f"^{refused}have at most 15 workers"):
        require_limits_of_farm(16, n_running=10)


def check(n_workers: int, refused: str) -> None:
    if not refused:
        require_limits_of_farm(n_workers)
        return
    with pytest.raises(StartFailed, match=f"^{re.escape(refused)}"):
        require_limits_of_farm(n_workers)


@pytest.mark.parametrize(("most", "free"), [("max", None), ("12", 5), ("7", 1), ("", None)])
def test_a_control_group_says_how_many_processes_it_has_left(most: str, free: int | None, tmp_path: Path) -> None:
    (tmp_path / "pids.max").write_text(f"{most}\n")
    (tmp_path / "pids.current").write_text("7\n")
    assert process_limits._free_in_group(tmp_path) == free


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_limit_of_a_user_counts_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits.os, "getuid", lambda: 4242)
    monkeypatch.setattr(process_limits, "_n_threads_of_user", lambda: 90)
    monkeypatch.setattr(process_limits, "least_limit", lambda *arguments: None)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 100))
    assert process_limits._free_threads(26) == 10
    assert process_limits._free_threads(25) is None
