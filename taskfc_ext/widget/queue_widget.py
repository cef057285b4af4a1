"""The live queue in the output of a cell."""

from __future__ import annotations

from typing import Any

from traitlets import Unicode

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.widget.built import script, style
from taskfc_ext.widget.feed import CarryOut, Feed
from taskfc_ext.widget.subshell_widget import HeardWidget


class QueueWidget(HeardWidget):
    """The queue of one farm. It follows it until it is closed; any number of views may show it.

    Args:
        farm: whose queue.
        carry_out: has commands done.

    Attributes:
        farm: its name.
        identity: which processes these are, so that the Jupyter server does not steer others of the same name.
    """

    _esm = script("queue")
    _css = style("queue")
    farm = Unicode().tag(sync=True)
    identity = Unicode().tag(sync=True)
    _feed: Feed | None = None  # a widget is closed even where making it has failed

    def __init__(self, farm: Farm, carry_out: CarryOut) -> None:
        super().__init__(farm=farm.name)
        feed = Feed(farm, self.send, carry_out, on_identity=lambda name: self.set_trait("identity", name))
        self._feed = feed
        self.on_msg(lambda _, content, buffers: feed.receive(content))

    @property
    def is_closed(self) -> bool:
        """Whether it has no connection to the front end any more, for good."""
        return self.comm is None

    def close(self) -> None:
        """Stop following."""
        if self._feed is not None:
            self._feed.close()
        super().close()

    def bundle(self, otherwise: dict[str, Any]) -> dict[str, Any]:
        """Return what to publish: the view, and `otherwise` for whoever cannot show it."""
        return {**otherwise, **self.view()}
