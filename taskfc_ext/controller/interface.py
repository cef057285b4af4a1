"""What a controller offers over the wire, as a type."""

from __future__ import annotations

from typing import Protocol

from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import Event, Now
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.ids import Session


class TaskController(Protocol):
    """Decides: the scheduler, or a fake in a test."""

    def handle(self, event: Event, now: Now) -> Effects:
        """Take `event` in; return what must be done about it."""
        ...


class IFCTaskController(Protocol):
    """What clients may ask of a controller: one `remote_` method for each message that they may send.

    The first seven names are those of `IPython.kernel.taskfc`. Each takes the client's session and the decoded
    message and returns what has to be committed and then sent; answers are messages among these.
    """

    def remote_run(self, session: Session, message: said.Submit, now: Now) -> Effects:
        """Accept a batch of tasks."""
        ...

    def remote_abort(self, session: Session, message: said.Abort, now: Now) -> Effects:
        """Abort a task that has not ended."""
        ...

    def remote_get_task_result(self, session: Session, message: said.GetResults, now: Now) -> Effects:
        """Send the results of finished tasks, and of the others when they have ended."""
        ...

    def remote_barrier(self, session: Session, message: said.Barrier, now: Now) -> Effects:
        """Answer when tasks have ended."""
        ...

    def remote_spin(self, session: Session, message: said.Spin, now: Now) -> Effects:
        """Look again at what can run now."""
        ...

    def remote_queue_status(self, session: Session, message: said.QueueStatus, now: Now) -> Effects:
        """Answer with counts or ids by state."""
        ...

    def remote_clear(self, session: Session, message: said.Clear, now: Now) -> Effects:
        """Forget finished tasks."""
        ...

    def remote_get_client_name(self, session: Session, message: said.GetClientName, now: Now) -> Effects:
        """Answer with the name under which the controller knows this client."""
        ...

    def remote_hello(self, session: Session, message: said.Hello, now: Now) -> Effects:
        """Open a connection of a new or an old session."""
        ...

    def remote_define(self, session: Session, message: said.Define, now: Now) -> Effects:
        """Keep code under its digest."""
        ...

    def remote_released(self, session: Session, message: said.Released, now: Now) -> Effects:
        """Drop code that this client, and nobody else, might have named."""
        ...

    def remote_abort_tasks(self, session: Session, message: said.AbortTasks, now: Now) -> Effects:
        """Abort those of many tasks that have not ended."""
        ...

    def remote_hold(self, session: Session, message: said.Hold, now: Now) -> Effects:
        """Keep tasks from being given to workers, or no longer."""
        ...

    def remote_move(self, session: Session, message: said.Move, now: Now) -> Effects:
        """Give tasks another priority."""
        ...

    def remote_retry(self, session: Session, message: said.Retry, now: Now) -> Effects:
        """Run a finished task again, as a new one."""
        ...

    def remote_unwait(self, session: Session, message: said.Unwait, now: Now) -> Effects:
        """Forget an open barrier."""
        ...

    def remote_list_tasks(self, session: Session, message: said.ListTasks, now: Now) -> Effects:
        """Answer with tasks as lists show them."""
        ...

    def remote_get_log(self, session: Session, message: said.GetLog, now: Now) -> Effects:
        """Answer with what a task has printed."""
        ...

    def remote_get_failure(self, session: Session, message: said.GetFailure, now: Now) -> Effects:
        """Answer with why a task has no value, as text."""
        ...

    def remote_get_submission(self, session: Session, message: said.GetSubmission, now: Now) -> Effects:
        """Answer with what a task was submitted as."""
        ...

    def remote_get_outputs(self, session: Session, message: said.GetOutputs, now: Now) -> Effects:
        """Answer with what a task shows: figures, tables."""
        ...

    def remote_get_details(self, session: Session, message: said.GetDetails, now: Now) -> Effects:
        """Answer with everything that a view of one task shows."""
        ...

    def remote_get_workers(self, session: Session, message: said.GetWorkers, now: Now) -> Effects:
        """Answer with the workers."""
        ...

    def remote_watch(self, session: Session, message: said.Watch, now: Now) -> Effects:
        """Send the queue as it is, and from then on what is different."""
        ...

    def remote_unwatch(self, session: Session, message: said.Unwatch, now: Now) -> Effects:
        """Send no more of it."""
        ...

    def remote_broadcast(self, session: Session, message: said.Broadcast, now: Now) -> Effects:
        """Have something run on every worker, now and whenever one joins."""
        ...

    def remote_await_broadcast(self, session: Session, message: said.AwaitBroadcast, now: Now) -> Effects:
        """Answer when the workers there are have run a broadcast."""
        ...

    def remote_clear_broadcasts(self, session: Session, message: said.ClearBroadcasts, now: Now) -> Effects:
        """Forget all broadcasts."""
        ...

    def remote_scale(self, session: Session, message: said.Scale, now: Now) -> Effects:
        """Set the number of workers."""
        ...

    def remote_stop(self, session: Session, message: said.Stop, now: Now) -> Effects:
        """Stop the farm on purpose."""
        ...

    def remote_ping(self, session: Session, message: said.Ping, now: Now) -> Effects:
        """Answer, and keep the session known."""
        ...
