"""Real farms: a supervisor, a controller and workers, as a user starts them."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from taskfc_ext import BlockingTaskClient, start
from taskfc_ext.client.start import Controller
from taskfc_ext.settings import TABLE
from taskfc_ext.settings.travel import here
from tests.processes import DEADLINE, await_workers
from tests.shells import end_shell, new_shell


@pytest.fixture(scope="module")
def shared_farm(module_home: Path) -> Iterator[Controller]:
    """A farm of two workers for all tests of a module; they leave it as they found it."""
    with start(2) as controller:
        with controller.client() as client:
            await_workers(client, 2)
        yield controller


@pytest.fixture(scope="module")
def lone_farm(module_home: Path) -> Iterator[Controller]:
    """A farm of one worker: each task finds what the one before has left, and one that waits holds up all others."""
    with start(1) as controller:
        yield controller


@pytest.fixture
def client(shared_farm: Controller) -> Iterator[BlockingTaskClient]:
    with shared_farm.client() as client:
        yield client


@contextmanager
def settings_kept(*modules: str) -> Iterator[Callable[[], None]]:
    """Yield what puts back the settings of this process, and do so at the end.

    `modules` are imported first: of a library that is imported later, nobody knows what it had set.
    """
    for module in modules:
        importlib.import_module(module)
    zone = os.environ.get("TZ")
    loaded = [setting for setting in TABLE if setting.pack and (not setting.module or setting.module in sys.modules)]
    kept = [(setting, setting.take_fully()) for setting in loaded]

    def put_back() -> None:
        os.environ.pop("TZ", None)
        if zone is not None:
            os.environ["TZ"] = zone
        for setting, value in kept:
            setting.write(value)
        here.invalidate()

    try:
        yield put_back
    finally:
        put_back()


class BlockingFace:
    """The blocking client, as the tests see both."""

    def __init__(self, controller: Controller) -> None:
        self.client = controller.client()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def result(self, future: Any) -> Any:
        return future.result(DEADLINE)

    def mapped(self, mapper: Any, *args: Any) -> Any:
        return mapper.map(*args)

    def close(self) -> None:
        self.client.close()


class AsyncFace:
    """The async client in a loop of its own, each coroutine run to its end."""

    def __init__(self, controller: Controller) -> None:
        self.runner = asyncio.Runner()
        self.client = self.runner.run(controller.async_client())

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.client, name)
        if inspect.iscoroutinefunction(attribute):
            return lambda *args, **kwargs: self.runner.run(attribute(*args, **kwargs))
        return attribute

    def result(self, future: Any) -> Any:
        async def wait() -> Any:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), DEADLINE)

        return self.runner.run(wait())

    def mapped(self, mapper: Any, *args: Any) -> Any:
        return self.runner.run(mapper.map(*args))

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture(params=[BlockingFace, AsyncFace], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest, shared_farm: Controller) -> Iterator[BlockingFace | AsyncFace]:
    """Each of the two clients in turn."""
    face = request.param(shared_farm)
    yield face
    face.close()


class Session:
    """A shell with the extension, as after `%load_ext`."""

    def __init__(self, make: Callable[..., InteractiveShell] = InteractiveShell) -> None:
        self.ip = new_shell(make)
        self.run("%load_ext taskfc_ext")

    def run(self, cell: str) -> Any:
        """Run a cell and return its value; an error is only printed."""
        return self.ip.run_cell(cell).result

    def error(self, cell: str) -> BaseException:
        """Run a cell and return what it raises."""
        outcome = self.ip.run_cell(cell)
        error = outcome.error_in_exec or outcome.error_before_exec
        assert isinstance(error, BaseException)
        return error

    def close(self) -> None:
        self.run("%unload_ext taskfc_ext")
        end_shell(self.ip)


@pytest.fixture
def notebook_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test's shells another owner of tasks than any other test's."""
    monkeypatch.setenv("JPY_SESSION_NAME", f"{os.getpid()}-{time.monotonic()}.ipynb")


@pytest.fixture
def session(shared_farm: Controller, notebook_of_its_own: None) -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


def kill(pid: int) -> None:
    """Kill a process as the kernel's out-of-memory killer does."""
    os.kill(pid, signal.SIGKILL)


def run_script(folder: Path, text: str) -> str:
    """Run `text` as a script in `folder`, with a client of the shared farm as `client`; return what it prints."""
    before = "from pathlib import Path\nfrom taskfc_ext import attach\nclient = attach()\n"
    (folder / "script.py").write_text(f"{before}{text}\nclient.close()\n")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
