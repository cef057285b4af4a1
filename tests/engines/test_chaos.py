"""The short form of `make chaos`, and what its judge finds."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from taskfc_ext.errors import WorkerLost
from tests.engines.chaos import KINDS, N_DASK_WORKERS, judge, run
from tests.engines.clusters import dask_cluster

LOST = WorkerLost("its place was lost")


def test_promises_hold_while_one_process_of_each_kind_is_killed(home: Path) -> None:
    with dask_cluster(n_workers=N_DASK_WORKERS, has_nannies=True) as cluster:
        report = run(cluster, 100, 1, print, n_slots=4)
    assert not report.problems
    assert report.kills == Counter(KINDS)


def ended(*outcomes: int | Exception) -> list[Future[tuple[str, str]]]:
    futures: list[Future[tuple[str, str]]] = [Future() for _ in outcomes]
    for future, outcome in zip(futures, outcomes, strict=True):
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result((str(outcome), "run"))
    return futures


def test_a_run_that_keeps_its_promises_is_whole() -> None:
    report = judge(ended(0, LOST, LOST, 3), Counter({0: 2, 1: 1, 2: 3, 3: 1}), Counter(child=1))
    assert not report.problems
    assert (report.extra_runs, report.n_lost, report.n_poisoned) == (3, 1, 1)


@pytest.mark.parametrize(
    ("outcomes", "runs", "problem"),
    [
        ((0,), {}, "without a run"),
        ((1,), {0: 1}, "another's result"),
        ((ValueError("x"),), {0: 1}, "failed: ValueError"),
        ((LOST,), {0: 2}, "failed after 2 runs"),
        ((0, 1), {0: 1, 1: 2}, "may run only once and ran 2 times"),
        ((0, LOST), {0: 1, 1: 2}, "may run only once and ran 2 times"),
        ((0,), {0: 10}, "9 extra runs after 1 kills"),
    ],
)
def test_a_broken_promise_is_found(outcomes: tuple[int | Exception, ...], runs: dict[int, int], problem: str) -> None:
    (found,) = judge(ended(*outcomes), Counter(runs), Counter(child=1)).problems
    assert problem in found
