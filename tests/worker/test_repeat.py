"""Attempts that repeat a harmless function: nothing is set up or put back for them, and nothing else is different."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.processes import Page
from taskfc_ext.protocol.payloads import Outcome, Upload
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.worker_messages import Finished, Prepare, Returned, Started
from taskfc_ext.serialize import dump_call, dump_names, join
from tests.worker.test_loop import now, strike_at_each_instruction

__all__ = ["now"]  # a fixture


def define(source: str) -> Callable[..., Any]:
    """Return the function `f` of a notebook's cell."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    found: Callable[..., Any] = namespace["f"]
    return found


def give(bench: Any, function: Callable[..., Any], *calls: tuple[object, ...], **options: Any) -> list[int]:
    """Send the calls in one message; return their leases."""
    bodies = [join(dump_call(args, {}, what="f")) for args in calls]
    leases: list[int] = bench.give(bench.spec(function, **options), *bodies)
    return leases


def repeats(bench: Any) -> bool:
    """Return whether the next attempt of the same code would repeat the last one."""
    return bool(bench.loop._repeats)


def test_the_results_are_those_of_single_tasks(bench: Any) -> None:
    give(bench, define("def f(i): return i, [i] * i, str(i)"), *[(i,) for i in range(50)])
    assert bench.collect() == [(Outcome.OK, (i, [i] * i, str(i))) for i in range(50)]
    assert repeats(bench)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("import os\ndef f(i): return os.getpid() and i", {}),
        ("seen = []\ndef f(i): seen.append(i); return len(seen)", {}),
        ("def f(i): return i", {"timeout": 60.0}),
        ("def f(i): return i", {"seed": 1}),
        ("def f(i): return i", {"depend": lambda properties: True}),
    ],
    ids=["other code", "state", "timeout", "seed", "depend"],
)
def test_what_needs_more_is_not_repeated(bench: Any, source: str, options: dict[str, Any]) -> None:
    give(bench, define(source), (1,), (1,), (1,), **options)
    assert bench.collect() == [(Outcome.OK, 1)] * 3
    assert not repeats(bench)


def test_each_start_with_a_timeout_is_reported(bench: Any) -> None:
    leases = give(bench, define("def f(i): return i"), (1,), (2,), timeout=60.0)
    bench.turn()
    assert [message.lease for message in bench.sent if isinstance(message, Started)] == leases


def test_what_it_prints_goes_with_its_own_attempt(bench: Any) -> None:
    leases = give(bench, define("def f(i): print('no', i) if i % 2 else None"), *[(i,) for i in range(6)])
    bench.turn()
    outputs = {lease: text for m in bench.sent if isinstance(m, Finished) for lease, text in m.outputs.items()}
    assert outputs == {leases[i]: (f"no {i}\n",) for i in (1, 3, 5)}


def test_an_error_is_its_own_attempts(bench: Any) -> None:
    give(bench, define("def f(i): return 1 // i"), (1,), (0,), (2,))
    first, (outcome, failure), last = bench.collect()
    assert (first, last) == ((Outcome.OK, 1), (Outcome.OK, 0))
    assert (outcome, failure.type_name) == (Outcome.ERROR, "ZeroDivisionError")
    assert "in f\n" in failure.traceback
    assert "execute.py" not in failure.traceback


def test_a_large_result_goes_in_a_file(bench: Any) -> None:
    give(bench, define("def f(n): return 'x' * n"), (1,), (LARGE,), (2,))
    bench.turn()
    values = [value for m in bench.sent if isinstance(m, Finished) for value in m.values]
    assert [type(value) for value in values] == [bytes, Upload, bytes]


def test_each_attempt_warns(bench: Any) -> None:
    source = "import numpy as np\ndef f(x): return float(np.log(x))"
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    give(bench, namespace["f"], (1,), (0,), (0,), (0,))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        bench.turn()
    assert [warning.category for warning in seen] == [RuntimeWarning] * 3


@pytest.mark.parametrize("change", ["f.n = f.__dict__", "f.__defaults__ = (x,)"])
def test_a_function_that_changes_itself_is_not_repeated(bench: Any, change: str) -> None:
    counts = "def f(x=0):\n try: f.n += 1\n except Exception: f.n = 1\n return f.n"
    give(bench, define(counts), (1,), (1,), (1,))
    assert bench.collect() == [(Outcome.OK, 1)] * 3
    give(bench, define(f"def f(x=0):\n {change}\n return x"), (1,), (2,))
    bench.collect()
    assert not repeats(bench)


def test_the_next_message_of_the_same_code_repeats_the_last(bench: Any) -> None:
    function, options = define("def f(i): return i"), {"retries": 1}
    for again in (False, True):
        give(bench, function, (1,))
        bench.turn()
        give(bench, function, (2,))
        bench.turn()
        assert repeats(bench)
        give(bench, function, (3,), **options)  # other options may need more
        bench.loop._exchange()
        assert bench.loop._may_repeat(bench.loop._attempts[0][3]) is again
        bench.turn()
        options = {}
    assert [value for _, value in bench.collect()] == [1, 2, 3, 1, 2, 3]


def test_revoked_attempts_are_not_repeated(bench: Any) -> None:
    function = define("def f(i): return i")
    give(bench, function, (1,))
    bench.turn()
    assert repeats(bench)
    bench.take_sent()
    leases = give(bench, function, *[(i,) for i in range(6)])
    bench.page.words[Page.REVOKED] = leases[3]
    bench.turn()
    assert [lease for m in bench.sent if isinstance(m, Finished) for lease in m.leases] == leases[4:]
    assert [m for m in bench.sent if isinstance(m, Returned)] == [Returned(tuple(leases[:4]), is_busy=False)]


def test_results_of_repeated_attempts_are_in_the_page(bench: Any) -> None:
    function = define("def f(i): return i")
    give(bench, function, (1,))
    bench.turn()
    assert repeats(bench)
    leases = give(bench, function, (7,), ("x" * 60,), (8,), (9,))
    bench.turn()
    kept = {lease: pickle.loads(value) for lease, _, value in bench.watched.results()}
    assert {lease: kept.get(lease) for lease in leases[:3]} == dict(zip(leases, (7, None, 8), strict=False))


def test_a_broadcast_ends_it(bench: Any) -> None:
    give(bench, define("def f(i): return i"), (1,))
    bench.turn()
    assert repeats(bench)
    kind, code, body = Kind.STRING, b"x = 1", join(dump_names({}, (), what="x"))
    bench.connection.inbox.append(Prepare(number=1, kind=kind, code=code, body=body))
    bench.turn()
    assert not repeats(bench)


class Rude:
    """An argument whose code changes the process."""

    def __init__(self) -> None:
        self.value = 3

    def __add__(self, other: object) -> int:
        sys.path.append("left behind")
        return self.value


@pytest.mark.parametrize("argument", [np.ones(3), [1, 2], {"a": 1}, Rude()], ids=["array", "list", "dict", "object"])
def test_other_arguments_are_run_as_ever(bench: Any, argument: object) -> None:
    before = list(sys.path)
    give(
        bench,
        define("def f(x): return len(str(x + 0 if not isinstance(x, (list, dict)) else x)) > 0"),
        (1,),
        (argument,),
        (2,),
    )
    assert bench.collect() == [(Outcome.OK, True)] * 3
    assert sys.path == before
    assert repeats(bench), "the last one had plain arguments again"


def test_named_arguments_are_run_as_ever(bench: Any) -> None:
    bodies = [join(dump_call((1,), kwargs, what="f")) for kwargs in ({}, {"y": 5}, {})]
    bench.give(bench.spec(define("def f(x, y=0): return x + y")), *bodies)
    assert [value for _, value in bench.collect()] == [1, 6, 1]


def test_an_attempt_that_was_interrupted_before_it_began_does_not_run(bench: Any) -> None:
    leases = give(bench, define("def f(i): return i"), (1,), (2,), (3,))
    bench.page.words[Page.INTERRUPT] = leases[1]
    assert [outcome for outcome, _ in bench.collect()] == [Outcome.OK, Outcome.INTERRUPTED, Outcome.OK]


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 does not trace all instructions")
@pytest.mark.parametrize("argument", [1, 0], ids=["a value", "an error"])
def test_an_interrupt_at_any_instruction_of_ours_is_attributed_or_dropped(bench: Any, argument: int) -> None:
    function = define("def f(i): return 4 // i")
    give(bench, function, (1,))
    bench.collect()
    calls = (1,), (argument,), (2,)
    at_most = sys.maxsize if argument else 400  # the rest of an error is as in any attempt
    found = strike_at_each_instruction(bench, lambda: give(bench, function, *calls), at_most=at_most)
    assert [(first, third) for first, _, third in found] == [((Outcome.OK, 4), (Outcome.OK, 2))] * len(found)
    seen = {second[0] for _, second, _ in found}
    assert seen == {Outcome.INTERRUPTED, Outcome.OK} if argument else {Outcome.INTERRUPTED}
    assert len(found) > 50
