"""The function of each command. It returns the exit code, and raises what becomes one line on stderr."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from taskfc_ext.cli import doctor, farms, repair, steering, tasks
from taskfc_ext.cli.completion import completion
from taskfc_ext.cli.status import status

Act = Callable[[argparse.Namespace], int]

ACTIONS: dict[str, Act] = {
    "start": farms.start,
    "stop": farms.stop,
    "restart": farms.restart,
    "forget": farms.forget,
    "doctor": doctor.doctor,
    "repair": repair.repair,
    "status": status,
    "list": farms.list_farms,
    "workers": farms.workers,
    "properties": farms.properties,
    "scale": farms.scale,
    "tasks": tasks.tasks,
    "history": tasks.history,
    "show": tasks.show,
    "log": tasks.log,
    "result": tasks.result,
    "abort": steering.abort,
    "retry": steering.retry,
    "hold": steering.hold,
    "release": steering.release,
    "move": steering.move,
    "clear": steering.clear,
    "completion": completion,
}


def carry_out(arguments: argparse.Namespace) -> int:
    """Carry out the command; without one, show an overview."""
    return (farms.overview if arguments.command is None else ACTIONS[arguments.command])(arguments)
