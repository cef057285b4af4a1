"""Live queue in the output of a cell."""

from __future__ import annotations

from typing import Any

from traitlets import Unicode

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.widget.built import script, style
from taskfc_ext.widget.feed import CarryOut, Feed
from taskfc_ext.widget.subshell_widget import SubshellWidget


class QueueWidget(SubshellWidget):
    """The queue of one farm, live until the widget is closed, in any number of views.

    Args:
        farm: the farm.
        carry_out: carries out commands.

    Attributes:
        farm: its name.
        identity: the identity of its processes, so that the Jupyter server does not command others of the same name.
    """

    _esm = script("queue")
    _css = style("queue")
    farm = Unicode().tag(sync=True)
    identity = Unicode().tag(sync=True)
    _feed: Feed | None = None  # a widget is closed also when its construction has failed

    def __init__(self, farm: Farm, carry_out: CarryOut) -> None:
        super().__init__(farm=farm.name)
        feed = Feed(farm, self.send, carry_out, on_identity=lambda name: self.set_trait("identity", name))
        self._feed = feed
        self.on_msg(lambda _, content, buffers: feed.receive(content))

    @property
    def is_closed(self) -> bool:
        """Whether its connection to the front end was closed for good."""
        return self.comm is None

    def close(self) -> None:
        """Close the widget and its subscription."""
        if self._feed is not None:
            self._feed.close()
        super().close()

    def bundle(self, otherwise: dict[str, Any]) -> dict[str, Any]:
        """Return the bundle to publish: the view, and `otherwise` for front ends that cannot show it."""
        return {**otherwise, **self.view()}
