"""The shells of the tests leave nothing to the tests that follow."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.shells import end_shell, new_shell


@pytest.mark.parametrize("make", [InteractiveShell, InteractiveShell.instance], ids=["another", "the one"])
def test_a_shell_that_has_ended_is_main_no_more(make: Callable[..., InteractiveShell]) -> None:
    before = sys.modules["__main__"], InteractiveShell._instance
    ip = new_shell(make)
    assert sys.modules["__main__"] is ip.user_module
    end_shell(ip)
    assert (sys.modules["__main__"], InteractiveShell._instance) == before


def test_the_one_of_before_is_the_one_again() -> None:
    first = new_shell(InteractiveShell.instance)
    second = new_shell(InteractiveShell.instance)
    assert InteractiveShell._instance is second
    end_shell(second)
    assert InteractiveShell._instance is first
    end_shell(first)
