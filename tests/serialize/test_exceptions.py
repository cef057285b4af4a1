"""Exceptions of all kinds, pickled and loaded again: they read as they were raised."""

from __future__ import annotations

import asyncio
import copyreg
import dataclasses
import json
import pickle
import subprocess
import threading
import urllib.error
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pandas.errors
import pytest

from taskfc_ext.errors import RemoteError, RemoteTraceback, remote_traceback_of
from taskfc_ext.protocol.payloads import encode_failure
from taskfc_ext.serialize import dump_exception, dump_value, load_failure, load_value
from taskfc_ext.serialize.exceptions import MAX_LINKS, is_same_text, make_empty
from taskfc_ext.serialize.instances import bare


class Coded(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"failed with code {code}")
        self.code = code


class TwoArguments(Exception):
    def __init__(self, text: str, where: object) -> None:
        super().__init__(text)
        self.where = where


class KeywordOnly(Exception):
    def __init__(self, *, path: str) -> None:
        super().__init__(f"cannot read {path}")


class WithoutSuper(Exception):
    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b

    def __str__(self) -> str:
        return f"{self.a}-{self.b}"


class Upper(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text.upper() + "!")


class MadeByNew(Exception):
    def __new__(cls, count: int) -> MadeByNew:
        made = super().__new__(cls, f"{count} times")
        made.count = count  # type: ignore[attr-defined]
        return made


class OfSystem(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(13, "not for you", path)


class OfSystemUnparsed(OSError):
    def __init__(self, number: int, text: str) -> None:
        Exception.__init__(self, number, text)


class Decoding(UnicodeDecodeError):
    def __init__(self, row: int) -> None:
        super().__init__("utf-8", b"ab\xff", 2, 3, f"in row {row}")


class Slotted(Exception):
    __slots__ = ("__secret", "row")

    def __init__(self, row: int) -> None:
        self.row = row
        self.__secret = -row

    def __str__(self) -> str:
        return f"{self.row} {self.__secret}"


class Parent(Slotted):
    __slots__ = ("more",)


@dataclasses.dataclass
class Data(Exception):
    code: int
    where: str = "here"


@dataclasses.dataclass(frozen=True, eq=False)
class Frozen(Exception):
    code: int

    def __str__(self) -> str:
        return f"code {self.code}"


class Both(KeyError, AttributeError):
    def __init__(self, name: str, owner: object) -> None:
        super().__init__(name)
        self.owner = str(owner)


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        made = super().__call__(*args)
        made.args = (f"<{made.args[0]}>",)
        return made


class OfMeta(Exception, metaclass=Meta):
    pass


class Property(Exception):
    def __init__(self, level: int) -> None:
        self._level = level

    @property
    def args(self) -> Any:
        return ("computed", self._level)

    def __str__(self) -> str:
        return f"level {self._level}"


class Group(ExceptionGroup[Exception]):
    def __new__(cls, errors: list[Exception], code: int) -> Group:
        made = super().__new__(cls, f"exit code {code}", errors)
        made.code = code  # type: ignore[attr-defined]
        return made


class Reducing(Exception):
    """An exception with a `__reduce__` that works."""

    def __init__(self, code: int, *, label: str = "") -> None:
        super().__init__(f"{label} {code}")
        self.code, self.label, self.lock = code, label, threading.Lock()

    def __reduce__(self) -> Any:
        return _remake, (self.code, self.label)


def _remake(code: int, label: str) -> Reducing:
    return Reducing(code, label=label)


class OfJson(json.JSONDecodeError):
    """An exception that inherits a `__reduce__` for a constructor with other arguments."""

    def __init__(self, path: str) -> None:
        super().__init__(f"in {path}", "{", 1)
        self.path = path


class Twice(json.JSONDecodeError):
    """An exception that inherits a `__reduce__` that formats its text twice."""

    def __init__(self, msg: str, doc: str, pos: int) -> None:
        super().__init__(f"bad: {msg}", doc, pos)


class Registered(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.pair = a, b


def _generic(error: BaseException) -> Any:
    """Reduce as tools do that register one function for all classes of exceptions."""
    return _call, (type(error), error.args)


def _call(kind: Any, args: Any) -> Any:
    return kind(*args)


copyreg.pickle(Registered, _generic)


class Wrapping(ImportError):
    """An exception whose `__reduce__` returns the result of the interpreter's own."""

    def __reduce__(self) -> Any:
        return super().__reduce__()


class Hiding(OSError):
    errno = None

    def __init__(self, number: int) -> None:
        super().__init__(number, "hidden")
        self.errno = number


class Unset:
    pass


UNSET, MISSING = Unset(), object()


class WithSentinels(Exception):
    def __init__(self, text: str, field: object = UNSET, other: object = MISSING) -> None:
        super().__init__(text)
        self.field, self.other = field, other

    def __str__(self) -> str:
        return f"{self.args[0]}{'' if self.field is UNSET and self.other is MISSING else ', in a field'}"


class WithState(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("with a state")
        self.code, self.lock = code, threading.Lock()

    def __getstate__(self) -> Any:
        return {"code": self.code}

    def __setstate__(self, state: Any) -> None:
        self.code, self.lock = state["code"], threading.Lock()


class Delegating(Exception):
    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    def __str__(self) -> str:
        return f"delegates to {self.inner}"


def missing_name() -> None:
    not_there  # type: ignore[name-defined]  # noqa: B018, F821


def missing_attribute() -> None:
    [].extent  # type: ignore[attr-defined]  # noqa: B018


def missing_variable() -> None:
    pandas.DataFrame({"a": [1]}).query("b > @x")


def missing_column() -> None:
    pandas.DataFrame({"a": [1]})["b"]


def bad_syntax() -> None:
    compile("a b", "file.py", "exec")


def bad_json() -> None:
    json.loads('{"a": }')


def bad_shape() -> None:
    np.zeros((2, 3)) @ np.zeros((2, 3))


def bad_cast() -> None:
    np.add.reduce(np.zeros(2), axis=5)


def overflowing() -> None:
    (10).to_bytes(0)


def make_thrower(error: BaseException) -> Callable[[], None]:
    def throw() -> None:
        raise error

    return throw


RAISING: list[Callable[[], object]] = [
    *map(
        make_thrower,
        [
            Coded(5),
            TwoArguments("m", {"w": 1}),
            KeywordOnly(path="p"),
            WithoutSuper(1, 2),
            Upper("hello"),
            MadeByNew(3),
            OfSystem("/etc/x"),
            OfSystemUnparsed(2, "as it is"),
            Decoding(7),
            Slotted(4),
            Parent(9),
            Data(3, "there"),
            Frozen(4),
            Both("key", 3),
            OfMeta("x"),
            Property(3),
            Reducing(4, label="l"),
            OfJson("a.json"),
            Twice("m", "{", 0),
            Registered(1, 2),
            WithState(3),
            Wrapping("no", name="n", path="p"),
            Hiding(5),
            WithSentinels("unset"),
            WithSentinels("set", field=3),
            jsonschema.ValidationError("mine"),
            Delegating("x"),
            subprocess.CalledProcessError(3, ["a"], b"o", b"e"),
            subprocess.TimeoutExpired(["a"], 2.5),
            urllib.error.HTTPError("http://x", 404, "Not Found", {}, None),  # type: ignore[arg-type]
            urllib.error.URLError(OSError(2, "no")),
            pandas.errors.UndefinedVariableError("x", is_local=True),
            FileNotFoundError(2, "no such", "a", None, "b"),
            BlockingIOError(11, "busy", 5),
            ImportError("no", name="n", path="p"),
            asyncio.IncompleteReadError(b"ab", 5),
            asyncio.LimitOverrunError("too far", 3),
            OSError("one argument"),
            ValueError(),
            KeyError("k"),
            KeyError({"b", "a", "c"}),
        ],
    ),
    missing_name,
    missing_attribute,
    missing_variable,
    missing_column,
    bad_syntax,
    bad_json,
    bad_shape,
    bad_cast,
    overflowing,
]


def catch(function: Callable[[], object]) -> Any:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def send_as_failure(error: BaseException) -> Any:
    return load_failure(encode_failure(dump_exception(error, traceback="line 1\n")), 7)


def send_as_value(value: object) -> Any:
    return load_value(dump_value(value, what="the result"))


def plain_attributes(error: BaseException) -> dict[str, object]:
    without_equality = ("lock", "reason", "fp", "file", "_closer")
    return {name: value for name, value in vars(error).items() if name not in without_equality}


@pytest.mark.parametrize("way", [send_as_failure, send_as_value], ids=["raised", "returned"])
@pytest.mark.parametrize("function", RAISING, ids=lambda function: f"{type(catch(function)).__name__}")
def test_a_received_exception_reads_as_it_was_raised(function: Callable[[], object], way: Callable[[Any], Any]) -> None:
    original = catch(function)
    attributes = plain_attributes(original)
    error = way(original)
    assert type(error) is type(original)
    assert is_same_text(str(error), str(original))
    assert is_same_text(repr(error), repr(original))
    assert plain_attributes(error) == attributes
    if way is send_as_failure:
        remote = remote_traceback_of(error)
        assert remote is not None
        assert remote.taskid == 7


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (make_thrower(FileNotFoundError(2, "no such", "a", None, "b")), ["errno", "strerror", "filename", "filename2"]),
        (make_thrower(BlockingIOError(11, "busy", 5)), ["characters_written"]),
        (make_thrower(ImportError("no", name="n", path="p")), ["msg", "name", "path"]),
        (make_thrower(StopAsyncIteration(3)), ["args"]),
        (make_thrower(Wrapping("no", name="n", path="p")), ["msg", "name", "path"]),
        (make_thrower(Hiding(5)), ["errno", "strerror"]),
        (missing_name, ["name"]),
        (missing_attribute, ["name"]),
        (bad_syntax, ["msg", "filename", "lineno", "offset", "text", "end_lineno", "end_offset"]),
        (make_thrower(Decoding(7)), ["encoding", "object", "start", "end", "reason"]),
        (make_thrower(Slotted(4)), ["row", "_Slotted__secret"]),
        (bad_json, ["msg", "doc", "pos", "lineno", "colno"]),
    ],
    ids=lambda value: type(catch(value)).__name__ if callable(value) else None,
)
def test_fields_that_are_not_attributes_are_sent(function: Callable[[], object], names: list[str]) -> None:
    original = catch(function)
    for error in send_as_failure(original), send_as_value(original):
        for name in names:
            assert getattr(error, name) == getattr(original, name), name


# chains


def raise_with_cause() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        error.add_note("line 3")
        raise TwoArguments("config is broken", 5) from error


def raise_in_a_handler() -> None:
    try:
        raise Coded(1)
    except Coded:
        raise Coded(2)  # noqa: B904


def raise_from_none() -> None:
    try:
        raise Coded(1)
    except Coded:
        raise Coded(2) from None


def test_an_explicit_cause_is_sent() -> None:
    error = send_as_failure(catch(raise_with_cause))
    assert type(error.__cause__) is json.JSONDecodeError
    assert "Expecting property name" in str(error.__cause__)
    assert error.__cause__.__notes__ == ["line 3"]
    assert error.__context__ is error.__cause__
    assert type(error.__cause__.__cause__) is RemoteTraceback
    assert remote_traceback_of(error) is error.__cause__.__cause__


@pytest.mark.parametrize("function", [raise_in_a_handler, raise_from_none])
def test_without_a_cause_the_traceback_is_the_cause_and_the_context_is_sent(function: Callable[[], object]) -> None:
    error = send_as_failure(catch(function))
    assert type(error.__cause__) is RemoteTraceback
    assert str(error.__context__) == "failed with code 1"


@pytest.mark.parametrize("function", [raise_with_cause, raise_in_a_handler, raise_from_none])
def test_a_returned_exception_keeps_its_chain(function: Callable[[], object]) -> None:
    original = catch(function)
    error = send_as_value([original])[0]
    assert repr(error.__cause__) == repr(original.__cause__)
    assert repr(error.__context__) == repr(original.__context__)
    assert error.__suppress_context__ == original.__suppress_context__


def long_chain(length: int, **attributes: object) -> BaseException:
    error: BaseException = Coded(0)
    for i in range(1, length):
        before, error = error, Coded(i)
        vars(before).update(attributes)
        error.__context__ = before
        error.__cause__ = before
    return error


@pytest.mark.parametrize("attributes", [{}, {"lock": threading.Lock()}], ids=["whole", "in pieces"])
def test_long_chains_are_cut(attributes: dict[str, object]) -> None:
    error = send_as_failure(long_chain(3_000, **attributes))
    assert str(error) == "failed with code 2999"
    n = 0
    while error.__cause__ is not None:
        error, n = error.__cause__, n + 1
    assert n == MAX_LINKS + 1
    assert type(error) is RemoteTraceback


def test_a_chain_may_be_a_cycle() -> None:
    one, two = Coded(1), Coded(2)
    one.__cause__, two.__cause__ = two, one
    for error in send_as_failure(one), send_as_value(one):
        assert str(error) == "failed with code 1"
        assert str(error.__cause__) == "failed with code 2"


def test_an_unpicklable_cause_is_sent_as_text() -> None:
    error = Coded(1)
    error.__cause__ = KeyError(threading.Lock())
    loaded = send_as_failure(error)
    assert (type(loaded), str(loaded)) == (Coded, "failed with code 1")
    assert type(loaded.__cause__) is RemoteError
    assert loaded.__cause__.type_name == "KeyError"
    assert type(loaded.__cause__.__cause__) is RemoteTraceback
    assert str(send_as_value(error)) == "failed with code 1"


# groups


def test_groups_are_rebuilt_with_their_members() -> None:
    original = ExceptionGroup("several", [ValueError("a"), Coded(3), ExceptionGroup("inner", [KeywordOnly(path="p")])])
    for error in send_as_failure(original), send_as_value(original):
        assert repr(error) == repr(original)
        assert type(error.exceptions[1]) is Coded
        assert error.exceptions[1].code == 3
        assert error.args[1][1] is error.exceptions[1]
        assert error.split(Coded)[0].exceptions[0].code == 3


def test_a_group_may_have_its_own_constructor() -> None:
    error = send_as_failure(Group([ValueError("a"), TwoArguments("m", 1)], 5))
    assert (type(error), error.message, error.code) == (Group, "exit code 5", 5)
    assert list(map(repr, error.exceptions)) == ["ValueError('a')", "TwoArguments('m')"]


def test_a_base_group_is_rebuilt() -> None:
    error = send_as_failure(BaseExceptionGroup("mixed", [ValueError("a"), KeyboardInterrupt("k")]))
    assert type(error) is BaseExceptionGroup
    assert repr(error.exceptions) == "(ValueError('a'), KeyboardInterrupt('k'))"


def test_an_unpicklable_member_is_sent_as_text() -> None:
    error = send_as_failure(ExceptionGroup("several", [KeyError(threading.Lock()), Coded(2)]))
    assert type(error) is ExceptionGroup
    assert [type(each) for each in error.exceptions] == [RemoteError, Coded]
    assert error.exceptions[0].type_name == "KeyError"


def test_a_member_may_be_raised_while_its_group_is_handled() -> None:
    group = ExceptionGroup("several", [Coded(1), ExceptionGroup("inner", [Coded(2)])])
    group.exceptions[1].exceptions[0].__context__ = Coded(3)  # type: ignore[union-attr]
    group.exceptions[1].exceptions[0].__context__.__context__ = group  # type: ignore[union-attr]
    group.exceptions[0].__context__ = group
    for error in send_as_failure(group), send_as_value(group):
        assert repr(error) == repr(group)
        assert str(error.exceptions[1].exceptions[0].__context__) == "failed with code 3"


# unpicklable parts


class Unloadable:
    def __reduce__(self) -> Any:
        return int, ("no number",)


class Both2(Exception):
    def __init__(self, **attributes: object) -> None:
        super().__init__("it holds much")
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (threading.Lock(), "cannot pickle '_thread.lock' object"),
        ([{"a": threading.Lock()}], "cannot pickle '_thread.lock' object"),
        (Unloadable(), "invalid literal for int()"),
        (bytearray(70 * 2**20), "larger than"),
        ((i for i in "ab"), "cannot pickle 'generator' object"),
    ],
    ids=["lock", "nested", "not loaded", "large", "generator"],
)
def test_an_unpicklable_attribute_is_left_out_and_named(bad: object, reason: str) -> None:
    original = Both2(good=[1, 2], bad=bad)
    original.add_note("its own")
    error = send_as_failure(original)
    assert (type(error), str(error), error.good) == (Both2, "it holds much", [1, 2])
    assert not hasattr(error, "bad")
    assert error.__notes__[0] == "its own"
    assert "`bad` stayed on the worker" in error.__notes__[1]
    assert reason in error.__notes__[1]
    assert original.__notes__ == ["its own"]  # it was not changed


def test_an_unpicklable_slot_is_left_out() -> None:
    original = Parent(3)
    original.more = threading.Lock()  # type: ignore[attr-defined]
    error = send_as_failure(original)
    assert (type(error), str(error), error.row) == (Parent, "3 -3", 3)
    assert "`more` stayed on the worker" in error.__notes__[0]


def test_an_exception_may_hold_itself() -> None:
    original = Both2(good=1)
    original.me = [original]  # type: ignore[attr-defined]
    error = send_as_failure(original)
    assert error.me[0] is error
    original.bad = threading.Lock()  # type: ignore[attr-defined]
    error = send_as_failure(original)
    assert (type(error), error.good) == (Both2, 1)


def test_a_class_that_rejects_attributes_gets_its_traceback() -> None:
    error = send_as_failure(Frozen(4))
    assert remote_traceback_of(error).taskid == 7  # type: ignore[union-attr]


version = 1


class Dependent(Exception):
    def __str__(self) -> str:
        return f"version {version}"


def test_an_exception_whose_text_would_differ_is_sent_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encode_failure(dump_exception(Dependent(), traceback="line 1\n"))
    assert type(load_failure(payload, 7)) is Dependent
    monkeypatch.setattr(f"{__name__}.version", 2)
    error = load_failure(payload, 7)
    assert type(error) is RemoteError
    assert "Dependent: version 1" in str(error)
    assert "its text would be 'version 2'" in error.hint


@pytest.mark.parametrize(
    ("text", "other", "is_same"),
    [
        ("a", "a", True),
        ("<C at 0x7f01> in <D at 0x02>", "<C at 0x8a10> in <D at 0x1>", True),
        ("one of {'a', 'b', 'c'}", "one of {'c', 'a', 'b'}", True),
        ("frozenset({1, 2}) and {3, 4}", "frozenset({2, 1}) and {4, 3}", True),
        ("row 12", "row 21", False),
        ("{1, 2}", "{1, 3}", False),
        ("a, b", "b, a", False),
    ],
)
def test_texts_may_differ_in_addresses_and_order_only(text: str, other: str, is_same: bool) -> None:
    assert is_same_text(text, other) is is_same


class Stop(BaseException):
    def __init__(self, code: int) -> None:
        super().__init__(f"stop {code}")


def test_a_users_base_exception_keeps_its_type() -> None:
    assert type(send_as_failure(Stop(3))) is Stop


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt, StopIteration])
def test_an_exception_that_would_end_the_program_is_sent_as_text(kind: type[BaseException]) -> None:
    class Own(kind):  # type: ignore[valid-type, misc]
        pass

    for error in send_as_failure(kind("why")), send_as_failure(Own("why")):
        assert type(error) is RemoteError
        assert "why" in str(error)
    assert type(send_as_value(kind("why"))) is kind


def test_notes_and_attributes_left_out_by_an_own_reduce_are_sent() -> None:
    original = catch(bad_json)
    original.add_note("row 7")
    original.row = 7
    for error in send_as_failure(original), send_as_value(original):
        assert (error.__notes__, error.row, error.pos) == (["row 7"], 7, original.pos)


def test_an_unpicklable_chain_does_not_make_a_result_unpicklable() -> None:
    original = ValueError("fine")
    original.__context__ = KeyError(threading.Lock())
    assert str(send_as_value({"error": original})["error"]) == "fine"


def test_functions_called_by_pickles_are_found_by_name() -> None:
    assert b"make_empty" in dump_value(Coded(3), what="the result")
    assert pickle.loads(dump_value(Coded(3), what="the result")).code == 3


class OfTwoBuiltIns(KeyError, OSError):
    pass


def test_an_instance_is_made_by_the_base_with_the_layout() -> None:
    assert type(bare(OfTwoBuiltIns)) is OfTwoBuiltIns
    assert type(make_empty(OfTwoBuiltIns)) is OfTwoBuiltIns
