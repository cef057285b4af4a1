"""CPython's own tests of executors, `wait` and `as_completed`, from the interpreter's `test` package."""

from __future__ import annotations

import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskfc_ext import TaskExecutor, start


def load_cpython_tests() -> Any:
    """Return the mixins; since Python 3.12 they are in a package."""
    try:
        if sys.version_info < (3, 12):
            import test.test_concurrent_futures as module

            return module
        from test.test_concurrent_futures import executor, test_as_completed, test_wait, util
    except ImportError as error:
        pytest.skip(f"this Python comes without its tests of executors: {error}", allow_module_level=True)
    except unittest.SkipTest as error:
        pytest.skip(f"the tests of this Python do not run here: {error}", allow_module_level=True)
    return SimpleNamespace(
        ExecutorTest=executor.ExecutorTest,
        WaitTests=test_wait.WaitTests,
        AsCompletedTests=test_as_completed.AsCompletedTests,
        ExecutorMixin=util.ExecutorMixin,
        BaseTestCase=util.BaseTestCase,
    )


cpython = load_cpython_tests()


@pytest.fixture(scope="module", autouse=True)
def farm(module_home: Path) -> Iterator[None]:
    """A farm with one worker more than these tests use, so that `max_workers` holds tasks back."""
    with start(cpython.ExecutorMixin.worker_count + 1):
        yield


class CappedMixin(cpython.ExecutorMixin):  # type: ignore[misc]
    executor_type = TaskExecutor


class UncappedMixin(CappedMixin):
    def setUp(self) -> None:
        super().setUp()
        self.executor.shutdown()
        self.executor = TaskExecutor()


class CappedExecutorTest(cpython.ExecutorTest, CappedMixin, cpython.BaseTestCase):  # type: ignore[misc]
    """Submissions and maps with `max_workers`."""


class CappedWaitTest(cpython.WaitTests, CappedMixin, cpython.BaseTestCase):  # type: ignore[misc]
    """`wait` with `max_workers`."""


class CappedAsCompletedTest(cpython.AsCompletedTests, CappedMixin, cpython.BaseTestCase):  # type: ignore[misc]
    """`as_completed` with `max_workers`."""


class UncappedExecutorTest(cpython.ExecutorTest, UncappedMixin, cpython.BaseTestCase):  # type: ignore[misc]
    """Submissions and maps."""


class UncappedWaitTest(cpython.WaitTests, UncappedMixin, cpython.BaseTestCase):  # type: ignore[misc]
    """`wait`."""


class UncappedAsCompletedTest(cpython.AsCompletedTests, UncappedMixin, cpython.BaseTestCase):  # type: ignore[misc]
    """`as_completed`."""
