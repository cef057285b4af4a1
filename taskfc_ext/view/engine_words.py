"""The words of `--on`, `--resources` and `--idle` in the terminal and in `%task`, and those of a start on an engine."""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from taskfc_ext.errors import EngineWarning
from taskfc_ext.tasks import check_resources
from taskfc_ext.view.argument import argument

HOME = "home"
"""The value of `--on` for this machine."""

RAY = "ray"
"""The value of `--on` for the Ray cluster that this machine is a node of; also the scheme of addresses of others."""

Amounts = tuple[tuple[str, float], ...]


@contextmanager
def warnings_as_lines(say: Callable[[str], object] | None = None) -> Iterator[None]:
    """Show warnings of a start as lines, without the place in the code.

    Args:
        say: shows a line; by default on stderr.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EngineWarning)
        yield
    for warning in caught:
        if say is not None:
            say(str(warning.message))
        else:
            sys.stderr.write(f"{warning.message}\n")


def parse_amounts(text: str) -> Amounts:
    """Return the names and amounts in `text`: `GPU=1,memory=2e9`.

    Raises:
        argparse.ArgumentTypeError: the message names the wrong part.
    """
    found = []
    for part in text.split(","):
        name, _, amount = part.partition("=")
        try:
            value = float(amount)
        except ValueError:
            value = -1.0
        if value.is_integer():
            value = int(value)
        if not name.strip() or not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"takes NAME=N, such as GPU=1, not {part.strip()!r}")
        found.append((name.strip(), value))
    return tuple(found)


RESOURCES = argument(
    "--resources",
    help="the farm's own, for tasks that name them: licence=2; on an engine, what each worker takes: GPU=1",
    metavar="NAME=N,...",
    type=parse_amounts,
    default=(),
)
"""The option of `taskfc start` and `%task start`, and of a restart."""


def engine_arguments(on: object, resources: Sequence[tuple[str, float]], idle: float | None) -> dict[str, Any]:
    """Return the arguments of `start` and `restart` for an engine and for resources; only what is given.

    Raises:
        TypeError, ValueError: something is given that only an engine has, or a resource is not possible.
    """
    is_home = on is None or on == HOME
    if is_home and idle is not None:
        raise ValueError("--idle is for workers on an engine: name it with --on")
    given: dict[str, Any] = {} if on is None else {"on": None if is_home else on}
    if resources:
        given["resources"] = check_resources(dict(resources), "--resources") if is_home else dict(resources)
    if idle is not None:
        given["idle"] = idle
    return given
