"""The queue view in a page: keyboard, accessibility, narrow widths, and hostile tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import stop
from tests.browser.lab import DEADLINE_MS, Lab, OpenNotebook
from tests.browser.queues import QueueOnPage, violations
from tests.browser.test_cards import LOAD, WAITING, as_html
from tests.browser.test_hostile_text import CORPUS, TASKS
from tests.browser.test_queue_widget import WIDGET, queue_under

N_QUEUED = 100_000

MANY = """%task start --name many -n 0
from taskfc_ext import TaskClient
client = TaskClient("many")
queued = [client.submit(abs, number) for number in range({n})]
client.flush()
%task widget"""


@pytest.fixture(scope="module", autouse=True)
def farms_end(lab: Lab) -> Iterator[None]:
    yield
    for name in ("hostile", "many"):
        stop(LocalFarm(name))


@pytest.fixture(scope="module")
def shown(browser: Browser, lab: Lab) -> Iterator[OpenNotebook]:
    """A notebook with a widget, for all tests that leave it as they have found it."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    gate = lab.folder / "gate"
    cells = [
        WAITING.format(name="slow", said="", gate=gate),
        "%%task wrong\nprint('tried')\n1 / 0",
        "%%task fine\n1",
        "%%task later --after slow\n2",
    ]
    notebook = lab.open(page, "shown", LOAD, *cells, WIDGET)
    notebook.run(0, 1, 2, 3, 4, 5)
    view = queue_under(notebook, 5)
    view.shows("wrong", "failed")
    view.shows("fine", "succeeded")
    yield notebook
    gate.touch()
    context.close()


def test_everything_works_with_the_keyboard(shown: OpenNotebook) -> None:
    view, press = queue_under(shown, 5), shown.page.keyboard.press
    view.filter.click()
    for _ in range(20):
        press("Tab")
        if view.table.evaluate("grid => grid === document.activeElement"):
            break
    expect(view.table).to_be_focused()
    press("Home")
    press("ArrowDown")
    at = view.rows.and_(view.root.locator(".taskfc-mod-focus"))
    expect(at).to_have_attribute("aria-rowindex", "3")
    expect(view.table).to_have_attribute("aria-activedescendant", str(at.get_attribute("id")))
    press("Shift+ArrowDown")
    expect(view.root.locator("[aria-selected=true]")).to_have_count(2)
    press("Space")
    expect(view.root.locator("[aria-selected=true]")).to_have_count(1)
    press("Shift+F10")
    expect(view.menu.get_by_role("menuitem", name="Details")).to_be_focused()
    press("ArrowUp")
    expect(view.menu.get_by_role("menuitem", name="Copy error")).to_be_focused()
    press("Escape")
    expect(view.menu).to_be_hidden()
    expect(view.table).to_be_focused()
    press("Enter")
    expect(view.drawer).to_be_visible()
    press("Escape")
    expect(view.drawer).to_be_hidden()
    expect(view.table).to_be_focused()
    press("Escape")
    expect(view.root.locator("[aria-selected=true]")).to_have_count(0)
    expect(shown.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(6)  # no key was a command of the notebook's


def test_a_row_has_a_menu_and_the_drawer_has_result_code_and_dependencies(shown: OpenNotebook) -> None:
    view, page = queue_under(shown, 5), shown.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.row("wrong").click(button="right")
    expect(page.locator(".lm-Menu")).to_have_count(0)  # not JupyterLab's
    view.menu.get_by_role("menuitem", name="Copy error").click()
    view.says("Copied the error.")
    assert "ZeroDivisionError" in str(page.evaluate("navigator.clipboard.readText()"))
    view.open("fine")
    expect(view.part("Result")).to_contain_text("1")
    expect(view.part("Code")).to_contain_text("1")
    view.open("later")
    expect(view.part("Dependencies")).to_contain_text("slow")
    view.part("Dependencies").get_by_role("button", name=re.compile("slow, running")).click()
    expect(view.row("slow")).to_have_attribute("aria-selected", "true")
    expect(view.part("Dependencies")).to_contain_text("later")
    view.drawer.get_by_role("button", name="Close").click()


def test_a_narrow_view_shows_its_table_and_the_actions_of_several_tasks(shown: OpenNotebook) -> None:
    view = queue_under(shown, 5)
    shown.page.set_viewport_size({"width": 620, "height": 900})
    try:
        assert view.root.evaluate("element => element.clientWidth") < 560
        expect(view.row("wrong")).to_be_in_viewport()
        view.open("wrong")
        actions = view.root.locator(".taskfc-inside > .taskfc-actions")
        expect(actions).to_be_hidden()
        view.row("fine").click(modifiers=["Shift"])
        expect(actions).to_be_visible()
        view.drawer.get_by_role("button", name="Close").click()
        view.choose("fine")
    finally:
        shown.page.set_viewport_size({"width": 1200, "height": 900})


def colours(view: QueueOnPage) -> list[str]:
    return [
        str(view.root.locator(part).first.evaluate("element => getComputedStyle(element).color"))
        for part in (".taskfc-row", ".taskfc-count", ".taskfc-drawer pre")
    ]


def test_view_is_accessible_in_light_and_dark_themes(shown: OpenNotebook) -> None:
    view = queue_under(shown, 5)
    view.open("wrong")
    expect(view.drawer.locator("pre").first).to_contain_text("ZeroDivisionError")
    light = colours(view)
    assert violations(shown.page, ".taskfc-queue") == []
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    shown.page.evaluate(change, "JupyterLab Dark")
    try:
        expect(shown.page.locator("body[data-jp-theme-light=false]")).to_have_count(1)
        assert all(one != other for one, other in zip(light, colours(view), strict=True))
        assert violations(shown.page, ".taskfc-queue") == []
    finally:
        shown.page.evaluate(change, "JupyterLab Light")
        view.drawer.get_by_role("button", name="Close").click()


def test_a_saved_notebook_contains_the_table(shown: OpenNotebook) -> None:
    shown.command("docmanager:save")
    page_of_it = as_html(shown.path)
    assert re.search(r"<td[^>]*>[^<]*\bslow\b", page_of_it)
    assert re.search(r"as of \d{4}-", page_of_it)
    assert "taskfc-queue" not in page_of_it


def test_a_retry_uses_the_edited_module_and_updates_the_name(lab: Lab, page: Page) -> None:
    module = lab.folder / "fragile_module.py"
    module.write_text("def value():\n    raise ValueError('not mended')\n")
    cells = [f"{LOAD}\nimport fragile_module", "%%task again\nfragile_module.value()", WIDGET]
    notebook = lab.open(page, "again", *cells, "0", "again.state, again.result(0)")
    notebook.run(0, 1, 2)
    view = queue_under(notebook, 2)
    view.find("again")
    view.shows("again", "failed")
    module.write_text("def value():\n    return 'mended by now'\n")
    view.choose("again")
    view.do("Retry")
    view.says("runs again as task")
    expect(view.row("succeeded")).to_have_count(1)
    notebook.run(3, 4)
    notebook.says(4, "'mended by now')")


HOSTILE = CORPUS[::8]

RICH = """
def rich():
    from IPython.display import HTML, Javascript, Markdown, SVG, display

    text = "<script>window.struck = 1</script><img src=x onerror='window.struck = 1'>"
    drawn = "<svg xmlns='http://www.w3.org/2000/svg' onload='window.struck = 1'></svg>"
    display(HTML(text), Markdown(text), Javascript("window.struck = 1"), SVG(drawn))
    print("shown")


tc.submit(rich).result()
"""

STRUCK = "() => [window.struck ?? null, document.title.includes('title')]"


def test_hostile_tasks_are_text_in_the_whole_view(lab: Lab, page: Page) -> None:
    alerts: list[str] = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message) or dialog.dismiss())
    loads = "%load_ext taskfc_ext\n%task start --name hostile -n 2"
    tasks = TASKS.format(corpus=json.dumps(HOSTILE)).replace("%load_ext taskfc_ext", loads)
    notebook = lab.open(page, "hostile", tasks.replace("TaskClient()", "TaskClient('hostile')") + RICH, WIDGET)
    notebook.run(0, 1)
    view = queue_under(notebook, 1)
    expect(view.count("failed")).to_have_text(str(len(HOSTILE) // 2))
    tags = set()
    look = "root => [...root.querySelectorAll('*')].map(e => e.src ? e.src.slice(0, 14) : e.tagName.toLowerCase())"
    view.table.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    for _ in range(len(HOSTILE) + 1):
        expect(view.drawer.locator("pre").last).to_have_text(re.compile(r"\S"))
        tags |= set(view.root.evaluate(look))
        wide = view.root.evaluate("e => [e.scrollWidth - e.clientWidth, document.body.scrollWidth - innerWidth]")
        assert max(wide) <= 1, wide
        page.keyboard.press("ArrowDown")
    view.find("<script>")
    expect(view.rows.first).to_contain_text("<script>")
    tags |= set(view.root.evaluate(look))
    known = "bdi button circle dd div dl dt h3 h4 input li option p path pre rect section select span svg title ul"
    known += " data:image/svg"  # the source of a picture, which runs no scripts and loads nothing
    assert tags - set(known.split()) == set()
    assert page.evaluate(STRUCK) == [None, False]
    assert alerts == []


def test_a_hundred_thousand_queued_tasks_are_a_hundred_rows(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, "many", "%load_ext taskfc_ext", MANY.format(n=N_QUEUED))
    notebook.run(0, 1)
    view = queue_under(notebook, 1)
    expect(view.count("scheduled")).to_have_text("100k")
    most = 0
    for share in (0.0, 0.001, 0.3, 0.7, 1.0):
        view.root.locator(".taskfc-table").evaluate("(e, share) => { e.scrollTop = share * e.scrollHeight; }", share)
        expect(view.rows.first).to_be_visible()
        most = max(most, view.rows.count())
    # queued tasks stand in the order in which they start
    expect(view.rows.last.locator(".taskfc-cell-id")).to_have_text("99999")
    view.find("4242")
    expect(view.row("4242").first).to_be_visible()
    assert 0 < max(most, view.rows.count()) <= 100
