"""A farm whose disk is full, in a real JupyterLab: who looks is told, and all goes on when there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab
from tests.browser.sidebar import Sidebar
from tests.browser.test_cards import LOAD, WAITING, shows
from tests.system.full_disk import Disk, small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

FULL = "The disk of the farm's store is full"


@pytest.fixture(scope="module")
def disk(module_home: Path) -> Iterator[Disk]:
    """The small disk of all farms that the server and its kernels start."""
    with small_disk(Path(os.environ["XDG_STATE_HOME"])) as disk:
        yield disk


@pytest.fixture(scope="module")
def full_lab(disk: Disk, lab: Lab) -> Lab:
    """A server whose farms are on the small disk."""
    return lab


def test_cards_sidebar_and_status_bar_say_that_the_disk_is_full(
    disk: Disk, full_lab: Lab, page: Page, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    task = WAITING.format(name="long", said="begun", gate=gate)
    notebook = full_lab.open(page, "full", LOAD, task, "%%task refused\n1 + 1")
    notebook.run(0, 1)
    sidebar = Sidebar(page).show()
    shows(notebook.card(1), "running")
    disk.fill()
    shows(notebook.output(1), FULL)
    expect(sidebar.panel).to_contain_text(FULL)
    expect(sidebar.status).to_have_text("1 running · disk full")
    notebook.run(2)
    notebook.says(2, "the disk of the farm's store is full")
    disk.make_room()
    expect(notebook.output(1)).not_to_contain_text(FULL)
    expect(sidebar.panel).not_to_contain_text(FULL)
    gate.touch()
    shows(notebook.card(1), "succeeded")
    notebook.run(2)
    shows(notebook.card(2), "succeeded")
