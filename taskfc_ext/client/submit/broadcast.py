"""Sending of a broadcast, and the result of its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from taskfc_ext import serialize
from taskfc_ext.client.submit.labels import label_of, label_of_source
from taskfc_ext.client.submit.sending import Uploader, make_fields, to_send
from taskfc_ext.drivers.uploads import in_message
from taskfc_ext.errors import BroadcastFailed, UnpicklableArgument
from taskfc_ext.protocol.client_messages import Broadcast, Request
from taskfc_ext.protocol.infos import BroadcastReport
from taskfc_ext.protocol.limits import MAX_BROADCAST
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.serialize import CellOptions
from taskfc_ext.serialize.packed_names import PackedNames

_SHOWN = 3
"""Failed workers in the message; the error has all of them."""


class Remote(Uploader, Protocol):
    """The part of a session that this needs."""

    async def ask(self, kind: type[Request], *, ahead: bool = False, **fields: Any) -> Any: ...


async def send_broadcast(
    remote: Remote, code_or_function: object, names: Mapping[str, Any] | None, settings: CellOptions | None
) -> int:
    """Return the number of the broadcast, once it is in the store.

    Raises:
        UnpicklableArgument: the function or a value cannot be sent, or is too large.
        TypeError: it is neither a text nor a function.
    """
    fields = _fields(code_or_function, names, settings)
    what = f"the broadcast {fields['label']}"
    # the files stay until the answer has come, since the message may have to be repeated
    here, _files = make_fields(remote, code_or_function if isinstance(code_or_function, str) else "")
    code, body = to_send(remote, fields.pop("code"), what), to_send(remote, fields.pop("body"), what)
    return int(await remote.ask(Broadcast, code=in_message(code), body=in_message(body), **fields, **here))


def _fields(code_or_function: object, names: Mapping[str, Any] | None, settings: CellOptions | None) -> dict[str, Any]:
    """Return the fields of the message."""
    if isinstance(code_or_function, str):
        label = label_of_source(code_or_function)
        code = code_or_function.encode("utf-8", "surrogatepass")
        kind = Kind.STRING
        if isinstance(names, PackedNames):
            body = serialize.join(names.body)
        else:
            body = serialize.join(serialize.dump_names(names or {}, (), what="the broadcast", options=settings))
    elif callable(code_or_function):
        if names:
            raise TypeError("names are for code; a function brings its own")
        label = label_of(code_or_function)
        kind, body = Kind.FUNCTION, serialize.join(serialize.dump_call((), {}, what=label))
        code = serialize.join(serialize.dump_function(code_or_function)[1])
    else:
        raise TypeError(f"broadcast takes source text or a function, not {code_or_function!r}")
    if len(code) + len(body) > MAX_BROADCAST:
        raise UnpicklableArgument(
            f"the broadcast {label} is {len(code) + len(body):,} bytes pickled, over the limit of {MAX_BROADCAST:,}",
            hint="write the data to a file, and let the broadcast read it",
        )
    return {"code_kind": kind, "label": label, "code": code, "body": body}


def workers_that_ran(number: int, report: BroadcastReport) -> int:
    """Return the number of workers that ran it.

    Raises:
        BroadcastFailed: it failed on a worker, or is run by none any more.
    """
    if report.failed:
        failures = [f"worker {worker}: {problem}" for worker, problem in sorted(report.failed.items())]
        more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        where = f"on {len(failures)} of {report.ran + len(failures)} workers"
        text = f"broadcast {number} failed {where}: {'; '.join(failures[:_SHOWN])}{more}"
        raise BroadcastFailed(text, number=number, workers=dict(report.failed))
    if report.skipped:
        raise BroadcastFailed(f"broadcast {number}: {report.skipped}", number=number)
    return report.ran
