"""The options of a farm's last start, in a file of its store."""

from __future__ import annotations

import msgspec

from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.options import FarmOptions


def read_options(paths: FarmPaths) -> FarmOptions:
    """Return the options in the store of a farm.

    Raises:
        StartFailed: there are none, or they cannot be read or decoded.
    """
    try:
        content = paths.options.read_bytes()
    except FileNotFoundError:
        raise StartFailed(f"farm {paths.name!r} was never started here", hint="start it with its options") from None
    except OSError as error:
        raise StartFailed(f"cannot read {paths.options}: {error.strerror}", hint="start it with its options") from error
    return decode_options(paths.name, content)


def decode_options(name: str, content: bytes) -> FarmOptions:
    """Return the options in `content`.

    Raises:
        StartFailed: they cannot be decoded.
    """
    try:
        return msgspec.json.decode(content, type=FarmOptions)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # it raises these for arbitrary bytes
        text = f"the options of farm {name!r} are not understood: {error}"
        raise StartFailed(text, hint="start it with its options") from error
