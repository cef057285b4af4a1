"""A real supervisor with stub processes; the test decides for the controller."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from taskfc_ext.drivers.paths import farm_paths, prepare
from taskfc_ext.drivers.processes import sweep
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import Serving, Shutdown
from tests.processes import DEADLINE

STUBS = Path(__file__).with_name("stub_processes.py")


class Stub:
    """The test's end of a stub process."""

    def __init__(self, connection, pid):
        self.connection = connection
        self.pid = pid
        connection.settimeout(DEADLINE)

    def ask(self, line):
        """Send a line to a worker and return its answer."""
        self.connection.send(line.encode())
        return self.receive()

    def receive(self):
        """Return its next line; empty if it has ended."""
        try:
            return self.connection.recv(2**20).decode()
        except ConnectionResetError:
            return ""


class StubController(Stub):
    """The test's end of a stub controller."""

    def __init__(self, connection, pid):
        super().__init__(connection, pid)
        self.inbox = []

    def send(self, *messages):
        """Have the stub send these messages to the supervisor; return when they are sent."""
        self.send_frame(codec.encode(messages))

    def send_frame(self, frame):
        self.connection.send(b"F" + frame)
        while (packet := self.connection.recv(2**20)) not in (b"D", b""):  # done, or killed for what it said
            self._receive(packet)

    def next(self):
        """Return the next message from the supervisor, or another event as a letter."""
        while not self.inbox:
            self._receive(self.connection.recv(2**20))
        return self.inbox.pop(0)

    def _receive(self, packet):
        self.inbox += codec.from_supervisor.decode(packet[1:]) if packet[:1] == b"F" else [packet.decode()]

    def resume(self):
        """Let a stub continue that is stuck at its start."""
        self.connection.send(b"G")

    def exit(self, code):
        self.connection.send(b"X%d" % code)


class StubFarm:
    """A farm in folders of its own."""

    def __init__(self, home, environ):
        self.home = home
        self.environ = environ
        self.paths = farm_paths("default")
        self.supervisors = []
        self.stubs = []
        self.waiting = {}
        self.ready = set()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(environ["STUB_SOCKET"])
        self.listener.listen(100)
        self.listener.settimeout(DEADLINE)

    def options(self, **changes):
        values = {"n_workers": 1, "python": sys.executable, "cwd": str(self.home), "sys_path": ()}
        return FarmOptions(**(values | changes))

    def start(self, *, broken="", stuck=False, stop_timeout=None, before=None, **options):
        """Start a supervisor, which begins with `before`; without options it uses those in the store."""
        environ = {"STUB_BROKEN": broken, "STUB_STUCK": "1" if stuck else ""}
        if stop_timeout is not None:
            environ["STUB_STOP_TIMEOUT"] = str(stop_timeout)
        given = msgspec.json.encode(self.options(**options)) if options else b""
        process = subprocess.Popen(
            [sys.executable, STUBS, "supervisor", "default"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environ | environ,
            start_new_session=True,
            preexec_fn=before,
        )
        process.stdin.write(given)
        process.stdin.close()
        self.supervisors.append(process)
        return process

    def stuck_controller(self):
        """Return the next controller that was started, before it receives anything."""
        return self._accept("controller", 0)

    def controller(self, *, serving=True):
        """Return the next controller that was started, and its `Farm`."""
        stub = self._accept("controller", 0)
        farm = stub.next()
        if serving:
            stub.send(Serving())
        return stub, farm

    def worker(self, worker):
        """Return the worker with this id."""
        return self._accept("worker", worker)

    def worker_once(self, worker):
        """Wait until the worker with this id has started and is ready."""
        if worker not in self.ready:
            self.worker(worker).ask("ready")
            self.ready.add(worker)

    def _accept(self, role, number):
        while not self.waiting.get((role, number)):
            connection, _ = self.listener.accept()
            said_role, said_number, pid = connection.recv(100).decode().split()
            kind = StubController if said_role == "controller" else Stub
            stub = kind(connection, int(pid))
            self.stubs.append(stub)
            self.waiting.setdefault((said_role, int(said_number)), []).append(stub)
        return self.waiting[role, number].pop(0)

    def up(self, n=1):
        """Start a farm; return its supervisor, its controller and `n` workers with ids from 0."""
        supervisor = self.start(n_workers=n)
        controller, _ = self.controller()
        for _ in range(n):
            controller.next()
        assert self.status(supervisor) == {"ready": controller.pid}
        return supervisor, controller, [self.worker(worker) for worker in range(n)]

    def status(self, supervisor):
        """Return the supervisor's status, after which it closes the pipe."""
        lines = supervisor.stdout.read().splitlines()
        assert len(lines) == 1
        return json.loads(lines[0])

    def stop(self, supervisor, controller):
        """Stop the farm as a controller does; return the ends of its workers."""
        # counted first: when `send` returns, a worker may have ended and its page may be removed
        n = len(list(self.paths.sockets.glob(f"{self.paths.tag}.p*")))
        controller.send(Shutdown())
        downs = [controller.next() for _ in range(n)]
        controller.exit(0)
        assert supervisor.wait(DEADLINE) == 0
        return downs

    def log(self):
        return self.paths.supervisor_log.read_text()

    def close(self):
        for process in self.supervisors:
            process.kill()
            process.wait()
            process.stdout.close()
        for stub in self.stubs:
            stub.connection.close()
        self.listener.close()
        sweep(self.paths.tag)


@pytest.fixture
def farm(monkeypatch):
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", f"{home}/jupyter")
    source = str(Path(__file__).parents[2])
    farm = StubFarm(home, os.environ | {"STUB_SOCKET": f"{home}/test", "PYTHONPATH": source})
    prepare(farm.paths)
    yield farm
    farm.close()
    shutil.rmtree(home)


def await_end(pid):
    """Wait until the process, which need not be a child, has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    poller = select.poll()
    poller.register(fd, select.POLLIN)
    over = bool(poller.poll(DEADLINE * 1000))
    os.close(fd)
    return over


@pytest.fixture
def has_ended():
    return await_end


@pytest.fixture
def kill():
    return lambda pid, number=signal.SIGKILL: os.kill(pid, number)
