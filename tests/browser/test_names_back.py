"""Names of two notebooks, and what comes back after a restart, in a real JupyterLab and Notebook 7."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.lab import BOTH, Lab, Place
from tests.browser.test_cards import LOAD, WAITING, shows
from tests.browser.test_live_cards import restart_kernel


@pytest.mark.parametrize("place", BOTH, ids=str)
def test_names_are_of_their_notebook_and_are_back_after_a_restart(
    lab: Lab, page: Page, tmp_path: Path, place: Place
) -> None:
    gate = tmp_path / "gate"
    only, slow = (WAITING.format(name=name, said=f"{name} speaks", gate=gate) for name in ("only", "slow"))
    other = lab.open(page, "theirs", LOAD, "%%task shared\n'theirs'", only, place=place)
    other.run(0, 1, 2)
    shows(other.card(1), "succeeded")
    shows(other.card(2), "only speaks")

    reading = ("%task result shared", f"%task result {other.path.stem}:shared", "%task abort only")
    back = ("%load_ext taskfc_ext", "shared.result(), slow.state", "slow.result()", "6 * 7")
    notebook = lab.open(page, "mine", LOAD, "%%task shared\n'mine'", slow, *reading, *back, place=place)
    notebook.run(0, 1)
    shows(notebook.card(1), "succeeded")
    notebook.run(2, 3, 4, 5)
    notebook.says(3, "'mine'")
    notebook.says(4, f"shared is one of {other.path}")
    notebook.says(4, "'theirs'")
    notebook.says(5, f"{other.path.stem}:only is another notebook's")
    shows(notebook.card(2), "slow speaks")

    restart_kernel(notebook)
    notebook.run(6, 7)
    notebook.says(6, "this notebook has 1 running; here again: shared, slow")
    notebook.says(7, "('mine', 'running')")
    gate.touch()
    notebook.run(8)
    notebook.says(8, "'the value of slow'")

    restart_kernel(notebook)
    notebook.cell(9).locator(".jp-InputArea-editor .cm-content").click()
    notebook.command("taskfc:submit-cell")  # nothing was loaded in this kernel
    shows(notebook.card(9), "succeeded")
    shows(notebook.card(9), "42")
