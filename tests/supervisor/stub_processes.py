"""A stub controller and stub workers that a test controls; run as a script: ROLE NAME ...

Each controller and worker connects to the test's socket, says who it is, and then is its mouth and ears.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys

from taskfc_ext.drivers.processes import FARM_PID, Page, die_with_parent
from taskfc_ext.drivers.signals import unblock_signals

SOCKET = "STUB_SOCKET"

STUCK = "STUB_STUCK"
"""Set for a controller that receives no signals until the test sends it anything."""

STOP_TIMEOUT = "STUB_STOP_TIMEOUT"
"""If set, the seconds that the supervisor gives a controller to stop."""


def stub_command(role, *args):
    if role in os.environ.get("STUB_BROKEN", "").split():
        return [sys.executable, "-c", f"raise SystemExit('{role} is broken')"]
    return [sys.executable, __file__, role, *map(str, args)]


def connect_to_test(*hello):
    test = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    test.connect(os.environ[SOCKET])
    test.send(" ".join(map(str, hello)).encode())
    return test


def controller(name, supervisor_fd, lock_fd):
    """Forward frames in both directions, after an `F`; `D`: done, `E`: the supervisor is gone, `T`: SIGTERM came."""
    os.fstat(int(lock_fd))
    supervisor = socket.socket(fileno=int(supervisor_fd))
    test = connect_to_test("controller", 0, os.getpid())
    if os.environ.get(STUCK):
        test.recv(1)
    signal.signal(signal.SIGTERM, lambda *_: test.send(b"T"))
    unblock_signals()
    with selectors.DefaultSelector() as selector:
        selector.register(supervisor, selectors.EVENT_READ)
        selector.register(test, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                frame = key.fileobj.recv(2**20)
                if key.fileobj is supervisor:
                    test.send(b"F" + frame if frame else b"E")
                    if not frame:
                        os._exit(1)
                elif frame[:1] == b"F":
                    supervisor.send(frame[1:])
                    test.send(b"D")
                else:
                    os._exit(int(frame[1:] or b"1"))


def worker(name, worker, page_fd, life_fd):
    """Run the test's lines, and report signals and bytes on the life pipe to it."""
    die_with_parent(int(os.environ[FARM_PID]))
    page, life = Page(int(page_fd)), int(life_fd)
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGINT, lambda *_: None)
    test = connect_to_test("worker", worker, os.getpid())
    with selectors.DefaultSelector() as selector:
        for file in (test, life, signals):
            selector.register(file, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is life:
                    order = os.read(life, 1)
                    if not order:
                        os._exit(1)
                    test.send(b"life " + order)
                elif key.fileobj is signals:
                    for number in os.read(signals, 100):
                        test.send(f"signal {signal.Signals(number).name} {page.words[Page.INTERRUPT]}".encode())
                else:
                    run_line(test, page, test.recv(4096).decode())


def run_line(test, page, line):
    verb, _, argument = line.partition(" ")
    match verb:
        case "":
            os._exit(0)  # the test is gone
        case "start":
            page.words[Page.STARTED] = int(argument)
        case "end":
            page.words[Page.ENDED] = int(argument)
        case "keep":
            page.keep(int(argument), 0.5, b"value")
        case "ready":
            page.words[Page.READY] = 1
        case "exit":
            os._exit(int(argument))
        case "write":
            os.write(2, argument.encode())
        case "handle":
            signal.signal(signal.Signals[argument], lambda *_: None)
        case "env":
            test.send(os.environ.get(argument, "").encode())
            return
        case "cwd":
            test.send(os.getcwd().encode())
            return
        case "interrupt":
            test.send(str(page.words[Page.INTERRUPT]).encode())
            return
        case "revoked":
            test.send(str(page.words[Page.REVOKED]).encode())
            return
        case "spawn":
            child = subprocess.Popen(["sleep", "1000"], start_new_session=argument == "session")
            test.send(str(child.pid).encode())
            return
    test.send(b"done")


if __name__ == "__main__":
    role = sys.argv.pop(1)
    if role == "supervisor":
        from taskfc_ext.supervisor import supervisor
        from taskfc_ext.supervisor.app import main

        supervisor.STOP_TIMEOUT = float(os.environ.get(STOP_TIMEOUT, supervisor.STOP_TIMEOUT))
        main(stub_command)
    else:
        {"controller": controller, "worker": worker}[role](*sys.argv[1:])
