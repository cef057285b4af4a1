"""A farm without processes, for tests of code that submits tasks."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.drivers.connection_file import ConnectionInfo, host_name
from taskfc_ext.errors import FarmError, StartFailed
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.testing.controller import STORE, ControllerThread, Rule
from taskfc_ext.testing.runner import current_worker
from taskfc_ext.version import __version__


class FakeFarm:
    """A farm in threads of this process: the real scheduler and store, with workers that are threads.

    As a context manager it ends at the end of the block.

    Args:
        folder: for the store and the sockets; by default a temporary one, which is removed at the end.
        running: whether tasks are run; `False` holds them back. See the attribute `running`.
        workers: how many tasks run at once.
        properties: what `depend` functions see.

    Attributes:
        controller: the controller that serves now, which tests can watch and disturb.
        rule: answers messages in place of the controllers that `revive` starts; see `controller.rule`.
        state: how the farm looks from outside.
        broken: why `revive` fails; empty: it does not.
        elsewhere: why the farm cannot be reached from here; empty: it can.
        protocol: the version of the protocol that the farm claims to have.
        revivals: how often it was started again.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        running: bool = True,
        workers: int = 1,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        self._is_temporary = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="taskfc-")) if folder is None else folder
        self._is_running = running
        self._n_workers = workers
        self._properties = properties
        self._worker_ids = itertools.count()
        self._clients: list[RemoteController] = []
        self.state = Condition.ALIVE
        self.revivals = 0
        self.protocol = PROTOCOL
        self.broken = self.elsewhere = ""
        self.rule: Rule | None = None
        self.controller = self._start()

    def _start(self) -> ControllerThread:
        return ControllerThread(
            self.name,
            self._folder,
            self._worker_ids,
            rule=self.rule,
            running=self._is_running,
            n_workers=self._n_workers,
            properties=self._properties,
        )

    # for users' tests

    @property
    def running(self) -> bool:
        """Whether tasks are run. `False` holds back tasks that have not started; `True` runs them."""
        return self._is_running

    @running.setter
    def running(self, running: bool) -> None:
        self._is_running = running
        self.controller.running = running

    def client(self, name: str = "", *, owner: str = "", label: str = "") -> BlockingTaskClient:
        """Return a new client; it is closed with the farm. A test can put this method in the place of `TaskClient`.

        Args:
            name: of a farm; this one whatever it is.
            owner: whose tasks these are.
            label: how lists show this client.
        """
        return BlockingTaskClient(FCTaskClient(self._connect(owner, label)))

    def async_client(self, *, owner: str = "", label: str = "") -> FCTaskClient:
        """Return a new client for code that awaits; it is closed with the farm."""
        return FCTaskClient(self._connect(owner, label))

    def _connect(self, owner: str, label: str) -> RemoteController:
        remote = RemoteController(self, version=__version__, owner=owner, label=label, worker=current_worker())
        self._clients.append(remote)
        return remote

    def close(self) -> None:
        """End the farm. Attempts that run get a `KeyboardInterrupt` and are not waited for."""
        for client in self._clients:
            client.close()
        self.controller.close()
        if self._is_temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # the farm as clients see it: `taskfc_ext.client.farm.interface.Farm`

    @property
    def name(self) -> str:
        """Its name."""
        return "fake"

    def socket(self) -> Path:
        """Return the controller's socket."""
        return self.controller.socket

    def condition(self) -> Condition:
        """Return the state that the test has set, or that a client has stopped the farm."""
        return Condition.STOPPED if self.controller.has_stopped else self.state

    def stops(self) -> int:
        """Return 0: only the stops of real farms are counted."""
        return 0

    def connection(self) -> ConnectionInfo | None:
        """Return where it is; `None` when it does not run. Its processes are made up, so nobody can signal them.

        Raises:
            FarmError: the test has set `elsewhere`.
        """
        if self.elsewhere:
            raise FarmError(self.elsewhere)
        if self.condition() is not Condition.ALIVE:
            return None
        return ConnectionInfo(
            name=self.name,
            protocol=self.protocol,
            version="fake",
            host=host_name(),
            boot_id="fake",
            pid=1,
            pid_started=self.revivals,  # another farm, for those who compare processes
            supervisor_pid=1,
            supervisor_started=self.revivals,
            clients=str(self.socket()),
            python="3.11.0",
        )

    @property
    def is_in_memory(self) -> bool:
        """Whether its tasks end with its controller: the state that the test has set."""
        return self.state is Condition.LOST

    @property
    def journal(self) -> Path:
        """Its store."""
        return self._folder / STORE

    def revive(self) -> None:
        """Start a new controller on the same store.

        Raises:
            StartFailed: the test has set `broken`.
        """
        self.revivals += 1
        if self.broken:
            raise StartFailed(self.broken)
        self.controller.close()
        self.state = Condition.ALIVE
        self.controller = self._start()

    def kill(self, *, then: Condition) -> None:
        """Let the controller and the workers die; `then` is how the farm looks afterwards."""
        self.state = then
        self.controller.close()
