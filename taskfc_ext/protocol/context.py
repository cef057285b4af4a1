"""`Context`: what a submission's code expects around it, as plain data that anybody can read without unpickling."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

OsText = Annotated[bytes, Meta(max_length=2**20)]
"""What the system takes for text: paths and variables are bytes there, and need not be UTF-8."""


class Context(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the submitting process stood. Sent once under its digest by a `Define`, like code.

    `environ` is a difference: variables that were set since that process began, and `None` for those removed.
    `folder`: where the notebook or the script lies, whose modules are the user's own and are edited between tasks.
    """

    python_executable: OsText
    python_version: str
    cwd: OsText
    folder: OsText
    sys_path: tuple[OsText, ...]
    environ: tuple[tuple[OsText, OsText | None], ...]


_encoder = Encoder()
_decoder: Decoder[Context] = Decoder(Context)


def encode_context(context: Context) -> bytes:
    """Return `context` as a body."""
    return _encoder.encode(context)


def decode_context(body: bytes) -> Context:
    """Return the context in `body`.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _decoder.decode(body)
