"""Replays of recorded tasks in this process: a task's own code, run as a worker runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.text import one_line

if TYPE_CHECKING:
    from taskfc_ext.protocol.infos import SubmittedTask
    from taskfc_ext.protocol.payloads import Payload
    from taskfc_ext.serialize import CellOptions, Received


class Replay:
    """A recorded task, loaded into a namespace and classes of its own: it changes nothing of the notebook's.

    Args:
        shell: IPython's; understands its syntax.
        task: the task as it was submitted.

    Attributes:
        run: runs the task and returns its value; raises whatever the task raises.

    Raises:
        BadUsage: the task cannot be unpickled here.
    """

    run: Callable[[], object]

    def __init__(self, shell: Any, task: SubmittedTask, read: Callable[[Payload], Received]) -> None:
        # `%load_ext` does not wait for cloudpickle
        from taskfc_ext.serialize.scope import Host, in_host, new_main
        from taskfc_ext.worker.run.exits import EXITS

        self._shell = shell
        self._task = task
        self._read = read
        self._host = Host(new_main({"get_ipython": shell.get_ipython, **EXITS}))
        load = self._load_function if task.spec.kind is Kind.FUNCTION else self._load_source
        try:
            with in_host(self._host):
                self.run = load()
        except Exception as error:
            text = f"task {task.taskid} cannot be unpickled here: {type(error).__name__}: {error}"
            raise BadUsage(one_line(text)) from error

    @property
    def namespace(self) -> dict[str, Any]:
        """The globals of the task's code."""
        return self._host.main.__dict__

    def _load_function(self) -> Callable[[], object]:
        from taskfc_ext.serialize import load_call, load_function

        function = load_function(self._read(self._task.code))
        args, kwargs = load_call(self._read(self._task.body), self._inputs())
        return lambda: self._call(function, args, kwargs)

    def _load_source(self) -> Callable[[], object]:
        from taskfc_ext.serialize import load_cell

        source = bytes(self._read(self._task.code)).decode("utf-8", "surrogatepass")
        names, _, options = load_cell(self._read(self._task.body), self._inputs())
        self._host.push(names)
        return lambda: self._run_source(source, options)

    def _inputs(self) -> list[Received]:
        return list(map(self._read, self._task.inputs))

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> object:
        from taskfc_ext.worker.run.source import event_loop

        with self._own_namespace():
            value = function(*args, **kwargs)
            if not inspect.iscoroutine(value):
                return value
            with event_loop() as run:
                return run(value)

    def _run_source(self, source: str, options: CellOptions) -> object:
        from taskfc_ext.worker.run.source import FutureImports, notebook_settings, run_source

        main, filename, imports = self._host.main, f"<task {self._task.taskid}>", FutureImports()
        wants_value = self._task.spec.kind is Kind.CELL
        with self._own_namespace(), notebook_settings(self._shell, options):
            return run_source(self._shell, source, main, filename, options, wants_value=wants_value, imports=imports)

    @contextmanager
    def _own_namespace(self) -> Iterator[None]:
        """Give the replay's namespace to the shell's magics, and to pickles by module, in place of the notebook's."""
        from taskfc_ext.serialize.scope import in_host
        from taskfc_ext.worker.run.source import add_shell_names, set_namespace

        shell = self._shell
        before = shell.user_module, shell.user_ns
        add_shell_names(self._host.main)
        set_namespace(shell, self._host.main)
        try:
            with in_host(self._host):
                yield
        finally:
            shell.user_module, shell.user_ns = before
