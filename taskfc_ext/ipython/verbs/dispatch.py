"""Dispatch of `%task`: a function for each request; its value is the value of the line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from taskfc_ext.client.progress.counts import FutureCounts
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.errors import UnknownTask
from taskfc_ext.ipython.cards.render import Table, tasks_table
from taskfc_ext.ipython.interrupts import waiting
from taskfc_ext.ipython.notebook import Notebook, error_line
from taskfc_ext.ipython.parse import requests
from taskfc_ext.ipython.parse.grammar import cell_help, line_help, verb_help
from taskfc_ext.ipython.parse.requests import BadUsage, Request
from taskfc_ext.ipython.verbs.history import history
from taskfc_ext.ipython.verbs.retry import retry
from taskfc_ext.ipython.verbs.submit import bind_out, say_bound, submit_expression, wait_for_success
from taskfc_ext.ipython.verbs.sweep import submit_map
from taskfc_ext.ipython.verbs.wait import wait
from taskfc_ext.protocol.infos import WorkerInfo
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.states import FINISHED
from taskfc_ext.text import as_sentence, one_line, plain_text, plural, workers_table, workers_text
from taskfc_ext.view import wording
from taskfc_ext.view.engine_words import HOME, RAY, engine_arguments, warnings_as_lines
from taskfc_ext.view.newest import running_and_newest
from taskfc_ext.view.selection import Selection, names_one
from taskfc_ext.view.steering import find_running, steer
from taskfc_ext.view.store_words import store_arguments

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient

NEWEST = 20
"""Tasks that a status shows: the running ones, then the newest."""


def answer(notebook: Notebook, request: Request) -> Any:
    """Carry out the request of a line and return its value."""
    match request:
        case requests.Run(expression):
            return submit_expression(notebook, expression)
        case requests.Map(expression):
            return submit_map(notebook, expression)
        case requests.Result():
            return _result(notebook, request)
        case requests.History():
            return history(notebook, request)
        case requests.Status():
            _status(notebook, request)
        case requests.Widget():
            _widget(notebook)
        case requests.Show(tasks=tasks):
            for future in notebook.futures(tasks, everybodys=request.all):
                if future.done():
                    _note_seen(notebook, [future])
                notebook.board.show(future)
        case requests.Pull():
            _pull(notebook, request)
        case requests.Wait():
            wait(notebook, request)
        case requests.Abort(tasks=tasks):
            _abort(notebook, tasks)
        case requests.Retry():
            return retry(notebook, request)
        case requests.Debug():
            from taskfc_ext.ipython.verbs.debug import debug  # its imports are needed by nothing else

            return debug(notebook, request)
        case requests.Hold(tasks=tasks):
            _steer(notebook, tasks, notebook.session.client().hold, wording.HELD)
        case requests.Release(tasks=tasks):
            _steer(notebook, tasks, notebook.session.client().release, wording.RELEASED)
        case requests.Move(tasks=tasks, priority=priority):
            client = notebook.session.client()
            move = wording.move_text(priority)
            _steer(notebook, tasks, lambda taskids: client.move(taskids, priority), move)
        case requests.Clear():
            _clear(notebook, request)
        case requests.Log():
            _log(notebook, request)
        case requests.Spin():
            notebook.session.client().spin()
        case requests.Help(verb=verb):
            notebook.say(_help(verb))
        case _:
            _about_farms(notebook, request)
    return None


def _about_farms(notebook: Notebook, request: Request) -> None:
    session = notebook.session
    match request:
        case requests.Workers():
            _workers(notebook)
        case requests.Start():
            _start(notebook, request)
        case requests.Scale(n=n):
            before = _running(notebook).scale(n)
            notebook.say(f"{session.name}: {wording.describe_scale(before, n)}")
        case requests.Stop():
            _stop(notebook)
        case requests.Restart():
            _restart(notebook, request)
        case requests.List():
            rows = [(name, "this notebook's" if name == session.name else "") for name in session.farms.names()]
            notebook.show(Table(plural(len(rows), "farm") + " running", ("name", ""), rows).bundle())
        case requests.Use(name=name):
            _check_farm_name(name)
            session.use(name)
            runs = "" if session.farms.runs(name) else "; it does not run yet: the first task starts it"
            notebook.say(f"this notebook uses the farm {name}{runs}")
        case _:
            raise AssertionError(request)


# tasks


def _status(notebook: Notebook, request: requests.Status) -> None:
    client = notebook.session.client_if_running()
    if client is None:
        notebook.say(_no_farm(notebook))
        return
    if request.tasks:
        rows = client.list_tasks(taskids=notebook.taskids(request.tasks, everybodys=request.all), limit=MAX_IDS)
    else:
        owner = None if request.all else notebook.session.owner
        rows = running_and_newest(client, owner, NEWEST)
    caption = _caption(notebook, client)
    if not request.tasks and not request.all:
        caption += "; this notebook's running and newest tasks" if rows else "; none of this notebook"
    notebook.show(tasks_table(caption, rows).bundle())


def _widget(notebook: Notebook) -> None:
    """Show the queue of all notebooks: live if there are widgets, else and in the saved notebook as a table."""
    client = notebook.session.client_if_running()
    rows = running_and_newest(client, None, NEWEST) if client is not None else []
    caption = _no_farm(notebook)
    if client is not None:
        caption = _caption(notebook, client)
        caption += f"; as of {datetime.now():%Y-%m-%d %H:%M:%S}"
    table = tasks_table(caption, rows).bundle()
    notebook.show(notebook.queues.bundle(table) if notebook.has_widgets else table)


def _result(notebook: Notebook, request: requests.Result) -> Any:
    deadline = None if request.timeout is None else time.monotonic() + request.timeout
    futures = notebook.futures(request.tasks, everybodys=request.all)
    is_one = len(futures) == 1  # it has its card
    values = []
    with waiting(future.taskid for future in futures), LongWait(FutureCounts(futures).read, "result") as progress:
        for future in futures:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            values.append(future.result(left) if is_one else progress.result(future, left))
    _note_seen(notebook, futures)
    return values[0] if len(values) == 1 and names_one(request.tasks) else values


def _note_seen(notebook: Notebook, futures: Sequence[Any]) -> None:
    for farm in {future.farm for future in futures}:
        notebook.session.notices.mark_seen((future.taskid for future in futures if future.farm == farm), farm)


def _pull(notebook: Notebook, request: requests.Pull) -> None:
    for future in notebook.futures(request.tasks, everybodys=request.all):
        with waiting([future.taskid]):
            wait_for_success(future)
        _note_seen(notebook, [future])
        say_bound(notebook, future, bind_out(notebook, future, request.out))


def _clear(notebook: Notebook, request: requests.Clear) -> None:
    if request.tasks:
        taskids = notebook.taskids(request.tasks, everybodys=request.all)
    else:
        taskids = [task.taskid for task in notebook.list_owned(FINISHED, everybodys=request.all)]
    n_cleared = notebook.session.client().clear(taskids) if taskids else 0
    notebook.say(wording.describe_clear(n_cleared))


def _abort(notebook: Notebook, tasks: Selection) -> None:
    client = notebook.session.client()
    taskids = notebook.taskids(tasks)
    running = find_running(client.list_tasks, taskids)
    aborted: list[int] = []
    for taskid in taskids:
        try:
            client.abort(taskid)
        except UnknownTask as error:
            text = error_line(error) if error.hint else one_line(error.message)  # without a hint: it has ended
            notebook.say(as_sentence(text))
        else:
            aborted.append(taskid)
    notebook.session.notices.mark_seen(taskids, notebook.session.name)
    if aborted:
        notebook.say(wording.describe_abort(aborted, running))


def _steer(notebook: Notebook, tasks: Selection, act: Callable[[list[int]], Iterable[int] | None], verb: str) -> None:
    """Call `act` with the unfinished tasks, see `steer`, and print the result; `verb` as in `describe_steering`."""
    notebook.say(steer(act, notebook.taskids(tasks)).describe(verb))


def _log(notebook: Notebook, request: requests.Log) -> None:
    taskids = notebook.taskids(request.tasks, everybodys=request.all)
    for taskid in taskids:
        if len(taskids) > 1:
            notebook.say(f"--- task {taskid}")
        text = plain_text(notebook.session.client().log(taskid)).rstrip("\n")
        notebook.say(text or f"task {taskid} has printed nothing")


# farms


def _no_farm(notebook: Notebook) -> str:
    return f"no farm {notebook.session.name!r} runs; the first task starts it, or `%task start`"


def _running(notebook: Notebook) -> Any:
    client = notebook.session.client_if_running()
    if client is None:
        raise BadUsage(_no_farm(notebook))
    return client


def _n_workers(client: BlockingTaskClient) -> int:
    """Return the number of workers, without substitutes."""
    return _count(client.workers())


def _count(workers: Sequence[WorkerInfo]) -> int:
    return sum(not worker.is_substitute for worker in workers)


def _caption(notebook: Notebook, client: BlockingTaskClient) -> str:
    return wording.farm_caption(notebook.session.name, client.queue_status(), _n_workers(client), client.engine())


def _workers(notebook: Notebook) -> None:
    client = _running(notebook)
    workers, engine = client.workers(), client.engine()
    headers, rows = workers_table(workers)
    text = workers_text(workers) if engine is None else wording.engine_text(engine, _count(workers))
    caption = f"{notebook.session.name} · {text}"
    notebook.show(Table(caption, headers, rows, frozenset((0, 1, 3))).bundle())


def _start(notebook: Notebook, request: requests.Start) -> None:
    session = notebook.session
    name = request.name or session.name
    _check_farm_name(name)
    was_running = session.farms.runs(name)
    if not was_running:
        session.forget(name)  # what its client knows is of a farm that has ended
    engine = _engine_of(notebook, request)
    n_wanted = session.n_workers if request.n is None and not engine else request.n
    try:
        of_store = store_arguments(request)
    except ValueError as error:
        raise BadUsage(f"%task start: {error}") from None
    with warnings_as_lines(notebook.say):
        aside = session.farms.start(name, n_wanted, fresh=request.fresh, **of_store, **engine)
    if aside is not None:
        notebook.say(f"{name}: {wording.describe_aside(aside)}")
    if note := session.farms.memory_note(name):
        notebook.say(f"{name}: {note}")
    session.use(name)
    client = session.client()
    is_other = was_running and request.n not in (None, _n_workers(client))
    hint = f"; `%task scale {request.n}` changes that" if is_other else ""
    notebook.say(f"{name}: {'runs already' if was_running else 'started'}, {_workers_text(client)}{hint}")


def _workers_text(client: BlockingTaskClient) -> str:
    """Return the number of workers in words, with the engine that they run on."""
    n_workers, engine = _n_workers(client), client.engine()
    return plural(n_workers, "worker") if engine is None else wording.engine_text(engine, n_workers)


def _engine_of(notebook: Notebook, request: requests.Start | requests.Restart) -> dict[str, Any]:
    """Return the arguments of `start` and `restart` for an engine, which may be in a variable of the notebook."""
    on: Any = request.on
    if on is not None and on.isidentifier() and on not in (HOME, RAY):
        if on not in notebook.namespace:
            raise BadUsage(
                f"--on {on}: there is no variable {on}; give an address, a scheduler file, or a variable that holds a "
                "distributed.Client or a cluster"
            )
        on = notebook.namespace[on]
    try:
        return engine_arguments(on, request.resources, request.idle)
    except (TypeError, ValueError) as error:
        raise BadUsage(str(error)) from None


def _check_farm_name(name: str) -> None:
    from taskfc_ext.drivers.paths import farm_paths

    try:
        farm_paths(name)
    except ValueError as error:
        raise BadUsage(one_line(error)) from None


def _stop(notebook: Notebook) -> None:
    session = notebook.session
    if not session.farms.runs(session.name):
        notebook.say(f"{session.name}: does not run")
        return
    kept = session.farms.stop(session.name)
    session.forget(session.name)
    notebook.say(f"{session.name}: stopped; {kept}")


def _restart(notebook: Notebook, request: requests.Restart) -> None:
    session = notebook.session
    engine = _engine_of(notebook, request)
    before = session.farms.identity(session.name)
    try:
        with warnings_as_lines(notebook.say):
            session.farms.restart(session.name, request.n, **engine)
    finally:
        if session.farms.identity(session.name) != before:  # else it was refused, and nothing has ended
            session.forget(session.name)
    if note := session.farms.memory_note(session.name, restarted=True):
        notebook.say(f"{session.name}: {note}")
    notebook.say(f"{session.name}: restarted, {_workers_text(session.client())}")


def _help(verb: str | None) -> str:
    if verb is not None:
        return verb_help(verb)
    return f"%task EXPR | VERB ...\n\n{line_help()}\n\n{cell_help()}\n\nmore: %task help VERB, %task?, %%task?"
