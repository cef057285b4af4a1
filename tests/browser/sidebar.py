"""What JupyterLab has of task farms, as the tests find it in the page."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import DEADLINE_MS


class Sidebar:
    """The sidebar with the queue, and what else of it is in the page around notebooks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator(".taskfc-panel")
        self.status = page.locator(".taskfc-status")

    def show(self) -> Sidebar:
        """Open it."""
        self.command("taskfc:show-queue")
        expect(self.panel).to_be_visible(timeout=DEADLINE_MS)
        return self

    def hide(self) -> None:
        """Close the area that it is in."""
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        expect(self.panel).to_be_hidden()

    def command(self, name: str) -> None:
        """Run a command, and go on: some ask first."""
        self.page.evaluate("name => void window.jupyterapp.commands.execute(name)", name)

    def row(self, name: str) -> Locator:
        """Return the row of the task of this name."""
        return self.panel.locator(".taskfc-row", has=self.page.get_by_text(name, exact=True))

    def is_in_state(self, name: str, state: str) -> None:
        """Wait until a task is shown in a state."""
        expect(self.row(name).locator(".taskfc-cell-state")).to_have_text(state, timeout=DEADLINE_MS)

    def button(self, name: str) -> Locator:
        """Return a button by its name."""
        return self.panel.get_by_role("button", name=name, exact=True)

    def abort(self, name: str) -> None:
        """Select a task, and abort it."""
        self.row(name).click()
        self.button("Abort").first.click()
        self.button("Yes, abort").click()

    def has_farm(self, option: str) -> None:
        """Wait until the picker lists a controller like that."""
        options = self.panel.get_by_role("combobox", name="Farm").locator("option")
        expect(options.filter(has_text=re.compile(f"^{re.escape(option)}$"))).to_have_count(1, timeout=DEADLINE_MS)

    def pick(self, farm: str) -> None:
        """Show another controller."""
        self.panel.get_by_role("combobox", name="Farm").select_option(farm)

    def answer(self, button: str) -> None:
        """Press a button of JupyterLab's dialog."""
        self.page.locator(".jp-Dialog").get_by_role("button", name=button, exact=True).click()
        expect(self.page.locator(".jp-Dialog")).to_have_count(0)
