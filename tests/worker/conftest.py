"""A worker in this process, with a fake connection and a page that the test can write to."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.drivers.paths import payloads_of, uploads_of
from taskfc_ext.drivers.processes import PAGE_SIZE, Page, WatchedPage
from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, decode_failure
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.worker_messages import Code, Finished, Ready, Run, ToWorker
from taskfc_ext.serialize import digest, dump_call, dump_function, dump_names, join, load_value
from taskfc_ext.worker.connection import LifePipe
from taskfc_ext.worker.link import Link
from taskfc_ext.worker.loop import Loop
from taskfc_ext.worker.output.capture import Capture
from taskfc_ext.worker.property_dict import Properties
from taskfc_ext.worker.run.execute import Executor
from taskfc_ext.worker.run.interrupt import Guard


class FakeConnection:
    """Stand-in for a `Dealer`; the test reads `sent` and fills `inbox`."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.inbox: list[ToWorker] = []
        self.is_full = False
        self.is_closed = False

    def send(self, messages: Sequence[Message], /) -> bool:
        if not self.is_full:
            self.sent += messages
        return not self.is_full

    def receive(self) -> list[ToWorker]:
        messages, self.inbox = self.inbox, []
        return messages

    def wait(self, timeout_ms: int, /) -> None:
        raise AssertionError("nothing waits in these tests")

    def close(self) -> None:
        self.is_closed = True


def ready(leases: tuple[int, ...] = ()) -> Ready:
    return Ready(protocol=PROTOCOL, worker=3, pid=os.getpid(), python="3", leases=leases)


class Bench:
    """A loop with all its parts."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.truncate(PAGE_SIZE)
            self.page, self.watched = Page(file.fileno()), WatchedPage(file.fileno())
        self.life, self.order = os.pipe()
        self.connections: list[FakeConnection] = []
        self.properties = Properties()
        self.capture = Capture(sys.stdout, sys.stderr)
        self.guard = Guard(self.page)
        self.link = Link(self.connect, ready)
        self.folder = tempfile.TemporaryDirectory()
        journal = Path(self.folder.name, "journal")
        self.uploads, self.payloads = uploads_of(journal), payloads_of(journal)
        payloads = LargePayloads(lambda: journal, "w3")
        executor = Executor(self.properties, self.guard, self.capture.displays, payloads)
        self.loop = Loop(self.link, self.page, self.guard, executor, self.capture, LifePipe(self.life), self.properties)
        self.next_lease = 1

    def connect(self) -> FakeConnection:
        self.connections.append(FakeConnection())
        return self.connections[-1]

    @property
    def connection(self) -> FakeConnection:
        return self.connections[-1]

    @property
    def sent(self) -> list[Message]:
        """All messages sent on the newest connection."""
        return self.connection.sent

    def take_sent(self) -> list[Message]:
        sent = list(self.sent)
        self.sent.clear()
        return sent

    def give(self, spec: Spec, *bodies: Payload, inputs: tuple[bytes, ...] = ()) -> list[int]:
        """Send a Run; return its leases. Task ids are leases + 100."""
        leases = range(self.next_lease, self.next_lease + len(bodies))
        self.next_lease += len(bodies)
        ids = tuple(lease + 100 for lease in leases)
        self.connection.inbox.append(Run(spec=spec, first_lease=leases[0], ids=ids, bodies=bodies, inputs=inputs))
        return list(leases)

    def define(self, body: bytes) -> bytes:
        name = digest(body)
        self.connection.inbox.append(Code(name, body))
        return name

    def spec(self, function: Callable[..., object], **options: Any) -> Spec:
        name, body = dump_function(function)
        self.connection.inbox.append(Code(name, join(body)))
        for option in ("depend", "retry_on"):
            if option in options:
                code, body = dump_function(options[option])
                self.connection.inbox.append(Code(code, join(body)))
                options[option] = code
        return Spec(kind=Kind.FUNCTION, code=name, label=getattr(function, "__name__", "f"), **options)

    def call(self, function: Callable[..., object], *args: object, **options: Any) -> list[int]:
        return self.call_with(function, join(dump_call(args, {}, what="f")), **options)

    def call_with(self, function: Callable[..., object], body: Payload, **options: Any) -> list[int]:
        return self.give(self.spec(function, **options), body)

    def source(self, kind: Kind, text: str, names: dict[str, object], out: Sequence[str], **options: Any) -> list[int]:
        spec = Spec(kind=kind, code=self.define(text.encode()), label="cell", **options)
        return self.give(spec, join(dump_names(names, out, what="the cell")))

    def turn(self) -> None:
        """Run the worker's loop until it is idle."""
        while self.loop.turn(lambda: None):
            pass

    def collect(self) -> list[tuple[int, object]]:
        """Run, and return (outcome, value or failure or text) of all attempts finished since the last call."""
        self.turn()
        found: list[tuple[int, object]] = []
        for message in self.take_sent():
            if isinstance(message, Finished):
                pairs = zip(message.outcomes, message.values, strict=True)
                found += [(outcome, decode(outcome, self.content(value))) for outcome, value in pairs]
        return found

    def content(self, value: Payload) -> bytes:
        """Return a value that was sent, perhaps in a file."""
        return value if isinstance(value, bytes) else self.uploads.joinpath(value.folder, value.file).read_bytes()

    def result(self) -> Any:
        """Run, and return the value of the only task."""
        ((outcome, value),) = self.collect()
        assert outcome == Outcome.OK, value
        return value

    def failure(self, expected: Outcome = Outcome.ERROR) -> Failure:
        """Run, and return the failure of the only task."""
        ((outcome, value),) = self.collect()
        assert outcome == expected
        assert isinstance(value, Failure)
        return value


class Ran:
    """A finished cell: its outcome, output and displays."""

    def __init__(self, bench: Any, source: str) -> None:
        (lease,) = bench.source(Kind.CELL, source, {}, [])
        bench.turn()
        (finished,) = [message for message in bench.take_sent() if isinstance(message, Finished)]
        self.outcome = finished.outcomes[0]
        self.log = log_of(finished.outputs.get(lease, ()))
        self.shown = [json.loads(body) for body in finished.displays.get(lease, ())]

    @property
    def values(self) -> list[dict[str, Any]]:
        return [output for output in self.shown if output["output_type"] == "execute_result"]

    @property
    def forms(self) -> dict[str, Any]:
        """The contents of the only output that has any."""
        (output,) = [output for output in self.shown if output["data"]]
        return dict(output["data"])


def decode(outcome: int, value: Any) -> object:
    if outcome == Outcome.OK:
        return load_value(value)
    if outcome in (Outcome.REFUSED, Outcome.NOT_NOW):
        return value.decode()
    return decode_failure(value)


@pytest.fixture
def bench() -> Iterator[Bench]:
    streams = sys.stdout, sys.stderr, sys.stdin
    handler = signal.getsignal(signal.SIGINT)
    bench = Bench()
    yield bench
    sys.stdout, sys.stderr, sys.stdin = streams
    signal.signal(signal.SIGINT, handler)
    os.close(bench.life)
    os.close(bench.order)
    bench.page.close()
    bench.folder.cleanup()
