"""Submission of a cell or an expression: check, report large names, send, bind the future."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

from taskfc_ext.errors import NotEnoughResources
from taskfc_ext.ipython.cards.names_back import describe_back, describe_lost
from taskfc_ext.ipython.cards.render import Table
from taskfc_ext.ipython.cell.changes import changed_names
from taskfc_ext.ipython.cell.changes import note as note_of_changes
from taskfc_ext.ipython.cell.option_code import condition, recovery
from taskfc_ext.ipython.cell.outputs import check_out
from taskfc_ext.ipython.cell.settings import cell_settings, check_magics, hints_are_lazy
from taskfc_ext.ipython.cell.shell_syntax import magics_in
from taskfc_ext.ipython.cell.shipping import Shipment, choose, pack, settle
from taskfc_ext.ipython.hints import did_you_mean, or_else
from taskfc_ext.ipython.interrupts import waiting
from taskfc_ext.ipython.notebook import Notebook, is_future
from taskfc_ext.ipython.parse.grammar import near_verb
from taskfc_ext.ipython.parse.requests import BadUsage, Submission
from taskfc_ext.ipython.sessions import Binding
from taskfc_ext.ipython.verbs import again, reuse
from taskfc_ext.protocol.resources import format_size
from taskfc_ext.protocol.spec import Origin
from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.text import one_line, plural, with_article

if TYPE_CHECKING:
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.client.submit.submitter import PreparedCell
    from taskfc_ext.protocol.infos import TaskInfo
    from taskfc_ext.serialize import CellOptions


class NotPython(BadUsage):
    """The source does not compile."""


PATIENCE = 10.0
"""Seconds that `--everywhere` waits for the workers; one may be in a task that takes hours."""

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*(\S.*)", re.DOTALL)


def submit_expression(notebook: Notebook, expression: str) -> TaskFuture | None:
    """Run an expression as a task.

    Raises:
        BadUsage: it cannot be sent; the text gives the reason, and the verb that may have been meant.
    """
    if match := _ASSIGNMENT.fullmatch(expression):
        name, value = match.groups()
        raise BadUsage(f"{name!r} would be bound on the worker only; write `{name} = %task {one_line(value)}`")
    try:
        return submit(notebook, Submission(is_cell=False), expression)
    except BadUsage as problem:
        near = near_verb(expression)
        if isinstance(problem, NotPython) and re.match(r"[a-z]+ +[\w\"'.]", expression):
            word = expression.split()[0]
            if hasattr(builtins, word):
                raise
            raise BadUsage(f"there is no verb {word!r}{near or '; `%task help` lists them'}") from None
        raise BadUsage(or_else(str(problem), near)) from None


def submit(notebook: Notebook, submission: Submission, source: str) -> TaskFuture | None:
    """Run `source` as a task, and return its future once the task is accepted; `None` after a dry run.

    Raises:
        BadUsage: it cannot be sent; nothing was sent.
    """
    future = _send_or_take(notebook, submission, source)  # its frame has the pickled names, which may be large
    if future is not None and submission.wait:
        _wait(notebook, future, submission.out)
    return future


def _send_or_take(notebook: Notebook, submission: Submission, source: str) -> TaskFuture | None:
    """Return the future of the accepted task, or of the one that `--reuse` takes; `None` after a dry run."""
    check_free(notebook, submission.name)
    transform = cache(notebook.shell.input_transformer_manager.transform_cell)
    shipment = _choose_names(notebook, submission, source, transform)
    changed = () if submission.keep else changed_names(source, shipment.values, transform=transform)
    settings = _settings(notebook, submission, shipment, source, transform, changed)
    options = _options(notebook, submission)  # may refuse: before the names are pickled, which may take long
    shipment = settle(shipment) if submission.dry_run else pack(shipment, submission.out, settings)
    changed = tuple(name for name in changed if name in shipment.values)
    if submission.out and not submission.keep:  # the persistent namespace may have them from before
        check_out(submission.out, shipment.use.defines, shipment.values, transform(source))
    if submission.dry_run:
        notebook.show(_dry_run(submission, shipment).bundle())
        _say_changed(notebook, submission, changed)
        return None
    ready = _Ready(submission, source, shipment, settings, changed, options)
    cell, way = again.cell_of(notebook, submission, source), again.way_of(notebook, submission)
    origin = Origin(cell)
    if submission.reuse:
        origin = Origin(
            cell, reuse.key_of(source, transform(source), shipment.values, submission.out, settings, options)
        )
        if (same := reuse.find_same(notebook, origin.key)) is not None:
            return _take(notebook, submission, same)
    rivals = [] if way == again.BESIDE else again.unfinished_of(notebook, cell)
    if rivals and way == again.REPLACE:
        again.abort_all(notebook.session.client(), rivals)
    elif rivals:
        if notebook.has_buttons:
            _offer(notebook, ready, origin, rivals)
        raise again.refuse(rivals)
    return _send(notebook, ready, origin)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A submission whose names are pickled."""

    submission: Submission
    source: str
    shipment: Shipment
    settings: CellOptions
    changed: tuple[str, ...]
    options: dict[str, Any]

    def prepare(self, notebook: Notebook, origin: Origin) -> PreparedCell:
        """Return it as it is sent; large names are written to a file."""
        if large := self.shipment.large():
            notebook.say(f"sending {large}")
        given: dict[str, Any] = {"settings": self.settings} if self.settings else {}
        given["defines"] = frozenset(self.shipment.use.defines)
        submitter = notebook.session.client().with_options(**self.options).submitter
        names, out, keep = self.shipment.values, self.submission.out, self.submission.keep
        return submitter.prepare(self.source, names, out, keep=keep, origin=origin, **given)

    def without_body(self) -> _Ready:
        """Return it without the pickled names, which may be large."""
        return replace(self, shipment=replace(self.shipment, values=dict(self.shipment.values)))


def _send(notebook: Notebook, ready: _Ready, origin: Origin) -> TaskFuture:
    """Submit a cell, and bind the future once the task is accepted."""
    again.withdraw(notebook, origin.cell)
    future = ready.prepare(notebook, origin).submit()
    try:
        with waiting():
            notebook.session.client().flush()
    finally:  # an interrupt ends only the wait
        if not (refused := future.done() and not future.accepted):
            _bind_future(notebook, ready.submission, ready.shipment, future)
    if refused:
        _raise_refusal(future)
    if future.taskid is not None:
        notebook.session.submitted.add(future.taskid)
    _note_sent(notebook, ready, future)
    return future


def _take(notebook: Notebook, submission: Submission, same: TaskInfo) -> TaskFuture:
    """Return the future of a task that is the same, under the name of this cell."""
    future = reuse.take(notebook, same)
    _bind_name(notebook, submission.name, future)
    return future


def _note_sent(notebook: Notebook, ready: _Ready, future: TaskFuture) -> None:
    notebook.session.notices.add(future)
    notebook.session.note_sent(future, ready.shipment.values)
    _say_changed(notebook, ready.submission, ready.changed)


def _offer(notebook: Notebook, ready: _Ready, origin: Origin, rivals: Sequence[TaskInfo]) -> None:
    """Show the unfinished task of this cell with the choice to replace it or to run both."""
    prepared = ready.prepare(notebook, origin)
    light = ready.without_body()

    def after(future: TaskFuture) -> None:
        _bind_future(notebook, light.submission, light.shipment, future)
        _note_sent(notebook, light, future)

    again.offer(notebook, rivals, again.Choice(notebook, origin.cell, prepared, after), origin.cell)


def _raise_refusal(future: TaskFuture) -> None:
    """Raise why a task was not accepted."""
    try:
        future.result()
    except NotEnoughResources as error:
        raise BadUsage(f"%%task: {error}") from None


def run_everywhere(notebook: Notebook, submission: Submission, source: str) -> None:
    """Run `source` on every worker, now and when one joins, and report on how many it has run.

    Raises:
        BadUsage: it cannot be sent; nothing was sent.
        BroadcastFailed: it raised on a worker.
    """
    transform = cache(notebook.shell.input_transformer_manager.transform_cell)
    shipment = _choose_names(notebook, submission, source, transform)
    for name, value in shipment.values.items():
        if is_future(value):
            raise BadUsage(f"{name!r} holds a task's future, which --everywhere cannot send; bind its result() first")
    settings = _settings(notebook, submission, shipment, source, transform)
    shipment = settle(shipment) if submission.dry_run else pack(shipment, (), settings, what="the broadcast")
    if submission.dry_run:
        notebook.show(_dry_run(submission, shipment).bundle())
        return
    if large := shipment.large():
        notebook.say(f"sending {large} to every worker")
    client = notebook.session.client()
    given: dict[str, Any] = {"settings": settings} if settings else {}
    try:
        with waiting():
            n_workers = client.broadcast(source, shipment.values, timeout=PATIENCE, **given)
    except TimeoutError:
        ran = f"some workers have not run it after {PATIENCE:.0f} s; they run it before their next task"
    else:
        ran = f"ran on {plural(n_workers, 'worker')}" if n_workers else "there is no worker yet"
    notebook.session.broadcast.update(_bindings(notebook, shipment))
    notebook.say(f"{ran}; workers that join later run it too")


def check_free(notebook: Notebook, name: str | None) -> None:
    """Refuse to bind a future to a name that has another value."""
    if name is None or not name.isidentifier():
        return
    namespace = notebook.shell.user_ns
    if name in namespace and not is_future(namespace[name]):
        kind = with_article(type(namespace[name]).__name__)
        raise BadUsage(f"{name!r} holds {kind} here, not a task's future; take another name, or `del {name}`")
    if name not in namespace and hasattr(builtins, name):
        raise BadUsage(f"{name!r} is a builtin, which the task's future would hide; take another name")


def bind_out(notebook: Notebook, future: TaskFuture, out: tuple[str, ...] = ()) -> list[str]:
    """Bind the names that came back with a finished task, or only `out`; report names that are lost, return the others.

    Raises:
        BadUsage: the task has no such -o name.
    """
    from taskfc_ext.serialize.in_place import update_function

    result = future.task_result()
    names, lost = result.results, result.lost
    wanted = (*names, *lost) if not out or "*" in out else out
    for name in wanted:
        if name in lost:
            (why,) = describe_lost({name: lost[name]}, quote="`")
            notebook.say(f"task {future.taskid}: {why}")
        elif name not in names:
            raise BadUsage(f"task {future.taskid} has no -o name {name!r}{did_you_mean(name, list(names))}")
    bound = [name for name in wanted if name in names]
    for name in bound:
        is_same = future.brings_same_function(name)
        if not (is_same and update_function(notebook.namespace.get(name), names[name])):
            notebook.bind(name, names[name])
    future.apply_class_changes(bound)
    return bound


def _choose_names(notebook: Notebook, submission: Submission, source: str, transform: Callable[[str], str]) -> Shipment:
    shell = notebook.shell
    try:
        return choose(
            source,
            submission.ship,
            notebook.namespace,
            hidden=shell.user_ns_hidden,
            transform=transform,
            there=_there(notebook, submission),
            lazy_hints=hints_are_lazy(shell),
        )
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text else ""
        raise NotPython(one_line(f"this is not Python (line {error.lineno}): {error.msg}{text}")) from None


def _settings(
    notebook: Notebook,
    submission: Submission,
    shipment: Shipment,
    source: str,
    transform: Callable[[str], str],
    changed: tuple[str, ...] = (),
) -> CellOptions:
    """Return the settings with which the cell runs; empty if all are the usual ones.

    Raises:
        BadUsage: the cell uses a magic that only the notebook has.
    """
    shell = notebook.shell
    code = transform(source)
    uses = list(magics_in(ast.parse(code), transform)) if "get_ipython" in code else []
    check_magics(shell, uses, {*shipment.use.defines, *notebook.session.broadcast})
    settings: CellOptions = cell_settings(shell, uses)
    if shipment.there_first:
        settings["there_first"] = shipment.there_first
    if changed and "*" in submission.out:
        settings["changed"] = changed
    return settings


def _there(notebook: Notebook, submission: Submission) -> dict[str, object] | None:
    """Return the names that the cell may find in its namespace, with the values that the notebook had under them.

    `None`: a fresh namespace. A name that a cell of the notebook has bound since then counts as another value, even if
    it is the same object.
    """
    if submission.clear_before:
        bindings = notebook.session.broadcast
    elif submission.keep or submission.everywhere:
        bindings = notebook.session.there
    else:
        return None
    inputs, here = notebook.inputs, notebook.namespace
    return {name: _value_there(name, binding, here.get(name, ABSENT), inputs) for name, binding in bindings.items()}


def _value_there(name: str, binding: Binding, here: object, inputs: Sequence[str]) -> object:
    if here is binding.value and binding.is_stale(name, inputs):  # slow, so it is asked last
        return object()
    return binding.value


def _bind_future(notebook: Notebook, submission: Submission, shipment: Shipment, future: TaskFuture) -> None:
    """Bind the future to the name of its task, and note the names that the task keeps."""
    if submission.keep:
        _note_kept(notebook, submission, shipment)
    _bind_name(notebook, submission.name, future)


def _bind_name(notebook: Notebook, name: str | None, future: TaskFuture) -> None:
    if name and name.isidentifier() and not keyword.iskeyword(name):
        notebook.bind(name, future)


def _note_kept(notebook: Notebook, submission: Submission, shipment: Shipment) -> None:
    """Note the names that a cell leaves in the persistent namespace, for later cells."""
    kept = notebook.session.kept
    if submission.clear_before or submission.clear_after:
        kept.clear()
    if not submission.clear_after:
        kept.update(_bindings(notebook, shipment), **{"*": Binding(object(), 0)})


def _bindings(notebook: Notebook, shipment: Shipment) -> dict[str, Binding]:
    """Return the names that a cell leaves in its namespace; for names that it only got, our value always counts."""
    sent = {name: Binding(object(), 0) for name in shipment.values}
    n_inputs, namespace = len(notebook.inputs), notebook.namespace
    return sent | {name: Binding(namespace.get(name, ABSENT), n_inputs) for name in shipment.use.defines}


def _say_changed(notebook: Notebook, submission: Submission, changed: tuple[str, ...]) -> None:
    if line := note_of_changes(changed, submission.out, command="" if submission.is_cell else "%%task"):
        notebook.say(line)


def _options(notebook: Notebook, submission: Submission) -> dict[str, Any]:
    """Return the arguments of `with_options` that differ from their defaults."""
    options: dict[str, Any] = {
        "name": submission.name,
        "retries": submission.retries,
        "timeout": submission.timeout,
        "priority": submission.priority,
        "clear_before": submission.clear_before,
        "clear_after": submission.clear_after,
        "after": notebook.tasks(submission.after),
        "backoff": submission.backoff,
        "depend": condition(submission.depend, notebook.namespace) if submission.depend else None,
        "recovery_task": recovery(submission.recover, notebook.namespace) if submission.recover else None,
        "retry_on": tuple(_exception(notebook, name) for name in submission.retry_on),
        "cores": submission.cores,
        "memory": submission.memory,
        "gpus": submission.gpus,
        "resources": submission.resources,
    }
    given = {name: value for name, value in options.items() if value}
    if submission.seed is not None:
        given["seed"] = submission.seed
    return given if submission.on_lost == "retry" else {**given, "on_lost": submission.on_lost}


def _exception(notebook: Notebook, name: str) -> type[BaseException]:
    first, *attributes = name.split(".")
    found: object = notebook.namespace.get(first, getattr(builtins, first, None))
    for attribute in attributes:
        found = getattr(found, attribute, None)
    if not _is_exception(found):
        near = did_you_mean(name, [name for name, value in vars(builtins).items() if _is_exception(value)])
        raise BadUsage(f"--retry-on: {name!r} is not an exception type{near}")
    return found


def _is_exception(value: object) -> TypeGuard[type[BaseException]]:
    return isinstance(value, type) and issubclass(value, BaseException)


def _dry_run(submission: Submission, shipment: Shipment) -> Table:
    rows = [(name, type(value).__name__, _way(value, shipment.sizes[name])) for name, value in shipment.values.items()]
    back = f"; -o: {', '.join(submission.out)}" if submission.out else ""
    return Table(
        f"nothing was sent; this notebook's names for the cell: {len(rows)}{back}", ("name", "type", "size"), rows
    )


def _way(value: object, size: int) -> str:
    return "its task's result, on the worker" if is_future(value) else format_size(size)


def _wait(notebook: Notebook, future: TaskFuture, out: tuple[str, ...]) -> None:
    if notebook.board.is_live:
        notebook.board.show_early(future)
    with waiting([future.taskid]):
        wait_for_success(future)
    bound = bind_out(notebook, future, out)
    if "*" in out:
        say_bound(notebook, future, bound)


def say_bound(notebook: Notebook, future: TaskFuture, bound: Sequence[str]) -> None:
    """Print the names that were bound, with the sizes of the large ones."""
    names = describe_back({name: notebook.namespace.get(name) for name in bound})
    if names or not future.task_result().lost:  # those that were lost were named before
        notebook.say(f"task {future.taskid}{f': {names}' if names else ' has no -o names'}")


def wait_for_success(future: TaskFuture) -> None:
    """Wait for a task, and raise its exception if it failed; a value that could not be sent back is not a failure."""
    __tracebackhide__ = True
    if future.exception() is not None:
        future.result()
