"""Running of source text as a notebook runs a cell: for attempts on a worker and for replays by `%task debug`."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from IPython.core.display_functions import display
from IPython.core.displayhook import DisplayHook

from taskfc_ext.protocol.outputs import PLAIN_TEXT
from taskfc_ext.serialize import FUTURES, CellOptions, remember_source
from taskfc_ext.worker.run.interactivity import LAST, divide

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

Await = Callable[[Coroutine[Any, Any, Any]], object]
"""Runs a coroutine to its end and returns its value."""


@dataclass(slots=True)
class FutureImports:
    """`__future__` imports that hold in a namespace; `flags` is as `compile` takes them."""

    flags: int = 0


def run_source(
    shell: Any,
    source: str,
    main: ModuleType,
    filename: str,
    options: CellOptions,
    *,
    wants_value: bool,
    imports: FutureImports,
) -> object:
    """Run `source` in `main`; return the value of its last expression, if it is wanted.

    Args:
        shell: IPython's; translates its syntax.
        source: the text, as it was typed.
        main: the namespace, which `set_namespace` has given to the shell.
        filename: the name of the source in tracebacks.
        options: settings of the notebook, which `notebook_settings` has given to the shell.
        wants_value: of the last expression.
        imports: hold in `main`; those of the source are added.

    Raises:
        BaseException: whatever the source raises.
    """
    text = shell.transform_cell(source)
    _remember_lines(filename, source, text)
    flags = imports.flags | options.get("flags", 0)
    tree = compile(text, filename, "exec", ast.PyCF_ONLY_AST | _AWAIT | flags, dont_inherit=True)
    tree = shell.transform_ast(tree)
    is_silenced = _is_silenced(text)
    interactivity = LAST if is_silenced else options.get("interactivity", LAST)
    steps, last = divide(tree, interactivity, wants_value=wants_value)
    with event_loop() as run:
        for step in steps:
            mode = "single" if isinstance(step, ast.Interactive) else "exec"
            body = compile(step, filename, mode, _AWAIT | flags, dont_inherit=True)
            flags |= body.co_flags & FUTURES
            _evaluate(body, main, run)
        imports.flags = flags
        if last is None:
            return None
        expression = compile(ast.Expression(last), filename, "eval", _AWAIT | flags, dont_inherit=True)
        value = _evaluate(expression, main, run)
    return None if is_silenced else value


@contextmanager
def event_loop() -> Iterator[Await]:
    """Provide a function that runs coroutines one after the other in one event loop, which is made for the first.

    Nothing that they start runs on after the `with`. The loop has a thread of its own where one runs in this thread,
    as in a kernel.
    """
    if asyncio._get_running_loop() is None:
        with asyncio.Runner() as runner:
            yield runner.run
        return
    with ThreadPoolExecutor(1) as thread:
        runner = asyncio.Runner()
        try:
            yield lambda coroutine: thread.submit(runner.run, coroutine).result()
        finally:
            thread.submit(runner.close).result()


def set_namespace(shell: Any, main: ModuleType) -> None:
    """Make `main` the namespace that the shell and its magics see."""
    shell.user_module = main
    shell.user_ns = main.__dict__


def add_shell_names(main: ModuleType) -> None:
    """Put into `main` the names that IPython's magics expect in a namespace."""
    main.__dict__.setdefault("_dh", [os.getcwd()])  # `%cd` and `%dhist` look there


@contextmanager
def notebook_settings(shell: Any, options: CellOptions) -> Iterator[None]:
    """Give the shell the settings of the notebook while a cell runs; without options nothing is touched."""
    if not options:
        yield
        return
    for extension in options.get("extensions", ()):
        if extension not in shell.extension_manager.loaded:
            shell.extension_manager.load_extension(extension)
    plain = shell.display_formatter.formatters[PLAIN_TEXT]
    before = shell.ast_node_interactivity, plain.float_precision, sys.displayhook
    shell.ast_node_interactivity = options.get("interactivity", before[0])
    plain.float_precision = options.get("float_precision", before[1])
    sys.displayhook = _display
    try:
        yield
    finally:
        shell.ast_node_interactivity, plain.float_precision, sys.displayhook = before


def _display(value: object) -> None:
    """Show the value of an expression that is not the last one, where the notebook shows all of them."""
    if value is not None:
        display(value)  # type: ignore[no-untyped-call]


def _remember_lines(filename: str, source: str, text: str) -> None:
    # the lines as they were typed, unless IPython's translation has moved them
    shown = source if source.count("\n") == text.rstrip("\n").count("\n") else text
    remember_source(filename, shown.splitlines(keepends=True))


def _is_silenced(text: str) -> bool:
    """Tell whether the last expression ends in a semicolon, which in a notebook hides its value."""
    hook: Any = DisplayHook
    return ";" in text and bool(hook.semicolon_at_end_of_expression(text))


def _evaluate(code: CodeType, main: ModuleType, run: Await) -> object:
    result = eval(code, main.__dict__)
    return run(result) if code.co_flags & inspect.CO_COROUTINE else result
