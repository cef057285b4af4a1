"""Cards that stay true in a real JupyterLab and Notebook 7, whatever became of their kernel, page and farm.

In each of these tests no cell runs after the first ones: what the cards show comes from the Jupyter server.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import BOTH, PYTHON, Lab, OpenNotebook, Place
from tests.browser.test_buttons import buttons, press
from tests.browser.test_cards import LOAD, WAITING, shows

RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"

PICTURE = """%%task picture
import pathlib, time
from IPython.display import HTML, display
print("drawing")
display(HTML("<em class='drawn'>a table</em><img src='x:' onerror='window.hacked = true'>"))
while not pathlib.Path("{gate}").exists():
    time.sleep(0.02)
"the end"
"""


def restart_kernel(notebook: OpenNotebook) -> None:
    notebook.page.evaluate(RESTART)
    notebook.wait_for_kernel()


def save(notebook: OpenNotebook) -> None:
    notebook.command("docmanager:save")
    expect(notebook.page.locator(".jp-mod-dirty")).to_have_count(0)


def farm(verb: str) -> None:
    """Run a command for the farm, in a process of its own, with the Python of the kernels: a farm has one."""
    command = [PYTHON, "-m", "taskfc_ext.cli", *verb.split()]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("place", BOTH, ids=str)
def test_cards_are_true_after_a_restart_of_the_kernel_a_reload_and_both(
    lab: Lab, page: Page, tmp_path: Path, place: Place
) -> None:
    gates = {name: tmp_path / name for name in ("one", "two")}
    tasks = [WAITING.format(name=name, said=f"{name} speaks", gate=gate) for name, gate in gates.items()]
    notebook = lab.open(page, "true", LOAD, *tasks, "%%task wrong\n1 / 0", place=place)
    notebook.run(0, 3)
    shows(notebook.card(3), "ZeroDivisionError")
    notebook.run(1, 2)
    shows(notebook.card(1), "one speaks")
    shows(notebook.card(2), "two speaks")
    notebook.command("docmanager:save")

    restart_kernel(notebook)
    gates["one"].touch()
    shows(notebook.card(1), "succeeded")
    shows(notebook.card(1), "the value of one")
    expect(buttons(notebook.output(1))).to_have_count(0)

    page.reload()
    notebook.wait_for_kernel()
    shows(notebook.card(1), "succeeded")  # it was saved while it ran, and its kernel is gone
    shows(notebook.card(1), "the value of one")
    shows(notebook.card(2), "running")
    shows(notebook.card(2), "two speaks")
    expect(notebook.card(2)).not_to_contain_text("as of")
    gates["two"].touch()
    shows(notebook.card(2), "the value of two")
    press(notebook.output(3), "Retry")
    press(notebook.output(3), "Yes, retry")
    shows(notebook.card(3), "retry of")
    shows(notebook.card(3), "ZeroDivisionError")
    for index in (1, 2, 3):
        expect(notebook.card(index).locator("visible=true")).not_to_have_count(0)
        expect(notebook.output(index).locator(".taskfc-card:visible")).to_have_count(1)


def test_an_abort_from_a_page_whose_kernel_was_restarted(lab: Lab, page: Page, tmp_path: Path) -> None:
    notebook = lab.open(page, "alive", LOAD, WAITING.format(name="alive", said="begun", gate=tmp_path / "never"))
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    restart_kernel(notebook)
    press(notebook.output(1), "Abort")
    press(notebook.output(1), "Yes, abort")
    shows(notebook.card(1), "aborted")
    expect(buttons(notebook.output(1)).get_by_role("button", name="Retry")).to_be_visible()


def test_a_card_says_that_its_farm_was_stopped_and_goes_on_when_any_process_starts_it(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    task = WAITING.format(name="through", said="begun", gate=gate)
    notebook = lab.open(page, "stopped", LOAD, task, "%%task over\n'done'")
    notebook.run(0, 1, 2)
    shows(notebook.card(1), "begun")
    shows(notebook.card(2), "succeeded")
    notebook.command("docmanager:save")
    farm("stop")
    shows(notebook.card(1), "waiting (farm stopped)")
    shows(notebook.card(1), "begun")
    shows(notebook.card(2), "succeeded")
    expect(buttons(notebook.output(1)).get_by_role("button")).to_have_count(0)
    page.reload()
    notebook.wait_for_kernel()
    shows(notebook.card(1), "waiting (farm stopped)")
    shows(notebook.card(1), "begun")
    shows(notebook.card(2), "succeeded")
    farm("start -n 2")
    shows(notebook.card(1), "running")
    gate.touch()
    shows(notebook.card(1), "the value of through")


def test_a_notebook_that_was_closed_has_true_cards_when_it_is_opened_again(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    notebook = lab.open(page, "closed", LOAD, PICTURE.format(gate=gate))
    notebook.run(0, 1)
    expect(notebook.output(1).locator(".drawn:visible")).to_have_count(1)
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    save(notebook)  # the kernel changes its card no more
    notebook.command("application:close")
    expect(page.locator(".jp-NotebookPanel")).to_have_count(0)
    gate.touch()
    page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', {path})", notebook.path.name)
    shows(notebook.card(1), "succeeded")
    expect(notebook.output(1)).to_contain_text("the end")
    expect(notebook.output(1).locator(".drawn:visible")).to_have_count(1)  # the saved one is not shown beside it


def test_in_notebook_7_a_card_outlives_its_kernel_its_page_and_its_farm(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = WAITING.format(name="outlives", said="begun", gate=gate)
    notebook = lab.open(page, "outlives", LOAD, task, place=Place(app="notebook"))
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    save(notebook)  # the kernel changes its card no more
    farm("stop")
    shows(notebook.card(1), "waiting (farm stopped)")
    page.goto("about:blank")
    farm("start -n 2")
    gate.touch()
    page.go_back()
    shows(notebook.card(1), "the value of outlives")
    expect(notebook.output(1).locator(".taskfc-card:visible")).to_have_count(1)


def test_an_untrusted_notebook_shows_the_state_and_runs_nothing(lab: Lab, page: Page, tmp_path: Path) -> None:
    notebook = lab.open(page, "mine", LOAD, PICTURE.format(gate=tmp_path / "gate"))
    notebook.run(0, 1)
    shows(notebook.card(1), "drawing")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    save(notebook)
    cells = nbformat.read(notebook.path, as_version=4).cells
    other = lab.open(page, "theirs", "'what makes it another notebook'", cells=cells)
    (tmp_path / "gate").touch()
    shows(other.card(2), "succeeded")
    expect(other.output(2).locator(".drawn:visible")).to_have_count(1)
    assert not page.evaluate("() => window.hacked === true")


@pytest.mark.parametrize("place", BOTH, ids=str)
def test_without_the_server_extension_a_stale_card_says_so_and_what_to_type(
    plain_lab: Lab, page: Page, tmp_path: Path, place: Place
) -> None:
    gate = tmp_path / "gate"
    task = WAITING.format(name="stale", said="begun", gate=gate)
    notebook = plain_lab.open(page, "stale", LOAD, task, place=place)
    notebook.run(0, 1)
    shows(notebook.card(1), "begun")
    expect(notebook.output(1).locator(".taskfc-as-of")).to_be_hidden()
    restart_kernel(notebook)
    shows(notebook.output(1), "its kernel has ended. Type %load_ext taskfc_ext, then %task show")
    expect(notebook.output(1).locator(".taskfc-as-of")).to_be_visible()
    gate.touch()  # the tasks of a module share their workers
