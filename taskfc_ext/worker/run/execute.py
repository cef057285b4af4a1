"""Execution of one attempt: code and body become an outcome and a payload, also if the user's code raises."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from sys import modules
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from taskfc_ext.drivers.memory import MUCH, give_back_memory
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.payload_reading import Content
from taskfc_ext.drivers.uploads import Sent
from taskfc_ext.errors import LoadingFailed, TaskRejectError, UnpicklableResult
from taskfc_ext.protocol.context import Edits
from taskfc_ext.protocol.payloads import Outcome, Payload, encode_failure
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.worker_messages import MAX_PROBLEM, Prepare
from taskfc_ext.serialize import (
    CellOptions,
    Received,
    SourceResult,
    dump_exception,
    dump_value,
    load_call,
    load_cell,
    load_function,
    load_submitted,
    parts_of,
)
from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.blame import NOTE, describe_error, shorten, text_of
from taskfc_ext.serialize.scope import MAIN, enter, leave
from taskfc_ext.worker.context.allotment import Allotment, uses_cuda
from taskfc_ext.worker.context.context import ExecutionContext
from taskfc_ext.worker.context.elsewhere import PrivateFolder
from taskfc_ext.worker.context.modules import UserModules
from taskfc_ext.worker.context.settings import ProcessSettings
from taskfc_ext.worker.load.bodies import Bodies
from taskfc_ext.worker.load.harmless import are_atoms
from taskfc_ext.worker.load.namespaces import Namespaces
from taskfc_ext.worker.load.programs import Program, Programs
from taskfc_ext.worker.output.displays import Displays
from taskfc_ext.worker.output.figures import INLINE, show_figures
from taskfc_ext.worker.property_dict import Properties
from taskfc_ext.worker.run.bare_ends import describe_briefly, end_indescribable, end_interrupted
from taskfc_ext.worker.run.exits import ExitCalled, sentence_of
from taskfc_ext.worker.run.forking import leave_if_child
from taskfc_ext.worker.run.interrupt import Guard, TaskInterrupt
from taskfc_ext.worker.run.room import write_when_there_is_room
from taskfc_ext.worker.run.tracebacks import user_traceback

if TYPE_CHECKING:  # it imports IPython, which most workers never need
    from taskfc_ext.worker.run.cell import CellRunner

logger = logging.getLogger(__name__)

THOROUGH_AFTER = 0.001
"""Seconds of an attempt after which settings that take long to read are checked as well."""

LONGEST_PLAIN = 2**16
"""Bytes of arguments up to which an attempt may repeat the last one: larger ones may hold anything."""

_CUDA_IN_USE = "an earlier task has used CUDA in this worker, which ends"

MAX_REFUSAL = 2_000
"""Characters of the reason why a worker refused a task."""

Ended = tuple[int, Sent]
"""(outcome, payload)"""

Gpus = tuple[str, ...]

_OK = int(Outcome.OK)
_FUNCTION = Kind.FUNCTION


class Payloads(Protocol):
    """The part of `LargePayloads` that an executor uses."""

    def write(self, parts: Iterable[bytes | memoryview], *, what: str) -> Sent: ...
    def read(self, payload: Payload) -> Content: ...


class Executor:
    """Runs attempts in the calling thread, which must be the main thread.

    Args:
        properties: the argument of `depend` functions.
        guard: interrupts the attempts.
        displays: takes their displays.
        payloads: the large arguments and results.
        private_folder: see `ExecutionContext`.

    Attributes:
        modules: the user's own, which are edited between tasks.
        settings: of the process; `leave` restores them.
        looks_at_modules: check before the next attempt whether it gets the right modules.
    """

    def __init__(
        self,
        properties: Properties,
        guard: Guard,
        displays: Displays,
        payloads: Payloads,
        private_folder: PrivateFolder | None = None,
    ) -> None:
        self._properties = properties
        self._guard = guard
        self._displays = displays
        self._payloads = payloads
        self._context = ExecutionContext(private_folder)
        self.settings = ProcessSettings()
        self.modules = UserModules()
        self.looks_at_modules = False
        self._went_elsewhere = False
        self._bodies = Bodies(payloads.read)
        self._programs = Programs()
        self._namespaces = Namespaces()
        self._is_harmless = False
        self._repeated: tuple[Spec, Program] | None = None
        self._allotment: Allotment | None = None
        self._cells: CellRunner | None = None

    def define(self, digest: bytes, body: Payload) -> None:
        """Keep code for attempts that refer to it. Any thread."""
        self._bodies.add(digest, body)

    def forget(self, digests: Iterable[bytes]) -> None:
        """Drop code that no attempt here refers to before it is defined again. Any thread."""
        n_bytes = 0
        for digest in digests:
            n_bytes += self._bodies.drop(digest)  # of a file too: texts and bytes in it were copied
            self._programs.forget(digest)
            if self._repeated is not None and self._repeated[0].code == digest:
                self._repeated = None
        if n_bytes >= MUCH:
            give_back_memory()

    @property
    def codes(self) -> tuple[bytes, ...]:
        """Digests of all code that is kept. Any thread."""
        return self._bodies.digests

    def run(
        self, spec: Spec, taskid: int, body: Payload, inputs: Sequence[Payload], gpus: Gpus = (), environ: Edits = ()
    ) -> Ended:
        """Make one attempt, with these GPUs and variables. Raises only `TaskInterrupt`, outside the user's code."""
        outer = modules[MAIN]
        self._is_harmless = False
        self._repeated = None
        try:
            self._enter(spec.context, spec.modules, environ)
            self.settings.seed(spec.seed)
            if spec.needs is not None:
                if gpus and uses_cuda():
                    self.settings.why_unusable = _CUDA_IN_USE
                    return int(Outcome.NOT_NOW), _text(_CUDA_IN_USE)
                self._allotment = Allotment(spec.needs, gpus)
            if spec.depend is not None:
                refusal = self._refusal(spec.depend)
                if refusal:
                    return int(Outcome.REFUSED), _text(refusal)
            if spec.kind is _FUNCTION:
                value = self._call(spec, body, inputs)
            else:
                value = self._run_source(spec, taskid, body, inputs)
            leave_if_child()
            return _OK, self._result(value, what="the result of " + spec.label)
        except BaseException as error:  # noqa: BLE001  SystemExit and KeyboardInterrupt are errors of the task
            leave_if_child(error)
            return self._end_failed_safely(spec, error)
        finally:
            leave(None, outer)
            if self._allotment is not None:
                self.settings.why_unusable = self.settings.why_unusable or self._allotment.end()
                self._allotment = None
            self._namespaces.end_attempt()
            if spec.clear_after and self._cells is not None:  # after the result was pickled, which may need these names
                self._cells.clear()

    def _call(self, spec: Spec, body: Payload, inputs: Sequence[Payload]) -> object:
        try:
            program = self._programs.get(spec.code) or self._load(spec.code)
            enter(program.host)
            args, kwargs = load_call(self._read(body), [self._read(each) for each in inputs] if inputs else ())
            if program.is_harmless:
                is_plain = not kwargs and are_atoms(args)
                self._is_harmless = is_plain and spec.depend is None and spec.seed is None
                if not is_plain:
                    self._drop_if_writable(spec.code, program)
                elif self._is_harmless and program.is_kept and spec.timeout is None and not inputs and not spec.needs:
                    self._repeated = spec, program
        except UnpicklableResult:
            raise  # of an input: its own message says more
        except Exception as error:
            raise _not_loaded(spec.label, error) from error
        try:
            value = program.function(*args, **kwargs)
            return _run_coroutine(value) if type(value) is CoroutineType else value
        finally:
            if INLINE in modules:
                show_figures()

    def can_repeat(self, spec: Spec) -> bool:
        """Return whether an attempt of `spec` without inputs may `repeat` the last one, which left nothing behind."""
        repeated = self._repeated
        return repeated is not None and repeated[0] == spec and not self.settings.has_pending

    def repeat(self, body: Payload) -> Ended | None:
        """Make one more attempt like the last one, with other arguments, where `can_repeat` allows it.

        Its function provably changes nothing in this process, and can see no setting that a task may change. So there
        is nothing to set up or to put back. Raises as `run`.

        Returns:
            `None` if the arguments are not plain values: nothing has run, and `run` has to make this attempt.
        """
        repeated = self._repeated
        if repeated is None:  # the controller has just dropped its code
            return None
        spec, program = repeated
        program.forget_warnings()
        if not program.is_as_loaded():
            return None
        if type(body) is not bytes or len(body) >= LONGEST_PLAIN:
            return None
        args, kwargs = load_call(body)
        if kwargs or not are_atoms(args):
            return None
        outer = modules[MAIN]
        try:
            value = program.function(*args)
            if type(value) not in ATOMS:
                enter(program.host)  # what the function defines is pickled by value
            return _OK, self._result(value, what="the result of " + spec.label)
        except BaseException as error:  # noqa: BLE001  as in `run`
            enter(program.host)
            return self._end_failed_safely(spec, error)
        finally:
            leave(None, outer)

    def set_up(self, broadcast: Prepare) -> str:
        """Run a broadcast; return the exception's type and text, or "". Raises nothing.

        If it succeeds, its changes of the environment, the module path and the settings hold for all later tasks.
        """
        outer = modules[MAIN]
        self._repeated = None
        try:
            self.looks_at_modules = True
            self._enter(broadcast.context, broadcast.modules)
            self.settings.seed(None)
            body = broadcast.body
            if broadcast.kind is _FUNCTION:
                with self._namespaces.broadcasting():
                    enter(self._namespaces.kept)
                    function = load_function(broadcast.code)
                    args, kwargs = load_call(body)
                    value = function(*args, **kwargs)
                    if type(value) is CoroutineType:
                        _run_coroutine(value)
            else:
                source = broadcast.code.decode()
                self._runner().set_up(source, lambda: load_cell(body), broadcast.number)
            leave_if_child()
            self._context.keep_changes()
            self.settings.keep_changes()
            return ""
        except BaseException as error:  # noqa: BLE001  the worker goes on after any error
            leave_if_child(error)
            self._put_back(fully=True)
            try:
                logger.warning("broadcast=%d failed:\n%s", broadcast.number, user_traceback(error))
                return shorten(describe_error(error), MAX_PROBLEM - NOTE).encode(errors="replace").decode()
            except BaseException as problem:  # noqa: BLE001  an exception whose own code raises
                return describe_briefly(problem)
        finally:
            leave(None, outer)

    def leave(self, seconds: float) -> None:
        """Restore the settings of the process after an attempt. The caller keeps its own `contextvars`.

        Args:
            seconds: how long the attempt took.
        """
        if not self._is_harmless or self.settings.has_pending:
            self._put_back(fully=seconds > THOROUGH_AFTER)

    def _put_back(self, *, fully: bool) -> None:
        settings = self.settings
        settings.leave(fully=fully)
        if settings.are_modules_stale:
            settings.are_modules_stale = False
            self.modules.drop()
            self._programs.clear()

    # functions

    def _enter(self, context: bytes | None, modules: tuple[bytes, ...], environ: Edits = ()) -> None:
        """Enter the context of the next code, with its modules, from the environment of its session."""
        self._went_elsewhere |= self._context.enter(context, self._code, environ)
        if self._went_elsewhere or self.looks_at_modules:
            self._renew_modules(modules)
        self.settings.enter(self._context.settings)

    def _renew_modules(self, digests: tuple[bytes, ...]) -> None:
        modules = self.modules
        modules.serve(digests, self._context.folder, self._code, self._context.path)
        if self._went_elsewhere or modules.are_stale():
            modules.drop()
            self._programs.clear()  # they refer to names in these modules
        self.looks_at_modules = self._went_elsewhere = False

    def _load(self, digest: bytes) -> Program:
        program = self._programs.load(digest, self._bodies.read(digest))
        if not program.is_kept:
            self._namespaces.begin_attempt(program.host, self._bodies.size(digest))
        return program

    def _drop_if_writable(self, digest: bytes, program: Program) -> None:
        """Drop a program that reads arrays: it is called with values whose code could write into these."""
        if program.needs_atoms:
            self._programs.drop(digest)
            self._namespaces.begin_attempt(program.host, self._bodies.size(digest))

    def _code(self, digest: bytes) -> bytes:
        """Return code that is not a function."""
        return bytes(self._bodies.read(digest))

    # payloads

    def _read(self, payload: Payload) -> Received:
        return payload if type(payload) is bytes else self._payloads.read(payload)

    def _result(self, value: object, *, what: str) -> Sent:
        body = dump_value(value, what=what)
        if isinstance(body, bytes) and len(body) < LARGE:
            return body
        return write_when_there_is_room(self._payloads.write, parts_of(body), what=what)

    # source

    def _run_source(self, spec: Spec, taskid: int, body: Payload, inputs: Sequence[Payload]) -> SourceResult:
        is_cell = spec.kind is Kind.CELL
        source = self._code(spec.code).decode()

        def load() -> tuple[dict[str, Any], tuple[str, ...], CellOptions]:
            try:
                return load_cell(self._read(body), [self._read(each) for each in inputs])
            except UnpicklableResult:
                raise
            except Exception as error:
                raise _not_loaded(spec.label, error) from error

        return self._runner().run(
            source,
            load,
            taskid=taskid,
            is_fresh=is_cell and not spec.keep,
            wants_value=is_cell,
            clear_before=spec.clear_before,
        )

    def _runner(self) -> CellRunner:
        if self._cells is None:
            from taskfc_ext.worker.run.cell import CellRunner  # IPython takes 0.3 s, which functions need not wait for

            before = self.settings.before_import()
            self._cells = CellRunner(self._guard, self._displays, self._namespaces)
            self.settings.after_import(before)  # IPython sets `builtins.display`, for example, for all code
        return self._cells

    def offer_shell(self) -> None:
        """Let functions that display something find our shell, once IPython is imported. The first of them makes it."""
        try:
            from taskfc_ext.worker.run.shell import offer_shell
        except ImportError:  # another module of that name
            return
        offer_shell(self._runner)

    # failures

    def _refusal(self, depend: bytes) -> str:
        """Return why `depend` refuses; empty if it allows the task."""
        outer = modules[MAIN]
        try:
            program = self._programs.get(depend) or self._load(depend)
            enter(program.host)
            self._drop_if_writable(depend, program)  # the properties may hold anything
            allows = program.function(self._properties)
            leave_if_child()
            return "" if allows else "depend returned a false value"
        except Exception as error:  # noqa: BLE001  an exception in depend refuses the task
            leave_if_child(error)
            return f"depend raised {describe_error(error)}"
        finally:
            leave(None, outer)

    def _end_failed_safely(self, spec: Spec, error: BaseException) -> Ended:
        try:
            return self._end_failed(spec, error)
        except TaskInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001  no memory, or an exception whose own code raises
            return end_indescribable(error, problem)

    def _end_failed(self, spec: Spec, error: BaseException) -> Ended:
        if isinstance(error, TaskInterrupt):
            return end_interrupted(user_traceback(error))
        if isinstance(error, ExitCalled):
            error = sentence_of(error)
        if isinstance(error, TaskRejectError):
            return int(Outcome.NOT_NOW), _text(text_of(error))
        outcome = Outcome.FINAL_ERROR if isinstance(error, LoadingFailed) else Outcome.ERROR
        if outcome is Outcome.ERROR and spec.retry_on is not None:
            try:
                if not isinstance(error, self._types(spec.retry_on)):
                    outcome = Outcome.FINAL_ERROR
            except Exception as problem:  # noqa: BLE001  types that cannot be loaded, or are not types
                error = problem
        failure = dump_exception(error, traceback=user_traceback(error), of_string=spec.kind is Kind.STRING)
        return int(outcome), encode_failure(failure)

    def _types(self, digest: bytes) -> tuple[type[BaseException], ...]:
        types: Any = load_submitted(self._code(digest))  # types of the notebook are the classes of this attempt
        return types if isinstance(types, tuple) else (types,)


def _not_loaded(label: str, error: Exception) -> LoadingFailed:
    return LoadingFailed(f"loading {label} on the worker failed: {describe_error(error)}")


def _run_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> object:
    import asyncio  # it takes 20 ms, which the start of a worker need not wait for

    return asyncio.run(coroutine)


def _text(text: str) -> bytes:
    return shorten(text, MAX_REFUSAL).encode()
