"""Abort and Retry under a card, clicked in a real JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import LATEST, Lab, Place, has_subshells
from tests.browser.test_cards import BLOCKING, LOAD, WAITING, shows

WITH_SUBSHELLS = (LATEST, "ipykernel-7.3")
"""Kernels with subshells, which receive a click while a cell runs, also without the server extension."""


def buttons(output: Locator) -> Locator:
    return output.locator(".taskfc-buttons:visible")  # a page that draws the card has its own


def press(output: Locator, name: str) -> None:
    buttons(output).get_by_role("button", name=name, exact=True).click()


def test_abort_while_the_kernel_is_blocked(lab: Lab, page: Page, place: Place, tmp_path: Path) -> None:
    unblocked = tmp_path / "unblocked"
    task = WAITING.format(name="endless", said="begun", gate=tmp_path / "never")
    notebook = lab.open(page, "abort", LOAD, task, BLOCKING.format(gate=unblocked), place=place)
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    notebook.start(2)
    expect(notebook.prompt(2)).to_have_text("[*]:")
    press(notebook.output(1), "Abort")
    press(notebook.output(1), "No")  # "No" does nothing
    press(notebook.output(1), "Abort")
    press(notebook.output(1), "Yes, abort")
    shows(notebook.card(1), "aborted")
    expect(buttons(notebook.output(1)).get_by_role("button", name="Retry")).to_be_visible()
    expect(notebook.prompt(2)).to_have_text("[*]:")  # all that while no other code could run in the kernel
    unblocked.touch()
    notebook.wait_for_end(2)


@pytest.mark.parametrize("kernel", [LATEST, "ipykernel-6.31"])
def test_without_the_server_extension_the_kernel_gets_the_abort_or_advice_is_shown(
    plain_lab: Lab, page: Page, tmp_path: Path, kernel: str
) -> None:
    if lacks := Place(kernel=kernel).lacks:
        pytest.skip(lacks)
    unblocked = tmp_path / "unblocked"
    task = WAITING.format(name="alone", said="begun", gate=tmp_path / "never")
    notebook = plain_lab.open(page, "alone", LOAD, task, BLOCKING.format(gate=unblocked), place=Place(kernel=kernel))
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    taskid = notebook.card(1).inner_text().split()[2]
    notebook.start(2)
    expect(notebook.prompt(2)).to_have_text("[*]:")
    press(notebook.output(1), "Abort")
    press(notebook.output(1), "Yes, abort")
    if kernel in WITH_SUBSHELLS and has_subshells():
        shows(notebook.card(1), "aborted")
        expect(notebook.prompt(2)).to_have_text("[*]:")
    else:
        shows(buttons(notebook.output(1)), f"taskfc abort {taskid}")
        shows(notebook.card(1), "running")
    unblocked.touch()
    notebook.wait_for_end(2)
    shows(notebook.card(1), "aborted")  # at the end of the cell, every kernel receives it


def test_buttons_of_a_kernel_survive_a_reload_but_not_their_kernel(plain_lab: Lab, page: Page) -> None:
    notebook = plain_lab.open(page, "gone", LOAD, "%%task wrong\nprint('tried')\n1 / 0")
    notebook.run(0, 1)
    shows(notebook.card(1), "ZeroDivisionError")
    expect(buttons(notebook.output(1)).get_by_role("button", name="Retry")).to_be_visible()
    notebook.command("docmanager:save")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    page.reload()
    notebook.wait_for_kernel()
    expect(buttons(notebook.output(1)).get_by_role("button", name="Retry")).to_be_visible()
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.wait_for_kernel()
    page.reload()
    notebook.wait_for_kernel()
    shows(notebook.card(1), "ZeroDivisionError")
    expect(buttons(notebook.output(1))).to_have_count(0)
    assert "widget" not in notebook.output(1).inner_text()  # what can be seen; JupyterLab would tell of a lost one


def test_everything_works_with_the_keyboard(lab: Lab, page: Page, tmp_path: Path) -> None:
    task = WAITING.format(name="keys", said="begun", gate=tmp_path / "never")
    notebook = lab.open(page, "keys", LOAD, task)
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    expect(notebook.card(1).locator(".taskfc-as-of")).to_be_hidden()
    abort = buttons(notebook.output(1)).get_by_role("button", name="Abort", exact=True)
    abort.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(abort).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # "Yes" has the focus
    shows(notebook.card(1), "aborted")


def test_retry_runs_it_again_under_the_same_cell(lab: Lab, page: Page, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    task = f"%%task fragile\nimport pathlib\nassert pathlib.Path('{mended}').exists(), 'not mended'\n'whole'"
    notebook = lab.open(page, "retry", LOAD, task, "fragile.taskid, fragile.state")
    notebook.run(0, 1)
    shows(notebook.card(1), "AssertionError")
    mended.touch()
    press(notebook.output(1), "Retry")
    press(notebook.output(1), "Yes, retry")
    shows(notebook.card(1), "succeeded")
    expect(notebook.card(1)).to_have_count(1)
    expect(buttons(notebook.output(1))).to_have_count(0)
    notebook.run(2)  # the first cell after the click has the name of the new task
    notebook.says(2, "'succeeded')")


@pytest.mark.parametrize("place", [Place(), Place(app="notebook")], ids=str)
def test_a_cell_that_is_run_again_replaces_its_task_or_runs_beside_it(
    lab: Lab, page: Page, tmp_path: Path, place: Place
) -> None:
    gate = tmp_path / "gate"
    task = WAITING.format(name="again", said="begun", gate=gate)
    tell = "print(f'it is task {again.taskid}')"
    notebook = lab.open(page, "again", LOAD, task, tell, "%%task quick --reuse\n6 * 7", place=place)
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.wait_for_kernel()
    notebook.run(0)
    for choice, said in (("Replace", "Stopping task"), ("Run both", "was submitted")):
        notebook.start(1)
        notebook.says(1, "so nothing was submitted")
        first = str(notebook.card(1).get_attribute("data-task"))
        press(notebook.output(1), choice)
        expect(buttons(notebook.output(1))).to_contain_text(said)
        expect(notebook.card(1)).not_to_have_attribute("data-task", first)
        second = str(notebook.card(1).get_attribute("data-task"))
        expect(buttons(notebook.output(1)).get_by_role("button", name="Abort")).to_be_visible()
        notebook.start(2)
        notebook.says(2, f"it is task {second}")
    gate.touch()
    shows(notebook.card(1), "succeeded")
    notebook.start(3)
    shows(notebook.card(3), "42")
    first = str(notebook.card(3).get_attribute("data-task"))
    notebook.start(3)
    notebook.says(3, f"from task {first}")
    press(notebook.output(3), "Run again")
    press(notebook.output(3), "Yes, run again")
    expect(notebook.card(3)).not_to_have_attribute("data-task", first)
    shows(notebook.card(3), "42")
