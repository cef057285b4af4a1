"""`Host`: a slot with a real worker, and the test as its engine, its bridge and its controller."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskfc_ext.drivers.process_tree import children
from taskfc_ext.drivers.processes import process_alive, tagged_processes
from taskfc_ext.engines.host import Host
from taskfc_ext.engines.hosted_process import Place
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.context import Context, encode_context
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.payloads import Outcome, Payload, PayloadRef, Upload, decode_failure
from taskfc_ext.protocol.printed import stderr_of
from taskfc_ext.protocol.slot_messages import (
    SILENCE,
    Begin,
    EndSlot,
    FilePart,
    FileWanted,
    FromHosted,
    Ping,
    SlotDown,
    SlotHello,
    SlotUp,
    StopHosted,
    ToHosted,
)
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.supervisor_messages import Step
from taskfc_ext.protocol.worker_messages import Code, Committed, Finished, Ready, Run, Started
from taskfc_ext.serialize import digest, dump_call, dump_function, join, load_value
from tests.processes import DEADLINE, until

MARK = b""
TAG = f"hosttest{os.getpid()}"
LARGE = 3 * 2**20 + 7


class Slot:
    """A slot in a thread of its own.

    Attributes:
        ahead: seconds by which the host's clock is ahead.
        has_room: whether the bridge takes what the slot sends.
        error: what ended it.
        frames: the frames of its worker, unless they were received.
    """

    def __init__(self, folder: Path, *, host: Host | None = None, worker: int = 3) -> None:
        self.folder = folder
        self.worker = worker
        self.ahead = 0.0
        self.host = host or Host(lambda: time.monotonic() + self.ahead)
        self.has_room = True
        self.error: Exception | None = None
        self.slot = ""
        self.messages: list[Message] = []
        self.frames: list[bytes] = []
        self.received: list[Message] = []
        self._changed = threading.Condition()
        self._next_lease = 1
        self.thread = threading.Thread(target=self._hold)
        self.thread.start()
        self.next(SlotHello)

    def _hold(self) -> None:
        place = Place("here", {"host": "here"}, str(self.folder))
        try:
            self.host.hold("t1", self.post, place)
        except Exception as error:
            self.error = error

    def post(self, slot: str, frame: bytes) -> bool:
        with self._changed:
            if not self.has_room:
                return False
            self.slot = slot
            for message in codec.from_host.decode(frame):
                if isinstance(message, FromHosted):
                    self.frames += message.frames
                else:
                    self.messages.append(message)
            self._changed.notify_all()
        return True

    def put(self, *messages: Message) -> bool:
        return self.host.put(self.slot, codec.encode(messages))

    def next(self, kind: type[Message]) -> Any:
        """Return the next message of the host, which is of this kind."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.messages, DEADLINE), f"no {kind.__name__}"
            message = self.messages.pop(0)
        assert isinstance(message, kind)
        return message

    def begin(self) -> int:
        """Start the worker; return its pid."""
        options = FarmOptions(n_workers=1, python="", cwd="/not/here", sys_path=("/not/here",))
        self.put(Begin(worker=self.worker, farm="f", tag=TAG, options=msgspec.json.encode(options), engine="test://"))
        self.pid = int(self.next(SlotUp).pid)
        self.receive(Ready)
        return self.pid

    def next_frame(self) -> bytes:
        with self._changed:
            assert self._changed.wait_for(lambda: self.frames or self.messages, DEADLINE)
            assert self.frames, self.messages
            return self.frames.pop(0)

    def receive(self, kind: type[Message], where: Callable[[Any], object] = lambda message: True) -> Any:
        """Return the next message of the worker of that kind."""
        while True:
            for message in self.received:
                if isinstance(message, kind) and where(message):
                    self.received.remove(message)
                    return message
            if frame := self.next_frame():
                self.received += codec.from_worker.decode(frame)

    def send(self, *messages: Message) -> None:
        assert self.put(ToHosted((codec.encode(messages),)))

    def call(self, function: Callable[..., object], *args: object, context: bytes | None = None) -> int:
        return self.call_with(function, join(dump_call(args, {}, what="f")), context=context)

    def call_with(self, function: Callable[..., object], body: Payload, context: bytes | None = None) -> int:
        code, text = dump_function(function)
        spec = Spec(kind=Kind.FUNCTION, code=code, label="f", context=context)
        lease = self._next_lease
        self._next_lease += 1
        self.send(Code(code, join(text)), Run(spec=spec, first_lease=lease, ids=(lease,), bodies=(body,)))
        return lease

    def finished(self, lease: int) -> Finished:
        finished = self.receive(Finished, lambda message: lease in message.leases)
        self.send(Committed(finished.seq))
        assert finished.leases == (lease,)
        return finished

    def result(self, lease: int) -> Any:
        finished = self.finished(lease)
        if finished.outcomes[0] == Outcome.OK:
            return load_value(finished.values[0])
        return decode_failure(finished.values[0])

    def stop(self, lease: int, step: Step) -> None:
        self.put(StopHosted(lease, step))

    def serve(self, payload: bytes) -> None:
        """Answer the next request for a file of the store, in two parts."""
        wanted = self.next(FileWanted)
        for offset, data in ((0, payload[:1000]), (1000, payload[1000:])):
            self.put(FilePart(file=wanted.file, size=len(payload), offset=offset, data=data))

    def uploaded(self) -> bytes:
        """Return the next file of the worker."""
        data = bytearray()
        while True:
            part = self.next(FilePart)
            assert part.offset == len(data)
            data += part.data
            if len(data) == part.size:
                return bytes(data)

    def ended(self) -> bool:
        """Return whether the slot ends, and with it all processes of its worker."""
        self.thread.join(DEADLINE)
        return not self.thread.is_alive() and not tagged_processes(TAG, self.worker)

    def close(self) -> None:
        self.has_room = True
        self.put(EndSlot())
        assert self.ended()


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    """A slot whose worker runs; nothing of it is left behind."""
    n_open = len(os.listdir("/proc/self/fd"))
    slot = Slot(tmp_path)
    try:
        slot.begin()
        yield slot
    finally:
        slot.close()
    assert not os.listdir(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == n_open


def body_of(*args: object) -> bytes:
    return join(dump_call(args, {}, what="f"))


def sleep_for_ever(*_: object) -> None:
    time.sleep(600)


def test_a_worker_runs_tasks_knows_its_place_and_ends_with_the_slot(slot: Slot) -> None:
    def where() -> object:
        import taskfc_ext.worker

        return os.getppid(), os.environ["TASKFC_ENGINE"], dict(taskfc_ext.worker.properties)

    assert slot.result(slot.call(where)) == (os.getpid(), "test://", {"host": "here"})
    slot.put(EndSlot())
    down = slot.next(SlotDown)
    assert (down.started, down.running, down.planned) == (1, False, True)
    assert slot.ended()
    assert not slot.put(Ping())


def test_a_missing_folder_is_replaced_and_told_once(slot: Slot) -> None:
    context = encode_context(
        Context(
            python_executable=b"",
            python_version="",
            cwd=b"/not/here",
            folder=b"",
            sys_path=(b"/not/here", os.fsencode(slot.folder), b"/usr/lib/python3.11"),
            environ=(),
        )
    )
    name = digest(context)
    slot.send(Code(name, context))

    def use() -> object:
        import sys

        with open("file", "a") as file:
            file.write("x")
        return os.getcwd(), sys.path[0], "/not/here" in sys.path

    first, second = (slot.finished(slot.call(use, context=name)) for _ in range(2))
    cwd, path, has_missing = load_value(first.values[0])
    assert (Path(cwd).parent, path, has_missing) == (slot.folder, str(slot.folder), False)
    assert "/not/here is not on" in stderr_of(first.outputs[first.leases[0]])
    assert not second.outputs


def test_the_attempt_that_kills_its_worker_is_blamed_exactly(slot: Slot) -> None:
    assert slot.result(slot.call(abs, -1)) == 1
    lease = slot.call(os.kill, 0, signal.SIGSEGV)
    down = slot.next(SlotDown)
    assert (down.started, down.running, down.planned) == (lease, True, False)
    assert "SIGSEGV" in down.note
    assert "Segmentation fault" in down.note
    assert slot.ended()


def test_an_interrupt_stops_one_attempt_and_the_ladder_one_that_holds_the_gil(slot: Slot) -> None:
    lease = slot.call(sleep_for_ever)
    slot.receive(Started)
    slot.stop(lease + 1, Step.KILL)  # of another attempt: no effect
    slot.stop(lease, Step.INTERRUPT)
    assert slot.result(lease).message == "interrupted"

    def hold(path: str) -> None:
        import ctypes

        open(path, "w").close()
        c, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(256)
        while True:  # the second time, it waits for itself
            c.pthread_mutex_lock(mutex)

    begun = slot.folder / "begun"
    lease = slot.call(hold, str(begun))
    until(begun.exists, "it runs")
    slot.stop(lease, Step.INTERRUPT)
    slot.stop(lease, Step.TERMINATE)
    down = slot.next(SlotDown)
    assert (down.started, down.running, down.planned) == (lease, True, True)
    begun.unlink()


def test_marks_part_the_frames_of_two_connections(slot: Slot) -> None:
    lease = slot.call(abs, -1)
    uncommitted = slot.receive(Finished)
    late = slot.call(abs, -2)
    slot.put(ToHosted((MARK,)))
    last: list[Message] = []
    while frame := slot.next_frame():
        last += codec.from_worker.decode(frame)
    assert not any(isinstance(message, Ready) for message in last)
    ready = slot.receive(Ready)
    assert ready.leases == (lease, late)
    assert slot.receive(Finished) == uncommitted
    slot.put(ToHosted((MARK, MARK)))
    assert [slot.receive(Ready).leases for _ in range(2)] == [(lease, late)] * 2
    assert slot.result(slot.call(abs, -3)) == 3


def test_large_payloads_come_and_go_and_are_kept_for_other_slots(slot: Slot, tmp_path: Path) -> None:
    body = body_of(b"x" * LARGE)
    ref = PayloadRef("ab1", len(body))
    lease = slot.call_with(len, ref)
    slot.serve(body)
    assert slot.result(lease) == LARGE
    other = Slot(tmp_path, host=slot.host, worker=4)
    try:
        other.begin()
        lease = other.call_with(lambda data: data * 2, ref)  # asks for nothing
        data = other.uploaded()
        finished = other.finished(lease)
        upload = finished.values[0]
        assert isinstance(upload, Upload)
        assert (upload.folder[:3], upload.size) == ("w4x", len(data))
        assert load_value(data) == b"x" * LARGE * 2
        removed = other.next(FilePart)
        assert (removed.folder, removed.file, removed.size) == (upload.folder, upload.file, -1)
    finally:
        other.close()


def test_a_payload_that_is_not_in_the_store_fails_its_task_alone(slot: Slot) -> None:
    lease = slot.call_with(len, PayloadRef("ab1", 100_000))
    slot.put(FilePart(file=slot.next(FileWanted).file, size=-1))
    assert "not in the farm's store" in slot.result(lease).message
    assert slot.result(slot.call(abs, -1)) == 1


def test_an_interrupt_tears_no_transfer(slot: Slot) -> None:
    body = body_of(b"x" * LARGE)
    lease = slot.call_with(len, PayloadRef("ab1", len(body)))
    slot.next(FileWanted)
    slot.put(FilePart(file="ab1", size=len(body), data=body[:1000]))
    slot.stop(lease, Step.INTERRUPT)
    assert slot.result(lease).message == "interrupted"
    other = body_of(b"y" * LARGE)
    lease = slot.call_with(bytes.count, PayloadRef("ab2", len(other)))
    slot.next(FileWanted)
    slot.put(FilePart(file="ab1", size=len(body), offset=1000, data=body[1000:]))  # for the attempt before
    slot.put(FilePart(file="ab2", size=len(other), data=other))
    assert "at least 1 argument" in slot.result(lease).message


def test_a_slot_waits_for_room_and_can_be_ended_meanwhile(slot: Slot) -> None:
    slot.has_room = False
    lease = slot.call(abs, -1)
    slot.put(Ping())
    assert not slot.frames
    slot.has_room = True
    slot.put(Ping())
    assert slot.result(lease) == 1
    lease = slot.call(sleep_for_ever)
    slot.receive(Started)
    slot.has_room = False
    slot.put(EndSlot())
    until(lambda: not process_alive(slot.pid, None), "the worker has ended")
    slot.has_room = True
    down = slot.next(SlotDown)
    assert (down.started, down.planned) == (lease, True)


@pytest.mark.parametrize("has_room", [True, False])
def test_a_slot_ends_its_worker_when_the_bridge_is_silent(tmp_path: Path, has_room: bool) -> None:
    slot = Slot(tmp_path)
    try:
        pid = slot.begin()
        slot.call(sleep_for_ever)
        slot.receive(Started)
        slot.has_room = has_room
        slot.ahead = SILENCE
        assert slot.ended()
        assert not process_alive(pid, None)
    finally:
        slot.close()


def test_a_slot_that_nobody_begins_ends(tmp_path: Path) -> None:
    slot = Slot(tmp_path)
    slot.ahead = SILENCE
    assert slot.ended()
    assert not slot.messages


def test_a_slot_whose_engine_is_gone_ends_its_worker(slot: Slot) -> None:
    def fail(slot: str, frame: bytes) -> bool:
        raise RuntimeError("Event loop is closed")

    held = slot.host._slots[slot.slot]
    held._post = fail
    slot.call(abs, -1)
    assert slot.ended()
    assert isinstance(slot.error, RuntimeError)


def test_a_frame_that_is_not_understood_ends_the_slot(slot: Slot) -> None:
    slot.host.put(slot.slot, b"\xc1")
    assert slot.next(SlotDown).planned
    assert slot.ended()


BREAK = {
    "close": "import os\nos.close(FD)",
    "write": "import os\nos.write(FD, b'nonsense' * 4)",
}


@pytest.mark.parametrize("how", BREAK)
def test_a_task_that_breaks_the_stream_is_blamed(slot: Slot, how: str) -> None:
    def destroy(source: str) -> None:
        import stat

        found = [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
        sockets = [fd for fd in found if fd > 2 and stat.S_ISSOCK(os.fstat(fd).st_mode)]
        for fd in sockets:
            exec(source.replace("FD", str(fd)))
        time.sleep(600)

    lease = slot.call(destroy, BREAK[how])
    down = slot.next(SlotDown)
    assert (down.started, down.running, down.planned) == (lease, True, False)


def test_a_process_that_left_the_workers_group_ends_with_the_slot(slot: Slot) -> None:
    def leave() -> int:
        import subprocess

        return subprocess.Popen(["sleep", "600"], start_new_session=True).pid

    pid = slot.result(slot.call(leave))
    slot.put(EndSlot())
    slot.next(SlotDown)
    assert not process_alive(pid, None)
    assert not [child for child in children(os.getpid()) if child.pid == slot.pid]
