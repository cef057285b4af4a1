"""The joblib backend on a real farm: joblib and scikit-learn give what they give alone."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext import BlockingTaskClient, register_joblib_backend
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, until

joblib = pytest.importorskip("joblib")

from joblib import Parallel, delayed, parallel_config


@pytest.fixture
def backend(client: BlockingTaskClient) -> Iterator[None]:
    register_joblib_backend()
    with parallel_config(backend="taskfc", client=client):
        yield


def square(x: int) -> int:
    return x * x


def invert(x: int) -> float:
    return 1 / x


def pid_of(x: int) -> int:
    return os.getpid()


def wait_for_file(path: str) -> str:
    deadline = time.monotonic() + DEADLINE
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.005)
    return path


# joblib


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 5, -1])
@pytest.mark.parametrize("batch_size", ["auto", 1, 7])
def test_results_are_in_order(backend: None, n_jobs: int | None, batch_size: Any) -> None:
    results = Parallel(n_jobs=n_jobs, batch_size=batch_size)(delayed(square)(x) for x in range(40))
    assert results == [x * x for x in range(40)]


def test_calls_run_on_the_farm_in_batches(backend: None, client: BlockingTaskClient, shared_farm: Controller) -> None:
    before = sum(client.queue_status().values())
    pids = Parallel(batch_size=10, pre_dispatch="all")(delayed(pid_of)(x) for x in range(40))
    assert set(pids) <= set(shared_farm.worker_pids)
    assert sum(client.queue_status().values()) == before + 4
    assert client.list_tasks(limit=1)[0].label == "joblib_batch"
    assert Parallel(n_jobs=1)(delayed(pid_of)(x) for x in range(2)) == [os.getpid()] * 2


def test_short_calls_are_batched_by_themselves(backend: None, client: BlockingTaskClient) -> None:
    before = sum(client.queue_status().values())
    Parallel()(delayed(square)(x) for x in range(2000))
    assert sum(client.queue_status().values()) - before < 1000


def test_the_default_is_a_job_for_each_worker(backend: None) -> None:
    assert joblib.effective_n_jobs(-1) == 2
    assert joblib.effective_n_jobs(-5) == 1
    assert joblib.effective_n_jobs(7) == 7
    assert joblib.effective_n_jobs(None) == 1  # as for all backends; Parallel() asks for the default
    assert Parallel()._backend.default_n_jobs == Parallel().n_jobs == -1
    with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
        joblib.effective_n_jobs(0)


def test_functions_of_the_caller_work(backend: None) -> None:
    offset = 3

    class Adder:
        def __call__(self, x: int) -> int:
            return x + offset

    assert Parallel()(delayed(lambda x: x + offset)(x) for x in range(5)) == [3, 4, 5, 6, 7]
    assert Parallel()(delayed(Adder())(x) for x in range(5)) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_an_error_is_that_of_the_call(backend: None, client: BlockingTaskClient, return_as: str) -> None:
    with pytest.raises(ZeroDivisionError):
        list(Parallel(n_jobs=2, return_as=return_as)(delayed(invert)(x) for x in (1, 2, 0, 4)))
    assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(3)) == [0, 1, 4]


def test_an_argument_that_cannot_be_sent_is_an_error(backend: None) -> None:
    for position in (0, 30):  # the first is submitted here, the other one in a callback
        calls = [delayed(square)(threading.Lock() if x == position else x) for x in range(40)]
        with pytest.raises(TypeError, match="lock"):
            Parallel(n_jobs=2, batch_size=1)(calls)


def test_an_error_aborts_the_calls_that_run(backend: None, client: BlockingTaskClient, tmp_path: Path) -> None:
    calls = [delayed(wait_for_file)(str(tmp_path / "never")), delayed(invert)(0)]
    with pytest.raises(ZeroDivisionError):
        Parallel(n_jobs=2, batch_size=1)(calls)
    until(lambda: not client.list_tasks(states=["running", "scheduled"]), "all are gone", DEADLINE / 2)


def test_an_instance_can_be_used_again_after_an_error(backend: None) -> None:
    with Parallel(n_jobs=2) as parallel:
        with pytest.raises(ZeroDivisionError):
            parallel(delayed(invert)(x) for x in (1, 0))
        assert parallel(delayed(square)(x) for x in range(4)) == [0, 1, 4, 9]


def test_a_timeout_ends_the_call(backend: None, client: BlockingTaskClient, tmp_path: Path) -> None:
    with pytest.raises(multiprocessing.TimeoutError):  # joblib's own choice
        Parallel(n_jobs=2, timeout=0.1)(delayed(wait_for_file)(str(tmp_path / str(x))) for x in range(2))
    until(lambda: not client.list_tasks(states=["running", "scheduled"]), "all are gone", DEADLINE / 2)


def test_generators_give_results_as_they_come(backend: None, tmp_path: Path) -> None:
    ordered = Parallel(n_jobs=2, return_as="generator")(delayed(square)(x) for x in range(10))
    assert next(ordered) == 0
    assert list(ordered) == [x * x for x in range(1, 10)]
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    quick.touch()
    paths = [str(path) for path in (slow, quick, quick)]
    unordered = Parallel(n_jobs=2, batch_size=1, return_as="generator_unordered")(map(delayed(wait_for_file), paths))
    assert [next(unordered), next(unordered)] == [str(quick)] * 2
    slow.touch()
    assert list(unordered) == [str(slow)]


def test_a_generator_that_is_left_does_not_block(backend: None) -> None:
    results = Parallel(n_jobs=2, return_as="generator")(delayed(square)(x) for x in range(100))
    assert next(results) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del results
    assert Parallel(n_jobs=2)(delayed(square)(x) for x in range(3)) == [0, 1, 4]


def backends_within(depth: int) -> list[tuple[str, int]]:
    with Parallel(n_jobs=2) as parallel:
        here = [(type(parallel._backend).__name__, parallel._backend.nesting_level)]
        return here + parallel([delayed(backends_within)(depth - 1)])[0] if depth else here


def test_nested_calls_use_threads_and_then_none(backend: None) -> None:
    assert backends_within(3) == [
        ("TaskFCBackend", 0),
        ("ThreadingBackend", 1),
        ("SequentialBackend", 2),
        ("SequentialBackend", 2),
    ]


def sum_of_squares(n: int) -> int:
    return sum(Parallel(n_jobs=2, backend="taskfc")(delayed(square)(x) for x in range(n)))


def test_a_nested_call_may_name_the_backend(backend: None) -> None:
    assert Parallel()(delayed(sum_of_squares)(n) for n in range(5)) == [0, 0, 1, 5, 14]


def test_without_a_client_it_uses_the_default_farm(shared_farm: Controller) -> None:
    register_joblib_backend()
    with parallel_config(backend="taskfc"):
        assert set(Parallel()(delayed(pid_of)(x) for x in range(8))) <= set(shared_farm.worker_pids)
    with (
        pytest.raises(TypeError, match=r"TaskClient\(\) returns, not 'default'"),
        parallel_config("taskfc", client="default"),
    ):
        pass


def test_it_works_in_a_task(client: BlockingTaskClient) -> None:
    def total(n: int) -> int:
        register_joblib_backend()
        with parallel_config(backend="taskfc"):
            return sum(Parallel()(delayed(square)(x) for x in range(n)))

    futures = [client.submit(total, n) for n in (3, 4, 5)]
    assert [future.result(DEADLINE) for future in futures] == [5, 14, 30]


def test_joblib_that_is_not_installed_is_named() -> None:
    program = """
import sys
sys.modules["joblib"] = None
import taskfc_ext
taskfc_ext.register_joblib_backend()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("joblib is not installed; install it with: pip install joblib")


# scikit-learn


@pytest.fixture(scope="module")
def digits() -> Any:
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_digits(return_X_y=True)
    return X[:300], y[:300]


def both(backend: None, fit: Any) -> tuple[Any, Any]:
    """Return what `fit` gives on the farm, and alone."""
    on_farm = fit(-1)
    with parallel_config(backend="sequential"):
        return on_farm, fit(1)


def test_a_grid_search_gives_the_same_scores(backend: None, digits: Any) -> None:
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    def fit(n_jobs: int) -> Any:
        return GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.001, 0.01]}, cv=3, n_jobs=n_jobs).fit(*digits)

    on_farm, alone = both(backend, fit)
    assert (on_farm.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()
    assert on_farm.best_params_ == alone.best_params_
    assert (on_farm.predict(digits[0]) == alone.predict(digits[0])).all()


def test_a_forest_is_the_same_forest(backend: None, digits: Any) -> None:
    from sklearn.ensemble import RandomForestClassifier

    def fit(n_jobs: int) -> Any:
        return RandomForestClassifier(20, random_state=3, n_jobs=n_jobs).fit(*digits)

    on_farm, alone = both(backend, fit)
    assert (on_farm.predict_proba(digits[0]) == alone.predict_proba(digits[0])).all()
    assert [tree.random_state for tree in on_farm] == [tree.random_state for tree in alone]


# its threads replace the process's warning filters, and sometimes find none; also without a farm
@pytest.mark.filterwarnings("ignore:`sklearn.utils.parallel.delayed` should be used:UserWarning")
def test_a_random_search_over_forests_that_are_parallel_themselves(backend: None, digits: Any) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import RandomizedSearchCV

    def fit(n_jobs: int) -> Any:
        forest = RandomForestClassifier(10, random_state=1, n_jobs=n_jobs)
        search = RandomizedSearchCV(
            forest, {"max_depth": list(range(1, 9))}, n_iter=3, cv=2, random_state=5, n_jobs=n_jobs
        )
        return search.fit(*digits)

    on_farm, alone = both(backend, fit)
    assert (on_farm.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()
    assert on_farm.cv_results_["params"] == alone.cv_results_["params"]


def test_cross_validation_with_a_bad_fit_reports_it_as_alone(backend: None, digits: Any) -> None:
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    with pytest.raises(ValueError, match="All the 3 fits failed"):
        cross_val_score(SVC(C=-1), *digits, cv=3, n_jobs=2)


# joblib's own tests


def test_the_backend_passes_joblibs_own_tests_of_backends(shared_farm: Controller, tmp_path: Path) -> None:
    """Run them as joblib ships them: their parameters are all registered backends."""
    if importlib.util.find_spec("joblib.test.test_parallel") is None:
        pytest.skip("this joblib comes without its tests")
    tmp_path.joinpath("register.py").write_text("import taskfc_ext\ntaskfc_ext.register_joblib_backend()\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    # the workers of the other backends do not know ours, as they do not know any that is registered
    chosen = "taskfc and not loky-taskfc and not back_compat_backend-taskfc"
    options = ["-q", "-p", "no:cacheprovider", "-p", "register", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--pyargs", "joblib.test.test_parallel"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) > 50
