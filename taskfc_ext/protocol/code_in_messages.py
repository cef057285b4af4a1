"""Code that messages of clients carry."""

from __future__ import annotations

from taskfc_ext.protocol.client_messages import Broadcast, Define, Retry
from taskfc_ext.protocol.message import Message


def code_in(message: Message) -> tuple[Define, ...]:
    """Return the code that `message` defines, modules first."""
    match message:
        case Define():
            return (message,)
        case Broadcast() | Retry():
            return message.modules if message.context is None else (*message.modules, message.context)
        case _:
            return ()
