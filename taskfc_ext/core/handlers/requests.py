"""Handlers of the requests of clients. Every request is answered once, and a repeat gets the same answer."""

from __future__ import annotations

from taskfc_ext.core.effects import (
    SendDetails,
    SendEnded,
    SendLog,
    SendOutputs,
    SendSubmission,
    SendUnfinished,
    Step,
    ToClient,
)
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers import broadcasts, lending, no_room, refusals
from taskfc_ext.core.handlers.attempts import retire_surplus, set_n_workers
from taskfc_ext.core.handlers.expiry import needed_inputs
from taskfc_ext.core.handlers.gone import refuse_gone
from taskfc_ext.core.handlers.retry_request import on_retry
from taskfc_ext.core.handlers.stopping import stop_attempt
from taskfc_ext.core.journal.endings import Endings, answer_request, commit, commit_submitted, fail_if_parent_failed
from taskfc_ext.core.state.codes import all_bodies
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.reasons import refusal_of
from taskfc_ext.core.state.sessions import Answer, ClientSession
from taskfc_ext.core.state.task import Cause, Task, end_state
from taskfc_ext.core.views import subscriptions
from taskfc_ext.core.views.listing import engine_info, list_tasks, queue_status, task_info, workers_info
from taskfc_ext.core.views.waiting import Waiting
from taskfc_ext.protocol.client_messages import (
    Abort,
    AbortTasks,
    Accepted,
    AwaitBroadcast,
    Barrier,
    Broadcast,
    Clear,
    ClearBroadcasts,
    ErrorKind,
    GetBarrier,
    GetClientName,
    GetDetails,
    GetEngine,
    GetLog,
    GetOutputs,
    GetResults,
    GetSubmission,
    GetWorkers,
    Hold,
    ListTasks,
    Move,
    Ping,
    QueueStatus,
    Refused,
    Reply,
    Request,
    Retry,
    Scale,
    Spin,
    Stop,
    Stopping,
    Submit,
    TaskRef,
    Unwait,
    Unwatch,
    Watch,
)
from taskfc_ext.protocol.infos import Details, TaskInfo
from taskfc_ext.protocol.payloads import Failure
from taskfc_ext.protocol.printed import Printed, tail
from taskfc_ext.protocol.records import AbortAsked, AbortsAsked, Cleared, Held, Moved, StopAsked, Submitted
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.protocol.supervisor_messages import Shutdown

OfTask = GetLog | GetOutputs | GetSubmission | GetDetails
"""Requests for something of one task, finished or not."""

OfFarm = QueueStatus | GetWorkers | GetEngine
"""Requests for facts of the farm."""

Read = GetResults | ListTasks | OfTask | OfFarm | GetBarrier | GetClientName | Ping | Watch | Unwatch
"""Requests that commit nothing: the answer is not kept, and a repeat is answered from the state at that time."""


def on_request(farm: Farm, step: Step, client: ClientSession, message: Request, now: Now) -> None:
    """Answer a request, or repeat its first answer.

    The answer of a request that commits stands in `client.answers`, since its record puts it there. It is sent before
    all that follows from the record, so that a client knows its tasks before their ends.
    """
    client.forget_below(message.acked)
    if message.seq in client.answers:
        step.to_client(client.session, client.answers[message.seq])
    elif message.seq < client.done_below:
        pass  # a late copy: the client has the answer
    elif (refusal := no_room.refusal_of(farm, message)) is not None:
        answer_request(farm, step, client.session, refusal)
        step.is_free = True
    elif isinstance(message, Read):
        step.is_free = no_room.is_question(message)
        step.to_client(client.session, _read(farm, step, client, message, now))
    elif isinstance(message, Stop):
        # Before the `Stopping` that ends the session; not kept, since a farm that stops answers nothing more.
        step.to_client(client.session, Reply(message.seq))
        stop_farm(farm, step, now)
    else:
        place = len(step.sends)
        answer = _change(farm, step, client, message, now)
        if answer is not None:
            answer_request(farm, step, client.session, answer)
        elif message.seq in client.answers:
            step.to_client(client.session, client.answers[message.seq], place)


def _read(farm: Farm, step: Step, client: ClientSession, message: Read, now: Now) -> ToClient:
    """Return the answer to a request that only reads; the controller completes it where values are in the store."""
    if isinstance(message, OfTask) and not farm.knows(message.taskid):
        return refuse_gone(farm, message.seq, [message.taskid])
    match message:
        case GetResults():
            return _get_results(farm, step, client, message)
        case QueueStatus():
            return Reply(message.seq, queue_status(farm, verbose=message.verbose))
        case ListTasks():
            return list_tasks(farm, message, now)
        case GetBarrier():
            return Reply(message.seq, lending.barrier_counts(farm, client, message.barrier))
        case GetLog():
            return _log(farm, message)
        case GetSubmission():
            return SendSubmission(message.seq, message.taskid)
        case GetOutputs():
            return _outputs(farm, message)
        case GetDetails():
            return _details(farm, message, now)
        case GetClientName():
            return Reply(message.seq, client.label or client.session)
        case GetWorkers():
            return Reply(message.seq, workers_info(farm))
        case GetEngine():
            return Reply(message.seq, engine_info(farm))
        case Watch():
            return subscriptions.on_watch(farm, step, client, message, now)
        case Unwatch():
            subscriptions.unsubscribe(farm, client.session)
            return Reply(message.seq)
        case Ping():
            return Reply(message.seq, farm.n_repairs)


def _change(farm: Farm, step: Step, client: ClientSession, message: Request, now: Now) -> Answer | None:
    """Do what `message` asks. Return its answer only if no record holds it.

    A handler that commits the answer returns `None`, and so does one that waits for something: `answer_request`
    answers its request later.
    """
    match message:
        case Submit():
            return _submit(farm, step, client, message, now)
        case Abort():
            return _abort(farm, step, client, message, now)
        case AbortTasks():
            _abort_tasks(farm, step, client, message, now)
            return None
        case Hold():
            _steer(farm, step, Held(message.taskids, message.held, client.session, message.seq))
            return None
        case Move():
            _steer(farm, step, Moved(message.taskids, message.priority, client.session, message.seq))
            return None
        case Retry():
            return on_retry(farm, step, client, message)
        case Barrier():
            return _barrier(farm, client, message)
        case Unwait():
            farm.close_barrier((client.session, message.barrier))
            farm.broadcast_waits.pop((client.session, message.barrier), None)
            return Reply(message.seq)
        case Spin():
            refusals.redeliver_to_all(farm)
            return Reply(message.seq)
        case Clear():
            _clear(farm, step, client, message)
            return None
        case Broadcast():
            return broadcasts.on_broadcast(farm, step, client, message)
        case AwaitBroadcast():
            return lending.refuse_wait(farm, client, message.seq, 1) or broadcasts.on_await(farm, client, message)
        case ClearBroadcasts():
            broadcasts.on_clear(farm, step, client, message)
            return None
        case Scale():
            return _scale(farm, step, message)
        case _:
            raise AssertionError(f"a request without a handler: {message}")


# submit


def _submit(farm: Farm, step: Step, client: ClientSession, message: Submit, now: Now) -> Refused | None:
    after = _resolve(client, message.after)
    inputs = _resolve(client, message.inputs)
    refusal = farm.quotas.refusal(message.seq, client.session, message.bodies, (message.spec,))
    refusal = refusal or _refusal(farm, message, (*after, *inputs))
    if refusal is not None:
        farm.codes.release_idle(all_bodies(message.spec))  # it may have been defined for this submission only
        return refusal
    record = Submitted(
        first=farm.next_id,
        session=client.session,
        seq=message.seq,
        owner=client.owner,
        wall=now.wall,
        spec=message.spec,
        bodies=message.bodies,
        name=message.name,
        after=tuple(ref for ref in after if ref is not None),
        after_any=message.after_any,
        inputs=tuple(ref for ref in inputs if ref is not None),
        origin=message.origin,
    )
    commit_submitted(farm, step, record, now)
    fail_if_parent_failed(farm, step, record, now)
    return None


def _refusal(farm: Farm, message: Submit, parents: tuple[int | None, ...]) -> Refused | None:
    """Return the refusal of tasks whose code or dependency is unknown, or `None`."""
    missing = next((code for code in all_bodies(message.spec) if code not in farm.codes), None)
    if missing is not None:
        text = f"the code {missing.hex()} of {message.spec.label} was not defined before"
        return Refused(message.seq, ErrorKind.PROTOCOL, text)
    if message.spec.kind is Kind.VALUE and parents:
        return Refused(message.seq, ErrorKind.PROTOCOL, "a value that is put has no dependencies")
    lacks = refusal_of(farm, message.spec)
    if lacks:
        return Refused(message.seq, ErrorKind.RESOURCES, lacks)
    named = [ref for ref in parents if ref is not None and not farm.knows(ref)]
    if named:
        return refuse_gone(farm, message.seq, named)
    if None in parents:
        return Refused(message.seq, ErrorKind.PROTOCOL, "a dependency names a submission that was not accepted")
    return None


def _resolve(client: ClientSession, refs: tuple[TaskRef, ...]) -> list[int | None]:
    """Return task ids for `refs`; `None` for one that names an unknown submission of this session."""
    taskids: list[int | None] = []
    for ref in refs:
        if isinstance(ref, int):
            taskids.append(ref)
            continue
        answer = client.answers.get(ref[0])
        taskids.append(answer.first + ref[1] if isinstance(answer, Accepted) else None)
    return taskids


# abort, hold, move, results, barrier, clear


def _abort(farm: Farm, step: Step, client: ClientSession, message: Abort, now: Now) -> Answer | None:
    taskid = message.taskid
    try:
        ended = farm.end_of(taskid)
    except KeyError:
        return refuse_gone(farm, message.seq, [taskid])
    task = farm.tasks.get(taskid)
    if task is None or task.aborting:
        if message.queued_only:
            return Reply(message.seq, False)
        how = "is being aborted already" if task is not None else f"has ended already ({end_state(ended or '')})"
        return Refused(message.seq, ErrorKind.UNKNOWN_TASK, f"task {taskid} {how}", value={"taskids": [taskid]})
    if message.queued_only and task.lease:
        return Reply(message.seq, False)
    commit(farm, step, AbortAsked(taskid, client.session, message.seq))
    if task.lease:
        stop_attempt(farm, step, task.lease, Cause.ABORT, now)
    else:
        endings = Endings(farm, step, now)
        endings.abort(task)
        endings.settle()
    return None


def _abort_tasks(farm: Farm, step: Step, client: ClientSession, message: AbortTasks, now: Now) -> None:
    """Abort the tasks that have not ended and are not being aborted. The ones without a lease end in one record."""
    tasks = {
        taskid: task for taskid in message.taskids if (task := farm.tasks.get(taskid)) is not None and not task.aborting
    }
    left = tuple(taskid for taskid in dict.fromkeys(message.taskids) if taskid not in tasks)
    commit(farm, step, AbortsAsked(tuple(tasks), left, client.session, message.seq))
    endings = Endings(farm, step, now)
    for task in tasks.values():
        if task.lease:
            stop_attempt(farm, step, task.lease, Cause.ABORT, now)
        else:
            endings.abort(task)
    endings.settle()


def _steer(farm: Farm, step: Step, record: Held | Moved) -> None:
    """Hold, release or move tasks. Ready ones get the place in the queue that they would have had from the start."""
    queued = [farm.tasks[taskid] for taskid in dict.fromkeys(record.ids) if farm.is_queued(taskid)]
    farm.withdraw(queued)
    commit(farm, step, record)
    farm.reinsert(queued)
    for task in queued:
        if task.taskid in farm.held:
            farm.refusals.stop_clock(task.taskid)  # the time in which no worker may have it does not count


def _get_results(
    farm: Farm, step: Step, client: ClientSession, message: GetResults
) -> Reply | Refused | SendUnfinished:
    unknown = [taskid for taskid in message.taskids if not farm.knows(taskid)]
    if unknown:
        return refuse_gone(farm, message.seq, unknown)
    unfinished = [taskid for taskid in message.taskids if taskid in farm.tasks]
    finished = tuple(taskid for taskid in message.taskids if taskid not in farm.tasks)
    if finished:
        step.to_client(client.session, SendEnded(finished))
    if message.watch:
        for taskid in unfinished:
            if farm.tasks[taskid].batch.session != client.session:
                farm.result_subscribers.setdefault(taskid, set()).add(client.session)
    return SendUnfinished(message.seq, tuple(unfinished), finished) if finished else Reply(message.seq, unfinished)


def _barrier(farm: Farm, client: ClientSession, message: Barrier) -> Reply | Refused | None:
    taskids = message.taskids if message.taskids is not None else tuple(farm.tasks)
    # A cleared task has ended: this may be a late copy of a request that came before the clear.
    unknown = [taskid for taskid in taskids if not 0 <= taskid < farm.next_id]
    if unknown:
        return refuse_gone(farm, message.seq, unknown)
    remaining = {taskid for taskid in taskids if taskid in farm.tasks}
    if not remaining:
        return Reply(message.seq)
    if (client.session, message.seq) not in farm.barriers:
        refusal = lending.refuse_wait(farm, client, message.seq, len(remaining))
        if refusal is not None:
            return refusal
        lending.open_barrier(farm, client, message.seq, remaining, is_for_all=message.taskids is None)
    return None


def _clear(farm: Farm, step: Step, client: ClientSession, message: Clear) -> None:
    asked = farm.finished_ids() if message.taskids is None else dict.fromkeys(message.taskids)
    needed = needed_inputs(farm)
    ids = tuple(taskid for taskid in asked if taskid not in farm.tasks and taskid not in needed)
    commit(farm, step, Cleared(ids, client.session, message.seq))


# outputs


def _log(farm: Farm, message: GetLog) -> Reply | SendLog:
    task = farm.tasks.get(message.taskid)
    if task is None:
        return SendLog(message.seq, message.taskid)
    return Reply(message.seq, task.history.output if task.history is not None else ())


def _outputs(farm: Farm, message: GetOutputs) -> Reply | SendOutputs:
    task = farm.tasks.get(message.taskid)
    if task is None:
        return SendOutputs(message.seq, message.taskid, message.known)
    return Reply(message.seq, outputs_answer(*_displays_of(task), message.known))


def outputs_answer(displays: tuple[bytes, ...], version: str, known: str) -> dict[str, object]:
    """Return the answer to a `GetOutputs`: `displays`, or none where the client has this version."""
    return {"version": version, "outputs": _unless_known(displays, version, known)}


def _details(farm: Farm, message: GetDetails, now: Now) -> Reply | SendDetails:
    task = farm.tasks.get(message.taskid)
    if task is None:
        return SendDetails(message)
    printed = task.history.output if task.history is not None else ()
    info = task_info(farm, task, Waiting(farm), now)
    details = details_answer(info, printed, *_displays_of(task), message)
    # the submission decides whether there is a source: its recovery task may run
    return SendDetails(message, details) if message.source else Reply(message.seq, details)


def details_answer(
    task: TaskInfo,
    printed: Printed,
    displays: tuple[bytes, ...],
    version: str,
    asked: GetDetails,
    failure: Failure | None = None,
) -> Details:
    """Return the answer to a `GetDetails`, with as much of the log and the outputs as was asked for."""
    end = printed if asked.tail is None else tail(printed, asked.tail)
    return Details(
        task=task,
        printed=end,
        n_cut=sum(map(len, printed)) - sum(map(len, end)),
        version=version,
        outputs=_unless_known(displays, version, asked.known),
        failure=failure,
    )


def _displays_of(task: Task) -> tuple[tuple[bytes, ...], str]:
    """Return the live displays of a task, with their version."""
    past = task.history
    return (past.displays, past.displays_version) if past is not None else ((), "")


def _unless_known(displays: tuple[bytes, ...], version: str, known: str) -> tuple[bytes, ...] | None:
    """Return `displays`, or `None` where the client has this version."""
    return None if version == known else displays


# the farm


def _scale(farm: Farm, step: Step, message: Scale) -> Answer:
    before = farm.n_workers
    set_n_workers(farm, step, message.n)
    retire_surplus(farm, step)
    broadcasts.answer_waits(farm, step)
    return Reply(message.seq, before)


def stop_farm(farm: Farm, step: Step, now: Now, *, is_idle: bool = False) -> None:
    """Stop the farm on purpose. Running tasks go back to the queue, which stays in the store for the next start.

    `is_idle`: nobody asked for it, and the next use of the farm starts it again.
    """
    if farm.stop_asked:
        return
    commit(farm, step, StopAsked(now.wall))
    for session in farm.sessions.values():
        session.defined = set()  # it defines code again after the next start
        if session.connected:
            step.to_client(session.session, Stopping())
    farm.codes.release_idle(farm.codes.sizes)
    step.to_supervisor(Shutdown(is_idle))
