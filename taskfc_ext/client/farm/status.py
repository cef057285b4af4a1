"""Status of a farm, from its files and processes, without a connection."""

from __future__ import annotations

from taskfc_ext.client.farm.interface import Condition, Farm
from taskfc_ext.drivers.connection_file import ConnectionInfo, identity_of
from taskfc_ext.errors import FarmError
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus
from taskfc_ext.text import name_option, sentence
from taskfc_ext.version import __version__


def inspect_farm(farm: Farm) -> FarmStatus:
    """Return a farm's status. Reads a small file or two.

    A farm whose processes live is `CONNECTING` here: only a connection finds out whether it answers.
    """
    name = farm.name
    try:
        info = farm.connection()
        stopped = info is None and farm.condition() not in (Condition.DEAD, Condition.LOST)
    except (FarmError, OSError) as error:  # on another host, not trusted, not readable
        return FarmStatus(name=name, state=FarmState.REFUSED, message=sentence(error))
    if info is None:
        state = FarmState.STOPPED if stopped else FarmState.DEAD
        return FarmStatus(name=name, state=state, message=describe_absence(farm, stopped=stopped))
    if info.protocol != PROTOCOL:
        return FarmStatus(name=name, state=FarmState.REFUSED, message=describe_other_version(info))
    return FarmStatus(name=name, state=FarmState.CONNECTING, identity=identity_of(info), python=info.python)


def describe_absence(farm: Farm, *, stopped: bool) -> str:
    """Return the sentence for a farm that was `stopped`, or else has died."""
    name = farm.name
    how = "is stopped" if stopped else "is not running any more"
    command = f"taskfc start{name_option(name)}"
    if farm.is_in_memory:
        return f"Farm {name} {how}; it kept its tasks in memory only, and they are gone. Start it again ({command})."
    return f"Farm {name} {how}; its queue is in its store. Start it to carry on ({command})."


def describe_other_version(info: ConnectionInfo) -> str:
    """Return the sentence for a farm that speaks another protocol."""
    restart = f"taskfc restart{name_option(info.name)}"
    return (
        f"Farm {info.name} runs taskfc_ext {info.version} (protocol {info.protocol}), this is {__version__} "
        f"({PROTOCOL}). Restart it to go on with its queue in this version ({restart})."
    )
