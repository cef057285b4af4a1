"""Clients for the command line, which never starts a farm to run its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskfc_ext.client.connect import async_client
from taskfc_ext.client.context.owner import default_owner
from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.stop import check_answers, start_idle
from taskfc_ext.drivers.paths import known_farms
from taskfc_ext.errors import ControllerLost, ControllerUnavailable
from taskfc_ext.text import name_option

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient


class AttachedFarm(LocalFarm):
    """A farm that its clients do not start again when it has died."""

    def revive(self) -> None:
        raise ControllerLost(
            f"farm {self.name!r} has died", hint=f"start it again with: taskfc start{name_option(self.name)}"
        )


@contextmanager
def attach_to_running(name: str) -> Iterator[BlockingTaskClient]:
    """Connect to a farm that runs.

    Raises:
        ControllerUnavailable: it does not run.
    """
    farm = AttachedFarm(name)
    if farm.connection() is None:
        hint = f"start it with: taskfc start{name_option(name)}"
        raise ControllerUnavailable(f"no farm {name!r} runs here", hint=hint)
    client = async_client(farm, owner=default_owner(), label="taskfc")
    with client.adapt_to_blocking_client() as blocking:
        check_answers(farm, client.remote_reference)
        yield blocking


@contextmanager
def attach_or_start_idle(name: str) -> Iterator[BlockingTaskClient]:
    """Connect to a farm. One that does not run is started meanwhile, without workers, so that no task runs."""
    if AttachedFarm(name).connection() is not None or name not in known_farms():
        with attach_to_running(name) as client:
            yield client
        return
    with start_idle(LocalFarm(name)) as client:
        yield client
