"""Owner of the tasks of a process."""

from __future__ import annotations

import os
import sys

import pytest

from taskfc_ext.client.context.owner import default_owner


def test_jupyter_goes_before_the_editor_and_the_editor_before_the_program() -> None:
    assert default_owner({"JPY_SESSION_NAME": "a.ipynb"}, {"__vsc_ipynb_file__": "b.ipynb"}) == "a.ipynb"
    assert default_owner({}, {"__vsc_ipynb_file__": "b.ipynb"}) == "b.ipynb"


def test_a_program_is_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fit.py"])
    assert default_owner({}, {}) == os.path.join(os.getcwd(), "fit.py")


@pytest.mark.parametrize("argv", [["ipykernel_launcher.py"], [""], []])
def test_a_shell_is_its_process(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    owner = default_owner({}, {"get_ipython": None})
    assert owner.startswith(f"session-{os.getpid()}-")
    assert owner == default_owner({}, {"get_ipython": None}), "the magics and a client of one kernel have one owner"


def test_a_name_that_is_not_text_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/caf\udce9.py"])
    assert default_owner({}, {}) == "/home/caf\\udce9.py"
