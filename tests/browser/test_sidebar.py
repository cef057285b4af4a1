"""The sidebar, the status bar, the panel of running sessions, and the commands."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import start, stop
from tests.browser.lab import SETTINGS, Lab, Place
from tests.browser.queues import AXE, violations
from tests.browser.sidebar import Sidebar
from tests.browser.test_cards import BLOCKING, LOAD, WAITING
from tests.browser.test_hostile_text import SCRIPTS

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.skipif(
    not ROOT.joinpath("taskfc_ext", "labextension").is_dir(),
    reason="the browser's files are not built: `make frontend`",
)


def waiting(name: str, gate: Path) -> str:
    return WAITING.format(name=name, said="begun", gate=gate)


def test_sidebar_is_live_while_the_kernel_is_blocked_also_after_a_reload(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate, unblocked = tmp_path / "gate", tmp_path / "unblocked"
    cells = (LOAD, waiting("endless", tmp_path / "never"), waiting("short", gate), BLOCKING.format(gate=unblocked))
    notebook = lab.open(page, "blocked", *cells)
    sidebar = Sidebar(page).show()
    notebook.run(0, 1, 2)
    sidebar.queue.shows("short", "running")
    notebook.command("docmanager:save")
    notebook.start(3)
    expect(notebook.prompt(3)).to_have_text("[*]:")
    gate.touch()
    sidebar.queue.shows("short", "succeeded")
    sidebar.queue.abort("endless")
    sidebar.queue.shows("endless", "aborted")
    expect(notebook.prompt(3)).to_have_text("[*]:")  # all that while no other code could run in the kernel
    page.reload()
    sidebar.queue.shows("endless", "aborted")  # JupyterLab has opened it again
    unblocked.touch()


def test_status_bar_and_running_panel(lab: Lab, page: Page, tmp_path: Path) -> None:
    notebook = lab.open(page, "around", LOAD, waiting("first", tmp_path / "never"), "%%task wrong\n1 / 0")
    sidebar = Sidebar(page)
    sidebar.show()
    sidebar.hide()
    expect(sidebar.status).to_be_hidden()  # all counts are zero
    notebook.run(0, 1)
    expect(sidebar.status).to_have_text("1 running")
    notebook.run(2)
    expect(sidebar.status).to_have_text("1 running · 1 failed")
    expect(sidebar.status).to_have_class(re.compile("taskfc-mod-warning"))
    sidebar.status.get_by_role("button").click()
    expect(sidebar.panel).to_be_visible()
    expect(sidebar.status).to_have_text("1 running")  # the failure was seen
    expect(sidebar.status).not_to_have_class(re.compile("taskfc-mod-warning"))
    page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    item = running_item(page, "first")
    item.locator(".jp-RunningSessions-itemLabel").click()
    expect(sidebar.queue.drawer).to_contain_text("first")
    page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    item.hover()
    item.get_by_role("button", name="Abort").or_(item.locator(".jp-RunningSessions-itemShutdown")).first.click()
    expect(item).to_have_count(0)
    sidebar.show().queue.shows("first", "aborted")
    expect(sidebar.status).to_be_hidden()


def running_item(page: Page, name: str) -> Locator:
    return page.locator("#jp-running-sessions .jp-RunningSessions-item", has_text=re.compile(rf"^\d+ {name}"))


def test_commands(lab: Lab, page: Page, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    source = f"import pathlib\nassert pathlib.Path('{mended}').exists(), 'not mended'"
    notebook = lab.open(page, "commands", source)
    sidebar = Sidebar(page).show()
    notebook.cell(0).click()
    sidebar.command("taskfc:submit-cell")  # nothing was loaded here before
    notebook.wait_for_end(0)
    expect(notebook.cell(0).locator(".cm-content")).to_contain_text("%%taskimport pathlib")
    expect(notebook.card(0)).to_contain_text("not mended")
    failed = sidebar.panel.locator('.taskfc-row[data-state="failed"]')
    expect(failed.first).to_be_visible()
    mended.touch()
    sidebar.command("taskfc:retry-failed")
    expect(sidebar.panel.locator('.taskfc-row[data-state="succeeded"]', has_text="retry of")).to_be_visible()
    for state in ("scheduled", "running"):  # what ends later is not cleared: other tests have left failed tasks as well
        expect(sidebar.queue.count(state)).to_have_text("0")
    sidebar.command("taskfc:clear-finished")
    sidebar.answer("Cancel")
    expect(failed.first).to_be_visible()
    sidebar.command("taskfc:clear-finished")
    sidebar.answer("Clear")
    expect(sidebar.panel).to_contain_text("There are no tasks")
    page.keyboard.press("Control+Shift+C")
    palette = page.locator(".lm-CommandPalette")
    palette.locator("input").fill("stop farm default")
    page.keyboard.press("Enter")
    sidebar.answer("Stop")
    sidebar.has_farm("default (stopped)")
    sidebar.button("Start").click()
    sidebar.has_farm("default")
    expect(sidebar.button("2 workers")).to_be_visible()


@pytest.fixture
def two_farms(lab: Lab) -> Iterator[None]:
    for name in ("east", "west"):
        start(1, name=name)
    yield
    for name in ("east", "west"):
        stop(LocalFarm(name))


def test_a_killed_farm_is_shown_and_started_again_beside_another_one(lab: Lab, page: Page, two_farms: None) -> None:
    lab.open(page, "two", "0")
    sidebar = Sidebar(page).show()
    sidebar.has_farm("east")
    sidebar.has_farm("west")
    sidebar.pick("west")
    expect(sidebar.button("1 worker")).to_be_visible()
    supervisor = start(name="west").supervisor_pid  # it runs already: this returns its status
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)
    sidebar.has_farm("west (has died)")
    sidebar.has_farm("east")
    sidebar.button("Start").click()
    sidebar.has_farm("west")
    expect(sidebar.button("1 worker")).to_be_visible()


UNTIL_OPEN = """import pathlib, time
gate = pathlib.Path("{gate}")
def is_open():
    while not gate.exists():
        time.sleep(0.02)
    return True
cardless = %task is_open() and 6 * 7"""
"""A task without a card. It ends after its cell: else that would have been the place to see its end."""


def test_one_notification_names_the_first_failure_and_shows_it(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    name = "apputils-extension/notification"
    lab.set(name, '{"fetchNews": "false", "checkForUpdates": false}')
    try:
        wrong, worse = "%%task wrong\n1 / 0", "%%task worse\n{}['b']"
        cells = (wrong, worse, UNTIL_OPEN.format(gate=gate), "cardless.state", "0")
        notebook = lab.open(page, "told", LOAD, *cells)
    finally:
        lab.set(name, SETTINGS[name])
    sidebar = Sidebar(page)
    sidebar.show()
    sidebar.hide()
    notebook.run(0, 1)
    toast = page.locator(".Toastify__toast")
    # with the name of the farm, where there are several
    expect(toast).to_contain_text(re.compile("wrong (of default )?failed: ZeroDivisionError: division by zero"))
    notebook.run(2)
    expect(toast).to_contain_text(re.compile("2 tasks (of default )?failed, first: wrong: ZeroDivisionError"))
    expect(toast).to_have_count(1)
    sidebar.queue.filter.evaluate("input => { input.value = 'worse'; input.dispatchEvent(new Event('input')); }")
    expect(sidebar.queue.row("wrong")).to_have_count(0)
    toast.get_by_role("button", name="Show").click()
    expect(sidebar.panel).to_be_visible()
    expect(sidebar.queue.row("wrong").and_(page.locator("[aria-selected=true]"))).to_be_in_viewport()
    expect(sidebar.queue.drawer).to_contain_text("ZeroDivisionError")
    expect(toast).to_have_count(0)
    # in the notebook, the cards say it; of the task without a card, its own cell does
    notebook.run(3)
    gate.touch()
    sidebar.queue.shows("is_open() and 6 * 7", "succeeded")
    notebook.run(5)
    expect(notebook.output(3)).to_contain_text("has ended: succeeded")
    expect(page.locator(".jp-OutputArea-output", has_text="has ended")).to_have_count(1)


def test_go_to_cell(lab: Lab, page: Page, tmp_path: Path) -> None:
    cells = (LOAD, waiting("sought", tmp_path / "never"), *["0"] * 40)
    notebook = lab.open(page, "sought", *cells)
    sidebar = Sidebar(page).show()
    notebook.run(0, 1)
    notebook.cell(41).click()
    expect(notebook.cell(41)).to_have_class(re.compile("jp-mod-active"))
    sidebar.queue.open("sought")
    sidebar.button("Go to the cell").click()
    expect(notebook.cell(1)).to_have_class(re.compile("jp-mod-active"))
    expect(notebook.card(1)).to_be_in_viewport()
    sidebar.queue.abort("sought")
    sidebar.queue.shows("sought", "aborted")


def test_go_to_cell_in_a_renamed_notebook(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, "old", LOAD, "%%task renamed\n1", "0")
    sidebar = Sidebar(page).show()
    notebook.run(0, 1, 2)
    expect(notebook.card(1)).to_contain_text("succeeded")  # nothing is left that would have to be saved later
    notebook.command("docmanager:save")
    page.evaluate("path => window.jupyterapp.serviceManager.contents.rename(path, 'new.ipynb')", notebook.path.name)
    tab = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel")
    expect(tab).to_have_text("new.ipynb")
    sidebar.queue.open("renamed")
    sidebar.button("Go to the cell").click()
    expect(notebook.cell(1)).to_have_class(re.compile("jp-mod-active"))
    expect(tab).to_have_text("new.ipynb")  # and nothing else was opened
    notebook.command("application:close")
    expect(tab).to_have_text("Launcher")
    sidebar.button("Go to the cell").click()
    sidebar.queue.says("not found in old-lab-python3.ipynb or in any open notebook")
    sidebar.queue.says("If its notebook was renamed or moved, open it and try again")


def test_notebook_7_has_the_sidebar_and_no_status_bar(lab: Lab, page: Page, tmp_path: Path) -> None:
    task = waiting("elsewhere", tmp_path / "never")
    notebook = lab.open(page, "seven", LOAD, task, place=Place(app="notebook"))
    sidebar = Sidebar(page).show()
    notebook.run(0, 1)
    sidebar.queue.shows("elsewhere", "running")
    expect(sidebar.status).to_have_count(0)
    sidebar.queue.abort("elsewhere")
    sidebar.queue.shows("elsewhere", "aborted")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_sidebar_is_accessible(lab: Lab, page: Page, tmp_path: Path, theme: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: `make frontend`")
    lab.set("apputils-extension/themes", f'{{"theme": "JupyterLab {theme}"}}')
    name = f"reached-{theme}"
    try:
        notebook = lab.open(page, name, LOAD, waiting(name, tmp_path / "never"), f"%%task wrong-{theme}\n1 / 0")
    finally:
        lab.set("apputils-extension/themes", "{}")
    sidebar = Sidebar(page).show()
    notebook.run(0, 1, 2)
    sidebar.queue.shows(f"wrong-{theme}", "failed")
    sidebar.queue.open(f"wrong-{theme}")
    expect(sidebar.queue.drawer).to_contain_text("ZeroDivisionError")
    found = violations(page, ".taskfc-panel, .taskfc-status")
    sidebar.queue.abort(name)
    sidebar.queue.shows(name, "aborted")
    assert not found, "\n".join(found)


HOSTILE = """from taskfc_ext import TaskClient
import pathlib, time


def called(text):
    def function():
        print(text)
        while not pathlib.Path({gate!r}).exists():
            time.sleep(0.02)
        raise RuntimeError(text)

    function.__qualname__ = text
    return function


futures = [TaskClient().submit(called(text)) for text in {texts!r}]
"""


def test_hostile_names_are_text_in_all_lists(lab: Lab, page: Page, tmp_path: Path) -> None:
    texts = SCRIPTS[:2]
    gate = tmp_path / "gate"
    notebook = lab.open(page, "hostile", LOAD, HOSTILE.format(texts=texts, gate=str(gate)))
    sidebar = Sidebar(page).show()
    notebook.run(0, 1)
    running = sidebar.panel.locator('.taskfc-row[data-state="running"]')
    expect(running).to_have_count(2)
    expect(running.first).to_contain_text("window.struck")
    running.first.click()
    expect(sidebar.queue.drawer.locator("pre")).to_contain_text("window.struck")
    page.evaluate("() => window.jupyterapp.shell.activateById('jp-running-sessions')")
    expect(page.locator("#jp-running-sessions")).to_contain_text("window.struck")
    sidebar.command("taskfc:abort")
    expect(page.locator(".jp-Dialog")).to_be_visible()
    assert page.evaluate(MADE_OF_TEXT) == []
    assert page.evaluate("() => window.struck ?? null") is None
    sidebar.answer("Cancel")
    sidebar.show()
    gate.touch()
    expect(running).to_have_count(0)
    assert page.evaluate(MADE_OF_TEXT) == []
    assert page.evaluate("() => window.struck ?? null") is None


MADE_OF_TEXT = """() => {
    const places = ['.taskfc-panel', '#jp-running-sessions .jp-RunningSessions-itemLabel', '.jp-Dialog'];
    const made = ['script', 'img', 'iframe', 'a', 'style', '[onclick]', '[onerror]'];
    const found = document.querySelectorAll(places.flatMap(place => made.map(what => `${place} ${what}`)).join());
    return [...found].map(element => element.outerHTML);
}"""


def test_a_server_without_the_extension_is_asked_once(browser: Browser, module_home: Path, page: Page) -> None:
    lab = Lab(module_home / "without", knows_farms=False)
    try:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "taskfc/api" in request.url else None)
        page.clock.install()
        lab.open(page, "without", "0")
        sidebar = Sidebar(page).show()
        expect(sidebar.panel).to_contain_text("Install taskfc-ext")
        expect(sidebar.status).to_be_hidden()
        page.clock.fast_forward("10:00")
        assert len(asked) == 1
        with page.expect_request(re.compile("taskfc/api/farms")):
            sidebar.button("Try again").click()
    finally:
        lab.stop()
