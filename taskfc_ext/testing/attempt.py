"""One attempt or broadcast in the calling thread: as on a worker, but nothing of the process is changed or restored."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CoroutineType, ModuleType
from typing import Any, NamedTuple

from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.errors import LoadingFailed, TaskRejectError, UnpicklableResult
from taskfc_ext.protocol.limits import MAX_VALUE
from taskfc_ext.protocol.payloads import Failure, Outcome, Payload, Reason, encode_failure
from taskfc_ext.protocol.spec import Kind, Spec
from taskfc_ext.protocol.worker_messages import MAX_PROBLEM, Prepare
from taskfc_ext.serialize import (
    EVERYTHING,
    Received,
    SourceResult,
    dump_exception,
    dump_value,
    join,
    load_call,
    load_cell,
    load_function,
    load_submitted,
)
from taskfc_ext.serialize.blame import NOTE, describe_error, shorten, text_of
from taskfc_ext.serialize.scope import load_as_guest, new_main
from taskfc_ext.worker.run.tracebacks import user_traceback

AttemptEnd = tuple[Outcome, bytes]
"""How an attempt ended, and its value or failure."""


class Interrupted(KeyboardInterrupt):
    """The attempt is to be stopped. A `KeyboardInterrupt`, as on a worker."""


class Attempt(NamedTuple):
    """One task to run once."""

    lease: int
    spec: Spec
    body: Payload
    inputs: tuple[Payload, ...]


INTERRUPTED: AttemptEnd = (
    Outcome.INTERRUPTED,
    encode_failure(Failure(reason=Reason.ABORTED, message="interrupted", type_name="KeyboardInterrupt")),
)
"""The end of an attempt that was stopped."""


class Executor:
    """Runs the attempts of one worker.

    Args:
        codes: the code that the worker was sent, by digest.
        properties: given to `depend` functions.
        payloads: maps large arguments.
    """

    def __init__(self, codes: Mapping[bytes, Payload], properties: Mapping[str, Any], payloads: LargePayloads) -> None:
        self._codes = codes
        self._properties = properties
        self._payloads = payloads
        self._kept = new_main()

    def run(self, attempt: Attempt) -> AttemptEnd:
        """Make one attempt. Raises only `Interrupted`."""
        spec = attempt.spec
        try:
            if spec.depend is not None and (refusal := self._refusal(spec.depend)):
                return Outcome.REFUSED, refusal.encode()
            value = self._value(attempt)
            body = dump_value(value, what="the result of " + spec.label)
            if len(body) > MAX_VALUE:
                raise UnpicklableResult(
                    f"the result of {spec.label} is {len(body):,} bytes; here it can be {MAX_VALUE:,}"
                )
            return Outcome.OK, join(body)
        except Interrupted:
            raise
        except TaskRejectError as error:
            return Outcome.NOT_NOW, _shorten(text_of(error)).encode()
        except BaseException as error:  # noqa: BLE001  also SystemExit and KeyboardInterrupt are the task's own errors
            return self._describe_failure(spec, error)

    def set_up(self, broadcast: Prepare) -> str:
        """Run a broadcast; return the exception's type and text, or "". Raises only `Interrupted`."""
        try:
            code, body = broadcast.code, broadcast.body
            if broadcast.kind is Kind.FUNCTION:
                args, kwargs = load_call(body)
                _await_result(load_as_guest(load_function, code)(*args, **kwargs))
            else:
                names, _, _ = load_cell(body)
                vars(self._kept).update(names)
                _run_source(code.decode(), self._kept)
            return ""
        except Interrupted:
            raise
        except BaseException as error:  # noqa: BLE001  reported to the client
            return _shorten(describe_error(error))

    def _refusal(self, depend: bytes) -> str:
        """Return why `depend` refuses this worker; empty when it does not."""
        try:
            return "" if self._load(depend)(dict(self._properties)) else "depend returned a false value"
        except Exception as error:  # noqa: BLE001  an exception in depend is a no
            return _shorten(f"depend raised {describe_error(error)}")

    def _load(self, digest: bytes) -> Callable[..., Any]:
        function: Callable[..., Any] = load_as_guest(load_function, self._payloads.read(self._codes[digest]))
        return function

    def _code(self, digest: bytes) -> bytes:
        """Return code that is not a function."""
        return bytes(self._payloads.read(self._codes[digest]))

    def _value(self, attempt: Attempt) -> object:
        spec, body, inputs = (
            attempt.spec,
            self._payloads.read(attempt.body),
            [self._payloads.read(value) for value in attempt.inputs],
        )
        if spec.kind is not Kind.FUNCTION:
            return self._source_result(spec, body, inputs)
        with _convert_loading_errors(spec.label):
            function = self._load(spec.code)
            args, kwargs = load_call(body, inputs)
        return _await_result(function(*args, **kwargs))

    def _source_result(self, spec: Spec, body: Received, inputs: Sequence[Received]) -> SourceResult:
        is_cell = spec.kind is Kind.CELL
        with _convert_loading_errors(spec.label):
            names, out, _ = load_cell(body, inputs)
        if spec.clear_before:
            self._kept = new_main()
        main = new_main() if is_cell and not spec.keep else self._kept
        vars(main).update(names)
        before = dict(vars(main))
        value = _run_source(self._code(spec.code).decode(), main)
        if spec.clear_after:
            self._kept = new_main()
        return SourceResult(value if is_cell else None, _bring_back(main, before, out), is_cell=is_cell)

    def _describe_failure(self, spec: Spec, error: BaseException) -> AttemptEnd:
        outcome = Outcome.FINAL_ERROR if isinstance(error, LoadingFailed) else Outcome.ERROR
        if spec.retry_on is not None:
            try:
                types: Any = load_submitted(self._code(spec.retry_on))
                if not isinstance(error, types):
                    outcome = Outcome.FINAL_ERROR
            except Exception as problem:  # noqa: BLE001  types that cannot be loaded
                error = problem
        failure = dump_exception(error, traceback=user_traceback(error), of_string=spec.kind is Kind.STRING)
        return outcome, encode_failure(failure)


@contextmanager
def _convert_loading_errors(label: str) -> Iterator[None]:
    """Turn errors of loading into a `LoadingFailed`, which no retry can mend."""
    try:
        yield
    except UnpicklableResult:  # of an input: it says more
        raise
    except Exception as error:
        raise LoadingFailed(f"loading {label} on the worker failed: {describe_error(error)}") from error


def _await_result(value: Any) -> object:
    return asyncio.run(value) if isinstance(value, CoroutineType) else value


def _run_source(source: str, main: ModuleType) -> object:
    """Run plain Python in the namespace of `main`; return the value of its last expression."""
    tree = ast.parse(source, "<task>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<task>", "exec"), vars(main))
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<task>", "eval"), vars(main))


def _bring_back(main: ModuleType, before: Mapping[str, object], out: Sequence[str]) -> dict[str, Any]:
    names = [name for name in out if name != EVERYTHING]
    if EVERYTHING in out:
        names += [
            name
            for name, value in vars(main).items()
            if not name.startswith("_") and (name not in before or before[name] is not value)
        ]
    missing = [name for name in names if name not in vars(main)]
    if missing:
        raise NameError(f"name {missing[0]!r} is not defined after the task's code", name=missing[0])
    return {name: vars(main)[name] for name in names}


def _shorten(text: str) -> str:
    """Return as much of `text` as a message can carry."""
    return shorten(text, MAX_PROBLEM - NOTE)
