"""The short form of `make engines`: some tests of farms on this machine, with each farm on a real Dask cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.__main__ import run
from tests.engines.exceptions import EXCEPTIONS

TESTS = Path(__file__).parents[1]

FILES = ("tests/system/test_put.py", "tests/system/test_retries.py", "tests/system/test_outputs.py")


def test_farms_on_a_cluster_do_what_they_do_at_home() -> None:
    done = run(["-q", "-n0", "-p", "no:cacheprovider", *FILES], is_captured=True)
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_names_a_test(name: str) -> None:
    file, _, test = name.partition("::")
    assert f"def {test.partition('[')[0]}(" in TESTS.joinpath(file).read_text()
