"""Abort and Retry under a card, clicked in a real JupyterLab."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import DEADLINE_MS, Lab
from tests.browser.test_cards import BLOCKING, LOAD, WAITING, shows


def buttons(output: Locator) -> Locator:
    return output.locator(".taskfc-buttons")


def press(output: Locator, name: str) -> None:
    buttons(output).get_by_role("button", name=name, exact=True).click(timeout=DEADLINE_MS)


def test_abort_is_heard_while_the_kernel_is_blocked(lab: Lab, page: Page, tmp_path: Path) -> None:
    unblocked = tmp_path / "unblocked"
    task = WAITING.format(name="endless", said="begun", gate=tmp_path / "never")
    notebook = lab.open(page, "abort", LOAD, task, BLOCKING.format(gate=unblocked))
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    notebook.start(2)
    expect(notebook.prompt(2)).to_have_text("[*]:")
    press(notebook.output(1), "Abort")
    press(notebook.output(1), "No")  # nothing is done without a yes
    press(notebook.output(1), "Abort")
    press(notebook.output(1), "Yes, abort")
    shows(notebook.card(1), "aborted")
    expect(buttons(notebook.output(1)).get_by_role("button", name="Retry")).to_be_visible(timeout=DEADLINE_MS)
    expect(notebook.prompt(2)).to_have_text("[*]:")  # all that while no other code could run in the kernel
    unblocked.touch()
    notebook.ended(2)
