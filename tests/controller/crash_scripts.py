"""Scripts of clients and workers, played while the controller is killed at chosen commits.

It dies before a commit, after it, or after the sends, which arrive or are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from taskfc_ext.drivers.paths import payloads_of
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.client_messages import Ended, Reply
from taskfc_ext.protocol.spec import Kind, OnLost, Recovery, Spec
from tests.controller.wire import CODE, WireFarm

OTHER, THIRD = b"o" * 16, b"t" * 16

WHEN = ("before the commit", "before the send", "after the send", "after the send, and all of it is lost")


def value(body: bytes) -> tuple[str, bytes]:
    return "", b"value of " + body


class Script(NamedTuple):
    """Steps, and the expected end of each task; `once`: tasks that may start at most once."""

    steps: list[Callable[[WireFarm], object]]
    ends: dict[int, tuple[str, bytes] | str]
    once: tuple[int, ...] = ()
    check: Callable[[WireFarm], None] = lambda farm: None


def recovery(body: bytes) -> Recovery:
    return Recovery(Spec(kind=Kind.FUNCTION, code=CODE, label="plan b"), body)


def stop_and_start(farm: WireFarm) -> None:
    farm.alice.ask(said.Stop)
    farm.pump()
    if farm.alice.stopped or farm.ended:
        farm.start_again()


def check_barrier(farm: WireFarm) -> None:
    (seq,) = (seq for seq, answer in farm.bob.answers.items() if seq == farm.barrier)
    assert farm.bob.answers[seq] == Reply(seq)


def ask_barrier(farm: WireFarm) -> None:
    farm.barrier = farm.bob.ask(said.Barrier, taskids=(0, 1))


def ask_clear(farm: WireFarm) -> None:
    farm.cleared = farm.alice.ask(said.Clear, taskids=(0, 1, 99))


def check_cleared(farm: WireFarm) -> None:
    answer = farm.alice.answers[farm.cleared]
    assert answer.value == {"taskids": [99], "n_cleared": 2}
    assert not farm.scheduler.farm.knows(0)
    assert list(farm.store.find_ended([0, 1])) == []


def ask_clear_all(farm: WireFarm) -> None:
    farm.cleared = farm.alice.ask(said.Clear)


def large(name: bytes) -> bytes:
    """Return a body that has a file of its own."""
    return name + bytes(LARGE)


def check_nothing_left(farm: WireFarm) -> None:
    """Check that rows, code and payloads of cleared tasks are removed."""
    assert farm.alice.answers[farm.cleared] == Reply(farm.cleared, 4)
    known = farm.scheduler.farm
    assert not any(map(known.knows, range(4)))
    assert known.codes.sizes.keys() == {CODE}
    farm.remove_cleared()
    folder = payloads_of(farm.path)
    assert not folder.exists() or list(folder.iterdir()) == []


def check_both_left(farm: WireFarm) -> None:
    """Check that exactly the arguments and results of tasks that are not cleared are left of a batch."""
    assert farm.scheduler.farm.knows(1)
    record, (row,) = next(farm.store.find_ended([1]))
    assert farm.store.payload(record.values[row]) == b"value of " + large(b"b")
    assert farm.store.payload(farm.store.batch_of(1).bodies[1]) == large(b"b")
    farm.remove_cleared()
    assert len(list(payloads_of(farm.path).iterdir())) == 2


def ask_hold(farm: WireFarm) -> None:
    farm.hold = farm.alice.ask(said.Hold, taskids=(0, 2, 4))


def check_held_did_not_run(farm: WireFarm) -> None:
    assert not farm.starts.keys() & {2, 4}


def check_answer_to_hold(farm: WireFarm) -> None:
    assert farm.alice.answers[farm.hold] == Reply(farm.hold, [0])
    assert farm.scheduler.farm.held == set()


def check_moved(farm: WireFarm) -> None:
    assert farm.scheduler.farm.moved == {3: -9}


def broadcast(farm: WireFarm, code: bytes) -> int:
    return farm.alice.ask(said.Broadcast, code_kind=Kind.STRING, label="b", code=code, body=b"names")


def await_broadcast(farm: WireFarm, number: int) -> None:
    farm.awaited = farm.bob.ask(said.AwaitBroadcast, number=number)


def check_set_up(farm: WireFarm) -> None:
    assert farm.bob.answers[farm.awaited].value == {"ran": 2, "failed": {}, "skipped": ""}
    assert [worker.broadcasts for worker in farm.workers.values()] == [{1: "", 2: ""}] * 2


def check_killers_skipped(farm: WireFarm) -> None:
    assert farm.scheduler.farm.broadcasts[2].deaths >= 3
    assert all(worker.broadcasts == {1: ""} for worker in farm.workers.values())


def check_no_broadcasts(farm: WireFarm) -> None:
    assert farm.alice.answers[farm.forgotten] == Reply(farm.forgotten, 1)
    assert farm.scheduler.farm.broadcasts == {}


def forget_broadcasts(farm: WireFarm) -> None:
    farm.forgotten = farm.alice.ask(said.ClearBroadcasts)


def check_inputs(farm: WireFarm) -> None:
    assert farm.inputs[2] == (b"value of y", b"value of x")


def ask_retry(farm: WireFarm) -> None:
    farm.retry = farm.bob.ask(said.Retry, taskid=0)


def check_retried_once(farm: WireFarm) -> None:
    assert farm.bob.answers[farm.retry] == Reply(farm.retry, [[0, 4], [2, 5], [3, 6]])
    assert farm.inputs[5] == (b"value of fail, then work", b"value of x")
    assert farm.scheduler.farm.retried == {0: 4, 2: 5, 3: 6}
    assert farm.scheduler.farm.names == {"again": 4}


def retry_with_new_code(farm: WireFarm) -> None:
    farm.retry = farm.alice.ask(said.Retry, taskid=0, context=said.Define(THIRD, large(b"n")))


def retry_beside_another(farm: WireFarm) -> None:
    retry_with_new_code(farm)
    farm.bob.submit(b"a")  # committed in the same turn, before the task is recalled


def retry_again_if_full(farm: WireFarm) -> None:
    answer = farm.alice.answers[farm.retry]
    if isinstance(answer, said.Refused):
        assert answer.error is said.ErrorKind.STORAGE_FULL
        retry_with_new_code(farm)


def check_new_code(farm: WireFarm) -> None:
    ((old, new),) = farm.alice.answers[farm.retry].value
    assert (old, new in (1, 2)) == (0, True)
    assert farm.store.batch_of(new).spec.context == THIRD


SCRIPTS = {
    "a batch": Script(
        [lambda farm: farm.alice.submit(b"a", b"b", b"c"), lambda farm: farm.bob.submit(b"d")],
        {0: value(b"a"), 1: value(b"b"), 2: value(b"c"), 3: value(b"d")},
    ),
    "dependencies": Script(
        [
            lambda farm: farm.alice.submit(b"x", b"y"),
            lambda farm: farm.alice.submit(b"z", inputs=(1, 0)),
            lambda farm: farm.alice.submit(b"last", after=(2,)),
        ],
        {0: value(b"x"), 1: value(b"y"), 2: value(b"z"), 3: value(b"last")},
        check=check_inputs,
    ),
    "a chain that falls": Script(
        [
            lambda farm: (
                farm.alice.submit(b"fail"),
                farm.alice.submit(b"x", after=((1, 0),)),
                farm.alice.submit(b"y", after=((2, 0),)),
                farm.alice.submit(b"z", after=((3, 0),), after_any=True),
            )
        ],
        {0: "error", 1: "dependency", 2: "dependency", 3: value(b"z")},
    ),
    "a retry": Script([lambda farm: farm.alice.submit(b"fail once", retries=2)], {0: value(b"fail once")}),
    "a recovery": Script(
        [lambda farm: farm.alice.submit(b"fail", retries=1, recovery=recovery(b"plan b"))], {0: value(b"plan b")}
    ),
    "a death": Script([lambda farm: farm.alice.submit(b"die once", b"x")], {0: value(b"die once"), 1: value(b"x")}),
    "a poisoned task": Script([lambda farm: farm.alice.submit(b"die")], {0: "poisoned"}),
    "abort of a queued task": Script(
        [
            lambda farm: farm.alice.submit(b"long", b"long", b"x"),
            lambda farm: farm.alice.ask(said.Abort, taskid=2),
            lambda farm: [farm.alice.ask(said.Abort, taskid=taskid) for taskid in (0, 1)],
        ],
        {0: "aborted", 1: "aborted", 2: "aborted"},
        once=(0, 1, 2),
    ),
    "abort of a running task": Script(
        [
            lambda farm: farm.alice.submit(b"long", retries=3),
            lambda farm: farm.bob.ask(said.Abort, taskid=0),
            lambda farm: farm.alice.submit(b"next"),
        ],
        {0: "aborted", 1: value(b"next")},
        once=(0,),
    ),
    "clear": Script(
        [lambda farm: farm.alice.submit(b"a", b"fail"), ask_clear, lambda farm: farm.alice.submit(b"c")],
        {0: value(b"a"), 1: "error", 2: value(b"c")},
        check=check_cleared,
    ),
    "clear of all there is, code and large arguments too": Script(
        [
            lambda farm: (farm.alice.submit(large(b"a"), b"fail"), farm.bob.submit(b"c", code=OTHER)),
            lambda farm: farm.alice.submit(large(b"d"), code=THIRD, inputs=(0,)),
            ask_clear_all,
            lambda farm: farm.bob.submit(b"e"),
        ],
        {0: value(large(b"a")), 1: "error", 2: value(b"c"), 3: value(large(b"d")), 4: value(b"e")},
        check=check_nothing_left,
    ),
    "clear of one of two": Script(
        [
            lambda farm: farm.alice.submit(large(b"a"), large(b"b")),
            lambda farm: farm.alice.ask(said.Clear, taskids=(0,)),
        ],
        {0: value(large(b"a")), 1: value(large(b"b"))},
        check=check_both_left,
    ),
    "clear, and the same code again": Script(
        [
            lambda farm: farm.alice.submit(b"a", code=OTHER),
            lambda farm: farm.alice.ask(said.Clear),
            lambda farm: farm.alice.submit(b"b", code=OTHER),
            lambda farm: (farm.bob.ask(said.Clear), farm.alice.submit(b"c", code=OTHER)),
        ],
        {0: value(b"a"), 1: value(b"b"), 2: value(b"c")},
    ),
    "hold and release": Script(
        [
            lambda farm: farm.alice.submit(b"long", b"long", b"a", b"b", b"c"),
            ask_hold,
            lambda farm: [farm.alice.ask(said.Abort, taskid=taskid) for taskid in (0, 1)],
            check_held_did_not_run,
            lambda farm: farm.bob.ask(said.Hold, taskids=(2, 4), held=False),
        ],
        {0: "aborted", 1: "aborted", 2: value(b"a"), 3: value(b"b"), 4: value(b"c")},
        once=(0, 1),
        check=check_answer_to_hold,
    ),
    "move": Script(
        [
            lambda farm: farm.alice.submit(b"long", b"long", b"a", b"b"),
            lambda farm: farm.alice.ask(said.Move, taskids=(3,), priority=9),
            lambda farm: farm.bob.ask(said.Move, taskids=(3, 99), priority=-9),
            check_moved,
            lambda farm: [farm.alice.ask(said.Abort, taskid=taskid) for taskid in (0, 1)],
        ],
        {0: "aborted", 1: "aborted", 2: value(b"a"), 3: value(b"b")},
    ),
    "running again what has failed": Script(
        [
            lambda farm: (
                farm.alice.submit(b"fail, then work", name="again"),
                farm.alice.submit(b"x"),
                farm.alice.submit(b"y", inputs=((1, 0), (2, 0))),
                farm.alice.submit(b"z", after=((3, 0),)),
            ),
            ask_retry,
        ],
        {0: "error", 1: value(b"x"), 2: "dependency", 3: "dependency",
         4: value(b"fail, then work"), 5: value(b"y"), 6: value(b"z")},
        check=check_retried_once,
    ),
    "running again with new large code": Script(
        [lambda farm: farm.alice.submit(b"a"), retry_beside_another, retry_again_if_full],
        {0: value(b"a"), 1: value(b"a"), 2: value(b"a")},
        check=check_new_code,
    ),
    "broadcasts": Script(
        [
            lambda farm: broadcast(farm, b"a"),
            lambda farm: (farm.alice.submit(b"die once"), broadcast(farm, b"b")),
            lambda farm: await_broadcast(farm, 2),
        ],
        {0: value(b"die once")},
        check=check_set_up,
    ),
    "a broadcast that kills": Script(
        [
            lambda farm: broadcast(farm, b"a"),
            lambda farm: broadcast(farm, b"die"),
            lambda farm: farm.alice.submit(b"a"),
        ],
        {0: value(b"a")},
        check=check_killers_skipped,
    ),
    "broadcasts are forgotten": Script(
        [lambda farm: broadcast(farm, b"a"), forget_broadcasts, lambda farm: farm.alice.submit(b"a")],
        {0: value(b"a")},
        check=check_no_broadcasts,
    ),
    "a barrier": Script(
        [lambda farm: farm.alice.submit(b"long", b"b"), ask_barrier, lambda farm: farm.alice.ask(said.Abort, taskid=0)],
        {0: "aborted", 1: value(b"b")},
        check=check_barrier,
    ),
    "what may run only once": Script(
        [lambda farm: farm.alice.submit(b"a", b"die", b"c", on_lost=OnLost.FAIL)],
        {0: value(b"a"), 1: "lost", 2: value(b"c")},
        once=(0, 1, 2),
    ),
    "stop": Script(
        [lambda farm: farm.alice.submit(b"long", b"a", b"b", b"c"), stop_and_start,
         lambda farm: farm.alice.ask(said.Abort, taskid=0)],
        {0: "aborted", 1: value(b"a"), 2: value(b"b"), 3: value(b"c")},
    ),
    "fewer workers": Script(
        [lambda farm: farm.alice.ask(said.Scale, n=1), lambda farm: farm.alice.submit(b"a", b"b")],
        {0: value(b"a"), 1: value(b"b")},
    ),
}  # fmt: skip


def play(script: Script, path: Path, *crashes: tuple[int, str]) -> WireFarm:
    """Play `script` to its end with these crashes, and check what has to hold after any number of them."""
    farm = WireFarm(path, crashes=crashes)
    try:
        for step in script.steps:
            step(farm)
            farm.pump()
        farm.pump()
        check(script, farm)
    finally:
        farm.close()
    return farm


def check(script: Script, farm: WireFarm) -> None:
    told = {**farm.alice.ends, **farm.bob.ends}
    ended = [taskid for record in farm.committed if isinstance(record, Ended) for taskid in record.ids]
    assert sorted(ended) == sorted(script.ends), "every task ends exactly once"
    for taskid, end in script.ends.items():
        assert (told[taskid] if isinstance(end, tuple) else told[taskid][0]) == end
    for taskid in script.once:
        assert farm.starts.get(taskid, 0) <= 1, f"task {taskid} ran {farm.starts[taskid]} times"
    script.check(farm)
    for client in farm.clients.values():
        assert not client.unanswered, "every request was answered"
