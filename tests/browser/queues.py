"""Page object for the view of a queue.

view = QueueOnPage(notebook.output(2).locator(".taskfc-queue"))
view.find("slow")                 # filter the table by name
view.row("slow")                  # a Playwright locator, for `expect`
view.count("running")             # the number at the top
view.do("Abort", "Yes, abort")    # buttons for the selection: view.choose("slow")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

AXE = Path(__file__).resolve().parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"


class QueueOnPage:
    """One view of a queue.

    Args:
        root: its element.
    """

    def __init__(self, root: Locator) -> None:
        self.root = root
        self.table = root.get_by_role("grid")
        self.rows = root.locator(".taskfc-row")
        self.drawer = root.locator(".taskfc-drawer")
        self.banner = root.locator(".taskfc-banner")
        self.menu = root.get_by_role("menu")
        self.said = root.locator(".taskfc-said")
        self.filter = root.locator("input[type=search]")

    def is_there(self) -> None:
        """Wait until the view shows tasks."""
        expect(self.rows.first).to_be_visible()

    def find(self, text: str) -> None:
        """Filter the table by `text`, and wait until it is: rows that move meanwhile would get clicks for others."""
        self.filter.fill(text)
        expect(self.rows.filter(has_not_text=text)).to_have_count(0)

    def row(self, text: str) -> Locator:
        """Return the rows that have `text` in a cell; the name of a notebook is often a task's as well."""
        return self.rows.filter(has=self.root.page.locator(".taskfc-cell:not(.taskfc-cell-owner)", has_text=text))

    def shows(self, text: str, state: str) -> None:
        """Wait until the row with `text` shows this state."""
        expect(self.row(text).locator(".taskfc-cell-state")).to_contain_text(state)

    def count(self, state: str) -> Locator:
        """Return the number of tasks in a state, at the top."""
        return self.root.locator(f".taskfc-header-line [data-state={state}] .taskfc-count")

    def choose(self, text: str) -> None:
        """Select one task."""
        self.row(text).click()

    def open(self, text: str) -> None:
        """Open the drawer of one task."""
        self.row(text).click()
        expect(self.drawer).to_be_visible()

    def part(self, title: str) -> Locator:
        """Return the part of the drawer with this title."""
        return self.drawer.locator(".taskfc-part", has=self.root.page.get_by_role("heading", name=title, exact=True))

    def do(self, *names: str) -> None:
        """Click these buttons of the table, or of the drawer if that has replaced them."""
        buttons = self.root.locator(".taskfc-actions:visible").first
        for name in names:
            button = buttons.get_by_role("button", name=name, exact=True)
            expect(button).not_to_have_attribute("aria-disabled", "true")
            button.click()

    def abort(self, text: str) -> None:
        """Select one task, and abort it."""
        self.choose(text)
        self.do("Abort", "Yes, abort")

    def says(self, text: str) -> None:
        """Wait until the view shows this result of a click."""
        expect(self.said).to_contain_text(text)


def violations(page: Page, selector: str) -> list[str]:
    """Return the serious and critical findings of axe-core within the elements of `selector`."""
    if page.evaluate("() => typeof window.axe") == "undefined":
        page.add_script_tag(content=AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("selector => axe.run(selector).then(all => all.violations)", selector)
    return [
        f"{each['impact']} {each['id']}: {node['html'][:300]} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
