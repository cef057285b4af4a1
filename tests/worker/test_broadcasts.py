"""Broadcasts on a worker: run between attempts, reported, and repeated after the namespace was cleared."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.drivers.processes import Page
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.worker_messages import MAX_PROBLEM, Finished, Prepare, Ready, Returned, SetUp
from taskfc_ext.serialize import dump_call, dump_function, dump_names

RAN: list[str] = []
handlers: list[Any] = []


def note() -> None:
    import tests.worker.test_broadcasts as here

    here.RAN.append("note")


async def note_later() -> None:
    note()


def boom() -> None:
    raise ValueError("no data")


class Fights(BaseException):
    def __str__(self) -> str:
        raise RuntimeError


def fight() -> None:
    raise Fights


def grumble() -> None:
    raise ValueError("no data " * MAX_PROBLEM)


def leave() -> None:
    raise SystemExit(3)


def broadcast(bench: Any, number: int, what: Any, **names: object) -> None:
    if callable(what):
        kind, code, body = Kind.FUNCTION, dump_function(what)[1], dump_call((), {}, what="f")
    else:
        kind, code, body = Kind.STRING, what.encode(), dump_names(names, (), what="the broadcast")
    bench.connection.inbox.append(Prepare(number=number, kind=kind, code=code, body=body))


def reports(bench: Any) -> list[SetUp]:
    bench.turn()
    return [message for message in bench.take_sent() if isinstance(message, SetUp)]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A bench whose worker watches imports, as in its own process, with a folder on the module path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before, interval = set(sys.modules), sys.getswitchinterval()
    bench = request.getfixturevalue("bench")
    bench.loop._executor.modules.install()
    bench.loop._executor.settings.watch_imports()
    yield bench
    sys.setswitchinterval(interval)
    for name in set(sys.modules) - before:
        if name.startswith("tf_"):
            del sys.modules[name]


@pytest.mark.parametrize("function", [note, note_later])
def test_a_function_is_called_once(bench: Any, function: Any) -> None:
    RAN.clear()
    broadcast(bench, 1, function)
    assert reports(bench) == [SetUp(1)]
    assert RAN == ["note"]


@pytest.mark.parametrize(
    ("what", "problem"),
    [(boom, "ValueError: no data"), (leave, "SystemExit: 3"), ("1 / 0", "ZeroDivisionError: division by zero"),
     ("x =", "SyntaxError: invalid syntax (<broadcast 1>, line 1)")],
)  # fmt: skip
def test_errors_are_reported_and_the_worker_goes_on(bench: Any, what: Any, problem: str) -> None:
    broadcast(bench, 1, what)
    assert reports(bench) == [SetUp(1, problem)]
    bench.call(os.getpid)
    assert bench.result() == os.getpid()


def set_handler() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def note_handler() -> None:
    import tests.worker.test_broadcasts as here

    here.handlers.append(signal.getsignal(signal.SIGINT))


def test_the_handler_of_interrupts_is_ours_in_and_between_attempts(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers.clear()
    leave = bench.loop._executor.leave
    monkeypatch.setattr(bench.loop._executor, "leave", lambda seconds: (leave(seconds), note_handler()))
    broadcast(bench, 1, set_handler)
    for _ in range(2):
        bench.call(note_handler)
    assert reports(bench) == [SetUp(1)]
    bench.call(set_handler)
    bench.turn()
    assert handlers == [bench.guard._on_signal] * 5


def test_an_exception_whose_text_raises_is_reported(bench: Any) -> None:
    broadcast(bench, 1, fight)
    (report,) = reports(bench)
    assert report.problem


def test_a_long_error_is_shortened_to_what_the_controller_takes(bench: Any) -> None:
    broadcast(bench, 1, grumble)
    (report,) = reports(bench)
    assert "characters left out" in report.problem
    assert codec.from_worker.decode(codec.encode([report])) == [report]


def test_definitions_are_in_the_persistent_namespace(bench: Any) -> None:
    broadcast(bench, 1, "import math\ntwice = 2 * base", base=21)
    bench.source(Kind.STRING, "y = twice + base", {}, ["y"])
    assert bench.result().ns == {"y": 63}
    bench.source(Kind.CELL, "math.floor(1.5)", {}, [], keep=True)
    assert bench.result().value == 1
    bench.source(Kind.CELL, "twice", {}, [])
    assert bench.failure().type_name == "NameError", "a new namespace has no definitions"


@pytest.mark.parametrize("when", ["clear_before", "clear_after"])
def test_clearing_restores_definitions_of_broadcasts(bench: Any, when: str) -> None:
    bench.source(Kind.STRING, "of_a_task = base = 0", {}, [])
    broadcast(bench, 1, "base = 7\nextra = 1\nfirst = 0", pushed=3)
    broadcast(bench, 2, "del extra\nfirst = 2")
    bench.source(Kind.STRING, "base = of_a_task = 1", {}, [], **{when: True})
    if when == "clear_before":
        bench.source(Kind.STRING, "pass", {}, [], clear_before=True)
    bench.source(Kind.STRING, "found = [n for n in ('of_a_task', 'extra') if n in globals()], base, first, pushed", {},
                 ["found"])  # fmt: skip
    assert bench.collect()[-1][1].ns == {"found": ([], 7, 2, 3)}


def test_it_runs_in_the_order_of_receipt(bench: Any) -> None:
    bench.source(Kind.STRING, "x = 1", {}, ["x"])
    broadcast(bench, 1, "x = 2")
    bench.source(Kind.STRING, "y = x", {}, ["y"])
    bench.turn()
    sent = [message for message in bench.sent if isinstance(message, Finished | SetUp)]
    assert [type(message) for message in sent] == [Finished, SetUp, Finished], "earlier results are sent before it"


def test_it_stays_when_queued_leases_are_returned(bench: Any) -> None:
    bench.source(Kind.STRING, "loop.act_for(loop.lease, wants_output=False)", {"loop": None}, [])
    run = bench.connection.inbox.pop()
    bench.connection.inbox.append(run)
    broadcast(bench, 1, "x = 2")
    (last,) = bench.call(os.getpid)
    with bench.link.lock:
        bench.loop._exchange()
        bench.loop._return_leases()
    assert Returned((1, last)) in bench.sent
    assert reports(bench) == [SetUp(1)]


def test_it_runs_when_the_attempts_around_it_are_revoked(bench: Any) -> None:
    bench.call(os.getpid)
    broadcast(bench, 1, "x = 2")
    (last,) = bench.call(os.getpid)
    bench.page.words[Page.REVOKED] = last
    bench.turn()
    assert Returned((1, last), is_busy=False) in bench.sent
    assert reports(bench) == [SetUp(1)]


def test_broadcasts_run_and_queued_are_reported_to_a_new_controller(bench: Any) -> None:
    broadcast(bench, 1, boom)
    broadcast(bench, 2, "x = 1")
    bench.turn()
    broadcast(bench, 3, "x = 3")
    with bench.link.lock:
        bench.loop._exchange()
    os.write(bench.order, b"r")
    bench.turn()
    opening = bench.sent[0]
    assert isinstance(opening, Ready)
    assert opening.broadcasts == {1: "ValueError: no data", 2: "", 3: None}
    assert [message for message in bench.sent if isinstance(message, SetUp)] == [SetUp(3)]


def test_settings_of_a_failed_one_are_restored(watched: Any) -> None:
    interval = sys.getswitchinterval()
    broadcast(watched, 1, "import sys; sys.setswitchinterval(0.5); raise ValueError")
    reports(watched)
    watched.call(sys.getswitchinterval)
    assert watched.result() == interval


def test_a_module_that_changed_a_setting_in_it_stays(watched: Any, tmp_path: Path) -> None:
    (tmp_path / "tf_state.py").write_text("import sys\nsys.setswitchinterval(0.02)\nSTATE = None\n")
    broadcast(watched, 1, "import tf_state; tf_state.STATE = 'a model'")
    reports(watched)
    for _ in range(2):
        watched.source(Kind.STRING, "import tf_state; found = tf_state.STATE", {}, ["found"])
        assert watched.result().ns == {"found": "a model"}


def test_it_is_not_seeded_as_the_task_before_it(watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskfc_ext.worker.context.settings.SEEDED", ("tf_random",))
    (tmp_path / "tf_random.py").write_text("SEEDS = []\ndef seed(seed): SEEDS.append(seed)\n")
    (tmp_path / "tf_random-1.dist-info").mkdir()
    watched.call(os.getpid, seed=3)
    watched.result()
    broadcast(watched, 1, "import tf_random")
    reports(watched)
    assert sys.modules["tf_random"].SEEDS == []
