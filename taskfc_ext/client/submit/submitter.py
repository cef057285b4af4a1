"""Submission of functions and cells: code, arguments and options become a `Template` and a body."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from taskfc_ext import serialize
from taskfc_ext.client.context import context
from taskfc_ext.client.context.pauses import last_submission
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.template import Owner, Template
from taskfc_ext.client.future.template_cache import LastFunction, TemplateCache
from taskfc_ext.client.submit.labels import label_of, label_of_source, shorten
from taskfc_ext.client.submit.options import Options, Task, check_no_option
from taskfc_ext.client.submit.sending import Uploader, context_to_send, to_send
from taskfc_ext.drivers.uploads import Sent, UploadedFile
from taskfc_ext.errors import UnpicklableArgument
from taskfc_ext.protocol.limits import MAX_RECOVERY
from taskfc_ext.protocol.spec import NO_CELL, Kind, Origin, Recovery, Spec
from taskfc_ext.serialize.bound import Bound
from taskfc_ext.serialize.chance import carried as carried_generators
from taskfc_ext.serialize.chance import level_of_caller, report_repeats
from taskfc_ext.serialize.packed_names import PackedNames
from taskfc_ext.tasks import BaseTask, MapTask, StringTask
from taskfc_ext.text import encodable

LARGE_LOAD = 4 * 10**6
"""Bytes of code whose loading, some 20 ms for each task, is worth a warning."""

_NO_KWARGS: dict[str, object] = {}
_NO_CODE = serialize.digest(b""), b""

Defines = list[tuple[bytes, serialize.Body]]


class Sink(Owner, Uploader, Protocol):
    """A connection that takes submissions."""

    @property
    def store_began(self) -> float: ...

    def submit(self, template: Template, body: Sent) -> TaskFuture:
        """Queue one task."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedCell:
    """A cell ready to be submitted, once: its inputs, modules and settings are those of now.

    Attributes:
        template: what the task shares with others.
        body: its inputs, pickled.
        names: the names that it gets.
        outs: the names that are to come back.
        defines: the names that its code binds, as far as its caller knows.
        send: queues it.
    """

    template: Template
    body: Sent
    names: tuple[str, ...]
    outs: tuple[str, ...]
    defines: frozenset[str]
    send: Callable[[Template, Sent], TaskFuture]

    def submit(self) -> TaskFuture:
        """Queue it."""
        future = self.send(self.template, self.body)
        future.sent_names, future.out_names, future.defined_names = self.names, self.outs, self.defines
        return future


class Submitter:
    """Submits tasks with one set of options.

    Args:
        sink: the connection.
        options: the options of these tasks.
        send: queues one task; that of the connection by default.
    """

    def __init__(
        self, sink: Sink, options: Options, *, send: Callable[[Template, Sent], TaskFuture] | None = None
    ) -> None:
        self.options = options
        self._sink = sink
        self._send = sink.submit if send is None else send
        self._cache = TemplateCache(sink)
        self._context: context.EncodedContext | None = None
        self._has_warned: dict[str, bool] = {}
        self._is_plain = options.recovery_task is None and options.depend is None
        self._after = tuple([self._parent(task) for task in options.after])

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TaskFuture:
        """Queue `function(*args, **kwargs)`."""
        template = self.function_template(function)
        if kwargs:
            check_no_option(function, kwargs)
        future = self.submit_call(template, args, kwargs)
        last_submission.note()
        return future

    def submit_call(
        self, template: Template, args: tuple[Any, ...], kwargs: Mapping[str, Any] = _NO_KWARGS
    ) -> TaskFuture:
        """Queue one call of the function that `template` was made for."""
        if not kwargs:
            body = self._plain_body(template, args)
            if body is not None:
                return self._send(template, body)
        template, body = self._call(template, args, kwargs)
        if carried_generators:
            report_repeats()
        return self._send(template, body)

    def function_template(self, function: Callable[..., Any]) -> Template:
        """Return the template for calls of `function`."""
        last = self._cache.last
        if (
            last is not None
            and last.function() is function
            and last.is_unchanged(function)
            and context.is_current(last.context)
        ):
            carried_generators.clear()
            return last.template
        if not callable(function):
            raise TypeError(
                f"{function!r} cannot be called; submit takes a function and its arguments apart: submit(f, x)"
            )
        carried_generators.clear()  # of an earlier pickle that was not submitted
        digest, body = serialize.dump_function(function, self._cache.sent)
        self._update_context()  # after the dump, as the function's code names modules
        template = self._cache.plain.get(digest)
        if template is None:
            template = self._template(Kind.FUNCTION, digest, body, label_of(function))
            self._keep_sent(digest, template)
            template.loads = self._size_to_warn_of(function, body)
            if self._is_plain:
                self._cache.plain[digest] = template
        self._remember(function, template)
        return template

    def _remember(self, function: Callable[..., Any], template: Template) -> None:
        """Note the template for the next submission, which is often of the same function."""
        is_unchanged = serialize.check_of(function) if self._is_plain else None
        if is_unchanged is None or self._context is None:
            self._cache.last = None
        else:
            self._cache.last = LastFunction(weakref.ref(function), is_unchanged, self._context, template)

    def _plain_body(self, template: Template, args: tuple[Any, ...]) -> Sent | None:
        """Return the body of a call without named arguments; `None` if it needs a template of its own."""
        for argument in args:
            if type(argument) is TaskFuture:
                return None
        if template.loads:
            self._count_loads(template)
        body = serialize.dump_call(args, _NO_KWARGS, what=template.label)
        if carried_generators:
            report_repeats()
        return to_send(self._sink, body, f"the arguments of {template.label}")

    def _keep_sent(self, digest: bytes, template: Template) -> None:
        code = dict(template.defines)[digest]
        if isinstance(code, UploadedFile) and (content := code.map()) is not None:
            self._cache.keep_sent(digest, content)

    def _size_to_warn_of(self, function: Callable[..., Any], body: serialize.Body) -> int:
        if type(function) is Bound:
            return 0  # its objects were given as arguments
        size = serialize.bytes_loaded_per_task(function, body)
        return size if size >= LARGE_LOAD else 0

    def _count_loads(self, template: Template) -> None:
        """Warn once, at the second task, that each task loads the same large objects again."""
        if template.label not in self._has_warned:
            self._has_warned[template.label] = False
        elif not self._has_warned[template.label]:
            self._has_warned[template.label] = True
            warnings.warn(
                f"each task of {template.label} loads {template.loads / 1e6:.0f} MB again, as its objects "
                "may change; keep them as arrays or bytes, or load them in a module beside the notebook",
                stacklevel=level_of_caller(),
            )

    def put(self, value: object) -> TaskFuture:
        """Queue a value: a task that has ended with it once it is accepted."""
        if isinstance(value, TaskFuture):
            raise TypeError(f"{value!r} can be given to tasks as it is; put() takes a value")
        if self._after:
            raise ValueError("put() stores a value at once, so it cannot come after a task: leave out after=")
        carried_generators.clear()  # as for functions
        label = shorten(f"put({type(value).__name__})")
        body = to_send(self._sink, serialize.dump_put(value), f"the value of {label}")
        spec = Spec(kind=Kind.VALUE, code=_NO_CODE[0], label=encodable(label))
        name = self.options.name
        return self._send(Template(self._sink, spec, label=spec.label, name=name, defines=[_NO_CODE]), body)

    def submit_string(self, task: StringTask) -> TaskFuture:
        """Queue code for the persistent namespace."""
        return self._send(*self._prepare_source(Kind.STRING, task.expression, task.push, task.pull, keep=False))

    def prepare(
        self,
        source: str,
        names: Mapping[str, Any],
        outs: Sequence[str],
        *,
        keep: bool,
        settings: serialize.CellOptions | None = None,
        origin: Origin = NO_CELL,
        defines: frozenset[str] = frozenset(),
    ) -> PreparedCell:
        """Return a cell ready to be queued."""
        if not isinstance(names, Mapping):
            raise TypeError(f"names is a dict of names and values, not {names!r}")
        template, body = self._prepare_source(Kind.CELL, source, names, outs, keep=keep, settings=settings)
        return PreparedCell(template.from_cell(origin), body, tuple(names), tuple(outs), defines, self._send)

    def _prepare_source(
        self,
        kind: Kind,
        source: str,
        names: Mapping[str, Any],
        outs: Sequence[str],
        *,
        keep: bool,
        settings: serialize.CellOptions | None = None,
    ) -> tuple[Template, Sent]:
        code, label = source.encode("utf-8", "surrogatepass"), label_of_source(source)
        packed, inputs = self._source_body(kind, names, outs, settings)
        body = to_send(self._sink, packed, f"the arguments of {label}")
        if carried_generators:
            report_repeats()
        self._update_context(source)
        template = self._template(kind, serialize.digest(code), code, label, keep=keep)
        return template.with_inputs(inputs) if inputs else template, body

    def _source_body(
        self, kind: Kind, names: Mapping[str, Any], outs: Sequence[str], settings: serialize.CellOptions | None
    ) -> tuple[serialize.Body, tuple[Task, ...]]:
        """Return the body of source, and the inputs that the references in it mean."""
        if isinstance(names, PackedNames) and (inputs := self._packed_inputs(names)) is not None:
            return names.body, inputs
        carried_generators.clear()  # as for functions
        sent, inputs = self._inputs(names)
        what = "the cell" if kind is Kind.CELL else "the task"
        return serialize.dump_names(sent, outs, what=what, options=settings), inputs

    # templates

    def _update_context(self, cell: str | None = None) -> None:
        """Read the context of this process; the next submission runs in it."""
        now = context.read_context(cell)
        if now is not self._context:
            self._context = now
            self._cache.plain.clear()

    def _template(self, kind: Kind, digest: bytes, code: serialize.Body, label: str, *, keep: bool = False) -> Template:
        assert self._context is not None
        spec, defines = _spec(kind, digest, code, label, self.options, self._context, keep=keep)
        key = spec, self.options.name
        template = self._cache.get(key)
        if template is None:
            template = Template(
                self._sink,
                spec,
                label=label,
                name=self.options.name,
                defines=[
                    *context_to_send(self._sink, self._context),
                    *((name, to_send(self._sink, body, f"the code of {label}")) for name, body in defines),
                ],
                after=self._after,
                after_any=self.options.after_any,
            )
            self._cache.put(key, template)
        return template

    # arguments

    def _call(self, template: Template, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Template, Sent]:
        for argument in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(argument, TaskFuture):
                named, inputs = self._inputs({**dict(enumerate(args)), **kwargs})
                args, kwargs = tuple([named[i] for i in range(len(args))]), {name: named[name] for name in kwargs}
                template = template.with_inputs(inputs)
                break
        body = serialize.dump_call(args, kwargs, what=template.label)
        return template, to_send(self._sink, body, f"the arguments of {template.label}")

    def _inputs(self, arguments: Mapping[Any, Any]) -> tuple[dict[Any, Any], tuple[Task, ...]]:
        """Return the arguments with a reference in place of each future, and the tasks that these refer to."""
        inputs: list[Task] = []
        replaced = {}
        for name, value in arguments.items():
            if isinstance(value, TaskFuture):
                parent = self._parent(value)
                if parent not in inputs:
                    inputs.append(parent)
                value = serialize.InputRef(inputs.index(parent))
            replaced[name] = value
        return replaced, tuple(inputs)

    def _packed_inputs(self, names: PackedNames) -> tuple[Task, ...] | None:
        """Return what the references in a body mean; `None` where it cannot be sent as it is."""
        futures = [future for future in names.futures if isinstance(future, TaskFuture)]
        inputs = tuple([self._parent(future) for future in futures])
        return inputs if len(set(inputs)) == len(names.futures) else None

    def _parent(self, task: Task) -> Task:
        """Return `task` as a submission can refer to it: a future of the same connection, or an id."""
        if isinstance(task, int) or task._template.owner is self._sink:
            return task
        if task._template.owner.farm_name != self._sink.farm_name:
            raise ValueError(f"{task!r} is a task of farm {task._template.owner.farm_name!r}, not of this one")
        if task.taskid is None:
            raise ValueError(f"{task!r} belongs to another client, which has to flush() it first")
        task.check_store(self._sink.store_began)
        return task.taskid


def _spec(
    kind: Kind,
    digest: bytes,
    code: serialize.Body,
    label: str,
    options: Options,
    here: context.EncodedContext,
    *,
    keep: bool = False,
) -> tuple[Spec, Defines]:
    """Return a spec, and the code that it names in addition to the context."""
    defines: Defines = [(digest, code)]
    depend = retry_on = None
    if options.depend is not None:
        defines.append(serialize.dump_function(options.depend))
        depend = defines[-1][0]
    if options.retry_on is not None:
        body = serialize.join(serialize.dump_value(options.retry_on, what="retry_on"))
        retry_on = serialize.digest(body)
        defines.append((retry_on, body))
    recovery = None
    if options.recovery_task is not None:
        recovery, more = _recovery(options.recovery_task, here)
        defines += more
    spec = Spec(
        kind=kind,
        code=digest,
        label=label,
        retries=options.retries,
        timeout=options.timeout,
        priority=options.priority,
        on_lost=options.on_lost,
        backoff=options.backoff,
        depend=depend,
        retry_on=retry_on,
        context=here.digest,
        modules=tuple([pack for pack, _ in here.modules]),
        retry_timeouts=options.retries_timeouts,
        retry_memory=options.retries_memory,
        clear_before=options.clear_before,
        clear_after=options.clear_after,
        keep=keep,
        seed=options.seed,
        needs=options.needs,
        recovery=recovery,
    )
    return spec, defines


def _recovery(task: BaseTask, here: context.EncodedContext) -> tuple[Recovery, Defines]:
    if task.recovery_task is not None:
        raise ValueError("a recovery task runs once and has no recovery task of its own")
    options = Options().of_task(task)
    if isinstance(task, MapTask):
        label = label_of(task.function)
        spec, defines = _spec(Kind.FUNCTION, *serialize.dump_function(task.function), label, options, here)
        body = serialize.dump_call(task.args, task.kwargs, what=label)
    elif isinstance(task, StringTask):
        code = task.expression.encode("utf-8", "surrogatepass")
        spec, defines = _spec(Kind.STRING, serialize.digest(code), code, "recovery", options, here)
        body = serialize.dump_names(task.push, task.pull, what="the recovery task")
    else:
        raise TypeError(f"recovery_task is a MapTask or a StringTask, not {task!r}")
    return Recovery(spec, _check_size(serialize.join(body), spec.label)), defines


def _check_size(body: bytes, label: str) -> bytes:
    if len(body) > MAX_RECOVERY:
        raise UnpicklableArgument(
            f"the arguments of the recovery task {label} are {len(body):,} bytes pickled, over the limit of "
            f"{MAX_RECOVERY:,}",
            hint="write them to a file, and give the task the file's path",
        )
    return body
