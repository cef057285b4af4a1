"""Turning a cell or an expression into a task: check, say what is large, send, bind."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TYPE_CHECKING, Any, TypeGuard

from taskfc_ext.ipython.arguments import did_you_mean, near_verb, or_else
from taskfc_ext.ipython.bring_back import check_out
from taskfc_ext.ipython.display import Table
from taskfc_ext.ipython.named_code import condition, recovery
from taskfc_ext.ipython.names import used_names
from taskfc_ext.ipython.notebook import Notebook, is_future, waiting
from taskfc_ext.ipython.requests import BadUsage, Submission
from taskfc_ext.text import one_line, plural

if TYPE_CHECKING:
    from taskfc_ext.client.future import TaskFuture
    from taskfc_ext.ipython.shipping import Shipment

PATIENCE = 10.0
"""Seconds that `--everywhere` waits for the workers; one may be in a task that takes hours."""

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*(\S.*)", re.DOTALL)


def submit_expression(notebook: Notebook, expression: str) -> TaskFuture | None:
    """Run an expression as a task.

    Raises:
        BadUsage: it cannot be sent; the text says why, and names the verb that may have been meant.
    """
    if match := _ASSIGNMENT.fullmatch(expression):
        name, value = match.groups()
        raise BadUsage(f"{name!r} would be bound on the worker only; write `{name} = %task {one_line(value)}`")
    try:
        return submit(notebook, Submission(), expression)
    except BadUsage as problem:
        raise BadUsage(or_else(str(problem), near_verb(expression))) from None


def submit(notebook: Notebook, submission: Submission, source: str) -> TaskFuture | None:
    """Run `source` as a task, and return its future once the task is accepted; `None` after a dry run.

    Raises:
        BadUsage: it cannot be sent; nothing was.
    """
    check_free(notebook, submission.name)
    shipment = _packed(notebook, submission, source)
    if submission.out and not submission.keep:  # the persistent namespace may have them from before
        transform = notebook.shell.input_transformer_manager.transform_cell
        check_out(source, submission.out, shipment.values, transform=transform)
    options = _options(notebook, submission)
    if submission.dry_run:
        notebook.show(_dry_run(submission, shipment).bundle())
        return None
    if large := shipment.large():
        notebook.say(f"sending {large}")
    client = notebook.session.client().with_options(**options)
    future = client.submit_cell(source, shipment.values, submission.out, keep=submission.keep)
    if submission.name and submission.name.isidentifier() and not keyword.iskeyword(submission.name):
        notebook.bind(submission.name, future)
    with waiting():
        client.flush()
    if future.done() and not future.accepted:
        future.result()  # raises why it was refused
    notebook.session.notices.add(future)
    if submission.wait:
        _wait(notebook, future, submission.out)
    return future


def run_everywhere(notebook: Notebook, submission: Submission, source: str) -> None:
    """Run `source` on every worker, now and whenever one joins, and say on how many it has run.

    Raises:
        BadUsage: it cannot be sent; nothing was.
        BroadcastFailed: it failed on a worker.
    """
    shipment = _packed(notebook, submission, source)
    for name, value in shipment.values.items():
        if is_future(value):
            raise BadUsage(f"{name!r} holds a task's future, which --everywhere cannot send; bind its result() first")
    if submission.dry_run:
        notebook.show(_dry_run(submission, shipment).bundle())
        return
    if large := shipment.large():
        notebook.say(f"sending {large} to every worker")
    client = notebook.session.client()
    try:
        with waiting():
            n_workers = client.broadcast(source, shipment.values, timeout=PATIENCE)
    except TimeoutError:
        ran = f"not all workers have run it after {PATIENCE:.0f} s: those that are in a task run it before the next one"
    else:
        ran = f"ran on {plural(n_workers, 'worker')}" if n_workers else "there is no worker yet"
    made = used_names(source, transform=notebook.shell.input_transformer_manager.transform_cell).defines
    notebook.session.everywhere.update(made, shipment.values)
    notebook.say(f"{ran}; workers that join later run it too")


def check_free(notebook: Notebook, name: str | None) -> None:
    """Refuse to bind a future to a name that holds something else."""
    if name is None or not name.isidentifier():
        return
    namespace = notebook.shell.user_ns
    if name in namespace and not is_future(namespace[name]):
        kind = type(namespace[name]).__name__
        raise BadUsage(f"{name!r} holds {_article(kind)} here, not a task's future; take another name, or `del {name}`")
    if name not in namespace and hasattr(builtins, name):
        raise BadUsage(f"{name!r} is a builtin, which the task's future would hide; take another name")


def bind_out(notebook: Notebook, future: TaskFuture, out: tuple[str, ...] = ()) -> list[str]:
    """Bind the names that came back with a finished task, or those in `out`; return which.

    Raises:
        BadUsage: the task brought back no such name.
    """
    names = future.ns
    for name in out:
        if name not in names:
            raise BadUsage(f"task {future.taskid} brought back no {name!r}{did_you_mean(name, list(names))}")
    bound = list(out or names)
    for name in bound:
        notebook.bind(name, names[name])
    return bound


def _packed(notebook: Notebook, submission: Submission, source: str) -> Shipment:
    from taskfc_ext.ipython.shipping import pack  # brings cloudpickle, which `%load_ext` does not wait for

    shell = notebook.shell
    try:
        return pack(
            source,
            submission.ship,
            notebook.namespace,
            hidden=shell.user_ns_hidden,
            transform=shell.input_transformer_manager.transform_cell,
            elsewhere=notebook.session.everywhere if submission.keep or submission.everywhere else (),
        )
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text else ""
        raise BadUsage(one_line(f"this is not Python (line {error.lineno}): {error.msg}{text}")) from None


def _options(notebook: Notebook, submission: Submission) -> dict[str, Any]:
    """Return what `with_options` takes, without what is as it always is."""
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
        raise BadUsage(f"--retry-on: {name!r} is no exception type here{near}")
    return found


def _is_exception(value: object) -> TypeGuard[type[BaseException]]:
    return isinstance(value, type) and issubclass(value, BaseException)


def _dry_run(submission: Submission, shipment: Shipment) -> Table:
    from taskfc_ext.ipython.shipping import format_size

    rows = [
        (name, type(value).__name__, _way(value, shipment.sizes[name], format_size))
        for name, value in shipment.values.items()
    ]
    back = f"; -o: {', '.join(submission.out)}" if submission.out else ""
    return Table(
        f"would be sent with {len(rows)} of this notebook's names{back}; nothing was", ("name", "type", "size"), rows
    )


def _way(value: object, size: int, format_size: Any) -> str:
    return "its task's result, on the worker" if is_future(value) else str(format_size(size))


def _wait(notebook: Notebook, future: TaskFuture, out: tuple[str, ...]) -> None:
    if notebook.board.is_live:
        notebook.board.show_early(future)
    with waiting():
        future.result()
    bind_out(notebook, future, out)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"
