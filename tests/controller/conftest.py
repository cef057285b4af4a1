"""A farm over the wire, as the tests of the controller use it."""

from __future__ import annotations

import pytest

from tests.controller.wire import WireFarm


@pytest.fixture
def farm(tmp_path):
    farm = WireFarm(tmp_path / "journal", n_workers=1)
    yield farm
    farm.close()
