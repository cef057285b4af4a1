"""`Context` and `Module`: the environment that a submission's code expects, as plain data, not pickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

OsText = Annotated[bytes, Meta(max_length=2**20)]
"""Paths and environment variables: bytes for the system, not necessarily UTF-8."""


Edits = tuple[tuple[OsText, bytes | None], ...]
"""Changes of an environment, by name: the new value of a variable, or `None` for one that is removed."""


def edits_between(before: Mapping[bytes, bytes], now: Mapping[bytes, bytes]) -> Edits:
    """Return the changes that make the environment `before` into `now`."""
    gone = [(name, None) for name in before if name not in now]
    return tuple(sorted([*[item for item in now.items() if before.get(item[0]) != item[1]], *gone]))


def apply_edits(environ: Mapping[bytes, bytes], edits: Edits) -> dict[bytes, bytes]:
    """Return an environment with the changes."""
    changed = dict(environ)
    for name, value in edits:
        if value is None:
            changed.pop(name, None)
        else:
            changed[name] = value
    return changed


class Context(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The execution context of a submission. Sent once under its digest by a `Define`, like code.

    Attributes:
        environ: the variables that were set since the submitting process began, with `None` for those removed.
        folder: the folder of the notebook or script; modules in it are the user's own and are edited between tasks.
        settings: settings of the interpreter and of libraries, pickled. Only a worker unpickles them.
    """

    python_executable: OsText
    python_version: str
    cwd: OsText
    folder: OsText
    sys_path: tuple[OsText, ...]
    environ: Edits
    settings: Annotated[bytes, Meta(max_length=2**20)] = b""


class Module(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One of the user's own modules, as it was when a task was submitted.

    Attributes:
        name: the full name.
        source: the content of its file; `None` for a namespace package, which has no file.
        path: the path of that file.
        locations: the folders that contain a package's modules; empty if it is not a package.
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
        msgspec.MsgspecError: it is not a context.
    """
    return _decoder.decode(body)


def encode_modules(modules: Iterable[Module]) -> bytes:
    """Return `modules` as a body."""
    return _encoder.encode(tuple(modules))


def decode_modules(body: bytes) -> tuple[Module, ...]:
    """Return the modules in `body`.

    Raises:
        msgspec.MsgspecError: it does not hold modules.
    """
    return _modules_decoder.decode(body)
