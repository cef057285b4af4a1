"""The border of the public API: what users call is wrapped by `at_border`, or calls `shorten` itself.

A traceback that leaves this package has the caller's frames and at most one of ours. In IPython, where
`_render_traceback_` decides, an error of a task is shown as the task's own traceback, and a wrong use of the API as one
line; both with the caller's lines, if they are not the only line of the cell. Types and attributes stay as they are, so
`except`, debuggers and loggers see nothing of this.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from opcode import opmap
from types import CodeType, TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from taskfc_ext.errors import TaskFCError, WorkerLost, remote_traceback_of
from taskfc_ext.near_misses import OPTIONS, START_OPTIONS, nearest_option
from taskfc_ext.text import one_line, plain_text, plural

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_RAISE = opmap["RAISE_VARARGS"]
_PLACE = re.compile(r'File "([^"\n]+)"')
_BETWEEN = ("asyncio", "concurrent", "contextlib", "threading")
"""Modules whose frames may stand between ours."""


class WaitInterrupted(KeyboardInterrupt):
    """Ctrl-C during a wait: the tasks go on. Shown in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


# plain Python: frames


def at_border(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as users call it: its errors are shortened, and wrong arguments are named with the right ones.

    The name of the wrapper's code is that of `function`, as tracebacks show it.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                _leave(error, function, args, kwargs)
                raise
    else:

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                _leave(error, function, args, kwargs)
                raise

    named: Any = call
    named.__code__ = named.__code__.replace(co_name=function.__name__, co_qualname=function.__qualname__)
    _wrappers.add(named.__code__)
    return cast("Callable[P, R]", call)


def all_at_border(cls: C) -> C:
    """Wrap the public methods of a class by `at_border`; but not `submit`, which is called so often that it does so."""
    for name, method in [*vars(cls).items()]:
        if inspect.isfunction(method) and not name.startswith("_") and name != "submit":
            setattr(cls, name, at_border(method))
    return cls


_wrappers: set[CodeType] = set()
"""The code of the functions that `at_border` has made."""


def shorten(error: BaseException) -> None:
    """Drop this package's frames below the calling one from the traceback of `error`, down to the code of others.

    Called where `error` is caught. An unexpected error of this package itself keeps them.
    """
    here = error.__traceback__
    assert here is not None
    below = here.tb_next
    while below is not None and _is_ours(below):
        below = below.tb_next
    if below is not None:
        here.tb_next = below
    elif _is_for_users(error):
        here.tb_next = None
        _show_shortly(error)


def _is_ours(frame: TracebackType) -> bool:
    package = str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    return package == "taskfc_ext" or package in _BETWEEN


def _is_for_users(error: BaseException) -> bool:
    """Return whether `error` is an answer to the caller, not a fault of this package.

    It is one of ours, a task's, or was raised by a `raise` of ours: a fault is raised by another instruction.
    """
    if isinstance(error, TaskFCError | KeyboardInterrupt) or remote_traceback_of(error) is not None:
        return True
    if type(error).__name__ == "CancelledError":  # of asyncio, which takes long to import: an interrupted `await`
        return True
    last = error.__traceback__
    assert last is not None
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    was_cut = code in _wrappers  # by an inner border
    return was_cut or (code.co_code[last.tb_lasti] == _RAISE and not isinstance(error, AssertionError))


def _leave(error: BaseException, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Shorten `error`; if it says that the arguments do not fit, let it say what does."""
    here = error.__traceback__
    if isinstance(error, TypeError) and here is not None and here.tb_next is None:  # `function` did not begin
        error.args = (_why_unfit(inspect.signature(function), _name_of(function), args, kwargs) or str(error),)
    shorten(error)


def _name_of(function: Callable[..., Any]) -> str:
    """Return the name by which users call it: for a constructor that of its class."""
    names = function.__qualname__.split(".")
    return names[-2] if names[-1] == "__init__" else names[-1]


def _why_unfit(signature: inspect.Signature, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return why these arguments do not fit, with the argument that was meant; empty if they fit.

    Python's own texts count `self`, and name no argument that was meant.
    """
    parameters = {each: what for each, what in signature.parameters.items() if each != "self"}
    n_given = len(args) - ("self" in signature.parameters)
    by_position = [each for each, what in parameters.items() if what.kind in (_EITHER, _POSITIONAL)]
    by_name = [each for each, what in parameters.items() if what.kind in (_EITHER, inspect.Parameter.KEYWORD_ONLY)]
    kinds = {what.kind for what in parameters.values()}
    unknown = [] if inspect.Parameter.VAR_KEYWORD in kinds else [each for each in kwargs if each not in by_name]
    if unknown:
        near = nearest_option(unknown[0], by_name)
        more = f"; did you mean {near}=?" if near else f"; it takes {', '.join(by_name) or 'none by name'}"
        if not near and args and hasattr(args[0], "with_options") and (option := nearest_option(unknown[0], OPTIONS)):
            more = f"; options of tasks are given before: with_options({option}=...).{name}(...)"
        elif not near and name == "TaskClient" and (option := nearest_option(unknown[0], START_OPTIONS)):
            more = f"; a farm is started with it before: start({option}=...)"
        return f"{name}() has no argument {unknown[0]}={more}"
    if n_given > len(by_position) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        only = [each for each in by_name if each not in by_position]
        more = f"; {', '.join(f'{each}=' for each in only)} {'is' if len(only) == 1 else 'are'} given by name"
        fits = f"{plural(len(by_position), 'argument')} by position, not {n_given}" if by_position else "no arguments"
        if not by_position and inspect.Parameter.VAR_KEYWORD in kinds:
            return f"{name}() takes its arguments by name, such as {name}(retries=2)"
        return f"{name}() takes {fits}{more if only else ''}"
    twice = [each for each in by_position[: max(n_given, 0)] if each in kwargs]
    if twice:
        return f"{name}() has two values for {twice[0]}: by position and as {twice[0]}="
    required = [each for each, what in parameters.items() if what.default is what.empty and what.kind in _SINGLE]
    missing = [each for each in required if each not in kwargs and each not in by_position[: max(n_given, 0)]]
    return f"{name}() needs {' and '.join(missing)}: {name}{_brief(signature)}" if missing else ""


_POSITIONAL, _EITHER = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
_SINGLE = (_POSITIONAL, _EITHER, inspect.Parameter.KEYWORD_ONLY)


def _brief(signature: inspect.Signature) -> str:
    """Return the names of the arguments as in a call: `(func, *sequences, chunksize=1)`."""
    plain = [
        what.replace(annotation=inspect.Parameter.empty)
        for each, what in signature.parameters.items()
        if each != "self"
    ]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)).replace("/, ", "")


# IPython: lines


def _show_shortly(error: BaseException) -> None:
    """Let IPython show `error` as `render` does, if there is one and the error has no form of its own."""
    if "IPython" in sys.modules:
        with suppress(Exception):  # of the user's class
            if not hasattr(error, "_render_traceback_"):
                vars(error)["_render_traceback_"] = render


def render() -> list[str]:
    """Return the error that IPython shows now as lines: the caller's lines, then the error.

    A function without the error, since an attribute with it would be a cycle, and could not be pickled.
    """
    error = sys.exc_info()[1] or sys.last_value
    if error is None or vars(error).get("_render_traceback_") is not render:
        raise LookupError("another error is shown")  # IPython then shows it as usual
    shell: Any = sys.modules["IPython"].get_ipython()
    text = re.sub(_PLACE, lambda place: _cell(place[1], shell) or place[0], "\n".join(lines_of_error(error)))
    return ["\n".join((*_lines_of_caller(error, shell), text))]  # one line, as `%xmode` joins them in many ways


def lines_of_error(error: BaseException) -> list[str]:
    """Return an error as lines: of a task which task, and the traceback there; of another one its type and text."""
    remote = remote_traceback_of(error)
    text = remote.text if remote is not None else getattr(error, "remote_traceback", "")
    notes = [each for each in getattr(error, "__notes__", ()) if isinstance(each, str) and each not in text]
    if isinstance(error, WorkerLost) and error.note:
        notes.insert(0, error.note)
    if not text:
        text = one_line(f"{type(error).__name__}: {_sentence(error)}".removesuffix(": "))
    task = [f"in task {remote.taskid}:"] if remote is not None and remote.taskid is not None else []
    return [*task, *(plain_text(each).rstrip() for each in (text, *notes))]


def _sentence(error: BaseException) -> str:
    if isinstance(error, TaskFCError):
        return "; ".join(filter(None, (error.message, error.hint)))
    return str(error)


def _lines_of_caller(error: BaseException, shell: Any) -> list[str]:
    """Return a line for each frame of the caller's; none for a cell that has a single line."""
    found = [frame for frame in traceback.walk_tb(error.__traceback__) if not _is_machinery(frame[0].f_globals)]
    lines = [_line_of(frame.f_code, number, shell) for frame, number in found]
    is_plain = len(found) == 1 and len([*filter(str.strip, linecache.getlines(found[0][0].f_code.co_filename))]) == 1
    return [] if is_plain else lines


def _is_machinery(names: Mapping[str, Any]) -> bool:
    package = str(names.get("__name__", "")).partition(".")[0]
    return package in ("taskfc_ext", "IPython", "ipykernel", *_BETWEEN)


def _cell(filename: str, shell: Any) -> str:
    """Return a cell as IPython calls it, `Cell In[3]`; empty for another file."""
    return " ".join(shell.compile.format_code_name(filename) or ()) if shell is not None else ""


def _line_of(code: CodeType, number: int, shell: Any) -> str:
    where = f"{_cell(code.co_filename, shell) or f'File {code.co_filename}'}, line {number}"
    function = "" if code.co_name == "<module>" else f", in {code.co_name}"
    source = linecache.getline(code.co_filename, number).strip()
    return f"{where}{function}: {source}" if source else f"{where}{function}"
