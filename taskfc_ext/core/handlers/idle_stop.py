"""Stop of a farm that nobody uses: it has had no client and no unfinished task for `Limits.idle` seconds.

Whoever only watches is no client. The next use starts the farm again, since nobody has stopped it.
"""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers.requests import stop_farm
from taskfc_ext.core.state.farm import Farm


def stop_if_idle(farm: Farm, step: Step, now: Now) -> None:
    """Stop the farm if it was idle for long. To be called every few seconds."""
    if farm.stop_asked or not farm.limits.idle:
        return
    if farm.tasks or any(client.connected and not client.viewer for client in farm.sessions.values()):
        farm.alone_since = None
    elif farm.alone_since is None:
        farm.alone_since = now.mono
    elif now.mono - farm.alone_since >= farm.limits.idle:
        stop_farm(farm, step, now, is_idle=True)
