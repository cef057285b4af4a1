"""Commands of a view: the requests to the controller, and the sentence for people."""

from __future__ import annotations

import asyncio

import pytest

from taskfc_ext.errors import ControllerLost, ControllerStopped, RequestRefused, UnknownTask, UnknownTasks
from taskfc_ext.protocol import client_messages as requests
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_IDS
from taskfc_ext.view.commands import carry_out
from taskfc_ext.view.messages import Abort, Clear, Hold, Move, Release, Retry, RetryFailed, Scale, Stop

LOST = ControllerLost("it does not answer", hint="wait")


class FakeFarm:
    """Answers requests as `answer` says; an exception is raised."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked: list[requests.Request] = []

    async def ask(self, kind, **fields):
        asked = kind(seq=1, **fields)
        self.asked.append(asked)
        answer = self.answer(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run_command(command, answer):
    farm = FakeFarm(answer)
    return asyncio.run(carry_out(command, farm.ask)), farm


def end_tasks(*taskids, running=()):
    """A controller in which these tasks have ended, and some others run."""

    def answer(asked):
        if isinstance(asked, requests.AbortTasks):
            return [taskid for taskid in asked.taskids if taskid in taskids]
        if isinstance(asked, requests.ListTasks):
            found = [taskid for taskid in asked.taskids if taskid in running]
            return [{"taskid": taskid, "name": None, "label": "f", "state": "running"} for taskid in found]
        return UnknownTask(f"task {asked.taskid} has ended already (failed)") if asked.taskid in taskids else True

    return answer


@pytest.mark.parametrize(
    ("taskids", "gone", "ok", "text"),
    [
        ((7,), (), True, "Aborted task 7."),
        ((7, 7), (), True, "Aborted task 7."),
        ((1, 2, 3), (), True, "Aborted tasks 1, 2, 3."),
        ((1, 2, 3, 4), (4,), True, "Aborted tasks 1, 2, 3; task 4 had ended or was already stopping."),
        ((1, 2, 3), (2, 3), True, "Aborted task 1; tasks 2, 3 had ended or were already stopping."),
        ((7,), (7,), False, "Task 7 has ended already (failed)."),
        ((7, 8), (7, 8), False, "Nothing was done; tasks 7, 8 had ended or were already stopping."),
    ],
)
def test_an_abort_names_the_tasks_that_had_ended(taskids, gone, ok, text):
    answer, _ = run_command(Abort(taskids=taskids), end_tasks(*gone))
    assert (answer.ok, answer.said) == (ok, text)


@pytest.mark.parametrize(
    ("taskids", "running", "text"),
    [
        ((7,), (7,), "Stopping task 7."),
        ((1, 2), (1, 2), "Stopping tasks 1, 2."),
        ((1, 2, 3), (2,), "Aborted tasks 1, 3; stopping task 2."),
        ((1, 2, 3, 9), (2, 3), "Aborted task 1; stopping tasks 2, 3; task 9 had ended or was already stopping."),
    ],
)
def test_a_running_task_is_stopping_and_not_yet_aborted(taskids, running, text):
    answer, _ = run_command(Abort(taskids=taskids), end_tasks(9, running=running))
    assert (answer.ok, answer.said) == (True, text)


@pytest.mark.parametrize(("taskids", "text"), [((7,), "Stopping task 7."), ((1, 2), "Stopping tasks 1, 2.")])
def test_an_accepted_abort_is_reported_even_if_the_controller_lists_no_tasks(taskids, text):
    answer, _ = run_command(Abort(taskids=taskids), lambda asked: LOST if isinstance(asked, requests.ListTasks) else [])
    assert (answer.ok, answer.said) == (True, text)


@pytest.mark.parametrize(("taskids", "text"), [((7,), "Stopping task 7."), ((1, 2), "Stopping tasks 1, 2.")])
def test_a_task_that_stops_at_once_is_reported_as_one_that_takes_a_while(taskids, text):
    is_running = True

    def answer(asked):
        nonlocal is_running
        if isinstance(asked, requests.ListTasks):
            return [
                {"taskid": taskid, "name": None, "label": "f", "state": "running"} for taskid in taskids if is_running
            ]
        is_running = False
        return []

    answered, _ = run_command(Abort(taskids=taskids), answer)
    assert (answered.ok, answered.said) == (True, text)


def test_many_are_aborted_in_few_requests():
    answer, farm = run_command(Abort(taskids=tuple(range(10_000))), lambda _: [])
    assert answer.said == "Aborted 10,000 tasks (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)."
    asked = [(type(asked), len(asked.taskids)) for asked in farm.asked]
    parts = [(requests.AbortTasks, n) for n in (MAX_BATCH, MAX_BATCH, 10_000 - 2 * MAX_BATCH)]
    assert asked == [(requests.ListTasks, 10_000), *parts]


def test_the_part_before_the_loss_of_the_controller_is_reported():
    def abort(asked):
        return LOST if isinstance(asked, requests.AbortTasks) and 4999 in asked.taskids else []

    answer, _ = run_command(Abort(taskids=range(5000)), abort)
    assert (answer.ok, answer.said) == (False, f"Aborted {MAX_BATCH:,} of 5,000 tasks, then: It does not answer: wait.")
    answer, _ = run_command(Retry(taskids=(1, 2)), lambda asked: LOST if asked.taskid == 2 else [[1, 10]])
    assert (answer.ok, answer.said) == (False, "Retried 1 of 2 tasks, then: It does not answer: wait.")
    assert answer.retried == ((1, 10),)


def test_tasks_run_again_with_those_that_failed_because_of_them():
    pairs = {1: [[1, 10], [2, 11]], 5: [[5, 12]]}
    answer, farm = run_command(Retry(taskids=(5, 2, 1)), lambda asked: pairs[asked.taskid])
    assert [asked.taskid for asked in farm.asked] == [1, 5], "task 2 came along with task 1"
    assert (answer.ok, answer.said) == (True, "Tasks 1, 2, 5 run again as tasks 10, 11, 12.")
    assert answer.retried == ((1, 10), (2, 11), (5, 12))


@pytest.mark.parametrize(
    ("taskids", "ok", "text"),
    [
        ((5,), True, "Task 5 runs again as task 12."),
        ((1,), True, "Task 1 runs again as task 10, with dependant 2 as 11."),
        ((1, 5), True, "Tasks 1, 5 run again as tasks 10, 12, with dependant 2 as 11."),
        ((5, 6), True, "Task 5 runs again as task 12; task 6 has not ended."),
        ((5, 6, 7), True, "Task 5 runs again as task 12; 2 tasks cannot run again."),
        ((6,), False, "Task 6 has not ended: abort it first."),
        ((6, 7), False, "Nothing was done; 2 tasks cannot run again."),
    ],
)
def test_the_result_of_a_retry(taskids, ok, text):
    pairs = {1: [[1, 10], [2, 11]], 5: [[5, 12]]}

    def answer(asked):
        found = pairs.get(asked.taskid)
        return found or RequestRefused(f"task {asked.taskid} has not ended", hint="abort it first")

    found, _ = run_command(Retry(taskids=taskids), answer)
    assert (found.ok, found.said) == (ok, text)


def test_failed_tasks_run_again_once():
    info = {"taskid": 3, "name": None, "label": "f", "state": "failed"}
    answer, farm = run_command(RetryFailed(), lambda asked: [[3, 9]] if isinstance(asked, requests.Retry) else [info])
    assert farm.asked[0] == requests.ListTasks(seq=1, states=("failed",), not_retried=True, limit=MAX_IDS)
    assert (answer.said, answer.retried) == ("Task 3 runs again as task 9.", ((3, 9),))
    answer, _ = run_command(RetryFailed(), lambda _: [])
    assert (answer.ok, answer.said) == (True, "There are no failed tasks to retry.")


@pytest.mark.parametrize(
    ("given", "gone", "ok", "text"),
    [
        ((), (), True, "Held tasks 1, 2, 3."),
        ((1,), (), True, "Held tasks 2, 3; task 1 is with a worker already (abort it instead)."),
        ((), (3,), True, "Held tasks 1, 2; task 3 had ended or never existed."),
        (
            (1,),
            (3,),
            True,
            "Held task 2; task 1 is with a worker already (abort it instead); task 3 had ended or never existed.",
        ),
        (
            (1, 2),
            (3,),
            False,
            "Tasks 1, 2 are with a worker already (abort them instead); task 3 had ended or never existed.",
        ),
        ((), (1, 2, 3), False, "Tasks 1, 2, 3 had ended or never existed."),
    ],
)
def test_a_hold_names_the_tasks_that_it_could_not_hold(given, gone, ok, text):
    def answer(asked):
        unknown = tuple(taskid for taskid in asked.taskids if taskid in gone)
        return UnknownTasks("some", taskids=unknown) if unknown else list(given)

    found, _ = run_command(Hold(taskids=(1, 2, 3)), answer)
    assert (found.ok, found.said) == (ok, text)


def test_tasks_are_released_and_moved_together():
    answer, farm = run_command(Release(taskids=(1, 2)), lambda _: [])
    assert (answer.said, farm.asked) == ("Released tasks 1, 2.", [requests.Hold(seq=1, taskids=(1, 2), held=False)])
    answer, farm = run_command(Move(taskids=(1, 2), priority=7), lambda _: UnknownTasks("some", taskids=(2,)))
    assert answer.said == "Moved task 1 to priority 7; task 2 had ended or never existed."
    assert farm.asked == [requests.Move(seq=1, taskids=(1, 2), priority=7)]


@pytest.mark.parametrize(
    ("command", "answer", "ok", "text"),
    [
        (Clear(), 12, True, "Cleared 12 finished tasks."),
        (Clear(), 0, True, "Cleared 0 finished tasks."),
        (Clear(taskids=(1, 2)), 2, True, "Cleared 2 finished tasks."),
        (
            Clear(taskids=(1, 2, 3)),
            UnknownTasks("some", taskids=(3,), n_cleared=1),
            True,
            "Cleared 1 finished task; task 3 had been cleared before; 1 task was kept: unfinished, or needed by an "
            "unfinished task.",
        ),
        (Scale(n=4), 2, True, "4 workers (before: 2)."),
        (Scale(n=1), 2, True, "1 worker (before: 2); surplus workers end when they are idle."),
        (Scale(n=2), 2, True, "2 workers already."),
        (Stop(), None, True, "The farm stops; unfinished tasks stay in its store, unless that is in memory."),
        (Stop(), ControllerStopped("it was stopped"), False, "It was stopped."),
        (Clear(), LOST, False, "It does not answer: wait."),
        (RetryFailed(), TypeError("what is this?"), False, "What is this?"),
    ],
)
def test_commands_for_the_farm(command, answer, ok, text):
    found, _ = run_command(command, lambda _: answer)
    assert (found.ok, found.said) == (ok, text)
