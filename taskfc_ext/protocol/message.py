"""`Message`: the base of all messages and records."""

from __future__ import annotations

from msgspec import Struct


class Message(Struct, frozen=True, tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of all messages. The name of a class is its tag on the wire and in the store: renaming one breaks both."""
