"""The buttons under a card: Abort and Retry of one task, also while the kernel runs a cell where that can be.

JupyterLab sends what widgets say to a subshell of the kernel (ipykernel 7), a thread beside the main one, so a click is
heard while a cell runs. Where there is none, a click waits until the cell has ended; the script notices that nobody has
heard it, and says what to type instead.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any

from traitlets import Int, List, Unicode

from taskfc_ext.errors import TaskFCError
from taskfc_ext.text import name_option, one_line
from taskfc_ext.widget.built import script, style
from taskfc_ext.widget.subshell_widget import HeardWidget

logger = logging.getLogger(__name__)

VERBS = ("abort", "retry")

Act = Callable[[str], str]
"""Does what a verb says, and returns a line about what was done. Called on a thread of its own."""


class TaskButtons(HeardWidget):
    """Asks before it acts, and tells what came of it.

    Args:
        act: what a click does.
        taskid: whose buttons these are.
        farm: the task's farm.
        offers: the verbs that have a button.
        identity: which processes the farm is made of, so that the Jupyter server aborts no task of others.

    Attributes:
        what: whose buttons these are: `task 12`.
        instead: what to type in a terminal where the kernel does not hear; `{verb}` stands for the button's.
        offers: the verbs that have a button now.
        state: the task's. A card cannot be drawn anew in a page that was loaded since; there the script tells it.
    """

    _esm = script("buttons")
    _css = style("buttons")
    farm = Unicode().tag(sync=True)
    identity = Unicode().tag(sync=True)
    taskid = Int().tag(sync=True)
    what = Unicode().tag(sync=True)
    instead = Unicode().tag(sync=True)
    offers = List(Unicode()).tag(sync=True)
    state = Unicode().tag(sync=True)

    def __init__(self, act: Act, taskid: int, *, farm: str, offers: tuple[str, ...], identity: str = "") -> None:
        self._act = act
        super().__init__(offers=list(offers), farm=farm, identity=identity, **_names(taskid, farm))
        self.on_msg(self._on_click)

    def belong_to(self, taskid: int) -> None:
        """Be another task's buttons from now on: the one that took the place of the first."""
        for name, value in _names(taskid, self.farm).items():
            self.set_trait(name, value)

    def bundle(self) -> dict[str, Any]:
        """Return what to publish: the buttons, and for whoever cannot show them, nothing."""
        return {"text/plain": "", "text/html": "", **self.view()}

    def _on_click(self, _: object, content: object, buffers: object) -> None:
        if not isinstance(content, dict):
            return
        verb, number = content.get("do"), content.get("number")
        if verb not in VERBS or not isinstance(number, int):
            return
        self.send({"number": number, "heard": True})
        # a thread of its own: the controller may take its time, and all widgets of a kernel share one subshell
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._answer, verb, number), name="taskfc-button", daemon=True
        ).start()

    def _answer(self, verb: str, number: int) -> None:
        try:
            said = self._act(verb) if verb in self.offers else f"too late to {verb} {self.what}"
        except TaskFCError as error:
            said = one_line(error)
        except Exception as error:  # the edge of a thread: whoever clicked is to know
            logger.exception("%s of %s failed", verb, self.what)
            said = one_line(f"{type(error).__name__}: {error}")
        self.send({"number": number, "said": said})


def _names(taskid: int, farm: str) -> dict[str, Any]:
    """Return the traits that say whose buttons these are."""
    return {"taskid": taskid, "instead": f"taskfc {{verb}} {taskid}{name_option(farm)}", "what": f"task {taskid}"}
