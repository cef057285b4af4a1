"""The tests that cannot hold on an engine, each with the reason."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

_PARENT = "the parent of a worker on an engine is a process of the engine, not the farm's supervisor"
_PAGE = "the page of a worker on an engine is no file: a task cannot truncate it"
_ORPHAN = "on an engine nobody adopts the programs of a worker that has died, and these hide their environment"
_GIL = "a worker on an engine does not give back what waits behind code that holds the GIL"

EXCEPTIONS = {
    "system/test_ahead.py::test_no_task_waits_behind_a_long_one_that_holds_the_lock": _GIL,
    "system/test_broadcasts.py::test_one_that_kills_its_workers_ends_after_three_deaths": (
        "a broadcast on an engine waits for the workers that are there: nobody knows when there will be others"
    ),
    "system/test_context.py::test_a_folder_that_is_gone_fails_the_task": (
        "a working directory that is not on the host of a worker is an empty one there"
    ),
    "system/test_joblib.py::test_the_backend_passes_joblibs_own_tests_of_backends": (
        "a task on an engine finds its farm by the environment of the engine's process, which is not the test's"
    ),
    "system/test_kill_the_farm.py::test_the_farm_does_not_notice_what_a_task_sends_it": _PARENT,
    "system/test_kill_the_farm.py::test_a_controller_that_starts_does_not_notice_what_a_task_sends_it": (
        "the supervisor ignores signals of its descendants; a worker on an engine is none"
    ),
    "system/test_kill_the_farm.py::test_a_task_that_truncates_pages[0]": _PAGE,
    "system/test_kill_the_farm.py::test_a_task_that_kills_the_farm_is_poisoned_after_three_times": _PARENT,
    "system/test_kill_the_farm.py::test_a_task_that_kills_the_farm_at_most_once": _PARENT,
    "system/test_leftovers.py::test_it_is_gone_when_the_task_had_to_be_killed[as_a_daemon]": _ORPHAN,
    "system/test_leftovers.py::test_it_is_gone_when_the_worker_has_died[as_a_daemon]": _ORPHAN,
    "system/test_leftovers.py::test_it_is_gone_when_the_worker_has_died[with_an_empty_environment]": _ORPHAN,
    "system/test_workers.py::test_cores_are_shared_out_unless_the_user_did": (
        "thread pools on an engine are as the engine has set them"
    ),
}
"""Tests, as `FOLDER/FILE::NAME` below `tests/` with or without parameters, and the reason."""


def skip_exceptions(items: Iterable[pytest.Item]) -> None:
    """Skip the tests that cannot hold on an engine."""
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        reason = EXCEPTIONS.get(name) or EXCEPTIONS.get(name.partition("[")[0])
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"on an engine: {reason}"))
