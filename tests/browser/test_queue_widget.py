"""`%task widget` in a real JupyterLab and Notebook 7: with blocked and restarted kernels, and several views."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import Lab, OpenNotebook, Place, has_subshells
from tests.browser.queues import QueueOnPage
from tests.browser.test_buttons import WITH_SUBSHELLS
from tests.browser.test_cards import BLOCKING, LOAD, WAITING
from tests.processes import until

STOPPED = re.compile(r"Stopping task \d+|Aborted task \d+")
"""Result of aborting a running task, which may have ended by then."""

WIDGET = "%task widget"

RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"


def queue_under(notebook: OpenNotebook, index: int) -> QueueOnPage:
    view = QueueOnPage(notebook.output(index).locator(".taskfc-queue"))
    view.is_there()
    return view


def test_widget_is_live_and_aborts_while_the_kernel_is_blocked(
    lab: Lab, page: Page, place: Place, tmp_path: Path
) -> None:
    ended, unblocked = tmp_path / "ended", tmp_path / "unblocked"
    name = f"blocked_{place.app}_{place.kernel[-3:].replace('.', '_')}"
    tasks = [WAITING.format(name=f"{name}_{each}", said="", gate=tmp_path / each) for each in ("ended", "never")]
    notebook = lab.open(page, "queue", LOAD, *tasks, WIDGET, BLOCKING.format(gate=unblocked), place=place)
    notebook.run(0, 1, 2, 3)
    view = queue_under(notebook, 3)
    view.find(name)
    notebook.start(4)
    view.shows(f"{name}_ended", "running")
    view.shows(f"{name}_never", "running")
    expect(notebook.prompt(4)).to_have_text("[*]:")
    ended.touch()
    view.shows(f"{name}_ended", "succeeded")
    view.choose(f"{name}_never")
    view.do("Abort", "No", "Abort", "Yes, abort")
    view.shows(f"{name}_never", "aborted")
    expect(view.said).to_contain_text(STOPPED)
    expect(notebook.prompt(4)).to_have_text("[*]:")  # all that while no other code could run in the kernel
    unblocked.touch()
    notebook.wait_for_end(4)


@pytest.mark.parametrize("place", [Place(), Place(kernel="ipykernel-7.3"), Place(kernel="ipykernel-6.31")], ids=str)
def test_without_the_server_extension_the_kernel_gets_the_command(
    plain_lab: Lab, page: Page, place: Place, tmp_path: Path
) -> None:
    if place.lacks:
        pytest.skip(place.lacks)
    unblocked = tmp_path / "unblocked"
    name = f"plain_{place.kernel[-3:].replace('.', '_')}"
    task = WAITING.format(name=name, said="", gate=tmp_path / "never")
    notebook = plain_lab.open(page, "queue", LOAD, task, WIDGET, BLOCKING.format(gate=unblocked), place=place)
    notebook.run(0, 1, 2)
    view = queue_under(notebook, 2)
    view.find(name)
    view.shows(name, "running")
    view.choose(name)
    notebook.start(3)
    expect(notebook.prompt(3)).to_have_text("[*]:")
    view.do("Abort", "Yes, abort")
    if place.kernel in WITH_SUBSHELLS and has_subshells():
        view.shows(name, "aborted")
        expect(notebook.prompt(3)).to_have_text("[*]:")
    else:
        view.says("Type in a terminal: taskfc abort ")
        view.shows(name, "running")
    unblocked.touch()
    notebook.wait_for_end(3)
    view.shows(name, "aborted")  # at the end of the cell, every kernel receives it


def test_two_cells_and_two_browsers_show_the_same(lab: Lab, page: Page, browser: Browser, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    notebook = lab.open(page, "views", LOAD, WAITING.format(name="seen", said="", gate=gate), WIDGET, WIDGET)
    notebook.run(0, 1, 2, 3)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    try:
        other_page = context.new_page()
        lab.go(other_page, f"lab/workspaces/other/tree/{notebook.path.name}")
        other = OpenNotebook(lab, other_page, notebook.path)
        views = [queue_under(notebook, 2), queue_under(notebook, 3)]
        other.run(2)
        views.append(queue_under(other, 2))
        for view in views:
            view.find("seen")
            view.shows("seen", "running")
        gate.touch()
        for view in views:
            view.shows("seen", "succeeded")
    finally:
        context.close()


def test_after_a_kernel_restart_the_widget_uses_the_server(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tasks = [WAITING.format(name=f"outlives_{each}", said="", gate=tmp_path / each) for each in ("gate", "never")]
    notebook = lab.open(page, "restarted", LOAD, *tasks, WIDGET)
    notebook.run(0, 1, 2, 3)
    view = queue_under(notebook, 3)
    view.find("outlives")
    view.shows("outlives_gate", "running")
    page.evaluate(RESTART)
    notebook.wait_for_kernel()
    gate.touch()
    view.shows("outlives_gate", "succeeded")
    view.abort("outlives_never")
    view.shows("outlives_never", "aborted")
    expect(view.banner).to_be_hidden()


def test_after_a_kernel_restart_without_the_server_extension_the_widget_shows_advice(
    plain_lab: Lab, page: Page, tmp_path: Path
) -> None:
    task = WAITING.format(name="left_behind", said="", gate=tmp_path / "never")
    notebook = plain_lab.open(page, "restarted", LOAD, task, WIDGET, "%load_ext taskfc_ext\n%task abort left_behind")
    notebook.run(0, 1, 2)
    view = queue_under(notebook, 2)
    view.find("left_behind")
    view.shows("left_behind", "running")
    page.evaluate(RESTART)
    expect(view.banner).to_contain_text("The kernel was restarted")
    expect(view.banner).to_contain_text(re.compile(r"Run %task widget again\.\s*As of "))
    notebook.wait_for_kernel()
    notebook.run(3, 2)
    view = queue_under(notebook, 2)
    view.find("left_behind")
    view.shows("left_behind", "aborted")
    expect(view.banner).to_be_hidden()


def test_widget_returns_after_a_reload_when_the_kernel_is_free(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate, unblocked = tmp_path / "gate", tmp_path / "unblocked"
    task = WAITING.format(name="reloaded", said="", gate=gate)
    notebook = lab.open(page, "reloaded", LOAD, task, WIDGET, BLOCKING.format(gate=unblocked))
    notebook.run(0, 1, 2)
    queue_under(notebook, 2)
    notebook.command("docmanager:save")
    page.reload()
    notebook.wait_for_kernel()
    view = queue_under(notebook, 2)
    view.find("reloaded")
    view.shows("reloaded", "running")
    notebook.start(3)
    expect(notebook.prompt(3)).to_have_text("[*]:")
    page.reload()
    notebook.says(2, "Loading widget")
    gate.touch()
    unblocked.touch()  # only now does the kernel answer about its widgets
    view = queue_under(notebook, 2)
    view.find("reloaded")
    view.shows("reloaded", "succeeded")


def test_a_notebook_opened_with_another_kernel_shows_the_table(lab: Lab, page: Page, tmp_path: Path) -> None:
    task = WAITING.format(name="left_a_table", said="", gate=tmp_path / "gate")
    notebook = lab.open(page, "reopened", LOAD, task, WIDGET)
    notebook.run(0, 1, 2)
    queue_under(notebook, 2)
    notebook.command("docmanager:save")
    page.evaluate(RESTART)
    notebook.wait_for_kernel()
    page.reload()
    notebook.wait_for_kernel()
    expect(notebook.output(2).locator("td", has_text="left_a_table")).to_be_visible()
    expect(notebook.output(2)).not_to_contain_text("Error")
    notebook.run(0, 2)
    queue_under(notebook, 2)
    expect(notebook.output(2).locator("td")).to_have_count(0)
    (tmp_path / "gate").touch()


def test_the_view_says_on_which_engine_the_workers_are(lab: Lab, page: Page, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.mkdir()
    start = f"%load_ext taskfc_ext\n%task restart -n 2 --on fake://{engine}"
    task = WAITING.format(name="far_away", said="from there", gate=tmp_path / "gate")
    notebook = lab.open(page, "far", start, task, WIDGET, "%task restart --on home", "%task stop")
    notebook.run(0, 1, 2)
    expect(notebook.card(1)).to_contain_text("from there")
    view = queue_under(notebook, 2)
    farm = view.root.locator(".taskfc-workers .taskfc-section")
    expect(farm).to_contain_text(f"Fake fake://{engine} · 1 of at most 2 workers on 1 host")
    (engine / "lose").touch()
    until(lambda: not (engine / "lose").exists(), "the place is lost")
    view.shows("far_away", "running")  # again, in another one
    notebook.run(3)
    expect(farm).to_contain_text("2 workers")
    expect(farm).not_to_contain_text("Fake")
    view.shows("far_away", "running")
    (tmp_path / "gate").touch()
    view.shows("far_away", "succeeded")
    notebook.run(4)
