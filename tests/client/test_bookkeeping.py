"""The bookkeeping alone: what is sent, in which order, and again after a new connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.client.future.future import CANCELLED, TaskFuture
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.session import bookkeeping as state_module
from taskfc_ext.client.session.bookkeeping import MAX_SUBMIT_BYTES, MAX_UNACCEPTED, MAX_UNACCEPTED_BYTES, SessionState
from taskfc_ext.client.session.pending import Call, Flush
from taskfc_ext.drivers.uploads import UploadFolder
from taskfc_ext.errors import DependencyFailed, RequestRefused, StoreError, UnknownTask
from taskfc_ext.protocol.client_messages import (
    Abort,
    Accepted,
    Define,
    Ended,
    ErrorKind,
    GetResults,
    Ping,
    QueueStatus,
    Refused,
    Released,
    Reply,
    Submit,
)
from taskfc_ext.protocol.codec import pack
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_CLIENT_FRAME, MAX_RECOVERY
from taskfc_ext.protocol.payloads import Failure, Reason, encode_failure
from taskfc_ext.protocol.spec import Kind, Recovery, Spec

CODE = b"c" * 16


class NoOwner:
    farm_name = "test"
    lending = None

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody may ask for {name}")


def template(label: str = "f", **fields: Any) -> Template:
    spec = Spec(kind=Kind.FUNCTION, code=CODE, label=label)
    return Template(NoOwner(), spec, label=label, **{"defines": [(CODE, b"code")], **fields})


def submit(state: SessionState, of: Template, *bodies: bytes) -> list[TaskFuture]:
    futures = [TaskFuture(of, body) for body in bodies]
    state.outbox.extend(futures)
    return futures


def message(of: Template, seq: int, *bodies: bytes, **fields: Any) -> Submit:
    assert of.spec is not None
    return Submit(seq=seq, acked=fields.pop("acked", seq), spec=of.spec, bodies=bodies, **fields)


def make_ended(*ids: int, values: tuple[bytes, ...] = (), reason: str = "") -> Ended:
    n = len(ids)
    return Ended(
        ids=ids,
        reasons=(reason,) * n,
        values=values or (b"\x80\x05N.",) * n,
        workers=(3,) * n,
        attempts=(1,) * n,
        submitted=(1.0,) * n,
        completed=2.0,
        seconds=(0.5,) * n,
    )


@pytest.mark.parametrize("is_repeated", [True, False])
def test_a_task_that_is_followed_before_its_submission_is_answered_ends_both_futures(is_repeated: bool) -> None:
    """Another client has seen its id in a list; the first answer may have been lost."""
    state, of = SessionState(), template()
    (submitted,) = submit(state, of, b"1")
    state.take()
    if is_repeated:
        state.resume()
    followed = TaskFuture(Template(NoOwner(), None, label="f"), taskid=7)
    state.ask(state.follow(followed, 7))
    state.receive(Accepted(1, 7))
    state.receive(make_ended(7))
    assert [(future.done(), future.has_failed) for future in (submitted, followed)] == [(True, False)] * 2


def test_neighbours_with_one_template_share_a_message() -> None:
    state, f, g = SessionState(), template("f"), template("g")
    submit(state, f, b"1", b"2")
    submit(state, g, b"3")
    submit(state, f, b"4")
    sent = state.take()
    assert sent == [
        Define(CODE, b"code"),
        message(f, 1, b"1", b"2"),
        message(g, 2, b"3", acked=1),
        message(f, 3, b"4", acked=1),
    ]
    assert state.take() == []


def test_a_message_is_bounded_in_tasks_and_bytes() -> None:
    state, f = SessionState(), template()
    submit(state, f, *[b""] * (MAX_BATCH + 1))
    large = b"x" * (MAX_SUBMIT_BYTES // 2 + 1)
    submit(state, f, large, large)
    sizes = [len(each.bodies) for each in state.take() if isinstance(each, Submit)]
    assert sizes == [MAX_BATCH, 2, 1]


def test_unaccepted_messages_are_bounded() -> None:
    state = SessionState()
    for _ in range(MAX_UNACCEPTED + 1):
        submit(state, template(), b"")
    assert len([each for each in state.take() if isinstance(each, Submit)]) == MAX_UNACCEPTED
    assert state.is_full
    state.receive(Accepted(1, 0))
    assert len([each for each in state.take() if isinstance(each, Submit)]) == 1


def test_a_request_comes_behind_earlier_submissions() -> None:
    state, f = SessionState(), template()
    submit(state, f, b"1")
    state.outbox.append(Call(QueueStatus, {"verbose": False}))
    assert state.take()[1:] == [message(f, 1, b"1"), QueueStatus(seq=2, acked=1)]


def test_acceptance_and_end() -> None:
    state = SessionState()
    first, second = submit(state, template(), b"1", b"2")
    state.take()
    assert not first.accepted
    assert state.receive(Accepted(1, 7)) == []
    assert (first.taskid, second.taskid) == (7, 8)
    assert state.n_unaccepted == 0
    state.receive(make_ended(8, 7))
    assert first.done()
    assert first.result() is None
    assert not state.is_awaited
    state.receive(make_ended(8, 7))  # a repeat


def test_dependencies_are_named_by_id_or_by_message() -> None:
    state, f = SessionState(), template()
    accepted, *_ = submit(state, f, b"0")
    state.take()
    state.receive(Accepted(1, 40))
    parents = submit(state, f, b"1", b"2")
    child = template(after=(accepted, 5), inputs=(parents[1],))
    submit(state, child, b"3")
    sent = state.take()
    assert sent[-1] == message(child, 3, b"3", acked=2, after=(40, 5), inputs=((2, 1),))
    state.receive(Accepted(2, 50))
    again = [each for each in state.resume() if isinstance(each, Submit)]
    assert again == [message(child, 3, b"3", after=(40, 5), inputs=(51,))]


def test_nothing_depends_on_a_task_that_was_never_accepted() -> None:
    state, f = SessionState(), template()
    (parent,) = submit(state, f, b"1")
    parent._settle(CANCELLED)
    (child,) = submit(state, template(after=(parent,)), b"2")
    assert state.take() == []
    with pytest.raises(DependencyFailed):
        child.result()


def test_a_new_link_repeats_the_unanswered_requests_in_order() -> None:
    state, f = SessionState(), template()
    submit(state, f, b"1")
    state.take()
    state.receive(Accepted(1, 0))
    submit(state, f, b"2")
    state.outbox.append(Call(QueueStatus, {"verbose": True}))
    state.take()
    again = state.resume()
    assert again == [
        Define(CODE, b"code"),
        message(f, 2, b"2"),
        QueueStatus(seq=3, acked=2, verbose=True),
        GetResults(seq=4, acked=2, taskids=(0,), watch=True),
    ]
    # and over the next one, the question of the last is not asked twice
    assert [type(each) for each in state.resume()] == [Define, Submit, QueueStatus, GetResults]
    # what ended before the answer to a repeat was told to a connection that is gone
    assert state.receive(Accepted(2, 1)) == [GetResults(seq=6, acked=3, taskids=(1,), watch=True)]


def test_a_resync_does_not_send_code_again() -> None:
    state = SessionState()
    submit(state, template(), b"1")
    state.take()
    assert [type(each) for each in state.resume(same_connection=True)] == [Submit]


def test_released_code_is_defined_again_before_it_is_named() -> None:
    state, f, released = SessionState(), template(), []
    state.on_release = lambda: released.append(True)
    submit(state, f, b"1")
    state.take()
    assert state.release((CODE,)) == [Released((CODE,))]
    assert released == [True]
    submit(state, f, b"2")
    assert [type(each) for each in state.take()] == [Define, Submit]


def test_an_unanswered_submission_of_released_code_is_sent_again_with_its_code() -> None:
    state, f = SessionState(), template()
    submit(state, f, b"1")
    sent = state.take()
    state.release((CODE,))
    assert state.resume() == sent


def test_code_in_a_file_that_is_gone_fails_its_tasks_and_is_made_again(tmp_path: Path) -> None:
    state, folder = SessionState(), UploadFolder(lambda: tmp_path, "c1")
    released: list[bool] = []
    state.on_release = lambda: released.append(True)
    file = folder.write([b"code"], what="it")
    of = template(defines=[(CODE, file)])
    submit(state, of, b"x")
    assert state.take()[0] == Define(CODE, file.upload)
    state.resume()
    (tmp_path / "c1" / file.upload.file).unlink()
    state.release((CODE,))
    (future,) = submit(state, of, b"y")
    assert state.take() == []
    with pytest.raises(StoreError, match="the file with the task's code is gone"):
        future.result()
    assert released


def test_a_resync_releases_code_that_no_unanswered_submission_names() -> None:
    state = SessionState()
    submit(state, template(), b"1")
    state.take()
    state.receive(Accepted(1, 0))
    assert Released((CODE,)) in state.resume(same_connection=True)
    submit(state, template(), b"2")
    assert [type(each) for each in state.take()] == [Define, Submit]


def test_a_future_that_was_accepted_keeps_no_code() -> None:
    state, f = SessionState(), template(name="fit", after=(7,))
    futures = submit(state, f, b"1", b"2")
    state.take()
    state.receive(Accepted(1, 0))
    assert [future._template.defines for future in futures] == [(), ()]
    assert futures[0]._template is futures[1]._template
    assert (futures[0].name, futures[0]._template.label, futures[0]._template.after) == ("fit", "f", (7,))
    assert futures[0]._template.decoding is f.decoding
    submit(state, f, b"3")
    assert [type(each) for each in state.take()] == [Submit], "its template still has it"


def test_unanswered_bodies_are_bounded_in_bytes() -> None:
    state, f = SessionState(), template()
    n = MAX_UNACCEPTED_BYTES // MAX_SUBMIT_BYTES
    submit(state, f, *[b"x" * MAX_SUBMIT_BYTES] * (n + 3))
    assert sum(isinstance(each, Submit) for each in state.take()) == n
    assert state.is_full
    state.receive(Accepted(1, 0))
    assert sum(isinstance(each, Submit) for each in state.take()) == 1
    state.receive(Refused(2, ErrorKind.TYPE, "no"))
    assert sum(isinstance(each, Submit) for each in state.take()) == 1
    state.give_up(RequestRefused("over"))
    assert not state.is_full


def test_a_body_that_is_left_for_the_next_message_does_not_count_in_this_one() -> None:
    state, f = SessionState(), template()
    size = MAX_SUBMIT_BYTES * 5 // 8
    n = -(-MAX_UNACCEPTED_BYTES // size)
    submit(state, f, *[b"x" * size] * (n + 3))
    assert sum(isinstance(each, Submit) for each in state.take()) == n
    assert state.is_full


def test_requests_about_many_tasks_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "MAX_IDS", 2)
    state = SessionState()
    submit(state, template(), b"1", b"2", b"3")
    state.take()
    state.receive(Accepted(1, 0))
    assert [each.taskids for each in state.resume() if isinstance(each, GetResults)] == [(0, 1), (2,)]


def test_cleared_tasks_end_and_the_others_are_asked_for_again() -> None:
    state = SessionState()
    futures = submit(state, template(), b"1", b"2", b"3")
    state.take()
    state.receive(Accepted(1, 0))
    state.resume()
    more = state.receive(Refused(2, ErrorKind.UNKNOWN_TASK, "no", value={"taskids": [1]}))
    assert more == [GetResults(seq=3, acked=3, taskids=(0, 2), watch=True)]
    with pytest.raises(UnknownTask):
        futures[1].result()
    assert not futures[0].done()


def test_two_readers_of_one_result_both_get_it() -> None:
    state, f = SessionState(), template()
    first, second, third = (TaskFuture(f, taskid=7) for _ in range(3))
    state.ask(state.peek(first, 7))
    state.ask(state.peek(second, 7))
    state.receive(make_ended(7))
    state.receive(Reply(1, None))
    assert first.done()
    assert second.done()
    state.ask(state.peek(third, 7))
    state.receive(Reply(2, None))
    state.receive(make_ended(7))
    assert third.done(), "the answer to another reader has not ended its wait"
    state.receive(Reply(3, None))
    assert not state.is_awaited


def test_a_flush_ends_when_all_before_it_are_answered() -> None:
    state = SessionState()
    first, *_ = submit(state, template("a"), b"1")
    submit(state, template("b"), b"2")
    flush = Flush()
    state.outbox.append(flush)
    submit(state, template("c"), b"3")
    state.take()
    state.receive(Accepted(2, 0))
    assert not flush.done.done()
    state.receive(Refused(1, ErrorKind.TOO_MUCH, "no"))
    assert flush.done.done()
    with pytest.raises(RequestRefused):
        first.result()


def test_a_cancelled_request_is_not_sent() -> None:
    state = SessionState()
    call = Call(QueueStatus, {})
    assert call.answer.cancel()
    assert state.ask(call) == []
    sent = Call(QueueStatus, {})
    state.ask(sent)
    assert sent.answer.cancel()
    state.receive(Reply(sent.seq, {}))  # nobody waits: no harm


def test_an_abort_that_cancel_asked_for_is_a_cancellation() -> None:
    state = SessionState()
    cancelled, aborted = submit(state, template(), b"1", b"2")
    state.take()
    state.receive(Accepted(1, 0))
    state.cancelling.add(0)
    failure = encode_failure(Failure(reason=Reason.ABORTED, message="aborted"))
    state.receive(make_ended(0, 1, values=(failure, failure), reason="aborted"))
    assert cancelled.cancelled()
    assert not aborted.cancelled()
    assert aborted.state == "aborted"


def test_giving_up_ends_everything() -> None:
    state = SessionState()
    futures = submit(state, template(), b"1")
    state.take()
    futures += submit(state, template(), b"2")
    call, flush = Call(Abort, {"taskid": 0}), Flush()
    state.ask(call)
    state.outbox.append(flush)
    state.give_up(ValueError("over"))
    for waiting in (*futures, call.answer, flush.done):
        with pytest.raises(ValueError, match="over"):
            waiting.result(0)
    assert not state.is_awaited


def test_the_largest_message_fits_into_a_frame() -> None:
    state = SessionState()
    recovery = Recovery(Spec(kind=Kind.STRING, code=b"r" * 16, label="r"), bytes(MAX_RECOVERY))
    spec = Spec(kind=Kind.STRING, code=b"c" * 16, label="f", recovery=recovery)
    submit(state, Template(NoOwner(), spec, label="f", defines=()), *[bytes(65_535)] * 300)
    sizes = sorted(map(len, pack(state.take())))
    assert sizes[-1] > MAX_RECOVERY + 8 * 2**20 - 65_536
    assert sizes[-1] < MAX_CLIENT_FRAME - 3 * 2**20  # for the names of resources, and of the tasks that it is after


def test_in_another_store_only_unsent_submissions_go_on() -> None:
    """Another client has started the farm again after its store was lost: ids mean other tasks now."""
    state, of = SessionState(), template()
    state.enter_store(100.0, lambda: StoreError("gone"))
    (accepted,) = submit(state, of, b"1")
    state.take()
    state.receive(Accepted(1, 0))
    (sent,) = submit(state, of, b"2")
    state.take()
    (unsent,) = submit(state, of, b"3")
    call = Call(Ping, {})
    state.outbox.append(call)
    state.enter_store(100.0, lambda: StoreError("gone"))
    assert state.unfinished == {0: accepted}
    state.enter_store(200.0, lambda: StoreError("gone"))
    assert [future.done() for future in (accepted, sent, unsent)] == [True, True, False]
    assert [type(ended.exception()) for ended in (accepted, sent, call.answer)] == [StoreError] * 3
    assert state.resume() == []
    assert [each for each in state.take() if isinstance(each, Submit)] == [message(of, 3, b"3")]
    with pytest.raises(UnknownTask, match="was started with a fresh store since"):
        accepted.check_store(state.store_began)
