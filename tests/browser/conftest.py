"""A browser and a Jupyter server for each module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from taskfc_ext.client.farm.launch import LocalFarm
from taskfc_ext.client.start import stop
from tests.browser.hub import HubLab
from tests.browser.lab import DEADLINE_MS, PLACES, SERVER, Lab, Place, chromium


@pytest.fixture(scope="module")  # no longer: as long as Playwright runs, nothing else can use asyncio
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium here: `apt-get install chromium`")
    with sync_playwright() as playwright:
        # without a graphics card Chromium would compute one
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=options, timeout=5 * DEADLINE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser: Browser, module_home: Path) -> Iterator[Lab]:
    lab = HubLab(module_home) if SERVER.name == "hub" else Lab(module_home)
    try:
        yield lab
    finally:
        lab.stop()
        stop(LocalFarm("default"))


@pytest.fixture(scope="module")
def plain_lab(browser: Browser, module_home: Path) -> Iterator[Lab]:
    """A server that has not our extension."""
    lab = Lab(module_home / "plain", knows_farms=False)
    try:
        yield lab
    finally:
        lab.stop()
        stop(LocalFarm("default"))


@pytest.fixture(params=PLACES, ids=str)
def place(request: pytest.FixtureRequest) -> Place:
    """Each of `PLACES`: a test that takes this runs in all of them."""
    place: Place = request.param
    if place.lacks:
        pytest.skip(place.lacks)
    return place


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Take the place of the check of that name: Playwright keeps threads until it ends."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    yield page
    if folder := os.environ.get("TASKFC_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{os.environ['PYTEST_CURRENT_TEST'].split('::')[-1].split()[0]}.png")
    context.close()
