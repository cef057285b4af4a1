"""The modes of a farm's files and folders under hostile umasks: they are their owner's alone, and usable by it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import DEADLINE

SCRIPT = """
import os, sys, time
os.umask(int(sys.argv[1], 8))
from taskfc_ext import start

def sleep_and_say(gate):
    print("here")
    while not os.path.exists(gate):
        time.sleep(0.01)

with start(1) as farm, farm.client() as client:
    assert len(client.submit(bytes, 5_000_000).result()) == 5_000_000
    assert client.submit(len, bytes(6_000_000)).result() == 6_000_000
    assert client.submit(os.umask, 0o22).result() == int(sys.argv[1], 8), "a task has the umask of the user"
    running = client.submit(sleep_and_say, sys.argv[2])
    while running.state != "running":
        time.sleep(0.01)
    print("look", flush=True)
    sys.stdin.readline()
    os.close(os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY, 0o600))
    running.result()
"""


@pytest.mark.parametrize("umask", ["000", "027", "277", "777"])
def test_all_files_of_a_farm_are_its_owners_alone(home: Path, umask: str) -> None:
    for folder in ("s", "r", "j"):
        (home / folder).rmdir()  # so that the farm makes them
    command = [sys.executable, "-c", SCRIPT, umask, str(home / "gate")]
    with subprocess.Popen(command, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "look\n"
        made = [path for folder in ("s", "r", "j") for path in [home / folder, *(home / folder).rglob("*")]]
        found = {path: path.lstat().st_mode for path in made}
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    names = {"journal.sqlite", "journal.sqlite-wal", "lock", "options.json", "worker-0.log", "taskfc-default.json"}
    assert names <= {path.name for path in found}
    assert sum("-payloads" in str(path) for path in found) > 1
    wrong = {path: oct(mode) for path, mode in found.items() if stat.S_IMODE(mode) != _expected(mode)}
    assert not wrong


def _expected(mode: int) -> int:
    """Return the mode that a file or folder has to have; sockets have those that ZMQ gives them."""
    return 0o600 if stat.S_ISREG(mode) else 0o700
