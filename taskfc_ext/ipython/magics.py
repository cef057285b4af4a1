"""The magics `%task` and `%%task`: thin. The grammar is in `parse`, the work in `verbs`."""

from __future__ import annotations

import logging
import sys
import uuid
from collections import ChainMap
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from functools import partial
from traceback import walk_tb
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import Bool, Enum, Integer, TraitError, Unicode, validate

from taskfc_ext.border import WaitInterrupted, lines_of_error
from taskfc_ext.client.context.owner import default_owner
from taskfc_ext.client.group.front import set_front
from taskfc_ext.client.progress import switch
from taskfc_ext.errors import (
    FarmError,
    ProtocolError,
    TaskError,
    TaskFCError,
    UnknownTask,
    UnknownTasks,
    UnpicklableArgument,
    remote_traceback_of,
)
from taskfc_ext.ipython.cards.board import CardBoard
from taskfc_ext.ipython.cards.group_card import make_any_card
from taskfc_ext.ipython.cards.live_card import Buttons
from taskfc_ext.ipython.cards.publishing import context_of_cell, has_kernel, is_headless, publish
from taskfc_ext.ipython.cards.queue_widgets import QueueWidgets
from taskfc_ext.ipython.cards.waits import GroupWaits
from taskfc_ext.ipython.cell.expansion import expand_values
from taskfc_ext.ipython.notebook import Notebook, error_line
from taskfc_ext.ipython.parse.first_line import joined_lines
from taskfc_ext.ipython.parse.grammar import cell_help, line_help, parse_cell_line, parse_line
from taskfc_ext.ipython.parse.requests import BadUsage, Help, Request
from taskfc_ext.ipython.sessions import Farms, Session
from taskfc_ext.protocol.limits import MAX_WORKERS
from taskfc_ext.text import one_line

logger = logging.getLogger(__name__)

ACCEPTED_WITHIN = 2.0
"""Seconds that the display of a group waits for the ids of its tasks, without which its card has no buttons."""

INTERRUPTED = "interrupted; tasks go on"
"""Text of an interrupt that meets a magic outside of its wait."""

LINE_DOC = f"""Run an expression as a task, or steer the task farm.

    %task EXPR          a line as a task: `%task fit(3)`, `t = %task fit(3)`
    %task run EXPR      the same, whatever the first word is
    %task VERB ...      see below; bare `%task` is `%task status`

The names in the expression are sent with it. The value is the task's future:
`t.result()` waits for the result, `t.state` is its state, and displaying `t` shows its card.

The first word is a verb only if it is exactly one and no operator follows: `%task status`
shows the queue, `%task status(3)` calls a function.

TASKS are named by id (`12`), range (`3-7`), a variable that holds a future, or the newest
task of a name, separated by commas.

{line_help()}

`%task help VERB` explains one. `wait` and `clear` mean this notebook's tasks; with `--all`,
those of all notebooks. An interrupt ends a wait at once and harms no task. `wait` raises if a
task did not succeed, even if it failed before the wait: so a headless run fails.
"""

CELL_DOC = f"""Run the cell as a task; the kernel stays free.

The cell runs on a worker, in a fresh namespace. The names that it uses and does not define
are found and sent with it, those in queries, formulas and the like too: modules as imports,
futures as their tasks' results, everything else by value. The value of its last expression is
the task's result. IPython's syntax (`!`, `%`, top-level `await`) works in it.

The value of `%%task` is the task's future, shown as a card under the cell. `%%task NAME` binds it to
NAME where that is an identifier. Names after `-o` come back as `NAME.ns.x`; `--wait` waits,
and binds them here. What the cell changes in place is changed there only, unless `-o` names it.
On the first line `{{x}}` and `$x` fill in values, `\\` continues it, and ` # ...` is a comment.

Guarantees: once the cell has returned, the task is stored, survives the death of any process,
and ends exactly once. It is executed AT LEAST ONCE: if its worker dies, it is run again (three
deaths at most). With `--on-lost fail` it is executed AT MOST ONCE, and fails instead. The death
of a worker does not consume `--retries`.

With `--everywhere` the cell is not a task: it runs on every worker, and on every worker that joins
later, in the persistent namespace, where `--keep` cells find its names. The magic waits for the
workers, up to 10 s. If a name is bound both there and here, a `--keep` cell gets the latest value.

{cell_help()}
"""


F = TypeVar("F", bound=Callable[..., Any])


def _set_docstring(text: str) -> Callable[[F], F]:
    """Give a magic its docstring, which `%task?` shows."""

    def document(function: F) -> F:
        function.__doc__ = text
        return function

    return document


@magics_class
class TaskMagics(Magics):
    """`%task` and `%%task` of one shell, with their state: the connection and the cards."""

    farm = Unicode("default", help="The farm that this notebook uses; `%task use` changes it too.").tag(config=True)
    n_workers = Integer(
        None,
        allow_none=True,
        min=0,
        max=MAX_WORKERS,
        help="Number of workers of a farm that is started from here without -n; None: one for each core.",
    ).tag(config=True)
    live_cards = Bool(True, help="Whether cards are updated until their task has ended.").tag(config=True)

    notify = Bool(
        True, help="Whether a line reports tasks that have ended, that nobody waited for, and that no live card shows."
    ).tag(config=True)

    progress = Bool(True, help="Whether a wait of more than 2 seconds shows its progress under its cell.").tag(
        config=True
    )

    when_running = Enum(
        ("ask", "replace", "beside"),
        "ask",
        help="What %%task does if a task of this very cell is unfinished: 'ask' submits nothing and shows that task, "
        "'replace' aborts it, 'beside' runs both. --replace and --beside decide for one run.",
    ).tag(config=True)

    def __init__(self, shell: Any, farms: Farms) -> None:
        try:
            super().__init__(shell)
        except TraitError:  # in the profile's configuration; IPython has registered this object already
            shell.configurables[:] = [each for each in shell.configurables if each is not self]
            raise
        self._shell = shell
        self.undo: list[Callable[[], None]] = []  # called by unloading
        self.session = Session(farms, default_owner(namespace=shell.user_ns), self.farm, self.n_workers)
        if has_kernel(shell):
            self.session.notices.context = partial(context_of_cell, shell)
        card_maker = partial(make_any_card, formatter=shell.display_formatter)
        self.board = CardBoard(
            partial(publish, shell),
            card_maker,
            is_live=self._may_update(),
            make_buttons=self._make_buttons,
            context=partial(context_of_cell, shell),
            sees_updates_only=partial(is_headless, shell),
            find_again=self.session.find_again,
        )
        self.queues = QueueWidgets(self.session, self.board)
        self.session.when_running = self.when_running
        switch.turn(self.progress)
        set_front(GroupWaits(shell, self.board))
        self.observe(self._apply_config, ["farm", "n_workers", "live_cards", "progress", "when_running"])

    def _apply_config(self, change: Any) -> None:
        """Act on a changed trait."""
        self.session.use(self.farm)
        self.session.n_workers = self.n_workers
        self.session.when_running = self.when_running
        self.board.is_live = self._may_update()
        switch.turn(self.progress)

    def _may_update(self) -> bool:
        return self.live_cards and has_kernel(self._shell)

    @validate("farm")
    def _check_farm(self, proposal: Any) -> str:
        from taskfc_ext.drivers.paths import farm_paths  # only where a farm is set: `%load_ext` is fast

        try:
            farm_paths(proposal["value"])
        except ValueError as error:
            raise TraitError(f"TaskMagics.farm: {one_line(error)}") from None
        return str(proposal["value"])

    @no_var_expand
    @needs_local_scope
    @line_magic("task")  # type: ignore[arg-type]
    @_set_docstring(LINE_DOC)
    def task_line(self, line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        __tracebackhide__ = True
        notebook = self.notebook(local_ns)
        expand = partial(expand_values, namespace=notebook.namespace)
        return _with_short_errors(lambda: self._answer(notebook, parse_line(line, expand)))

    @no_var_expand
    @needs_local_scope
    @cell_magic("task")  # type: ignore[arg-type]
    @_set_docstring(CELL_DOC)
    def task_cell(self, line: str, cell: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        __tracebackhide__ = True
        notebook = self.notebook(local_ns)
        return _with_short_errors(lambda: self._submit(notebook, line, cell))

    def _answer(self, notebook: Notebook, request: Request) -> Any:
        from taskfc_ext.ipython.verbs.dispatch import answer

        try:
            return answer(notebook, request)
        finally:
            if self.farm != self.session.name:  # a verb has changed it
                self.farm = self.session.name

    def _submit(self, notebook: Notebook, line: str, cell: str) -> Any:
        from taskfc_ext.ipython.verbs.submit import run_everywhere, submit

        line, cell = joined_lines(line, cell)
        request = parse_cell_line(line, partial(expand_values, namespace=notebook.namespace))
        if isinstance(request, Help):
            return self._answer(notebook, request)
        if not cell.strip():
            raise BadUsage("%%task: the cell is empty")
        if request.everywhere:
            run_everywhere(notebook, request, cell)
            return None
        return submit(notebook, request, cell)

    def notebook(self, local_ns: Mapping[str, Any] | None = None) -> Notebook:
        """Return the notebook as the verbs need it, for a line whose caller has these locals."""
        user_ns = self._shell.user_ns
        namespace = user_ns if local_ns is None or local_ns is user_ns else ChainMap(dict(local_ns), user_ns)
        return Notebook(self._shell, self.session, self.board, self.queues, namespace)

    def show_future(self, future: Any) -> None:
        """Show the card of a future; IPython calls this to display it."""
        self.board.show(future)
        if self.board.is_live:
            self.session.notices.mark_shown(future)

    def show_group(self, group: Any) -> None:
        """Show the card of a group; IPython calls this to display it."""
        from taskfc_ext.client.future.waiting import drive  # there is a group, so the client is imported

        with suppress(TaskFCError, TimeoutError):
            group.flush(ACCEPTED_WITHIN)
            drive(group.follow_again(), ACCEPTED_WITHIN)
        self.board.show(group)

    def after_cell(self) -> None:
        """Do the work of the main thread: report ended tasks, publish cards again, bind names to new futures."""
        try:
            for context, line in self.session.notices.after_cell():  # before the cards: they read the results too
                if self.notify:
                    self._show_notice(context, line)
        except Exception:  # in a result's own code, or of a closed stream: not an error of the cell
            logger.debug("ended tasks could not be reported", exc_info=True)
        self.board.after_cell()
        self._bind_clicked()

    def before_cell(self) -> None:
        """Do the work of the main thread before a cell: it sees the tasks of earlier clicks under their names."""
        self.session.submitted.clear()
        self._bind_clicked()

    def _bind_clicked(self) -> None:
        """Bind names to the tasks that buttons have submitted since, on the main thread."""
        while self.board.chosen:
            self.board.chosen.popleft()()
        if self.board.renewed:
            from taskfc_ext.ipython.verbs.retry import rebind

            new = {}
            while self.board.renewed:
                taskid, future = self.board.renewed.popleft()
                new[future.farm, taskid] = future
            rebind(self._shell.user_ns, lambda farm, taskid: new.get((farm, taskid)))

    def _show_notice(self, context: Context | None, line: str) -> None:
        """Show a notice under the cell of its context, else where the user is."""
        if context is None:
            sys.stdout.write(f"{line}\n")
        else:
            context.run(publish, self._shell, {"text/plain": line}, display_id=uuid.uuid4().hex, update=False)

    def close(self) -> None:
        """Close the connection and the cards; the farm goes on."""
        self.queues.close()
        self.board.close()
        self.session.close()
        switch.turn(True)
        set_front(None)

    def _make_buttons(
        self, act: Callable[[str], str], farm: str, taskid: int, verbs: tuple[str, ...], labels: dict[str, str]
    ) -> Buttons | None:
        from taskfc_ext.widget.buttons import TaskButtons  # ipywidgets is slow to import

        try:
            identity = self.session.farms.identity(farm)
            return TaskButtons(act, taskid, farm=farm, offers=verbs, labels=labels, identity=identity)
        except Exception:  # the kernel has no widgets: the card works without buttons
            logger.debug("no buttons for task=%d", taskid, exc_info=True)
            return None


def _with_short_errors(act: Callable[[], Any]) -> Any:
    """Call `act`, and shorten its errors for the user: without frames of this package, bad usage as one line.

    Bad usage becomes `UsageError` itself: IPython shows a subclass with a traceback.
    """
    __tracebackhide__ = True
    try:
        return act()
    except BadUsage as error:
        raise UsageError(str(error)) from None
    except (UnpicklableArgument, UnknownTask, UnknownTasks) as error:
        raise UsageError(error_line(error)) from None
    except (FarmError, ProtocolError) as error:
        shown = [f"{type(error).__name__}: {error}"]
        error._render_traceback_ = lambda: shown  # type: ignore[union-attr]
        raise
    except WaitInterrupted:
        raise
    except KeyboardInterrupt as error:  # in our own code, as in an import: IPython takes seconds to show its frames
        if _is_in_users_code(error):
            raise
        raise WaitInterrupted(INTERRUPTED) from None
    except BaseException as error:  # a task may raise any of these
        if isinstance(error, TaskError) or remote_traceback_of(error) is not None:
            _show_once(error, "\n".join(lines_of_error(error)))
            raise error.with_traceback(None) from error.__cause__
        raise


def _is_in_users_code(error: BaseException) -> bool:
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == "__main__" for frame in frames)


def _show_once(error: BaseException, text: str) -> None:
    """Have IPython show this text for `error`, in place of the traceback of this process.

    Only once: user code may raise the same exception again, or pickle it.
    """

    def render() -> list[str]:
        del error._render_traceback_  # type: ignore[attr-defined]
        return [text]  # one, as `%xmode` joins several in many ways

    try:
        error._render_traceback_ = render  # type: ignore[attr-defined]
    except AttributeError:
        pass  # the type takes no attributes: IPython shows it as usual
