"""Deletion of a stopped farm's store."""

from __future__ import annotations

import os
import shutil

from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm, require_known
from taskfc_ext.drivers.aside import remove_aside
from taskfc_ext.drivers.files import open_private, try_lock
from taskfc_ext.errors import StartFailed
from taskfc_ext.text import name_option


def forget(name: str) -> None:
    """Delete the store of the farm `name`, with all its tasks and results, also the stores that were put aside.

    Raises:
        ControllerUnavailable: there is no such farm.
        StartFailed: it runs, or has died and may come back.
    """
    require_known(name)
    farm = LocalFarm(name)
    store = farm.paths.store
    condition = farm.condition()
    if condition in (Condition.ALIVE, Condition.DEAD, Condition.LOST):
        runs = "runs" if condition is Condition.ALIVE else "has died"
        runs += ", and its tasks may go on" if condition is Condition.DEAD else ""
        raise StartFailed(f"farm {name!r} {runs}", hint=f"stop it first: taskfc stop{name_option(name)}")
    # a name that no farm can have: a start of the farm from now on begins with an empty store
    leaving = store.with_name(f".{name}.{os.getpid()}")
    with open(open_private(farm.paths.lock), "r+b") as lock:
        if not try_lock(lock.fileno()):
            raise StartFailed(f"the store {store} is in use", hint="stop the farm first")
        store.rename(leaving)
    shutil.rmtree(leaving)
    remove_aside(farm.paths)
