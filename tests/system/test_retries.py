"""Failures that are retried, and when: `retry_on` and `backoff`, in both clients and in a notebook."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import TaskTimeout
from tests.processes import DEADLINE

from .conftest import AsyncFace, BlockingFace, Session


def fail(log: str, kind: type[Exception], times: int = 10**6) -> int:
    """Note the time in `log` and raise; after so many times, return how often that was."""
    path = Path(log)
    path.write_text((path.read_text() if path.exists() else "") + f"{time.monotonic()}\n")
    n_calls = len(path.read_text().splitlines())
    if n_calls > times:
        return n_calls - 1
    raise kind("not yet")


def calls(log: Path) -> list[float]:
    return [float(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("retry_on", "kind", "n_calls"),
    [
        (None, ValueError, 3),
        (OSError, ConnectionError, 3),  # a kind of OSError
        ((KeyError, OSError), KeyError, 3),
        (OSError, ValueError, 1),
        ((KeyError, OSError), IndexError, 1),
    ],
)
def test_only_what_retry_on_names_is_tried_again(
    face: BlockingFace | AsyncFace, tmp_path: Path, retry_on: Any, kind: type[Exception], n_calls: int
) -> None:
    log = tmp_path / "calls"
    future = face.with_options(retries=2, retry_on=retry_on).submit(fail, str(log), kind)
    with pytest.raises(kind, match="not yet"):
        face.result(future)
    assert (len(calls(log)), future.attempts) == (n_calls, n_calls)


@pytest.mark.parametrize(("retry_on", "attempts"), [(None, 2), (TimeoutError, 2), (ValueError, 1)])
def test_a_timeout_is_tried_again_where_retry_on_covers_it(
    face: BlockingFace | AsyncFace, retry_on: Any, attempts: int
) -> None:
    future = face.with_options(retries=1, timeout=0.2, retry_on=retry_on).submit(time.sleep, 600)
    with pytest.raises(TaskTimeout):
        face.result(future)
    assert future.attempts == attempts


def test_retries_wait_twice_as_long_each_time(face: BlockingFace | AsyncFace, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    future = face.with_options(retries=3, backoff=0.2).submit(fail, str(log), OSError, 3)
    assert face.result(future) == 3
    moments = calls(log)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert [gap >= least for gap, least in zip(gaps, (0.2, 0.4, 0.8), strict=True)] == [True] * 3


def test_a_retry_that_waits_can_be_aborted(face: BlockingFace | AsyncFace, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    future = face.with_options(retries=1, backoff=600, name="patient").submit(fail, str(log), OSError)
    face.flush()
    end = time.monotonic() + DEADLINE
    while not (info := face.list_tasks(name="patient", limit=1)[0]).message:
        assert time.monotonic() < end
    assert info.message.startswith("retry 1 of 1 in ")
    face.abort(future.taskid)
    assert type(future.exception(DEADLINE)).__name__ == "TaskAborted"
    assert len(calls(log)) == 1


def test_retry_on_in_a_cell_takes_the_notebooks_own_exceptions(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    session.run(f"from pathlib import Path\nlog = Path({str(log)!r})\nclass Away(Exception): pass")
    cell = "log.write_text((log.read_text() if log.exists() else '') + 'x')\nraise "
    away = session.run(f"%%task --retries 2 --retry-on Away\n{cell}Away()")
    assert type(away.exception(DEADLINE)).__name__ == "Away"
    assert (away.attempts, log.read_text()) == (3, "xxx")
    wrong = session.run(f"%%task --retries 2 --retry-on Away\n{cell}ValueError()")
    assert isinstance(wrong.exception(DEADLINE), ValueError)
    assert (wrong.attempts, log.read_text()) == (1, "xxxx")
