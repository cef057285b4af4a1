"""Greeting of a session: the `Hello` that begins each of its links."""

from __future__ import annotations

import platform

from taskfc_ext.drivers.environment import EXECUTABLE, PREFIX, base_environment
from taskfc_ext.protocol.client_messages import Hello
from taskfc_ext.protocol.ids import PROTOCOL


def make_hello(
    session: str, *, version: str, label: str = "", owner: str = "", viewer: bool = False, worker: int = -1
) -> Hello:
    """Return the greeting of `session`.

    Args:
        session: its name on the wire.
        version: ours.
        label: the controller lists the session under it.
        owner: the notebook or script that its tasks belong to.
        viewer: the session is a subscriber's, and sends no code.
        worker: the worker of this farm that this process is on, or -1.
    """
    return Hello(
        protocol=PROTOCOL,
        version=version,
        python=".".join(platform.python_version_tuple()[:2]),  # code travels between patch releases
        session=session,
        label=label,
        owner=owner,
        executable=EXECUTABLE,
        prefix=PREFIX,
        viewer=viewer,
        worker=worker,
        environ=() if viewer else base_environment(),
    )
