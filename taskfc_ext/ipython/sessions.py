"""The farms of the notebook: the one in use, connected on first use, and the others of this user.

Slow modules are imported inside the functions: `%load_ext` imports this module.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskfc_ext.errors import FarmError, UnknownTask
from taskfc_ext.ipython.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskfc_ext.client.blocking import BlockingTaskClient
    from taskfc_ext.client.future.future import TaskFuture


_MAX_SENT = 10_000
"""Cells whose sent names are kept, for the message about a missing name."""


class Binding(NamedTuple):
    """The value of a name in the notebook when a cell bound that name in a persistent namespace.

    Attributes:
        value: the notebook's value; of a name that was only sent, a unique object: the notebook's value counts.
        n_inputs: the number of cells that the notebook had run.
    """

    value: object
    n_inputs: int

    def is_stale(self, name: str, inputs: Sequence[str]) -> bool:
        """Tell whether a later cell of the notebook has bound the name, even to an equal value."""
        later = (text for text in inputs[self.n_inputs :] if name in text)
        return any(name in _bound_by(text) for text in later)


@lru_cache(maxsize=1000)
def _bound_by(code: str) -> frozenset[str]:
    from taskfc_ext.ipython.cell.names import used_names

    try:
        return used_names(code).defines
    except (SyntaxError, ValueError):
        return frozenset()


class Releasable(Protocol):
    """Something that is kept until it is obsolete."""

    def release(self) -> None: ...


class Farms(Protocol):
    """Finds, starts and connects to farms."""

    def names(self) -> list[str]:
        """Return the names of the running farms."""

    def runs(self, name: str) -> bool:
        """Tell whether the farm runs."""

    def identity(self, name: str) -> str:
        """Return the identity of a farm's processes; empty if it does not run."""

    def start(self, name: str, n_workers: int | None, *, fresh: bool, **engine: Any) -> Path | None:
        """Start a farm, or do nothing if it runs. Return where its store was put, if that was put aside.

        Args:
            name: its name.
            n_workers: the number of workers; `None`: the default.
            fresh: with an empty store.
            engine: `on`, `resources` and `idle` of `taskfc_ext.start`.
        """

    def memory_note(self, name: str, *, restarted: bool = False) -> str:
        """Return the line about a farm that has just been started and keeps its tasks in memory only; else nothing."""

    def stop(self, name: str) -> str:
        """Stop a farm and wait until it has ended; return what becomes of its unfinished tasks."""

    def restart(self, name: str, n_workers: int | None, **engine: Any) -> None:
        """Stop a farm if it runs, and start it with the same options."""

    def connect(self, name: str, *, owner: str) -> BlockingTaskClient:
        """Connect to a farm; start it if it does not run."""


class LocalFarms:
    """The farms of this user on this machine."""

    def names(self) -> list[str]:
        from taskfc_ext.drivers.paths import known_farms

        return [name for name in known_farms() if self._runs_here(name)]

    def _runs_here(self, name: str) -> bool:
        try:
            return self.runs(name)
        except (ValueError, FarmError):  # a file of another user, or a farm on another host
            return False

    def runs(self, name: str) -> bool:
        from taskfc_ext.drivers.connection_file import read_connection

        return read_connection(name) is not None

    def identity(self, name: str) -> str:
        from taskfc_ext.drivers.connection_file import identity_of, read_connection

        connection = read_connection(name)
        return "" if connection is None else identity_of(connection)

    def start(self, name: str, n_workers: int | None, *, fresh: bool, **engine: Any) -> Path | None:
        from taskfc_ext.client.start import start

        return start(n_workers, name=name, fresh=fresh, **engine).put_aside

    def memory_note(self, name: str, *, restarted: bool = False) -> str:
        from taskfc_ext.client.farm.launch import LocalFarm
        from taskfc_ext.view.wording import describe_memory

        farm = LocalFarm(name)
        return describe_memory(on_disk=farm.has_store_on_disk, restarted=restarted) if farm.is_in_memory else ""

    def stop(self, name: str) -> str:
        from taskfc_ext.client.farm.launch import LocalFarm
        from taskfc_ext.client.start import stop
        from taskfc_ext.view.wording import GONE, KEPT

        farm = LocalFarm(name)
        kept = GONE if farm.is_in_memory else KEPT
        stop(farm)
        return kept

    def restart(self, name: str, n_workers: int | None, **engine: Any) -> None:
        from taskfc_ext.client.start import restart

        restart(name, n_workers, **engine)

    def connect(self, name: str, *, owner: str) -> BlockingTaskClient:
        from taskfc_ext.client.start import TaskClient

        return TaskClient(name, owner=owner)


class Session:
    """The farm that this notebook uses, and the farms that it used before: their futures stay valid.

    Args:
        farms: finds and starts farms.
        owner: the owner of this notebook's tasks.
        name: the farm in use.
        n_workers: the number of workers of a farm that is started here; `None`: the default.

    Attributes:
        since: the start of the session, in the controller's time; failures before it are not reported.
        notices: the tasks whose end is to be reported.
        when_running: what a cell does whose task is unfinished: ask, replace, beside.
        offered: by cell, its last submission that waits for a click.
        submitted: ids of the tasks that the running cell has submitted.
        reported: failures that a wait has raised, by farm, id and time of submission (a fresh store counts from 0).
    """

    def __init__(self, farms: Farms, owner: str, name: str = "default", n_workers: int | None = None) -> None:
        self.farms = farms
        self.owner = owner
        self.name = name
        self.n_workers = n_workers
        self.since = time.time()
        self.notices = Notices()
        self.reported: set[tuple[str, int, float]] = set()
        self.when_running = "ask"
        self.offered: dict[str, Releasable] = {}
        self.submitted: set[int] = set()
        self._clients: dict[str, BlockingTaskClient] = {}
        self._broadcast: dict[str, dict[str, Binding]] = {}
        self._kept: dict[str, dict[str, Binding]] = {}
        self._sent: dict[tuple[str, int | None], tuple[str, ...]] = {}

    @property
    def connected(self) -> BlockingTaskClient | None:
        """The client of the farm in use, if it is connected."""
        return self.client_of(self.name)

    @property
    def broadcast(self) -> dict[str, Binding]:
        """The names that `--everywhere` cells of this kernel have bound in the workers' persistent namespaces."""
        return self._broadcast.setdefault(self.name, {})

    @property
    def kept(self) -> dict[str, Binding]:
        """The names that `--keep` cells have bound there; "*" stands for unknown names."""
        return self._kept.setdefault(self.name, {})

    @property
    def there(self) -> dict[str, Binding]:
        """All names that a cell may find in the persistent namespace."""
        return {**self.broadcast, **self.kept}

    def note_sent(self, future: TaskFuture, names: Iterable[str]) -> None:
        """Record the names that were sent with a cell, for other futures of the same task."""
        self._sent[future.farm, future.taskid] = tuple(names)
        if len(self._sent) > _MAX_SENT:
            del self._sent[next(iter(self._sent))]

    def future(self, taskid: int) -> TaskFuture:
        """Return a new future for a task."""
        future = self.client().future(taskid)
        sent = self._sent.get((self.name, taskid))
        if sent is not None:
            future.sent_names = sent
        return future

    def find_again(self, future: TaskFuture) -> TaskFuture | None:
        """Return a new future for a task whose farm was stopped; `None` if that does not run, or has not the task."""
        name, taskid = future.farm, future.taskid
        try:
            if name != self.name or taskid is None or not self.farms.runs(name):
                return None
            return self.future(taskid)
        except (FarmError, UnknownTask):
            return None

    def client_of(self, name: str) -> BlockingTaskClient | None:
        """Return the client of a farm, if it is connected."""
        return self._clients.get(name)

    def client(self) -> BlockingTaskClient:
        """Return the client of the farm in use; connect, and start the farm, if necessary."""
        client = self._clients.get(self.name)
        if client is None:
            if self.n_workers is not None and not self.farms.runs(self.name):
                self.farms.start(self.name, self.n_workers, fresh=False)
            client = self._clients[self.name] = self.farms.connect(self.name, owner=self.owner)
        return client

    def client_if_running(self) -> BlockingTaskClient | None:
        """Return the client, or `None` if the farm does not run; never starts it."""
        return self.client() if self.farms.runs(self.name) else None

    def use(self, name: str) -> None:
        """Use the farm `name` from now on. The previous client stays connected, for its open futures."""
        self.name = name

    def forget(self, name: str) -> None:
        """Disconnect from a farm that has ended or is about to end."""
        client = self._clients.pop(name, None)
        self._sent = {key: names for key, names in self._sent.items() if key[0] != name}
        self._broadcast.pop(name, None)
        self._kept.pop(name, None)
        while self.offered:
            self.offered.popitem()[1].release()
        if client is not None:
            client.close()

    def close(self) -> None:
        """Disconnect from all farms; they go on."""
        for name in list(self._clients):
            self.forget(name)
