"""`IFCTaskController`: the methods that clients can call over the wire."""

from __future__ import annotations

from typing import Protocol

from taskfc_ext.core.effects import Effects
from taskfc_ext.core.events import Event, Now
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.ids import Session


class TaskController(Protocol):
    """The part that makes the decisions: the scheduler, or a fake in a test."""

    def handle(self, event: Event, now: Now) -> Effects:
        """Handle `event` and return its effects."""
        ...


class IFCTaskController(Protocol):
    """The requests of clients: one `remote_` method for each message that they may send.

    The first seven names are those of `IPython.kernel.taskfc`. Each method takes the client's session and the decoded
    message, and returns the effects, which contain the answer.
    """

    def remote_run(self, session: Session, message: said.Submit, now: Now) -> Effects:
        """Accept a batch of tasks."""
        ...

    def remote_abort(self, session: Session, message: said.Abort, now: Now) -> Effects:
        """Abort a task that has not ended."""
        ...

    def remote_get_task_result(self, session: Session, message: said.GetResults, now: Now) -> Effects:
        """Send the results of finished tasks, and those of unfinished tasks when they end."""
        ...

    def remote_barrier(self, session: Session, message: said.Barrier, now: Now) -> Effects:
        """Answer when tasks have ended."""
        ...

    def remote_get_barrier(self, session: Session, message: said.GetBarrier, now: Now) -> Effects:
        """Answer with the counts of an open barrier."""
        ...

    def remote_spin(self, session: Session, message: said.Spin, now: Now) -> Effects:
        """Dispatch again."""
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
        """Drop code that only this client may still have named."""
        ...

    def remote_abort_tasks(self, session: Session, message: said.AbortTasks, now: Now) -> Effects:
        """Abort many tasks, except those that have ended."""
        ...

    def remote_hold(self, session: Session, message: said.Hold, now: Now) -> Effects:
        """Keep tasks from being dispatched, or release them."""
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
        """Answer with the output of a task."""
        ...

    def remote_get_submission(self, session: Session, message: said.GetSubmission, now: Now) -> Effects:
        """Answer with a task as it was submitted."""
        ...

    def remote_get_outputs(self, session: Session, message: said.GetOutputs, now: Now) -> Effects:
        """Answer with the displays of a task, such as figures and tables."""
        ...

    def remote_get_details(self, session: Session, message: said.GetDetails, now: Now) -> Effects:
        """Answer with everything that a view of one task shows."""
        ...

    def remote_get_engine(self, session: Session, message: said.GetEngine, now: Now) -> Effects:
        """Return the engine that has the workers, or `None`."""
        ...

    def remote_get_workers(self, session: Session, message: said.GetWorkers, now: Now) -> Effects:
        """Answer with the workers."""
        ...

    def remote_watch(self, session: Session, message: said.Watch, now: Now) -> Effects:
        """Send a snapshot of the queue, and from then on its changes."""
        ...

    def remote_unwatch(self, session: Session, message: said.Unwatch, now: Now) -> Effects:
        """End the subscription."""
        ...

    def remote_broadcast(self, session: Session, message: said.Broadcast, now: Now) -> Effects:
        """Run code on every worker, including workers that join later."""
        ...

    def remote_await_broadcast(self, session: Session, message: said.AwaitBroadcast, now: Now) -> Effects:
        """Answer when all present workers have run a broadcast."""
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
