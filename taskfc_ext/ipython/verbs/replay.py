"""Running a recorded task in this process: what a worker does with it, without what a worker does around it."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from taskfc_ext.ipython.parse.requests import BadUsage
from taskfc_ext.location import FOLDER
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.text import one_line

if TYPE_CHECKING:
    from taskfc_ext.protocol.infos import SubmittedTask
    from taskfc_ext.serialize.scope import Host

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def loaded(shell: Any, task: SubmittedTask) -> Callable[[], object]:
    """Return what runs `task` here when it is called, and returns its value.

    Args:
        shell: IPython's; understands its syntax.
        task: what it was submitted as.

    Raises:
        BadUsage: what was sent with it cannot be unpickled here.
    """
    # `%load_ext` does not wait for cloudpickle
    from taskfc_ext.serialize import load_call, load_cell, load_function
    from taskfc_ext.serialize.scope import Host, hosted, new_main

    # a namespace and classes of the replay's own, as on a worker: nothing of the notebook's is written to
    host = Host(new_main({"get_ipython": shell.get_ipython}))
    try:
        code, body, inputs = task.code, task.body, task.inputs
        with hosted(host):
            if task.spec.kind is Kind.FUNCTION:
                function = load_function(bytearray(code))  # large arrays in it are writable views
                args, kwargs = load_call(body, inputs)
                return lambda: _called(shell, host, function, args, kwargs)
            names, _, options = load_cell(body, inputs)
            host.push(names)
    except Exception as error:
        text = f"task {task.taskid} cannot be unpickled here: {type(error).__name__}: {error}"
        raise BadUsage(one_line(text)) from error
    wants_value = task.spec.kind is Kind.CELL
    source = code.decode("utf-8", "surrogatepass")
    flags = options.get("flags", 0)
    return lambda: _run_source(shell, host, source, f"<task {task.taskid}>", wants_value=wants_value, flags=flags)


def from_users_frame(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of `traceback` that begins with the first frame which is not ours.

    Where C code was called and there is none, the last one of ours: it shows what was called with what.
    """
    while traceback is not None and traceback.tb_next and _is_machinery(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


def _is_machinery(filename: str) -> bool:
    between = os.path.dirname(asyncio.__file__), os.path.dirname(concurrent.futures.__file__)
    return filename.startswith(tuple(place + os.sep for place in (FOLDER, *between)))


def _called(shell: Any, host: Host, function: Callable[..., Any], args: Any, kwargs: Any) -> object:
    with _standing_in(shell, host):
        return _awaited(function(*args, **kwargs))


def _run_source(shell: Any, host: Host, source: str, filename: str, *, wants_value: bool, flags: int = 0) -> object:
    from taskfc_ext.serialize import FUTURES, remember_source

    text = shell.input_transformer_manager.transform_cell(source)
    # the lines as they were typed, unless IPython's translation has moved them
    shown = source if source.count("\n") == text.rstrip("\n").count("\n") else text
    remember_source(filename, shown.splitlines(keepends=True))
    with _standing_in(shell, host):
        flags |= _AWAIT
        tree = shell.transform_ast(compile(text, filename, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True))
        last = tree.body.pop() if wants_value and tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = compile(tree, filename, "exec", flags, dont_inherit=True)
        _evaluate(body, host.main)
        if last is None:
            return None
        flags |= body.co_flags & FUTURES
        return _evaluate(compile(ast.Expression(last.value), filename, "eval", flags, dont_inherit=True), host.main)


@contextmanager
def _standing_in(shell: Any, host: Host) -> Iterator[None]:
    """Let the shell's magics, and what pickles by module, see the replay's namespace instead of the notebook's."""
    from taskfc_ext.serialize.scope import hosted

    before = shell.user_module, shell.user_ns
    shell.user_module, shell.user_ns = host.main, host.main.__dict__
    try:
        with hosted(host):
            yield
    finally:
        shell.user_module, shell.user_ns = before


def _evaluate(code: CodeType, main: ModuleType) -> object:
    result = eval(code, main.__dict__)
    return _awaited(result) if code.co_flags & inspect.CO_COROUTINE else result


def _awaited(value: object) -> object:
    """Return what a coroutine returns; any other value as it is."""
    if not inspect.iscoroutine(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(value)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:  # a kernel's loop runs in this one
        return thread.submit(asyncio.run, value).result()
