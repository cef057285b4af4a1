"""The farm's options in its store."""

from __future__ import annotations

import msgspec

from taskfc_ext.drivers.files import replace_file
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.supervisor.log import log


def store_n_workers(paths: FarmPaths, options: FarmOptions, n: int) -> FarmOptions:
    """Return `options` with another number of workers, after storing them for a restart."""
    options = msgspec.structs.replace(options, n_workers=n)
    try:
        replace_file(paths.options, msgspec.json.encode(options), sync=options.is_synced)
    except OSError as error:
        log(f"cannot store the number of workers for a restart: {error}")
    return options


def restore_options(paths: FarmPaths, options: FarmOptions) -> None:
    """Store `options` again if a task has removed them.

    Raises:
        OSError: the store's folder cannot be written.
    """
    if not paths.options.exists():
        log(f"{paths.options} was missing; wrote it again")
        replace_file(paths.options, msgspec.json.encode(options))
