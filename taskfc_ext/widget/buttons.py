"""The buttons under a card: abort or retry one task, or a choice that only its kernel can carry out.

JupyterLab sends the messages of widgets to a subshell of the kernel (ipykernel 7), a thread beside the main one, so a
click works while a cell runs. Without a subshell, a click waits until the cell has ended; the script notices that
there is no answer, and shows what to type instead.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from traitlets import Dict, Int, List, Unicode

from taskfc_ext.view.commands import explain_mismatch
from taskfc_ext.view.messages import Abort, Command, CommandAnswer, Retry
from taskfc_ext.widget.built import script, style
from taskfc_ext.widget.feed import QueueQuestion, problem_of
from taskfc_ext.widget.subshell_widget import SubshellWidget

Act = Callable[[str], str]
"""Carries out a verb and returns a line about the result. Called on a thread of its own."""


class Choose(Command, frozen=True, tag="choose"):
    """Carry out a verb of the kernel's: only its button knows it, and no other view."""

    verb: str
    taskids: tuple[int, ...]


class ChoiceClick(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A numbered click on the button of such a verb."""

    number: int
    choose: Choose


class TaskButtons(SubshellWidget):
    """Buttons that ask before they act, and then show the result.

    Args:
        act: carries out a click.
        taskid: the task; of a group the first one.
        farm: the task's farm.
        offers: the verbs that have a button.
        labels: the texts of the buttons for further verbs, which are carried out here, and at once.
        identity: identifies the farm's processes, so that the Jupyter server never aborts a task of other ones.

    Attributes:
        what: the task in words: `task 12`.
        ranges: the first and the last id of each range of tasks: of one task, or of a group.
        offers: the verbs that have a button now.
        state: the task's state. In a page that was reloaded the card cannot be updated; there the script shows it.
    """

    _esm = script("buttons")
    _css = style("buttons")
    farm = Unicode().tag(sync=True)
    identity = Unicode().tag(sync=True)
    taskid = Int().tag(sync=True)
    what = Unicode().tag(sync=True)
    ranges = List(List(Int())).tag(sync=True)
    offers = List(Unicode()).tag(sync=True)
    labels = Dict().tag(sync=True)
    state = Unicode().tag(sync=True)

    def __init__(
        self,
        act: Act,
        taskid: int,
        *,
        farm: str,
        offers: tuple[str, ...],
        labels: dict[str, str] | None = None,
        identity: str = "",
    ) -> None:
        self._act = act
        super().__init__(offers=list(offers), labels=labels or {}, farm=farm, identity=identity, **_names(taskid))
        self.on_msg(self._on_message)

    def belong_to(self, taskid: int) -> None:
        """Become the buttons of the task that took the place of the first."""
        for name, value in _names(taskid).items():
            self.set_trait(name, value)

    def belong_to_group(self, what: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Become the buttons of a group of tasks, in words `what`."""
        self.set_trait("taskid", ranges[0][0])
        self.set_trait("what", what)
        self.set_trait("ranges", [[*each] for each in ranges])

    def bundle(self) -> dict[str, Any]:
        """Return the bundle to publish: the buttons, and nothing where they cannot be shown."""
        return {"text/plain": "", "text/html": "", **self.view()}

    def _on_message(self, _: object, content: object, buffers: object) -> None:
        click = _read_click(content)
        if click is None:
            return
        number, command = click
        self.send({"number": number, "heard": True})
        # a thread of its own: the controller may take its time, and all widgets of a kernel share one subshell
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._answer, number, command), name="taskfc-button", daemon=True
        ).start()

    def _answer(self, number: int, command: Abort | Retry | Choose) -> None:
        is_done, text = self._carry_out(command)
        answer: dict[str, Any] = {"problem": text}
        if is_done:
            answer = {"answer": msgspec.to_builtins(CommandAnswer(ok=True, said=text))}
        self.send({"number": number, **answer})

    def _carry_out(self, command: Abort | Retry | Choose) -> tuple[bool, str]:
        """Carry out a click; return whether it was done, and a line about it."""
        verb = command.verb if isinstance(command, Choose) else "abort" if isinstance(command, Abort) else "retry"
        why_not = explain_mismatch(command, self.farm, self.identity)
        if why_not:
            return False, why_not
        ids = [taskid for first, last in self.ranges for taskid in range(first, last + 1)]
        is_offered = any(offer.split()[0] == verb for offer in self.offers)
        if not is_offered or list(command.taskids) != ids:
            return False, f"too late to {verb} {self.what}"
        try:
            return True, self._act(verb)
        except Exception as error:  # noqa: BLE001  the edge of a thread: the user must learn of it
            return False, problem_of(error, f"{verb} of {self.what}")


def _read_click(content: object) -> tuple[int, Abort | Retry | Choose] | None:
    """Return the number and the command of a click in a message of the front end; `None` where there is none."""
    with suppress(msgspec.ValidationError):
        chosen = msgspec.convert(content, ChoiceClick)
        return chosen.number, chosen.choose
    try:
        question = msgspec.convert(content, QueueQuestion)
    except msgspec.ValidationError:
        return None
    command = question.command
    if question.number is None or not isinstance(command, Abort | Retry):
        return None
    return question.number, command


def _names(taskid: int) -> dict[str, Any]:
    """Return the traits that name the task."""
    return {"taskid": taskid, "what": f"task {taskid}", "ranges": [[taskid, taskid]]}
