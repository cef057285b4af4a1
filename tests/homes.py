"""Homes for farms of programs that are not tests: folders of their own, which the environment points to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch


def memory_or(place: str | None) -> str | None:
    """Return the folder of a file system in memory; `place` where there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else place


@contextmanager
def new_home(*, in_memory: bool = False) -> Iterator[Path]:
    """Point the environment to a new folder for farms, and remove it at the end.

    Args:
        in_memory: on a file system in memory, if there is one.
    """
    place = memory_or("/tmp") if in_memory else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="tf", dir=place))  # short: a socket's path has 107 bytes
    places = {"XDG_STATE_HOME": folder / "s", "XDG_RUNTIME_DIR": folder / "r", "JUPYTER_RUNTIME_DIR": folder / "j"}
    try:
        for made in places.values():
            made.mkdir(mode=0o700)
        with patch.dict(os.environ, {variable: str(made) for variable, made in places.items()}):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
