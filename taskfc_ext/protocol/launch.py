"""Messages between a client and the supervisor that it starts: words on the command line, one line of status back."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.json import Decoder, Encoder

_AT_REST = "at-rest"
_STOPS = "stops="


class LaunchRequest(Struct, frozen=True):
    """The request to start a farm. Its words follow the farm's name on the supervisor's command line.

    Attributes:
        at_rest: start no workers.
        n_stops: start only if the farm was stopped on purpose this many times; `None`: start in any case.
    """

    at_rest: bool = False
    n_stops: int | None = None


class LaunchStatus(Struct, frozen=True, omit_defaults=True):
    """The outcome of a start. One of the first four fields is set.

    Attributes:
        ready: the pid of the controller, which answers now.
        running: another supervisor holds the farm.
        stopped: the farm was stopped since this start was asked for.
        error: why the farm cannot be started.
        hint: what to do about `error`.
    """

    ready: int | None = None
    running: bool = False
    stopped: bool = False
    error: str = ""
    hint: str = ""


_encoder = Encoder()
_decoder: Decoder[LaunchStatus] = Decoder(LaunchStatus)


def words_of(request: LaunchRequest) -> list[str]:
    """Return `request` as words of a command line."""
    words = [] if request.n_stops is None else [f"{_STOPS}{request.n_stops}"]
    return [*words, _AT_REST] if request.at_rest else words


def parse_words(words: Sequence[str]) -> LaunchRequest:
    """Return the request in `words`.

    Raises:
        ValueError: the number of stops is not a number.
    """
    stops = [int(word.removeprefix(_STOPS)) for word in words if word.startswith(_STOPS)]
    return LaunchRequest(at_rest=_AT_REST in words, n_stops=stops[-1] if stops else None)


def encode_status(status: LaunchStatus) -> bytes:
    """Return `status` as one line."""
    return _encoder.encode(status) + b"\n"


def decode_status(line: bytes) -> LaunchStatus:
    """Return the status in `line`.

    Raises:
        msgspec.DecodeError: it is not a status, as when the supervisor ended without one.
    """
    return _decoder.decode(line)
