"""Execution contexts in a worker: entered for each attempt, and restored after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.protocol.context import Context, encode_context


def context_in(cwd: object, path: tuple[str, ...] = (), **environ: str | None) -> bytes:
    edits = ((name.encode(), None if value is None else value.encode()) for name, value in environ.items())
    return encode_context(
        Context(
            python_executable=b"python",
            python_version="3",
            cwd=os.fsencode(str(cwd)),
            folder=os.fsencode(str(cwd)),
            sys_path=tuple(map(os.fsencode, (*path, *sys.path))),
            environ=tuple(edits),
        )
    )


@pytest.fixture(autouse=True)
def this_process_stays_where_it_is() -> Iterator[None]:
    cwd, path, environ = os.getcwd(), list(sys.path), dict(os.environ)
    yield
    os.chdir(cwd)
    sys.path[:] = path
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    os.environ.update(environ)


def read_place() -> tuple[str, str, str | None]:
    return os.getcwd(), sys.path[0], os.environ.get("TF_TEST")


def wreck() -> None:
    os.chdir("/")
    sys.path.insert(0, "/wrecked")
    os.environ["TF_TEST"] = "wrecked"


def test_a_context_is_entered_and_left(bench: Any, tmp_path: Path) -> None:
    own = read_place()
    bench.call(read_place, context=bench.define(context_in(tmp_path, ("/first",), TF_TEST="x")))
    assert bench.result() == (str(tmp_path), "/first", "x")
    bench.call(read_place)
    assert bench.result() == own


def test_a_removed_variable_is_gone_for_subprocesses_too(bench: Any, tmp_path: Path) -> None:
    bench.call(os.system, 'test -z "${HOME+set}"', context=bench.define(context_in(tmp_path, HOME=None)))
    assert bench.result() == 0


def test_changes_by_a_task_end_with_it(bench: Any, tmp_path: Path) -> None:
    context = bench.define(context_in(tmp_path, ("/first",), TF_TEST="x"))
    bench.call(wreck, context=context)
    assert bench.result() is None
    bench.call(read_place, context=context)
    assert bench.result() == (str(tmp_path), "/first", "x")
    bench.call(wreck)
    assert bench.result() is None
    bench.call(read_place)
    assert bench.result()[2] is None


def test_a_missing_folder_is_named(bench: Any, tmp_path: Path) -> None:
    bench.call(read_place, context=bench.define(context_in(tmp_path / "gone")))
    failure = bench.failure()
    assert failure.type_name == "FileNotFoundError"
    assert str(tmp_path / "gone") in failure.message
    assert "submit the task from another one" in failure.message
    bench.call(len, [1])
    assert bench.result() == 1


def test_a_function_in_a_module_is_that_of_its_context(bench: Any, tmp_path: Path) -> None:
    bench.call(read_place, context=bench.define(context_in(tmp_path)))
    bench.result()
    bench.call(read_place, context=bench.define(context_in(tmp_path, ("/other",))))  # its code is loaded once more
    assert bench.result() == (str(tmp_path), "/other", None)
