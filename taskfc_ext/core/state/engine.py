"""`Engine`: the engine whose slots a farm's workers run in, as the controller knows it."""

from __future__ import annotations

from msgspec import Struct

from taskfc_ext.protocol.supervisor_messages import EngineState


class Engine(Struct):
    """An engine.

    Attributes:
        idle: seconds after which an idle worker ends, where there are more than the demand.
        reported: its last reported state.
        demand: the last one that the supervisor was told.
        idle_marks: worker -> its `finished_seq` when the clock of idle workers was started; `None`: it stands.
    """

    idle: float
    reported: EngineState | None = None
    demand: int = -1
    idle_marks: dict[int, int] | None = None
