"""Broadcasts: what every worker runs, those that join later included."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from taskfc_ext import serialize
from taskfc_ext.client import answers, context
from taskfc_ext.client.options import check_wait
from taskfc_ext.client.requests import Call
from taskfc_ext.client.steering import Steering
from taskfc_ext.client.submitting import MAX_BODY, label_of
from taskfc_ext.client.waiting import wait
from taskfc_ext.errors import BroadcastFailed, UnpicklableArgument
from taskfc_ext.protocol.client_messages import AwaitBroadcast, Broadcast, ClearBroadcasts
from taskfc_ext.protocol.infos import BroadcastReport
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.serialize import CellOptions
from taskfc_ext.text import encodable

_MAX_LABEL = 80
_SHOWN = 3
"""Workers whose failure a message tells; the error has them all."""


class Broadcasting(Steering):
    """This part of `FCTaskClient`."""

    async def broadcast(
        self,
        code_or_function: str | Callable[[], object],
        names: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        settings: CellOptions | None = None,
    ) -> int:
        """Run something on every worker, now and on every one that joins later; return on how many it ran by now.

        It is part of the store: replacements of dead workers, workers that `scale` adds and those of a restarted farm
        run it too, before their first task. A worker runs it before every task that is submitted after this call.
        Code runs in the worker's persistent namespace, where string tasks and `--keep` cells find what it defines,
        also after that namespace was cleared. A function is called without arguments, once in each worker.

        Waits until all workers that are there have run it; one that is in a task runs it after that. If it fails on
        one, that worker goes on without. A worker that is killed by it is replaced; after three such deaths nobody
        runs it any more, as the workers' list says. A broadcast cannot be aborted: one that hangs keeps its workers
        from working (`setting up` in their list) until the farm is restarted.

        Args:
            code_or_function: source text, in which IPython's syntax is understood, or what is called.
            names: names and values that are put in the namespace before the code runs.
            timeout: seconds to wait for the workers; 0 returns once it is in the store.
            settings: of the notebook, which code runs with; the magics fill it in.

        Raises:
            BroadcastFailed: it raised on a worker, or killed three; the message says which and why.
            TimeoutError: some workers have not run it yet; they will.
            UnpicklableArgument: the function or a value cannot travel; the message says which and why.
        """
        timeout = check_wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        number = int(await self._ask(Broadcast, **_fields(code_or_function, names, settings)))
        if timeout == 0:
            return 0
        waiting = Call(AwaitBroadcast, {"number": number})
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            self.remote_reference.open_barrier(waiting)
            answer = answers.value_of(await wait(waiting.answer, left))
        except TimeoutError:
            raise TimeoutError(f"broadcast {number} has not run on all workers after {timeout} s; it will") from None
        finally:
            if not waiting.answer.done() or waiting.answer.cancelled():
                self.remote_reference.unwait(waiting)
        return _ran(number, msgspec.convert(answer, BroadcastReport, strict=False))

    async def clear_broadcasts(self) -> int:
        """Forget all broadcasts: workers that join later run none of them. Return how many there were.

        What they made in the workers there are stays.
        """
        return int(await self._ask(ClearBroadcasts))


def _fields(code_or_function: object, names: Mapping[str, Any] | None, settings: CellOptions | None) -> dict[str, Any]:
    """Return the fields of the message."""
    if isinstance(code_or_function, str):
        label = encodable(next((line.strip() for line in code_or_function.splitlines() if line.strip()), "empty"))
        code = code_or_function.encode("utf-8", "surrogatepass")
        kind, body = Kind.STRING, serialize.dump_names(names or {}, (), what="the broadcast", options=settings)
    elif callable(code_or_function):
        if names:
            raise TypeError("names are for code; a function brings its own")
        label = label_of(code_or_function)
        kind, body = Kind.FUNCTION, serialize.dump_call((), {}, what=label)
        code = serialize.dump_function(code_or_function)[1]
    else:
        raise TypeError(f"broadcast takes source text or a function, not {code_or_function!r}")
    if len(code) + len(body) > MAX_BODY:
        raise UnpicklableArgument(
            f"the broadcast {label} is {len(code) + len(body):,} bytes pickled, over the limit of {MAX_BODY:,}",
            hint="write the data to a file, and let the broadcast read it",
        )
    source = code_or_function if isinstance(code_or_function, str) else ""
    return {"code_kind": kind, "label": label[:_MAX_LABEL], "code": code, "body": body, **context.fields(source)}


def _ran(number: int, report: BroadcastReport) -> int:
    """Return on how many workers it ran, or raise what went wrong."""
    if report.failed:
        told = [f"worker {worker}: {problem}" for worker, problem in sorted(report.failed.items())]
        more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        where = f"on {len(told)} of {report.ran + len(told)} workers"
        text = f"broadcast {number} failed {where}: {'; '.join(told[:_SHOWN])}{more}"
        raise BroadcastFailed(text, number=number, workers=dict(report.failed))
    if report.skipped:
        raise BroadcastFailed(f"broadcast {number}: {report.skipped}", number=number)
    return report.ran
