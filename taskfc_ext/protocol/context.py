"""`Context` and `Module`: what a submission's code expects around it, as plain data that is read without unpickling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

OsText = Annotated[bytes, Meta(max_length=2**20)]
"""What the system takes for text: paths and variables are bytes there, and need not be UTF-8."""


class Context(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the submitting process stood. Sent once under its digest by a `Define`, like code.

    `environ` is a difference: variables that were set since that process began, and `None` for those removed.
    `folder`: where the notebook or the script lies, whose modules are the user's own and are edited between tasks.
    `settings`: of the interpreter and of libraries, pickled; only a worker reads them.
    """

    python_executable: OsText
    python_version: str
    cwd: OsText
    folder: OsText
    sys_path: tuple[OsText, ...]
    environ: tuple[tuple[OsText, OsText | None], ...]
    settings: Annotated[bytes, Meta(max_length=2**20)] = b""


class Module(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A module of the user's own as it was when a task was submitted.

    Attributes:
        name: the full one.
        source: what is in its file; `None` for a namespace package, which has none.
        path: of that file.
        locations: the folders that a package's modules are looked for in; empty for what is no package.
    """

    name: str
    source: bytes | None = None
    path: OsText = b""
    locations: tuple[OsText, ...] = ()


_encoder = Encoder()
_decoder: Decoder[Context] = Decoder(Context)
_modules_decoder: Decoder[tuple[Module, ...]] = Decoder(tuple[Module, ...])


def encode_context(context: Context) -> bytes:
    """Return `context` as a body."""
    return _encoder.encode(context)


def decode_context(body: bytes) -> Context:
    """Return the context in `body`.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _decoder.decode(body)


def encode_modules(modules: Iterable[Module]) -> bytes:
    """Return `modules` as a body."""
    return _encoder.encode(tuple(modules))


def decode_modules(body: bytes) -> tuple[Module, ...]:
    """Return the modules in `body`.

    Raises:
        msgspec.MsgspecError: it holds something else.
    """
    return _modules_decoder.decode(body)
