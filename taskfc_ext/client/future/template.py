"""Template of submissions: the `Spec`, code and dependencies that they share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from taskfc_ext.client.future.waiters import Lending
from taskfc_ext.drivers.uploads import Sent
from taskfc_ext.protocol.infos import Details, TaskInfo
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.spec import NO_CELL, Origin, Spec


class Owner(Protocol):
    """The connection that a future belongs to, with the coroutines that the future drives."""

    @property
    def farm_name(self) -> str: ...

    @property
    def lending(self) -> Lending | None: ...

    def check_may_wait(self) -> None: ...

    async def check_store(self, futures: Any) -> None: ...

    async def cancel(self, future: Any) -> bool: ...

    async def abort(self, future: Any) -> None: ...

    async def wait_until_accepted(self) -> None: ...

    async def abort_all(self, futures: Sequence[Any]) -> int: ...

    async def retry(self, taskid: int, like: Template | None = None) -> Any: ...

    async def retry_all(self, futures: Sequence[Any]) -> list[Any]: ...

    async def follow_again(self, futures: Sequence[Any]) -> list[Any]: ...

    async def describe(self, taskid: int) -> TaskInfo: ...

    async def get_printed(self, taskid: int) -> Printed: ...

    async def get_outputs(self, taskid: int) -> list[dict[str, Any]]: ...

    async def get_details(self, taskid: int) -> tuple[Details, list[dict[str, Any]]]: ...


class Template:
    """The shared part of submissions: neighbours with the same template are sent in one message.

    Args:
        owner: the connection they are sent through.
        spec: their options; `None` for a task that was submitted elsewhere.
        label: the code's name in lists.
        name: the task's name, if it has one.
        defines: (digest, body) of all code that `spec` names.
        after: ids or futures of the tasks they come after.
        after_any: they only have to end, in any state.
        inputs: ids or futures of the tasks whose results their arguments refer to.
        retry_of: the finished task that a retry repeats.
        origin: the cell that they come from.

    Attributes:
        loads: bytes of the function that each task loads again, if they are worth a warning; else 0.
        store_began: when the store that has their tasks began, see `Welcome`; 0: not known.
    """

    __slots__ = (
        *("_last_with_inputs", "_without_code", "after", "after_any", "decoding", "defines", "inputs", "label"),
        *("loads", "name", "origin", "owner", "retry_of", "spec", "store_began"),
    )

    def __init__(
        self,
        owner: Owner,
        spec: Spec | None,
        *,
        label: str,
        name: str | None = None,
        defines: Sequence[tuple[bytes, Sent]] = (),
        after: tuple[Any, ...] = (),
        after_any: bool = False,
        inputs: tuple[Any, ...] = (),
        retry_of: int | None = None,
        origin: Origin = NO_CELL,
    ) -> None:
        self.owner = owner
        self.spec = spec
        self.label = label
        self.name = name
        self.defines = tuple(defines)
        self.after = after
        self.after_any = after_any
        self.inputs = inputs
        self.retry_of = retry_of
        self.origin = origin
        self.loads = 0
        self.store_began = 0.0
        self.decoding = threading.RLock()  # one for all: a lock per future would double its size
        self._without_code: Template | None = None
        self._last_with_inputs: Template | None = None

    def without_code(self, store_began: float = 0.0) -> Template:
        """Return the template for tasks that this store has accepted, which does not keep their code."""
        accepted = self._without_code
        if accepted is None or accepted.store_began != store_began:
            accepted = self._without_code = self._copy((), self.inputs)
            accepted.decoding = self.decoding
            accepted.store_began = store_began
        return accepted

    def with_inputs(self, inputs: tuple[Any, ...]) -> Template:
        """Return the template for tasks whose arguments refer to the results of `inputs`."""
        last = self._last_with_inputs
        if last is None or last.inputs != inputs:  # else tasks with the same inputs share a message
            last = self._last_with_inputs = self._copy(self.defines, inputs)
        return last

    def from_cell(self, origin: Origin) -> Template:
        """Return the template for tasks of a cell."""
        return self if origin == self.origin else self._copy(self.defines, self.inputs, origin)

    def _copy(
        self, defines: Sequence[tuple[bytes, Sent]], inputs: tuple[Any, ...], origin: Origin | None = None
    ) -> Template:
        return Template(
            self.owner,
            self.spec,
            label=self.label,
            name=self.name,
            defines=defines,
            after=self.after,
            after_any=self.after_any,
            inputs=inputs,
            retry_of=self.retry_of,
            origin=self.origin if origin is None else origin,
        )
