"""Seven scripts on a disk that others fill to the last byte, each with a farm on a small disk of its own.

    sudo python -m tests.system.full_disk [SCRIPT ...]

prints a table: the slowest command, whether accepted tasks were lost or ran too often, and restarts of the controller.
Only root can mount such a disk.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taskfc_ext import BlockingTaskClient, StorageFull, TaskFCError
from taskfc_ext.client.start import start

SIZE = 100 * 2**20
"""Bytes of the disk: payloads leave 64 MB free."""

WITHIN = 5.0
"""Seconds in which each command has to answer."""

PATIENCE = 60.0
"""Seconds in which all has to go on when there is room again."""


class Disk:
    """A farm whose store is alone on a small disk, and a file that fills it.

    Attributes:
        usual: seconds that `taskfc status` takes with room: on a busy machine, the interpreter starts slowly.
        slowest: seconds of the slowest command, and its name.
        problems: what has gone wrong.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "taskfc" / "default"
        self.slowest = (0.0, "")
        self.usual = 0.0
        self.problems: list[str] = []
        self.n_starts = 0

    def fill(self) -> None:
        """Leave not a byte free."""
        with open(self.folder / "filler", "ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**20))
        with open(self.folder / "filler", "ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        """Remove what has filled it."""
        (self.folder / "filler").unlink()

    def expect(self, is_so: object, problem: str) -> None:
        """Note `problem` unless `is_so`."""
        if not is_so:
            self.problems.append(problem)

    def time(self, what: str, act: Callable[[], Any]) -> Any:
        """Do `act`, and return its value or its error; note how long it took."""
        began = time.monotonic()
        try:
            return act()
        except TaskFCError as error:
            return error
        finally:
            self.slowest = max(self.slowest, (time.monotonic() - began, what))

    def command(self, *words: str) -> tuple[int, str]:
        """Run `taskfc`; return its code and its text."""
        argv = [sys.executable, "-m", "taskfc_ext.cli", *words]
        ended = self.time(words[0], lambda: subprocess.run(argv, capture_output=True, text=True, check=False))
        text = ended.stdout + ended.stderr
        self.expect("Traceback" not in text, f"{words[0]}: a traceback: {text[-300:]}")
        return ended.returncode, text

    def start(self) -> BlockingTaskClient:
        """Start the farm; return a client."""
        self.n_starts += 1
        client = start(2).client()
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "taskfc_ext.cli", "status"], capture_output=True, check=False)
        self.usual = max(self.usual, time.monotonic() - began)
        return client

    def restarts(self) -> int:
        """Return how often the controller was started without being asked for."""
        return (self.store / "controller.log").read_text().count("INFO serving") - self.n_starts


def double(x: int) -> int:
    return 2 * x


def double_slowly(x: int, seconds: float = 1.0) -> int:
    time.sleep(seconds)
    return 2 * x


def much(n: int, seconds: float) -> bytes:
    time.sleep(seconds)
    return bytes(n)


def wait_for_word(disk: Disk, client: BlockingTaskClient) -> None:
    """Wait until the farm says that it has no room."""
    ends = time.monotonic() + WITHIN
    while "no_room" not in disk.time("status", client.queue_status):
        if time.monotonic() > ends:
            disk.problems.append("nobody says that the disk is full")
            return
        time.sleep(0.1)
    code, text = disk.command("status")
    disk.expect(code == 0 and "is full" in text, f"taskfc status says {text!r}")


def check_results(disk: Disk, futures: list[Any], values: list[Any]) -> None:
    """Check that all tasks end with these values."""
    try:
        found = [future.result(timeout=PATIENCE) for future in futures]
    except Exception as error:
        disk.problems.append(f"a result is lost: {type(error).__name__}: {error}")
    else:
        disk.expect(found == values, f"wrong results: {str(found)[:100]}")


def check_goes_on(disk: Disk, client: BlockingTaskClient) -> None:
    """Check that new tasks are accepted again within seconds, by itself."""
    ends = time.monotonic() + PATIENCE
    while "no_room" in client.queue_status():
        if time.monotonic() > ends:
            disk.problems.append("it does not go on, though there is room")
            return
        time.sleep(0.1)
    check_results(disk, [client.submit(double, 21)], [42])


def submit_refused(disk: Disk, client: BlockingTaskClient) -> None:
    """Check that a submission is refused with the reason."""

    error = disk.time("submit", lambda: client.submit(double, 1).result())
    disk.expect(isinstance(error, StorageFull) and str(disk.folder) in str(error), f"submit: {error!r}")


def at_submit(disk: Disk) -> None:
    """Full at submit."""
    with disk.start() as client:
        done = client.submit(double, 1)
        client.flush()
        disk.fill()
        wait_for_word(disk, client)
        submit_refused(disk, client)
        check_results(disk, [done], [2])
        disk.make_room()
        check_goes_on(disk, client)


def while_results_come(disk: Disk) -> None:
    """Full while results come."""
    with disk.start() as client:
        futures = [client.submit(double_slowly, x, 0.5) for x in range(8)]
        client.flush()
        time.sleep(0.7)
        disk.fill()
        wait_for_word(disk, client)
        time.sleep(1.0)
        disk.expect(len(disk.time("list", client.list_tasks)) == 8, "not all tasks are listed")
        disk.make_room()
        check_results(disk, futures, [2 * x for x in range(8)])
        check_goes_on(disk, client)
        disk.expect(all(info.attempts <= 2 for info in client.list_tasks()), "a task ran more than twice")


def while_large_data_is_staged(disk: Disk) -> None:
    """Full while large results are written."""
    with disk.start() as client:
        futures = [client.submit(much, 5 * 2**20, 1.0) for _ in range(2)]
        client.flush()
        disk.fill()
        wait_for_word(disk, client)
        error = disk.time("submit", lambda: client.submit(len, bytes(2**20)))
        disk.expect(isinstance(error, StorageFull), f"submit of 1 MB: {error!r}")
        time.sleep(1.5)
        disk.expect(not any(future.done() for future in futures), "a result has ended without room")
        disk.make_room()
        check_goes_on(disk, client)
        check_results(disk, [client.submit(len, future) for future in futures], [5 * 2**20] * 2)


def at_clear(disk: Disk) -> None:
    """Full at clear, which makes the room by itself."""
    with disk.start() as client:
        for future in [client.submit(much, 6 * 2**20, 0.0) for _ in range(4)]:
            future.result()
        disk.fill()
        wait_for_word(disk, client)
        n = disk.time("clear", client.clear)
        disk.expect(n == 4, f"clear: {n!r}")
        check_goes_on(disk, client)
        disk.make_room()


def at_start(disk: Disk) -> None:
    """Full at start: in the reserve, and without it."""
    with disk.start() as client:
        client.submit(double, 1).result()
    disk.command("stop")
    disk.fill()
    disk.n_starts += 1
    code, text = disk.command("start")
    disk.expect(code == 0 and "is full" in text, f"start in the reserve: {text!r}")
    code, text = disk.command("stop")
    disk.expect(code == 0, f"stop: {text!r}")
    disk.fill()
    code, text = disk.command("start")
    disk.expect(code != 0 and "is full" in text and str(disk.folder) in text, f"start without room: {text!r}")
    disk.make_room()
    with disk.start() as client:
        check_goes_on(disk, client)


def at_stop(disk: Disk) -> None:
    """Full at stop, with tasks that wait; all is there at the next start."""
    with disk.start() as client:
        first = client.submit(double, 1)
        first.result()
        futures = [client.submit(double_slowly, x, 0.5) for x in range(6)]
        client.flush()
        ids = [future.taskid for future in futures]
        disk.fill()
        wait_for_word(disk, client)
        code, text = disk.command("stop")
        disk.expect(code == 0, f"stop: {text!r}")
    disk.make_room()
    with disk.start() as client:
        check_results(disk, [client.future(taskid) for taskid in ids], [2 * x for x in range(6)])
        check_goes_on(disk, client)


def at_death(disk: Disk) -> None:
    """Full, the reserve too, when the controller dies; another one comes when there is room."""
    with disk.start() as client:
        done = client.submit(double, 1)
        done.result()
        disk.fill()
        wait_for_word(disk, client)
        (disk.store / "journal.sqlite-reserve").unlink(missing_ok=True)
        disk.fill()
        os.kill(start().pid, signal.SIGKILL)
        time.sleep(6.0)  # more than three controllers need to give up
        disk.make_room()
        disk.n_starts += 1
        check_goes_on(disk, client)
        check_results(disk, [client.future(done.taskid)], [2])


SCRIPTS = (at_submit, while_results_come, while_large_data_is_staged, at_clear, at_start, at_stop, at_death)


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount a small disk at `folder`, and have the farms of this process keep their stores there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True)
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(folder)
    disk = Disk(folder)
    try:
        yield disk
    finally:
        subprocess.run([sys.executable, "-m", "taskfc_ext.cli", "stop"], capture_output=True, check=False)
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before
        subprocess.run(["umount", "-l", folder], check=False)


def main(names: list[str]) -> int:
    """Run the scripts, and print the table."""
    n_problems = 0
    print(f"{'script':<30}{'slowest command':<24}{'with room':<12}{'restarts':>9}  problems")
    for script in SCRIPTS:
        if names and script.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder)) as disk:
            script(disk)
            seconds, what = disk.slowest
            disk.expect(seconds <= WITHIN + 3 * disk.usual, f"{what} took {seconds:.1f} s")
            n_problems += len(disk.problems) + disk.restarts()
            slowest = f"{what} {seconds:.2f} s"
            problems = "; ".join(disk.problems) or "-"
            facts = f"{slowest:<24}{disk.usual:<10.2f} s{disk.restarts():>9}"
            print(f"{script.__name__:<30}{facts}  {problems}", flush=True)
    return 1 if n_problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
