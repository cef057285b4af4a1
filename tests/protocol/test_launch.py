"""Tests of the words and the status that a client and a new supervisor exchange."""

from __future__ import annotations

import msgspec
import pytest

from taskfc_ext.protocol.launch import (
    LaunchRequest,
    LaunchStatus,
    decode_status,
    encode_status,
    parse_words,
    words_of,
)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (LaunchRequest(), []),
        (LaunchRequest(n_stops=0), ["stops=0"]),
        (LaunchRequest(at_rest=True, n_stops=12), ["stops=12", "at-rest"]),
    ],
)
def test_a_request_survives_the_command_line(request_, words):
    assert words_of(request_) == words
    assert parse_words(words) == request_


def test_a_number_of_stops_that_is_not_one_is_refused():
    with pytest.raises(ValueError, match="many"):
        parse_words(["stops=many"])


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (LaunchStatus(ready=5), b'{"ready":5}\n'),
        (LaunchStatus(running=True), b'{"running":true}\n'),
        (LaunchStatus(error="no", hint="try"), b'{"error":"no","hint":"try"}\n'),
    ],
)
def test_a_status_is_one_line(status, line):
    assert encode_status(status) == line
    assert decode_status(line) == status


def test_no_line_is_not_a_status():
    with pytest.raises(msgspec.DecodeError):
        decode_status(b"")
