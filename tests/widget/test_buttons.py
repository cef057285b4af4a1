"""The buttons in the kernel, with the comm that ipywidgets has without a kernel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import ipykernel
import pytest
from ipykernel.comm.comm import BaseComm

from taskfc_ext.errors import UnknownTask
from taskfc_ext.widget.buttons import TaskButtons
from taskfc_ext.widget.subshell_widget import keep_subshell
from tests.processes import DEADLINE


class Sent:
    """Collects the messages to the front end, and waits for the answer."""

    def __init__(self, buttons: TaskButtons) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answered = threading.Event()
        buttons.send = self  # the one way out

    def __call__(self, content: dict[str, Any], buffers: object = None) -> None:
        self.messages.append(content)
        if not content.get("heard"):
            self.answered.set()


@pytest.fixture
def buttons() -> Iterator[Any]:
    made: list[TaskButtons] = []

    def make(act: Any, farm: str = "default", offers: tuple[str, ...] = ("abort",)) -> tuple[TaskButtons, Sent]:
        made.append(TaskButtons(act, 12, farm=farm, offers=offers))
        return made[-1], Sent(made[-1])

    yield make
    for each in made:
        each.close()


def click(buttons: TaskButtons, content: object) -> None:
    buttons._handle_custom_msg(content, [])


def command(verb: str, taskid: int = 12, identity: str = "") -> dict[str, Any]:
    return {"number": 5, "command": {"do": verb, "taskids": [taskid], "identity": identity}}


def answer(buttons: TaskButtons, sent: Sent, verb: str) -> list[dict[str, Any]]:
    click(buttons, command(verb))
    assert sent.answered.wait(DEADLINE)
    return sent.messages


def test_a_click_is_acknowledged_at_once_and_answered(buttons: Any) -> None:
    threads = []

    def act(verb: str) -> str:
        threads.append(threading.current_thread())
        return f"did {verb}"

    made, sent = buttons(act)
    assert answer(made, sent, "abort") == [
        {"number": 5, "heard": True},
        {"number": 5, "answer": {"ok": True, "said": "did abort"}},
    ]
    assert threads != [threading.current_thread()]  # the front end's messages go on meanwhile


def test_an_error_is_one_line(buttons: Any) -> None:
    def act(verb: str) -> str:
        raise UnknownTask("task 12 has\nended already", taskid=12)

    made, sent = buttons(act)
    assert answer(made, sent, "abort")[-1]["problem"] == "task 12 has ended already"


def test_an_unexpected_error_is_shown_too(buttons: Any) -> None:
    def act(verb: str) -> str:
        raise RuntimeError("odd")

    made, sent = buttons(act)
    assert answer(made, sent, "abort")[-1]["problem"] == "RuntimeError: odd"


def test_a_choice_of_the_kernel_is_carried_out(buttons: Any) -> None:
    made, sent = buttons(lambda verb: f"did {verb}", offers=("replace", "beside"))
    chosen = {"do": "choose", "verb": "replace", "taskids": [12], "identity": ""}
    click(made, {"number": 5, "choose": chosen})
    assert sent.answered.wait(DEADLINE)
    assert sent.messages == [{"number": 5, "heard": True}, {"number": 5, "answer": {"ok": True, "said": "did replace"}}]
    sent.answered.clear()
    click(made, {"number": 6, "choose": chosen | {"verb": "burn"}})
    assert sent.answered.wait(DEADLINE)
    assert sent.messages[-1] == {"number": 6, "problem": "too late to burn task 12"}


def test_a_click_that_comes_too_late_does_nothing(buttons: Any) -> None:
    made, sent = buttons(lambda verb: pytest.fail("it is not offered"), offers=("retry",))
    assert answer(made, sent, "abort")[-1]["problem"] == "too late to abort task 12"


@pytest.mark.parametrize(
    "content",
    [
        *(None, "abort", {}, {"do": "abort", "number": 1}, {"number": 1, "command": {"do": ["abort"]}}),
        {"number": 1, "command": {"do": "stop"}},
        {"number": 1, "command": {"do": "abort"}},
        {"command": {"do": "abort", "taskids": [12]}},
    ],
)
def test_a_message_that_is_not_a_click_is_not_answered(buttons: Any, content: object) -> None:
    made, sent = buttons(lambda verb: pytest.fail("this is no click"))
    click(made, content)
    assert sent.messages == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (command("retry"), "too late to retry task 12"),
        (command("abort", taskid=11), "too late to abort task 12"),
        (command("abort", identity="other processes"), "was restarted or has ended"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_a_problem(buttons: Any, content: object, problem: str) -> None:
    made, sent = buttons(lambda verb: pytest.fail("it is not offered"))
    click(made, content)
    assert sent.answered.wait(DEADLINE)
    assert problem in sent.messages[-1]["problem"]


def test_they_follow_the_task_that_takes_the_place_of_the_first(buttons: Any) -> None:
    made, _ = buttons(str, farm="night")
    assert (made.what, made.taskid) == ("task 12", 12)
    made.belong_to(15)
    assert (made.what, made.taskid) == ("task 15", 15)


def test_a_front_end_without_widgets_shows_nothing(buttons: Any) -> None:
    made, _ = buttons(str)
    bundle = made.bundle()
    assert (bundle.pop("text/plain"), bundle.pop("text/html")) == ("", "")
    assert bundle == {
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2,
            "version_minor": 0,
            "model_id": made.model_id,
        }
    }


class HookedComm:
    def _reply_subshell_for(self, data: object, default: object) -> object:
        return "the last speaker's"


def test_the_front_ends_own_subshell_is_kept() -> None:
    comm = HookedComm()
    keep_subshell(comm)
    assert comm._reply_subshell_for({}, "the front end's") == "the front end's"


@pytest.mark.parametrize("comm", [object(), None])
def test_an_ipykernel_without_that_hook_is_left_as_it_is(comm: object) -> None:
    keep_subshell(comm)
    assert not hasattr(comm, "_reply_subshell_for")


def test_the_hook_is_where_this_ipykernel_has_it() -> None:
    """If this fails, ipykernel has changed: see whether clicks are still heard while a cell runs (tests/browser)."""
    if tuple(map(int, ipykernel.__version__.split(".")[:2])) < (7, 4):
        pytest.skip("the hook came with ipykernel 7.4")
    assert hasattr(BaseComm, "_reply_subshell_for")


def test_the_buttons_of_a_group_act_on_all_its_tasks(buttons: Any) -> None:
    made, sent = buttons(lambda verb: f"did {verb}", offers=("abort all", "retry failed"))
    made.belong_to_group("map fit", [(3, 5), (9, 9)])
    assert (made.taskid, made.what) == (3, "map fit")
    assert answer(made, sent, "abort")[1:] == [{"number": 5, "problem": "too late to abort map fit"}]
    sent.answered.clear()
    click(made, {"number": 6, "command": {"do": "retry", "taskids": [3, 4, 5, 9], "identity": ""}})
    assert sent.answered.wait(DEADLINE)
    assert sent.messages[-1] == {"number": 6, "answer": {"ok": True, "said": "did retry"}}
