"""A client process that may be killed at any time: `python -m tests.chaos.client FOLDER`, started again until it ends.

It submits batches, as many as it is permitted, and notes what was accepted and what came of it in a file of its own. A
batch is named after its number, so that the next process finds in the farm what the killed one had no time to note.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from taskfc_ext import TaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.errors import WorkerLost
from tests.chaos.deaths import WAYS, die_once
from tests.chaos.ledger import append, read_lines, run_noted

HUNG = 30.0
"""Seconds without the end of any task of a client: it hangs."""

CHECKED = 20
"""Tasks whose results a new process reads again."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run that one client has.

    Attributes:
        number: the client's.
        folder: of the ledger, of notes and of permits.
        n_tasks: all that it submits, in batches of `batch`.
        seconds: that a task takes.
        deadly: each so many tasks take their worker along once.
        group: the control group with little memory; empty: none.
        window: the most tasks that are unfinished at a time.
    """

    number: int
    folder: str
    n_tasks: int
    batch: int = 20
    seconds: float = 0.001
    deadly: int = 97
    group: str = ""
    window: int = 400

    @property
    def owner(self) -> str:
        """The owner of its tasks."""
        return f"client{self.number}"

    @property
    def notes(self) -> Path:
        """The file of its notes."""
        return Path(self.folder, f"notes-{self.number}")

    @property
    def file(self) -> Path:
        """The file that a process of it is started with."""
        return Path(self.folder, f"part-{self.number}.json")

    @property
    def permits(self) -> Path:
        """The file with the number of tasks that each client may have submitted."""
        return Path(self.folder, "permits")

    @property
    def ledger(self) -> str:
        """The folder of the executions."""
        return f"{self.folder}/runs"

    def key(self, number: int) -> str:
        """Return the key of its task with this number."""
        return f"{self.number}.{number}"


def may_repeat(number: int, batch: int) -> bool:
    """Return whether a task is one that may be made again: those of each second batch."""
    return number // batch % 2 == 0


def way_to_die(number: int, deadly: int) -> int | None:
    """Return the index in `WAYS` of how a task dies; `None`: it does not."""
    return number // deadly % len(WAYS) if number % deadly == deadly - 1 else None


class Notes:
    """What a client knows of its tasks, in memory and in its file.

    Attributes:
        taskids: of the accepted tasks, in their order.
        ends: number -> words of the end.
    """

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self.taskids: list[int] = []
        self.ends: dict[int, str] = {}
        file.touch()
        for kind, *words in read_lines(file):
            if kind == "accepted":
                self.taskids += map(int, words)
            elif kind == "ended":
                self.ends[int(words[0])] = " ".join(words[1:])

    def accept(self, taskids: list[int]) -> None:
        """Note the next accepted tasks."""
        if taskids:
            append(self._file, f"accepted {' '.join(map(str, taskids))}")
            self.taskids += taskids

    def end(self, number: int, words: str) -> None:
        """Note the end of a task, or that it has another one than before."""
        before = self.ends.setdefault(number, words)
        if before == words:
            append(self._file, f"ended {number} {words}")
        else:
            self.problem(f"task {number} had ended as {before!r} and now as {words!r}")

    def problem(self, text: str) -> None:
        """Note a broken promise."""
        append(self._file, f"problem {text}")

    def finish(self) -> None:
        """Note that there is nothing left to do."""
        append(self._file, "finished")


class Life:
    """The work of one process of a client."""

    def __init__(self, part: Part, client: BlockingTaskClient) -> None:
        self._part = part
        self._client = client
        self._notes = Notes(part.notes)
        self._futures: dict[int, Any] = {}
        self._last_end = time.monotonic()

    def run(self) -> None:
        """Find the tasks of the process before, submit the others, and wait for all."""
        self._find_unnoted()
        known = len(self._notes.taskids)
        to_check = list(self._notes.ends)[-CHECKED:]
        for number in sorted({*to_check, *(n for n in range(known) if n not in self._notes.ends)}):
            self._watch(number, self._client.future(self._notes.taskids[number]))
        while (begin := len(self._notes.taskids)) < self._part.n_tasks:
            self._await_permit(begin)
            self._submit(begin, min(self._part.n_tasks, (begin // self._part.batch + 1) * self._part.batch))
            while len(self._futures) > self._part.window:
                self._await_one()
        while self._futures:
            self._await_one()
        self._notes.finish()

    def _find_unnoted(self) -> None:
        """Note tasks that were accepted before the process before could note them."""
        known = set(self._notes.taskids)
        listed = self._client.list_tasks(owner=self._part.owner, limit=2 * self._part.batch)
        self._notes.accept(sorted(task.taskid for task in listed if task.taskid not in known))

    def _await_permit(self, begin: int) -> None:
        for n_waits in count():
            if begin < int(self._part.permits.read_text()):
                return
            if self._futures and n_waits % 10 == 0:
                self._await_one()
            time.sleep(0.01)

    def _submit(self, begin: int, end: int) -> None:
        """Submit the rest of a batch, and note it once it is accepted."""
        part = self._part
        on_lost = "retry" if may_repeat(begin, part.batch) else "fail"
        client = self._client.with_options(on_lost=on_lost, name=f"b{begin // part.batch}")
        futures = []
        for number in range(begin, end):
            way, key = way_to_die(number, part.deadly), part.key(number)
            if way is None:
                futures.append(client.submit(run_noted, part.ledger, key, part.seconds))
            else:
                futures.append(client.submit(die_once, part.ledger, key, way, part.group))
        self._client.flush(HUNG)
        self._notes.accept([future.taskid for future in futures])
        for number, future in enumerate(futures, begin):
            self._watch(number, future)

    def _watch(self, number: int, future: Any) -> None:
        self._futures[number] = future
        future.add_done_callback(self._note_time)

    def _note_time(self, _: object) -> None:
        self._last_end = time.monotonic()

    def _await_one(self) -> None:
        """Wait for the oldest task, and note what came of it."""
        number = next(iter(self._futures))
        future = self._futures[number]
        self._last_end = time.monotonic()
        while True:
            try:
                error = future.exception(1)
                break
            except TimeoutError:
                if not future.done() and time.monotonic() - self._last_end > HUNG:
                    self._notes.problem(f"no task of this client ended for {HUNG:g} s")
                    self._last_end = time.monotonic()
        del self._futures[number]
        if error is None:
            key, run = future.result()
            self._notes.end(number, f"ok {key} {run}")
        elif isinstance(error, WorkerLost):
            self._notes.end(number, "lost")
        else:
            self._notes.end(number, f"failed {type(error).__name__}: {str(error).splitlines()[0]}")


def main() -> None:
    """Do the part that the command line names."""
    part = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Part)
    with TaskClient(owner=part.owner) as client:
        Life(part, client).run()


if __name__ == "__main__":
    main()
