"""IPython extension of the kernels that are compared: writes what each cell has bound, returned and raised into a file.

`SAME_RECORDS` is the folder of the files, and its file `now` holds the number of the cell that runs; `SAME_HOW` is how
its cells run (see `runs`). In a kernel whose functions run as tasks it also sends their calls to the farm.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

from IPython.utils.capture import capture_output

from tests.same.portrait import portrait

PREFIX = "same_"
"""Begins the names of tasks."""

_IPYTHONS = frozenset(("In", "Out", "exit", "quit", "get_ipython", "open"))


def load_ipython_extension(ip: Any) -> None:
    """Begin to write."""
    folder = Path(os.environ["SAME_RECORDS"])
    ip.events.register("post_run_cell", functools.partial(_write, ip, folder))
    if os.environ["SAME_HOW"] == "calls":
        import taskfc_ext

        client = taskfc_ext.TaskClient()
        builtins._same_call = functools.partial(_call, ip, client)  # type: ignore[attr-defined]
        ip.ast_transformers.append(_Calls())


def _write(ip: Any, folder: Path, result: Any) -> None:
    now = folder / "now"
    if not now.exists() or not result.info.store_history:  # run by a magic inside a cell
        return
    number = int(now.read_text())
    now.unlink()
    record: dict[str, Any] = {
        "value": portrait(result.result),
        "error": portrait(_error(result)),
        "paged": _read_pager(ip),
    }
    task = ip.user_ns.get(f"{PREFIX}{number}")
    if task is not None:
        record |= _of_task(ip, task)
    elif f"%%task {PREFIX}{number} " in (result.info.raw_cell or ""):
        record["refused"] = f"{type(_error(result)).__name__}: {_error(result)}"
    record["names"] = {
        name: portrait(value)
        for name, value in list(ip.user_ns.items())
        if not name.startswith(("_", PREFIX)) and name not in _IPYTHONS
    }
    folder.joinpath(f"{number}.pickle").write_bytes(pickle.dumps(record))


def _read_pager(ip: Any) -> str:
    """Return what `f?` has shown here: a kernel sends it to a pager in its reply, and not as an output."""
    payloads = ip.payload_manager.read_payload()
    return "".join(payload["data"].get("text/plain", "") for payload in payloads if payload["source"] == "page")


def _error(result: Any) -> BaseException | None:
    return result.error_before_exec or result.error_in_exec


def _of_task(ip: Any, task: Any) -> dict[str, Any]:
    """Return what a task gave, and what its card shows."""
    error = task.exception()
    with capture_output() as shown:
        ip.run_line_magic("task", f"show {PREFIX}{task.name.removeprefix(PREFIX)}")
    return {
        "value": portrait(None if error else task.result()),
        "error": portrait(error),
        "stdout": task.stdout,
        "stderr": task.stderr,
        "displays": [dict(output["data"]) for output in task.outputs],
        "shown": [dict(output.data) for output in shown.outputs],
    }


class _Calls(ast.NodeTransformer):
    """Makes `f(x)` of a cell's own level, where `f` is a name, into `_same_call(f, x)`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id in ("get_ipython", "super", "locals", "globals"):
            return node
        call = ast.Call(ast.Name("_same_call", ast.Load()), [node.func, *node.args], node.keywords)
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_Await = _leave


def _call(ip: Any, client: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the notebook as a task, and print and show here what it has printed and shown there."""
    if function is map and args and _is_the_notebooks(args[0]):
        return iter(client.map(args[0], *map(list, args[1:])))
    if not _is_the_notebooks(function):
        return function(*args, **kwargs)
    future = client.submit(function, *args, **kwargs)
    try:
        return future.result()
    finally:
        sys.stdout.write(future.stdout)
        sys.stderr.write(future.stderr)
        for output in future.outputs:
            ip.display_pub.publish(output["data"], output.get("metadata", {}))


def _is_the_notebooks(function: Any) -> bool:
    if isinstance(function, functools.partial):
        return _is_the_notebooks(function.func)
    inner = inspect.unwrap(function) if callable(function) else None
    if not isinstance(inner, types.FunctionType) or inner.__module__ != "__main__":
        return False
    return not inner.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
