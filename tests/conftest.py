"""Fixtures of all tests: a home of its own for farms, and the check that nothing of it is left."""

from __future__ import annotations

import gc
import inspect
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from taskfc_ext.client.start import start
from tests.engines.exceptions import skip_exceptions
from tests.processes import DEADLINE

REPAIRED = "repaired, please report it"
"""Text in a controller's log where an audit has found something wrong; see `core.handlers.audit`."""

ENGINE = "TASKFC_TEST_ENGINE"
"""Environment variable: the engine on which the tests start their farms; else on this machine."""


def pytest_configure() -> None:
    """Handle SIGINT, which a shell has ignored if it runs the tests in the background.

    A test that interrupts itself would never end. Not while this module is imported: a worker that loads a function of
    a test imports it too, and has a handler of its own.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if ENGINE in os.environ:  # `make engines`: each farm of each test runs on it
        defaults = inspect.unwrap(start).__kwdefaults__
        defaults["on"] = os.environ[ENGINE]
        defaults["idle"] = 0.0  # workers stay, as they do at home


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without the garbage collector: what they are made of stays, and it would look at it ever again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot hold on an engine, where the farms are on one."""
    if ENGINE in os.environ:
        skip_exceptions(items)


@pytest.fixture(scope="module", autouse=True)
def what_is_there_stays() -> None:
    """Spare the garbage collector what the tests before have left: each shell that ends makes it look at everything."""
    gc.collect()
    gc.freeze()


def processes_of(home: Path) -> list[int]:
    """Return the pids of the processes that were started with `home` in their environment."""
    wanted = f"TASKFC_TEST_HOME={home}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if wanted in entry.joinpath("environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
            except OSError:
                continue  # another user's, or gone
    return found


@contextmanager
def farm_home() -> Iterator[Path]:
    """Point the environment to a new folder for farms; at the end nothing of them may be left."""
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))  # short: a socket's path has 107 bytes
    with pytest.MonkeyPatch.context() as patch:
        for variable, name in (("XDG_STATE_HOME", "s"), ("XDG_RUNTIME_DIR", "r"), ("JUPYTER_RUNTIME_DIR", "j")):
            folder.joinpath(name).mkdir(mode=0o700)
            patch.setenv(variable, str(folder / name))
        patch.setenv("TASKFC_TEST_HOME", str(folder))
        yield folder
    deadline = time.monotonic() + DEADLINE
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    described = [(pid, _command(pid)) for pid in left]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    files = [str(file.relative_to(folder)) for file in folder.rglob("*") if _must_not_stay(file)]
    logs = [log.read_text(errors="replace") for log in folder.rglob("controller.log")]
    repairs = [line for log in logs for line in log.splitlines() if REPAIRED in line]
    shutil.rmtree(folder, ignore_errors=True)
    assert not described, f"processes were left running: {described}"
    assert not files, f"sockets, pages or connection files were left: {files}"
    assert not repairs, f"an audit has found contradictions: {repairs}"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home for the farms of one test."""
    with farm_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def module_home() -> Iterator[Path]:
    """A home for a farm that the tests of a module share."""
    with farm_home() as folder:
        yield folder


def _must_not_stay(file: Path) -> bool:
    in_sockets = file.parent.name == "taskfc" and file.parent.parent.name == "r"
    return in_sockets or file.name.startswith("taskfc-")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[-200:]
    except OSError:
        return "gone"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind which would keep the interpreter from ending."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        left = [t for t in threading.enumerate() if t not in before and not t.daemon and t.is_alive()]
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"threads were left running: {left}")
