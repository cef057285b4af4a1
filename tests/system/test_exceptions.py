"""Exceptions through real workers: what a task raised is what its user reads and catches."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas.errors
import pytest

from taskfc_ext import BlockingTaskClient
from taskfc_ext.errors import RemoteError, RemoteTraceback, remote_traceback_of
from tests.processes import DEADLINE

NOTEBOOK = """
import dataclasses, threading

class Coded(Exception):
    def __init__(self, code):
        super().__init__(f"failed with code {code}")
        self.code = code

class TwoArguments(Exception):
    def __init__(self, text, where):
        super().__init__(text)
        self.where = where

class KeywordOnly(Exception):
    def __init__(self, *, path):
        super().__init__(f"cannot read {path}")
        self.path = path

class Counting(Exception):
    def __init__(self, items):
        self.items = list(items)
        super().__init__(f"{len(self.items)} bad items")

class WithoutSuper(Exception):
    def __init__(self, a, b):
        self.a, self.b = a, b
    def __str__(self):
        return f"{self.a}-{self.b}"

class Holding(Exception):
    def __init__(self, value):
        super().__init__("it holds a lock")
        self.value, self.lock = value, threading.Lock()

class OfSystem(OSError):
    def __init__(self, path):
        super().__init__(13, "not for you", path)

class Slotted(Exception):
    __slots__ = ("row",)
    def __init__(self, *, row):
        self.row = row
    def __str__(self):
        return f"row {self.row}"

@dataclasses.dataclass(frozen=True, eq=False)
class Frozen(Exception):
    code: int
    def __str__(self):
        return f"code {self.code}"

class Errors(ExceptionGroup):
    def __new__(cls, errors, code):
        made = super().__new__(cls, f"exit code {code}", errors)
        made.code = code
        return made

class Stop(BaseException):
    def __init__(self, code):
        super().__init__(f"stop {code}")

def throw(kind, *args, **kwargs):
    raise kind(*args, **kwargs)

def give(kind, *args, **kwargs):
    return [kind(*args, **kwargs)]

def from_cause():
    try:
        throw(Coded, 1)
    except Coded as error:
        error.add_note("row 7")
        raise TwoArguments("config is broken", "here") from error

def several():
    raise ExceptionGroup("several", [Coded(3), Errors([KeywordOnly(path="p")], 5)])
"""


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    """Code that no worker can import."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(NOTEBOOK, namespace)
    return namespace


def raised(client: BlockingTaskClient, function: Callable[..., object], *args: object, **kwargs: object) -> Any:
    return client.submit(function, *args, **kwargs).exception(DEADLINE)


MADE = [
    ("Coded", (5,), {}, "failed with code 5"),
    ("TwoArguments", ("m", {"row": 1}), {}, "m"),
    ("KeywordOnly", (), {"path": "p"}, "cannot read p"),
    ("Counting", (["aa", "bb", "cc"],), {}, "3 bad items"),
    ("WithoutSuper", (1, 2), {}, "1-2"),
    ("OfSystem", ("/etc/x",), {}, "[Errno 13] not for you: '/etc/x'"),
    ("Slotted", (), {"row": 4}, "row 4"),
    ("Frozen", (3,), {}, "code 3"),
    ("Stop", (3,), {}, "stop 3"),
    ("Errors", ([ValueError("a")], 5), {}, "exit code 5 (1 sub-exception)"),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "text"), MADE)
def test_a_class_of_the_notebook(
    client: BlockingTaskClient,
    notebook: dict[str, Any],
    name: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    text: str,
) -> None:
    kind = notebook[name]
    error = raised(client, notebook["throw"], kind, *args, **kwargs)
    assert (type(error).__name__, str(error)) == (name, text)
    assert getattr(error, "row", None) == getattr(kind(*args, **kwargs), "row", None)
    assert "in throw" in remote_traceback_of(error).text  # type: ignore[union-attr]
    value = client.submit(notebook["give"], kind, *args, **kwargs).result(DEADLINE)[0]
    assert (type(value).__name__, str(value)) == (name, text)


def undefined() -> None:
    raise pandas.errors.UndefinedVariableError("x", is_local=True)


def called() -> None:
    subprocess.run(["sh", "-c", "echo oops >&2; exit 3"], check=True, capture_output=True)


def decoded() -> None:
    b"\xff".decode()


def parsed() -> None:
    json.loads('{"a": }')


def opened() -> None:
    Path("/nonexistent/file").read_text()


@pytest.mark.parametrize(
    ("function", "kind", "attributes"),
    [
        (undefined, pandas.errors.UndefinedVariableError, {}),
        (called, subprocess.CalledProcessError, {"returncode": 3, "stderr": b"oops\n"}),
        (decoded, UnicodeDecodeError, {"object": b"\xff", "reason": "invalid start byte"}),
        (parsed, json.JSONDecodeError, {"pos": 6, "doc": '{"a": }'}),
        (opened, FileNotFoundError, {"errno": 2, "filename": "/nonexistent/file"}),
    ],
)
def test_a_class_of_a_library(
    client: BlockingTaskClient,
    function: Callable[[], None],
    kind: type[BaseException],
    attributes: dict[str, object],
) -> None:
    with pytest.raises(kind) as here:
        function()
    error = raised(client, function)
    assert type(error) is kind
    assert str(error) == str(here.value)
    assert {name: getattr(error, name) for name in attributes} == attributes


def test_a_cause_with_its_notes(client: BlockingTaskClient, notebook: dict[str, Any]) -> None:
    error = raised(client, notebook["from_cause"])
    assert (str(error), str(error.__cause__)) == ("config is broken", "failed with code 1")
    assert error.__cause__.__notes__ == ["row 7"]
    assert type(error.__cause__.__cause__) is RemoteTraceback


def test_a_group(client: BlockingTaskClient, notebook: dict[str, Any]) -> None:
    error = raised(client, notebook["several"])
    assert repr(error.exceptions[0]) == "Coded('failed with code 3')"
    assert error.exceptions[1].code == 5
    assert repr(error.exceptions[1].exceptions[0]) == "KeywordOnly('cannot read p')"


def test_an_attribute_that_cannot_travel(client: BlockingTaskClient, notebook: dict[str, Any]) -> None:
    error = raised(client, notebook["throw"], notebook["Holding"], [1, 2])
    assert (type(error).__name__, str(error), error.value) == ("Holding", "it holds a lock", [1, 2])
    assert not hasattr(error, "lock")
    assert error.__notes__ == ["its attribute `lock` stayed on the worker: cannot pickle '_thread.lock' object"]


def throw_cancelled() -> None:
    raise asyncio.CancelledError("by me")


def throw_exit() -> None:
    raise SystemExit("by me")


def throw_interrupt() -> None:
    raise KeyboardInterrupt("by me")


def throw_generator_exit() -> None:
    raise GeneratorExit("by me")


@pytest.mark.parametrize("function", [throw_cancelled, throw_exit, throw_interrupt, throw_generator_exit])
def test_what_would_end_more_than_the_wait(client: BlockingTaskClient, function: Callable[[], None]) -> None:
    error = raised(client, function)
    assert type(error) is RemoteError
    assert str(error).endswith(": by me")


def test_a_map_says_which_item_also_for_a_class_that_refuses_attributes(
    client: BlockingTaskClient, notebook: dict[str, Any]
) -> None:
    throw, kind = notebook["throw"], notebook["Frozen"]
    with pytest.raises(Exception, match="code 0") as caught:
        client.map(lambda i: throw(kind, i), range(2))
    assert caught.value.__notes__ == ["item 0 of 2 in a map, counted from 0; 2 failed, the others: 1"]
