"""Start of a farm from the sidebar, which has no notebook and so no folder for the workers."""

from __future__ import annotations

import os

import msgspec

from taskfc_ext.client.farm.launch import LocalFarm, launch, stored_options
from taskfc_ext.client.farm.options import farm_options
from taskfc_ext.errors import TaskFCError
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.text import sentence
from taskfc_ext.view.messages import CommandAnswer
from taskfc_ext.view.wording import describe_start


def start_farm(name: str, n: int | None, folder: str) -> CommandAnswer:
    """Start a farm with the options of its last start, or, for the first time, with workers in `folder`.

    Blocks until it answers: 0.3 s on an idle machine.

    Args:
        name: the farm's name, which is valid.
        n: number of workers; `None`: as before, or one for each core.
        folder: the Jupyter server's folder.
    """
    farm = LocalFarm(name)
    try:
        if farm.is_served():
            return CommandAnswer(ok=True, said=f"Farm {name} runs already.")
        kept = stored_options(farm.paths)
        options = kept or _first_options(folder)
        if n is not None:
            options = msgspec.structs.replace(options, n_workers=n)
        launch(farm.paths, None if options is kept else options)
    except (TaskFCError, OSError, ValueError) as error:
        return CommandAnswer(ok=False, said=sentence(error))
    return CommandAnswer(ok=True, said=describe_start(name, options.n_workers))


def _first_options(folder: str) -> FarmOptions:
    options = farm_options()
    others = [entry for entry in options.sys_path if entry not in (folder, os.getcwd())]
    return msgspec.structs.replace(options, cwd=folder, sys_path=(folder, *others))
