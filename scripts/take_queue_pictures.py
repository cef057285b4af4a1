"""Take the pictures of the live queue for the site and the README: a busy farm in a real JupyterLab.

Run it from the repository's root, in the environment of the tests: python -m scripts.take_queue_pictures
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.run_demo import own_farm
from tests.browser.lab import Lab, lab_and_page
from tests.browser.queues import QueueOnPage
from tests.browser.sidebar import Sidebar

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"

SIZE = {"width": 1150, "height": 760}
"""Of the page, in pixels."""

START = "%load_ext taskfc_ext\n%task start -n 4"

BUSY = """import random
from time import sleep
from taskfc_ext import TaskClient

tc = TaskClient()

def simulate(seed):
    chance = random.Random(seed)
    for step in range(3):
        print(f"step {step}: energy {chance.gauss(-40, 3):.2f}")
        sleep(chance.uniform(0.1, 0.7))
    if chance.random() < 0.12:
        raise ArithmeticError(f"seed {seed}: the energy diverges after {chance.randint(100, 900)} steps")
    return chance.random()

def train(model):
    from taskfc_ext import track
    for epoch in track(range(200)):
        sleep(0.2)

train_net = tc.with_options(name="train_net", priority=5).submit(train, "net")
runs = [tc.with_options(name="simulate").submit(simulate, seed) for seed in range(400)]
report = [tc.with_options(name="report", after=runs[i : i + 40]).submit(print, i) for i in range(0, 400, 40)]"""

BLOCK = "sleep(45)  # the kernel is busy; the queue is live all the same"

FAILURES = r"^([3-9]|\d\d+)$"
"""Their number that is waited for, so that there is something to open."""


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with own_farm(), lab_and_page(**SIZE) as (lab, page):
        _take(lab, page)
        lab.set("apputils-extension/themes", '{"theme": "JupyterLab Dark"}')
        _take_dark(lab, page)


def _take(lab: Lab, page: Page) -> None:
    notebook = lab.open(page, "energies", START, BUSY, BLOCK, "%task widget")
    notebook.run(0, 1)
    Sidebar(page).show()
    notebook.start(2)
    _wait_for_failures(page)
    page.screenshot(path=PICTURES / "sidebar.png")
    queue = Sidebar(page).queue
    queue.count("failed").click()  # shows these alone: those that run and wait would stand before them
    expect(queue.root.locator(".taskfc-row:not([data-state=failed])")).to_have_count(0)
    queue.rows.first.click()
    expect(queue.drawer).to_contain_text("Traceback")
    page.set_viewport_size({"width": SIZE["width"], "height": 1000})
    page.wait_for_timeout(1000)  # until it has settled
    page.screenshot(path=PICTURES / "drawer.png", clip={"x": 0, "y": 0, "width": 700, "height": 1000})
    notebook.wait_for_end(2)
    notebook.command("application:toggle-left-area")
    notebook.run(3)
    view = QueueOnPage(notebook.output(3).locator(".taskfc-queue"))
    view.is_there()
    view.root.scroll_into_view_if_needed()
    view.root.screenshot(path=PICTURES / "widget.png")


def _take_dark(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": SIZE["width"], "height": SIZE["height"]})
    lab.open(page, "dark", "%load_ext taskfc_ext")
    Sidebar(page).show()
    _wait_for_failures(page)
    page.screenshot(path=PICTURES / "dark.png")


def _wait_for_failures(page: Page) -> None:
    expect(Sidebar(page).queue.count("failed")).to_have_text(re.compile(FAILURES))
    page.wait_for_timeout(12_000)  # the lanes and the line of ends show the last minute


if __name__ == "__main__":
    main()
