"""Tracebacks begin at the user's code, also those of an exception's causes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock
from typing import Any

import pytest

from taskfc_ext.errors import UnpicklableResult
from taskfc_ext.serialize import dump_value
from taskfc_ext.worker.output.stdin import NoStdin, refuse_breakpoints
from taskfc_ext.worker.run.tracebacks import user_traceback


class Stubborn:
    def __reduce__(self) -> Any:
        raise ValueError("not me")


def of_pickling(value: object) -> str:
    with pytest.raises(UnpicklableResult) as caught:
        dump_value(value, what="the result of f")
    return user_traceback(caught.value.with_traceback(None))


@pytest.mark.parametrize("value", [Lock(), [Lock()], {"a": Lock()}])
def test_pickling_shows_none_of_its_own_frames(value: object) -> None:
    text = of_pickling(value)
    assert "File " not in text
    assert "_thread.lock" in text


def test_pickling_shows_the_frames_of_the_users_code() -> None:
    text = of_pickling([Stubborn()])
    assert text.startswith('Traceback (most recent call last):\n  File "' + __file__)
    assert 'raise ValueError("not me")' in text
    assert "pickler.py" not in text


def test_frames_between_those_of_the_user_stay() -> None:
    def raises_while_pickling() -> None:
        try:
            dump_value([Stubborn()], what="x")
        except UnpicklableResult as error:
            raise KeyError("mine") from error

    with pytest.raises(KeyError) as caught:
        raises_while_pickling()
    text = user_traceback(caught.value)
    assert "in raises_while_pickling" in text
    assert "in dump_value" in text


def ask() -> None:
    input()


def stop() -> None:
    breakpoint()


def ask_and_fail() -> None:
    try:
        input()
    except EOFError as error:
        raise KeyError("mine") from error


@pytest.mark.parametrize(
    ("function", "last_frames"), [(ask, ["ask"]), (stop, ["stop"]), (ask_and_fail, ["ask_and_fail", "ask_and_fail"])]
)
def test_a_refused_read_of_stdin_is_shown_where_the_user_asked(
    function: Callable[[], None], last_frames: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", NoStdin())
    monkeypatch.setattr(sys, "breakpointhook", sys.breakpointhook)
    refuse_breakpoints({})
    with pytest.raises((EOFError, RuntimeError, KeyError)) as caught:
        function()
    text = user_traceback(caught.value)
    frames = [line.rpartition(", in ")[2] for line in text.splitlines() if line.startswith("  File ")]
    this = "test_a_refused_read_of_stdin_is_shown_where_the_user_asked"
    assert [name for name in frames if name != this] == last_frames
