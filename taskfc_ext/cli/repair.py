"""The command that repairs damaged stores."""

from __future__ import annotations

import argparse

from taskfc_ext.cli.output import print_json
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm, require_known
from taskfc_ext.controller.repair import Repaired
from taskfc_ext.controller.repair import repair as repair_store
from taskfc_ext.drivers.files import open_private, try_lock
from taskfc_ext.errors import StartFailed
from taskfc_ext.text import name_option, plural


def repair(arguments: argparse.Namespace) -> int:
    """Repair the stores of stopped farms."""
    results = {name: _repair(name) for name in dict.fromkeys(arguments.farms)}
    if arguments.json:
        print_json([_facts(name, result) for name, result in results.items()])
        return 0
    for name, result in results.items():
        if result is None:
            print(f"{name}: the store is whole")
            continue
        for line in result.losses:
            print(f"{name}: {line}")
        print(f"{name}: repaired, with {plural(result.n_tasks, 'task')}; the store as it was is in {result.aside}")
    return 0


def _repair(name: str) -> Repaired | None:
    require_known(name)
    farm = LocalFarm(name)
    if farm.condition() is not Condition.STOPPED:
        raise StartFailed(f"farm {name!r} is not stopped", hint=f"stop it first: taskfc stop{name_option(name)}")
    with open(open_private(farm.paths.lock), "r+b") as lock:
        if not try_lock(lock.fileno()):
            raise StartFailed(f"the store {farm.paths.store} is in use", hint="stop the farm first")
        return repair_store(farm.paths)


def _facts(name: str, result: Repaired | None) -> dict[str, object]:
    if result is None:
        return {"name": name, "was": "whole", "tasks": None, "losses": [], "put_aside": None}
    losses = list(result.losses)
    return {
        "name": name,
        "was": "damaged",
        "tasks": result.n_tasks,
        "losses": losses,
        "put_aside": str(result.aside),
    }
