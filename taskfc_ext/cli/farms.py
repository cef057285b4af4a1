"""Commands about farms: start, stop, restart, forget, list, workers, properties and scale."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from taskfc_ext.cli.output import FAINT, format_workers, highlight, paint_state, plain_data, print_json, print_table
from taskfc_ext.client.attach import attach_to_running
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm, require_known, stored_options
from taskfc_ext.client.farm.silence import describe_suspension
from taskfc_ext.client.forget import forget as forget_farm
from taskfc_ext.client.start import restart as restart_farm
from taskfc_ext.client.start import start as start_farm
from taskfc_ext.client.start import stop as stop_farm
from taskfc_ext.drivers.connection_file import read_connection
from taskfc_ext.drivers.paths import known_farms
from taskfc_ext.errors import FarmError
from taskfc_ext.text import one_line, workers_text
from taskfc_ext.view.engine_words import engine_arguments, warnings_as_lines
from taskfc_ext.view.store_words import describe_limits, store_arguments
from taskfc_ext.view.wording import GONE, IN_MEMORY, KEPT, describe_aside, describe_memory, describe_scale, engine_text


def start(arguments: argparse.Namespace) -> int:
    """Start a farm, or report that it runs."""
    _import_from_here()
    engine = _engine_of(arguments)
    try:
        of_store = store_arguments(arguments)
    except ValueError as error:
        raise SystemExit(arguments.parser.error(str(error))) from None
    with warnings_as_lines():
        farm = start_farm(
            arguments.workers,
            name=arguments.name,
            fresh=arguments.fresh,
            properties=dict(arguments.properties),
            **of_store,
            **engine,
        )
    return _print_running(arguments, "runs already" if farm.attached else "started", aside=farm.put_aside)


def restart(arguments: argparse.Namespace) -> int:
    """Stop a farm and start it again."""
    _import_from_here()
    require_known(arguments.name)
    engine = _engine_of(arguments)
    with warnings_as_lines():
        restart_farm(arguments.name, arguments.workers, **engine)
    return _print_running(arguments, "restarted")


def _engine_of(arguments: argparse.Namespace) -> dict[str, Any]:
    try:
        return engine_arguments(arguments.on, arguments.resources, arguments.idle)
    except (TypeError, ValueError) as error:
        raise SystemExit(arguments.parser.error(str(error))) from None


def _import_from_here() -> None:
    # workers get the import path of this process; the folder's modules belong to it, as in a notebook
    sys.path.insert(0, os.getcwd())


def _print_running(arguments: argparse.Namespace, what: str, *, aside: Path | None = None) -> int:
    with attach_to_running(arguments.name) as client:
        workers, no_room = client.workers(), client.queue_status().get("no_room")
        info = read_connection(arguments.name)
        pid = info.pid if info else None
    if arguments.json:
        facts = {"name": arguments.name, "state": "running", "was": what, "pid": pid, "workers": len(workers)}
        print_json({**facts, "put_aside": None if aside is None else str(aside)})
    else:
        if aside is not None:
            print(f"{arguments.name}: {describe_aside(aside)}")
        if info is not None and info.memory:
            on_disk = LocalFarm(arguments.name).has_store_on_disk
            print(f"{arguments.name}: {describe_memory(on_disk=on_disk, restarted=what == 'restarted')}")
        print(f"{arguments.name}: {what}, controller {pid}, {workers_text(workers)}")
        if no_room:
            print(no_room)
    return 0


def stop(arguments: argparse.Namespace) -> int:
    """Stop a farm."""
    require_known(arguments.name)
    farm = LocalFarm(arguments.name)
    was, kept = farm.condition().word, GONE if farm.is_in_memory else KEPT
    stop_farm(farm)
    if arguments.json:
        print_json({"name": arguments.name, "state": "stopped", "was": was})
    else:
        print(f"{arguments.name}: {'was not running' if was == 'stopped' else f'stopped; {kept}'}")
    return 0


def forget(arguments: argparse.Namespace) -> int:
    """Delete the stores of stopped farms."""
    farms = list(dict.fromkeys(arguments.farms))
    for name in farms:
        forget_farm(name)
        if not arguments.json:
            print(f"{name}: deleted, with its tasks and results")
    if arguments.json:
        print_json({"forgotten": farms})
    return 0


def list_farms(arguments: argparse.Namespace) -> int:
    """List the farms of this user."""
    farms = [farm_facts(name) for name in known_farms()]
    if arguments.json:
        print_json(farms)
    elif farms:
        rows = [[one_line(farm[column]) for column in ("name", "state", "pid", "store", "note")] for farm in farms]
        print_table(rows, ["name", "state", "controller", "store", ""], right=(2,))
    else:
        print("no farms; start one with: taskfc start")
    return 0


def farm_facts(name: str) -> dict[str, object]:
    """Return the name, the state, the controller's process and the store of a farm; `note`: its problem."""
    farm = LocalFarm(name)
    facts: dict[str, object] = {
        "name": name,
        "state": "unknown",
        "pid": None,
        "store": str(farm.paths.store),
        "note": "",
    }
    try:
        info = farm.connection()
        condition = Condition.ALIVE if info else farm.condition()
        facts["state"] = condition.word
        facts["store"] = info.memory if info and info.memory else facts["store"]
    except FarmError as error:  # a problem of one farm must not hide the others
        return {**facts, "note": error.message}
    place = GONE if condition is Condition.LOST else IN_MEMORY if info and info.memory else ""
    notes = [describe_suspension(farm), place]
    return {**facts, "pid": info.pid if info else None, "note": "; ".join(filter(None, notes))}


def overview(arguments: argparse.Namespace) -> int:
    """Show the farms, and what to do next: the answer to `taskfc` alone."""
    farms = [farm_facts(name) for name in known_farms()]
    if arguments.json:
        print_json(farms)
        return 0
    running = [str(farm["name"]) for farm in farms if farm["state"] == "running"]
    for farm in farms:
        print(f"{farm['name']}: {paint_state(str(farm['state']))}")
    here = "" if not running or "default" in running else f" --name {running[0]}"
    steps = [
        (f"taskfc status{here}", "counts and workers"),
        (f"taskfc tasks{here}", "the newest tasks"),
    ]
    steps = steps if running else [("taskfc start", "start a farm; a task in a notebook does so too")]
    print(
        "\n".join(["" if farms else "no farm runs", *_steps([*steps, ("taskfc --help", "all commands")])]).lstrip("\n")
    )
    return 0


def _steps(steps: list[tuple[str, str]]) -> list[str]:
    width = max(len(command) for command, _ in steps)
    return [f"  {command:<{width}}  {highlight(what, FAINT)}" for command, what in steps]


def workers(arguments: argparse.Namespace) -> int:
    """List the workers."""
    with attach_to_running(arguments.name) as client:
        found, engine = client.workers(), client.engine()
    if arguments.json:
        print_json(plain_data(found))
        return 0
    n_workers = sum(not worker.is_substitute for worker in found)
    print(f"{arguments.name}: {workers_text(found) if engine is None else engine_text(engine, n_workers)}")
    if found:
        print(f"\n{format_workers(found)}")
    return 0


def properties(arguments: argparse.Namespace) -> int:
    """Show the properties with which workers begin, and, but for JSON, the limits of the farm."""
    require_known(arguments.name)
    options = stored_options(LocalFarm(arguments.name).paths)
    found = dict(options.properties) if options else {}
    if arguments.json:
        print_json(found)
    elif found:
        print_table([[one_line(name), one_line(value)] for name, value in sorted(found.items())], ["property", "value"])
    else:
        print(f"{arguments.name}: workers begin without properties; set them with: taskfc start --property NAME=VALUE")
    if options and not arguments.json:
        print(f"\n{arguments.name}: {describe_limits(options)}")
    return 0


def scale(arguments: argparse.Namespace) -> int:
    """Set the number of workers."""
    with attach_to_running(arguments.name) as client:
        before = client.scale(arguments.workers)
    if arguments.json:
        print_json({"workers": arguments.workers, "before": before})
    else:
        print(f"{arguments.name}: {describe_scale(before, arguments.workers)}")
    return 0
