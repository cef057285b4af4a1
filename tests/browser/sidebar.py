"""Page object for the parts of task farms in JupyterLab: the sidebar and the status bar's item."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.queues import QueueOnPage


class Sidebar:
    """The sidebar and the item of the status bar.

    Args:
        page: a JupyterLab, or a Notebook 7.

    Attributes:
        panel: the sidebar's element.
        queue: the queue in it.
        status: the item of the status bar.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator(".taskfc-panel")
        self.queue = QueueOnPage(self.panel.locator(".taskfc-queue"))
        self.status = page.locator(".taskfc-status")

    def show(self) -> Sidebar:
        """Open the sidebar."""
        self.command("taskfc:show-queue")
        expect(self.panel).to_be_visible()
        return self

    def hide(self) -> None:
        """Close the left area, which has the sidebar."""
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        expect(self.panel).to_be_hidden()

    def command(self, name: str) -> None:
        """Run a command without waiting for its end, as some commands ask first."""
        self.page.evaluate("name => void window.jupyterapp.commands.execute(name)", name)

    def button(self, name: str) -> Locator:
        """Return a button by its name."""
        return self.panel.get_by_role("button", name=name, exact=True)

    def has_farm(self, option: str) -> None:
        """Wait until the picker has this option."""
        options = self.panel.get_by_role("combobox", name="Farm").locator("option")
        expect(options.filter(has_text=re.compile(f"^{re.escape(option)}$"))).to_have_count(1)

    def pick(self, farm: str) -> None:
        """Show another farm."""
        self.panel.get_by_role("combobox", name="Farm").select_option(farm)

    def answer(self, button: str) -> None:
        """Press a button of JupyterLab's dialog."""
        self.page.locator(".jp-Dialog").get_by_role("button", name=button, exact=True).click()
        expect(self.page.locator(".jp-Dialog")).to_have_count(0)
