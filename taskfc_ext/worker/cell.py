"""Source text as a task: run as IPython would run it in a notebook, but silently, and with a value at its end."""

from __future__ import annotations
import __future__

import ast
import asyncio
import builtins
import inspect
import linecache
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

from IPython.core.displayhook import DisplayHook

from taskfc_ext.serialize import SourceResult, remember_source
from taskfc_ext.worker.cell_value import show_value
from taskfc_ext.worker.displays import Displays
from taskfc_ext.worker.figures import show_figures
from taskfc_ext.worker.interrupt import Guard
from taskfc_ext.worker.shell import task_shell

KEPT_SOURCES = 256
"""Cells whose source lines are kept for the tracebacks of functions that they left behind."""

_FUTURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_ABSENT = object()
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class CellRunner:
    """Runs source in the worker's persistent namespace, or in a fresh one.

    Args:
        guard: what the tasks are run under.
        displays: takes what they show.
    """

    def __init__(self, guard: Guard, displays: Displays) -> None:
        self._guard = guard
        self._outer_main = sys.modules["__main__"]
        self._displays = displays
        self._shell: Any = task_shell(guard, displays)  # largely untyped
        self._base = {"__builtins__": builtins, "get_ipython": self._shell.get_ipython}
        self._kept = self._new_main()
        self._kept_flags = 0
        self._broadcast: dict[str, object] = {}
        self._broadcast_flags = 0
        self._sources: deque[str] = deque()
        sys.modules["__main__"] = self._outer_main

    def run(
        self,
        source: str,
        names: Mapping[str, object],
        out: Sequence[str],
        *,
        taskid: int,
        is_fresh: bool,
        wants_value: bool,
        clear_before: bool = False,
        clear_after: bool = False,
    ) -> SourceResult:
        """Run `source`, with `names` defined before; return the names in `out` and, if wanted, the last value.

        Raises:
            NameError: a name in `out` is not defined afterwards.
            BaseException: whatever the source raises.
        """
        if clear_before:
            self._clear()
        main = self._new_main() if is_fresh else self._kept
        self._enter(main)
        try:
            try:
                main.__dict__.update(names)
                try:
                    value = self._execute(source, main, f"<task {taskid}>", wants_value=wants_value)
                    value = show_value(self._shell, self._displays, value)
                finally:
                    show_figures()  # before the value is pickled: one that is on show comes up again wherever it goes
                return SourceResult(value, {name: _pulled(main, name) for name in out}, is_cell=wants_value)
            finally:
                self._guard.disarm()
        finally:  # no interrupt strikes here: there is one at most, and it has struck or been kept out
            self._enter(self._kept)
            sys.modules["__main__"] = self._outer_main
            if clear_after:
                self._clear()

    def set_up(self, source: str, names: Mapping[str, object], number: int) -> None:
        """Run a broadcast in the persistent namespace. What it binds there outlives every clearing.

        Raises:
            BaseException: whatever the source raises; what it had bound by then stays.
        """
        kept = self._kept.__dict__
        before, flags = dict(kept), self._kept_flags
        self._enter(self._kept)
        try:
            kept.update(names)
            self._execute(source, self._kept, f"<broadcast {number}>", wants_value=False)
        finally:
            self._enter(self._kept)
            sys.modules["__main__"] = self._outer_main
            made = {name: value for name, value in kept.items() if before.get(name, _ABSENT) is not value}
            earlier = {name: value for name, value in self._broadcast.items() if name in kept or name not in before}
            self._broadcast = {**earlier, **made}
            self._broadcast_flags |= self._kept_flags & ~flags

    # namespaces

    def _new_main(self) -> ModuleType:
        main = ModuleType("__main__")
        main.__dict__.update(self._base)
        return main

    def _enter(self, main: ModuleType) -> None:
        self._shell.user_module = main
        self._shell.user_ns = main.__dict__
        sys.modules["__main__"] = main

    def _clear(self) -> None:
        names = self._kept.__dict__
        names.clear()
        names.update(self._new_main().__dict__)
        names.update(self._broadcast)
        self._kept_flags = self._broadcast_flags

    # running

    def _execute(self, source: str, main: ModuleType, filename: str, *, wants_value: bool) -> object:
        text = self._shell.transform_cell(source)
        self._remember(filename, source, text)
        flags = self._kept_flags if main is self._kept else 0
        tree = compile(text, filename, "exec", ast.PyCF_ONLY_AST | _AWAIT | flags, dont_inherit=True)
        tree = self._shell.transform_ast(tree)
        last = tree.body.pop() if wants_value and tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with asyncio.Runner() as runner:  # makes an event loop only if it is used; nothing of a task runs on after it
            body = compile(tree, filename, "exec", _AWAIT | flags, dont_inherit=True)
            flags |= body.co_flags & _FUTURES
            _evaluate(body, main, runner)
            if main is self._kept:
                self._kept_flags = flags
            if last is None:
                return None
            expression = compile(ast.Expression(last.value), filename, "eval", _AWAIT | flags, dont_inherit=True)
            value = _evaluate(expression, main, runner)
        return None if _is_silenced(text) else value

    def _remember(self, filename: str, source: str, text: str) -> None:
        # the lines as they were typed, unless IPython's translation has moved them
        shown = source if source.count("\n") == text.rstrip("\n").count("\n") else text
        remember_source(filename, shown.splitlines(keepends=True))
        self._sources.append(filename)
        if len(self._sources) > KEPT_SOURCES:
            oldest = self._sources.popleft()
            if oldest not in self._sources:
                linecache.cache.pop(oldest, None)


def _evaluate(code: CodeType, main: ModuleType, runner: asyncio.Runner) -> object:
    result = eval(code, main.__dict__)
    return runner.run(result) if code.co_flags & inspect.CO_COROUTINE else result


def _is_silenced(text: str) -> bool:
    """Whether the last expression ends in a semicolon, which in a notebook says that nobody wants to see it."""
    hook: Any = DisplayHook
    return ";" in text and bool(hook.semicolon_at_end_of_expression(text))


def _pulled(main: ModuleType, name: str) -> object:
    try:
        return main.__dict__[name]
    except KeyError:
        raise NameError(
            f"name {name!r} is not defined after the task's code, and cannot be pulled", name=name
        ) from None
