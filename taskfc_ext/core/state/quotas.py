"""Quotas of clients: how many unfinished tasks each has, and the bytes of arguments that these keep in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from taskfc_ext.core.state.task import Batch, Task
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.limits import MAX_UNFINISHED, MAX_UNFINISHED_BYTES
from taskfc_ext.protocol.payloads import Payload, bytes_outside_files
from taskfc_ext.protocol.spec import Spec


class Share(Struct, gc=False):
    """The share of one client in the queue.

    Attributes:
        n_tasks: its unfinished tasks.
        n_bytes: the bytes of their arguments and those of their recovery tasks, without those in files.
    """

    n_tasks: int = 0
    n_bytes: int = 0


_NOTHING = Share()


class Quotas:
    """The shares of all clients that have unfinished tasks.

    Attributes:
        shares: by session.
    """

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self.shares: dict[str, Share] = {}
        for task in tasks:
            self.add(task.batch, (task.body,))

    def add(self, batch: Batch, bodies: Sequence[Payload]) -> None:
        """Count new tasks of a batch, by their arguments."""
        share = self.shares.get(batch.session)
        if share is None:
            share = self.shares[batch.session] = Share()
        share.n_tasks += len(bodies)
        share.n_bytes += bytes_outside_files(bodies) + len(bodies) * batch.recovery_share

    def remove(self, tasks: Iterable[Task]) -> None:
        """Count no more what has ended."""
        for task in tasks:  # the path of every task: nothing is made here
            batch = task.batch
            share = self.shares[batch.session]
            share.n_tasks -= 1
            share.n_bytes -= batch.recovery_share
            if isinstance(task.body, bytes):
                share.n_bytes -= len(task.body)
            if not share.n_tasks:
                del self.shares[batch.session]

    def refusal(self, seq: int, session: str, bodies: Sequence[Payload], specs: Iterable[Spec]) -> Refused | None:
        """Return the refusal of a request for new tasks with these arguments; `None` if the client may have them.

        Args:
            seq: the number of the request.
            session: the client's.
            bodies: the arguments, one for each task.
            specs: one for each batch.
        """
        share = self.shares.get(session, _NOTHING)
        if share.n_tasks + len(bodies) > MAX_UNFINISHED:
            text = f"this client has {share.n_tasks:,} unfinished tasks; with {len(bodies):,} more it would have "
            text += f"over {MAX_UNFINISHED:,}, the most of one client"
            hint = "wait for some of them; a map has fewer with a chunksize, and imap() keeps only some in the queue"
            return Refused(seq, ErrorKind.TOO_MUCH, text, hint)
        n_new = bytes_outside_files(bodies) + sum(spec.recovery_bytes for spec in specs)
        if share.n_bytes + n_new > MAX_UNFINISHED_BYTES:
            text = f"the arguments of this client's unfinished tasks take {share.n_bytes:,} bytes of memory; with "
            text += f"{n_new:,} more they would take over {MAX_UNFINISHED_BYTES:,}, the most of one client"
            return Refused(seq, ErrorKind.TOO_MUCH, text, "wait for some of them; imap() keeps only some in the queue")
        return None
