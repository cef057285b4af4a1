"""Each threat has its tests, or the reason why it does not apply."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.security.threats import THREATS, Threat

TESTS = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.what)
def test_each_threat_has_tests_that_exist(threat: Threat) -> None:
    assert bool(threat.tests) != bool(threat.absent)
    for test in threat.tests:
        file, _, name = test.partition("::")
        functions = [
            node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert name in functions, test
