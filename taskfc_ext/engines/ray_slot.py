"""The part of the Ray adapter that runs on Ray's nodes: an actor that holds a slot."""

from __future__ import annotations

import socket
import threading

import ray

from taskfc_ext.engines.host import the_host
from taskfc_ext.engines.hosted_process import Place
from taskfc_ext.engines.mailbox import LONGEST_REQUEST, Letters, Mailbox
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.slot_messages import Ping

END_WITHIN = 4.0
"""Seconds that a worker has to end; it is killed after 2."""


class RaySlot:
    """An actor whose process has one slot. Its methods run side by side, in threads of Ray.

    Args:
        token: the bridge's request.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._arrived = threading.Event()
        self._mailbox = Mailbox(self._arrived.set)
        self._ended = ""
        self._putting = threading.Lock()
        self._n_put = 0
        # A thread of its own: the system ends a worker with the thread that has started it, and Ray's threads may end.
        self._holder = threading.Thread(target=self._hold, name=f"slot {token}", daemon=True)
        self._holder.start()

    def _hold(self) -> None:
        try:
            the_host().hold(self._token, self._mailbox.post, _place())
            self._ended = "it has ended"
        except Exception as error:  # noqa: BLE001  reported
            self._ended = f"{type(error).__name__}: {error}"
        self._arrived.set()

    def take(self, got: int) -> tuple[int, Letters, str]:
        """Return frames for the bridge, as `Mailbox.take` does, and after the last one why the slot has ended.

        Waits for frames.
        """
        host = the_host()
        for slot in host.slots:
            host.put(slot, codec.encode([Ping()]))
        self._arrived.clear()
        ended = self._ended  # before the frames are taken: none come after it
        number, letters = self._mailbox.take(got)
        if not letters and not ended:
            self._arrived.wait(LONGEST_REQUEST)
            number, letters = self._mailbox.take(number)
        return number, letters, "" if letters else ended

    def put(self, number: int, slot: str, frame: bytes) -> bool:
        """Hand a frame to the slot; return `False` if it has ended.

        Args:
            number: 1, 2, ...: a request that arrives again has no effect.
        """
        with self._putting:
            if number <= self._n_put:
                return True
            self._n_put = number
            return the_host().put(slot, frame)

    def end(self) -> None:
        """End the slot, and return when its worker has ended."""
        the_host().end_token(self._token)
        self._holder.join(END_WITHIN)


def _place() -> Place:
    name = socket.gethostname()
    held = ray.get_runtime_context().get_assigned_resources()
    return Place(name=name, properties={**held, "host": name, "engine": "ray"})
