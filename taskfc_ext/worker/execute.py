"""One attempt: code and body in, outcome and payload out. Whatever the user's code raises ends up in a payload."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from sys import modules
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from taskfc_ext.drivers.memory import MUCH, give_back_memory
from taskfc_ext.errors import TaskRejectError, UnpicklableResult
from taskfc_ext.protocol.ids import MAX_FRAME
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, encode_failure, size_of
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.worker_messages import MAX_PROBLEM, Prepare
from taskfc_ext.serialize import (
    SourceResult,
    dump_exception,
    dump_value,
    load_call,
    load_function,
    load_names,
    load_value,
)
from taskfc_ext.serialize.blame import shortened, text_of, type_name_of
from taskfc_ext.worker.displays import Displays
from taskfc_ext.worker.figures import INLINE, show_figures
from taskfc_ext.worker.forking import leave_if_child
from taskfc_ext.worker.interrupt import Guard, TaskInterrupt
from taskfc_ext.worker.modules import UserModules
from taskfc_ext.worker.property_dict import Properties
from taskfc_ext.worker.surroundings import Surroundings
from taskfc_ext.worker.tracebacks import user_traceback

if TYPE_CHECKING:  # it imports IPython, which most workers never need
    from taskfc_ext.worker.cell import CellRunner

logger = logging.getLogger(__name__)

MAX_VALUE = MAX_FRAME - 24 * 2**20
"""Bytes of one result: with its output, of up to 4 MiB, and its displays, of up to 8, it has to fit into one frame."""

MAX_REFUSAL = 2_000
"""Characters of the text that says why a worker refused a task."""

Ended = tuple[int, bytes]
"""(outcome, payload)"""

_OK = int(Outcome.OK)
_FUNCTION = Kind.FUNCTION


class Executor:
    """Runs attempts in the calling thread, which has to be the main one.

    Args:
        properties: what `depend` functions are given.
        guard: what the attempts are run under.
        displays: takes what they show.

    Attributes:
        modules: the user's own, which are edited between tasks.
        looks_at_modules: before the next attempt, see whether these modules are those that it is to get.
    """

    def __init__(self, properties: Properties, guard: Guard, displays: Displays) -> None:
        self._properties = properties
        self._guard = guard
        self._displays = displays
        self._surroundings = Surroundings()
        self.modules = UserModules()
        self.looks_at_modules = False
        self._went_elsewhere = False
        self._bodies: dict[bytes, Payload] = {}
        self._functions: dict[bytes, Callable[..., Any]] = {}
        self._cells: CellRunner | None = None

    def define(self, digest: bytes, body: Payload) -> None:
        """Keep code for the attempts that name it. Any thread."""
        self._bodies[digest] = body

    def forget(self, digests: Iterable[bytes]) -> None:
        """Let go of code that no attempt here names before it is defined again. Any thread."""
        n_bytes = 0
        for digest in digests:
            n_bytes += size_of(self._bodies.pop(digest, b""))
            self._functions.pop(digest, None)
        if n_bytes >= MUCH:
            give_back_memory()

    @property
    def codes(self) -> tuple[bytes, ...]:
        """The digests of all code that is kept. Any thread."""
        return tuple(self._bodies)

    def run(self, spec: Spec, taskid: int, body: Payload, inputs: Sequence[Payload]) -> Ended:
        """Make one attempt; raises nothing but a `TaskInterrupt`, and that only outside the user's code."""
        try:
            self._enter(spec.context, spec.modules)
            if spec.depend is not None:
                refusal = self._refusal(spec.depend)
                if refusal:
                    return int(Outcome.REFUSED), _text(refusal)
            if spec.kind is _FUNCTION:
                function = self._functions.get(spec.code) or self._load(spec.code)
                args, kwargs = load_call(_bytes(body), _all_bytes(inputs) if inputs else ())
                try:
                    value = function(*args, **kwargs)
                    if type(value) is CoroutineType:
                        value = _awaited(value)
                finally:
                    if INLINE in modules:
                        show_figures()
            else:
                value = self._run_source(spec, taskid, _bytes(body), _all_bytes(inputs))
            leave_if_child()
            return _OK, _dump_result(value, spec.label)
        except BaseException as error:  # noqa: BLE001  SystemExit and KeyboardInterrupt of a task are its own errors
            leave_if_child(error)
            try:
                return self._failed(spec, error)
            except TaskInterrupt:
                raise
            except BaseException as problem:  # noqa: BLE001  no memory, or an exception that fights back
                return _indescribable(error, problem)

    def set_up(self, broadcast: Prepare) -> str:
        """Run a broadcast; return the exception's type and text, or "". Raises nothing.

        What it changes of the environment and the module path holds for all tasks that come.
        """
        try:
            self.looks_at_modules = True
            self._enter(broadcast.context, broadcast.modules)
            if broadcast.kind is _FUNCTION:
                args, kwargs = load_call(_bytes(broadcast.body))
                value = load_function(_bytes(broadcast.code))(*args, **kwargs)
                if type(value) is CoroutineType:
                    _awaited(value)
            else:
                names, _ = load_names(_bytes(broadcast.body))
                self._runner().set_up(_bytes(broadcast.code).decode(), names, broadcast.number)
            leave_if_child()
            self._surroundings.keep_changes()
            return ""
        except BaseException as error:  # noqa: BLE001  whatever it was, the worker goes on
            leave_if_child(error)
            try:
                logger.warning("broadcast=%d failed:\n%s", broadcast.number, user_traceback(error))
                problem = f"{type_name_of(type(error))}: {text_of(error)}"
                return shortened(problem, MAX_PROBLEM).encode(errors="replace").decode()
            except BaseException as problem:  # noqa: BLE001  an exception that fights back
                return f"it failed, and so did the description of how ({type(problem).__name__})"

    # functions

    def _enter(self, context: bytes | None, modules: tuple[bytes, ...]) -> None:
        """Go where the next code is to run, and have the modules there that it is to find."""
        self._went_elsewhere |= self._surroundings.enter(context, self._body)
        if self._went_elsewhere or self.looks_at_modules:
            self._renew_modules(modules)

    def _renew_modules(self, digests: tuple[bytes, ...]) -> None:
        modules = self.modules
        modules.serve(digests, self._surroundings.folder, self._body)
        if self._went_elsewhere or modules.are_stale():
            modules.drop()
            self._functions.clear()  # they stand for names in these modules
        self.looks_at_modules = self._went_elsewhere = False

    def _load(self, digest: bytes) -> Callable[..., Any]:
        function = load_function(self._body(digest))
        self._functions[digest] = function  # its body stays: another context has to load it anew
        return function

    def _body(self, digest: bytes) -> bytes:
        if digest not in self._bodies:
            raise LookupError(f"code {digest.hex()} did not reach this worker")
        return _bytes(self._bodies[digest])

    # source

    def _run_source(self, spec: Spec, taskid: int, body: bytes, inputs: Sequence[bytes]) -> SourceResult:
        source = self._body(spec.code).decode()
        names, out = load_names(body, inputs)
        is_cell = spec.kind is Kind.CELL
        return self._runner().run(
            source,
            names,
            out,
            taskid=taskid,
            is_fresh=is_cell and not spec.keep,
            wants_value=is_cell,
            clear_before=spec.clear_before,
            clear_after=spec.clear_after,
        )

    def _runner(self) -> CellRunner:
        if self._cells is None:
            from taskfc_ext.worker.cell import CellRunner  # IPython: 0.3 s, and never before the first function

            self._cells = CellRunner(self._guard, self._displays)
        return self._cells

    def offer_shell(self) -> None:
        """IPython was imported: functions that display something are to find our shell. Made when they do."""
        try:
            from taskfc_ext.worker.shell import offer_shell
        except ImportError:  # something else of that name
            return
        offer_shell(self._runner)

    # what did not end well

    def _refusal(self, depend: bytes) -> str:
        """Return why `depend` says no; empty when it says yes."""
        try:
            allows = (self._functions.get(depend) or self._load(depend))(self._properties)
            leave_if_child()
            return "" if allows else "depend returned a false value"
        except Exception as error:  # noqa: BLE001  an exception in depend is a no
            leave_if_child(error)
            return f"depend raised {type_name_of(type(error))}: {text_of(error)}"

    def _failed(self, spec: Spec, error: BaseException) -> Ended:
        if isinstance(error, TaskInterrupt):
            return interrupted(user_traceback(error))
        if isinstance(error, TaskRejectError):
            return int(Outcome.NOT_NOW), _text(text_of(error))
        outcome = Outcome.ERROR
        if spec.retry_on is not None:
            try:
                if not isinstance(error, self._types(spec.retry_on)):
                    outcome = Outcome.FINAL_ERROR
            except Exception as problem:  # noqa: BLE001  types that cannot be loaded, or are none
                error = problem
        failure = dump_exception(error, traceback=user_traceback(error), of_string=spec.kind is Kind.STRING)
        return int(outcome), encode_failure(failure)

    def _types(self, digest: bytes) -> tuple[type[BaseException], ...]:
        types: Any = load_value(self._body(digest))
        return types if isinstance(types, tuple) else (types,)


def _awaited(coroutine: CoroutineType[Any, Any, Any]) -> object:
    import asyncio  # 20 ms that a worker's start does without

    return asyncio.run(coroutine)


def interrupted(traceback: str = "") -> Ended:
    """Return how an attempt ended that its interrupt has stopped."""
    failure = Failure(reason=Reason.ABORTED, message="interrupted", type_name="KeyboardInterrupt", traceback=traceback)
    return int(Outcome.INTERRUPTED), encode_failure(failure)


def _indescribable(error: BaseException, problem: BaseException) -> Ended:
    text = f"it failed, and so did the description of how ({type(problem).__name__})"
    failure = Failure(reason=Reason.ERROR, message=text, type_name=type_name_of(type(error)))
    return int(Outcome.ERROR), encode_failure(failure)


def _dump_result(value: object, label: str) -> bytes:
    body = dump_value(value, what="the result of " + label)
    if len(body) > MAX_VALUE:
        kind = type_name_of(type(value))
        text = f"the result of {label} (of type {kind}) is {len(body):,} bytes pickled, over the limit of {MAX_VALUE:,}"
        raise UnpicklableResult(text, hint="write it to a file in the task, and return the file's path")
    return body


def _text(text: str) -> bytes:
    return shortened(text, MAX_REFUSAL).encode()


def _bytes(payload: Payload) -> bytes:
    if type(payload) is not bytes:
        raise LookupError(f"payloads in files are not understood by this worker: {payload!r}")
    return payload


def _all_bytes(payloads: Sequence[Payload]) -> list[bytes]:
    return [_bytes(payload) for payload in payloads]
