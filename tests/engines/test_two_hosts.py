"""The short form of `python -m tests.engines.two_hosts`: a cut that Dask does not notice."""

from __future__ import annotations

import pytest

from tests.engines.two_hosts import main, why_not


def test_a_short_cut_of_the_network_costs_no_run(capfd: pytest.CaptureFixture[str]) -> None:
    if reason := why_not():
        pytest.skip(reason)
    code = main(["--cut", "3"])
    assert code == 0, capfd.readouterr()
