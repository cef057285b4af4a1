"""The environment variables at the first import of this package, and the interpreter of this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from taskfc_ext.drivers.cores import THREAD_POOLS

AT_START = dict(os.environ)
"""Variables unchanged since import are not the user's edits: they are never stored, and sent only in a greeting.

In a task they are those of the session that has submitted it: see `begin_with`.
"""

EXECUTABLE = os.fsencode(sys.executable or "python")
"""The interpreter, as users name it."""

PREFIX = os.fsencode(os.path.realpath(sys.prefix))
"""The environment of the interpreter, the same for every link to it."""

_NEVER_SENT = ("TASKFC_", "JPY_")
"""Prefixes of variables that are of this process, and of keys to the notebook's server."""

_MANY = 2**20
"""Bytes of variables, above which a greeting has none: tasks then see those of the farm's start."""


def base_environment() -> tuple[tuple[bytes, bytes], ...]:
    """Return the variables of `AT_START` for a greeting, by name."""
    found = sorted(sendable(AT_START).items())
    return tuple(found) if sum(len(name) + len(value) for name, value in found) < _MANY else ()


def farm_environment() -> dict[bytes, bytes]:
    """Return the variables of this process that a session may have otherwise: not those that a farm sets."""
    ours = {os.fsencode(name) for name in THREAD_POOLS}
    return {name: value for name, value in sendable(os.environ).items() if name not in ours}


def sendable(environ: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return the variables that a farm may receive."""
    items = environ.items()
    return {os.fsencode(name): os.fsencode(value) for name, value in items if not name.startswith(_NEVER_SENT)}


def begin_with(environ: Mapping[bytes, bytes]) -> None:
    """Take `environ` for the variables at the start, as a task begins: they are not the task's edits."""
    AT_START.clear()
    AT_START.update({os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()})
