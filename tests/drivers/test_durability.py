"""A synced store on a model of the disk: what is not on it when an answer is sent is missing after a power cut."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.drivers.payload_files import LARGE

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace records the order of the writes")

N = 30

WRITER = f"""
import sys
from pathlib import Path
from taskfc_ext.drivers.store import Store
from tests.drivers.test_store import make_ended, make_submitted
from taskfc_ext.protocol.records import Cleared
import taskfc_ext.drivers.upkeep as upkeep
from msgspec.structs import replace
upkeep.CHECKPOINT_BYTES = 100_000
upkeep._CHECK_AFTER_COMMITS = 5
store = Store(Path(sys.argv[1]), is_synced=sys.argv[2] == "disk")
with open(sys.argv[3], "wb", buffering=0) as answers:
    for i in range({N}):
        bodies = store.stage([b"a" * {LARGE}])
        store.commit([make_submitted(i, bodies=bodies)])
        answers.write(b"accepted")
        (value,) = store.stage([b"v" * (20_000 if i % 2 else {LARGE})])
        store.commit([replace(make_ended(i), values=(value,))])
        answers.write(b"ended")
        store.commit([Cleared((i,), "a" * 16, 3 * i)])
        answers.write(b"cleared")
store.close()
"""


class Disk:
    """The files of a store, and those of them that a power cut could change.

    Attributes:
        dirty: files with content, and folders with names, that are not on the disk -> the threads that wrote them.
        problems: what a power cut would have lost after an answer.
        n_answers: number of answers.
    """

    def __init__(self, store: Path, answers: Path) -> None:
        self.store, self.answers = str(store), str(answers)
        self.dirty: dict[str, set[str]] = {}
        self.problems: list[str] = []
        self.n_answers = 0

    def write(self, path: str, thread: str) -> None:
        if path == self.answers:
            self.n_answers += 1
            lost = sorted(name for name in self.dirty if self.is_lost(name, thread))
            self.problems += [f"answer {self.n_answers}: {name} is not on the disk" for name in lost]
        else:
            self.dirty.setdefault(path, set()).add(thread)

    def is_lost(self, path: str, thread: str) -> bool:
        """Return whether `path` has something of `thread`, which answers; the upkeep's thread promises nothing."""
        return thread in self.dirty[path] and not path.endswith(("journal.sqlite", "-shm"))

    def create(self, path: str, thread: str) -> None:
        self.dirty.setdefault(str(Path(path).parent), set()).add(thread)

    def truncate(self, path: str) -> None:
        """Note that a log is cut or begun again: what it had must be in the database, on the disk."""
        if path.endswith("-wal") and path.removesuffix("-wal") in self.dirty:
            self.problems.append("the log was cut before the database was on the disk")

    def sync(self, path: str) -> None:
        self.dirty.pop(path, None)


_CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) += (\d+)")
_FD = re.compile(r"^\d+<([^>]*)>")
_NAME = re.compile(r'"([^"]*)"')


def calls_of(trace: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (thread, name, arguments) of the calls that succeeded, in order; interrupted ones are put together."""
    begun: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
            continue
        if " resumed>" in line:
            line = begun.pop(thread, "") + line.split(" resumed>", 1)[1]
        match = _CALL.match(line)
        if match:
            yield thread, match[1], match[2]


def replay(trace: Path, disk: Disk) -> None:
    for thread, name, arguments in calls_of(trace):
        fd = _FD.match(arguments)
        names = [path for path in _NAME.findall(arguments) if path.startswith("/")]
        path = fd[1] if fd else ""
        if name in ("fsync", "fdatasync"):
            disk.sync(path)
        elif name in ("write", "pwrite64", "writev", "pwritev") and path.startswith((disk.store, disk.answers)):
            disk.write(path, thread)
        elif name == "ftruncate":
            disk.truncate(path)
        elif name == "openat" and "O_CREAT" in arguments and "O_EXCL" in arguments and names[0].startswith(disk.store):
            disk.create(names[0], thread)


@pytest.mark.parametrize(("durability", "is_safe"), [("disk", True), ("process", False)])
def test_all_that_an_answer_promises_is_on_the_disk_before_it_is_sent(
    tmp_path: Path, durability: str, is_safe: bool
) -> None:
    store, answers, trace = tmp_path / "store", tmp_path / "answers", tmp_path / "trace"
    store.mkdir()
    calls = "trace=write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,openat"
    command = ["strace", "-f", "-y", "-s", "0", "-e", calls, "-o", str(trace), sys.executable, "-c", WRITER]
    done = subprocess.run([*command, str(store / "journal.sqlite"), durability, str(answers)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    disk = Disk(store, answers)
    replay(trace, disk)
    assert disk.n_answers == 3 * N
    assert is_safe == (not disk.problems), disk.problems[:5]
