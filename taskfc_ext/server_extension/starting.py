"""Starting a farm from the sidebar, where there is no notebook whose folder it could begin in."""

from __future__ import annotations

import os

import msgspec

from taskfc_ext.client.farm.launch import LocalFarm, launch, stored_options
from taskfc_ext.client.start import farm_options
from taskfc_ext.errors import TaskFCError
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.text import plural, sentence
from taskfc_ext.view.messages import CommandAnswer


def start_farm(name: str, n: int | None, folder: str) -> CommandAnswer:
    """Start a farm as it was started before, or, for the first time, with workers that begin in `folder`.

    Blocks until it answers, for 0.3 s on an idle machine.

    Args:
        name: the farm's, a good one.
        n: workers; `None`: as before, or one a core.
        folder: the Jupyter server's.
    """
    farm = LocalFarm(name)
    try:
        if farm.connection() is not None:
            return CommandAnswer(ok=True, said=f"Farm {name} runs already.")
        kept = stored_options(farm.paths)
        options = kept or _first_options(folder)
        if n is not None:
            options = msgspec.structs.replace(options, n_workers=n)
        launch(farm.paths, None if options is kept else options)
    except (TaskFCError, OSError, ValueError) as error:
        return CommandAnswer(ok=False, said=sentence(error))
    return CommandAnswer(ok=True, said=f"Farm {name} runs, with {plural(options.n_workers, 'worker')}.")


def _first_options(folder: str) -> FarmOptions:
    options = farm_options()
    others = [entry for entry in options.sys_path if entry not in (folder, os.getcwd())]
    return msgspec.structs.replace(options, cwd=folder, sys_path=(folder, *others))
