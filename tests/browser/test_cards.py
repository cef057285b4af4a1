"""Cards under `%%task` cells, in a real JupyterLab and Notebook 7."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import LATEST, Lab, Place, version

LOAD = "%load_ext taskfc_ext\n%task start -n 2"

WAITING = """%%task {name}
import pathlib, time
print("{said}")
while not pathlib.Path("{gate}").exists():
    time.sleep(0.02)
"the value of {name}"
"""

BLOCKING = """import pathlib, time
while not pathlib.Path("{gate}").exists():
    time.sleep(0.02)
"""


def shows(card: Locator, text: str) -> None:
    expect(card).to_contain_text(text)


def told_by(place: Place) -> str:
    """Return how the kernel of a place says its version, as far as the place says it."""
    number = version("ipykernel") if place.kernel == LATEST else place.kernel.split("-")[1] + "."
    return f"ipykernel {number}"


def test_a_card_goes_from_running_to_done_while_the_kernel_is_blocked(
    lab: Lab, page: Page, place: Place, tmp_path: Path
) -> None:
    ended, unblocked = tmp_path / "ended", tmp_path / "unblocked"
    notebook = lab.open(
        page,
        "live",
        f"{LOAD}\nimport ipykernel\nprint('ipykernel', ipykernel.__version__)",
        WAITING.format(name="slow", said="half way there", gate=ended),
        BLOCKING.format(gate=unblocked),
        place=place,
    )
    assert (page.evaluate("() => window.jupyterapp.name") == "JupyterLab") == (place.app == "lab")
    notebook.run(0, 1)
    notebook.says(0, told_by(place))
    card = notebook.card(1)
    notebook.start(2)
    shows(card, "running")
    shows(card, "half way there")
    expect(notebook.prompt(2)).to_have_text("[*]:")
    ended.touch()
    shows(card, "succeeded")
    shows(card, "the value of slow")
    expect(notebook.prompt(2)).to_have_text("[*]:")  # all that while no other code could run in the kernel
    unblocked.touch()
    notebook.wait_for_end(2)
    expect(notebook.output(2).locator(".jp-OutputArea-output")).to_have_count(0)  # the card says it, and nothing else


def test_two_tasks_print_each_under_its_own_cell(lab: Lab, page: Page, place: Place, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cells = [WAITING.format(name=name, said=f"{name} speaks", gate=gate) for name in ("one", "other")]
    notebook = lab.open(page, "two", LOAD, *cells, place=place)
    notebook.run(0, 1, 2)
    shows(notebook.card(1), "one speaks")
    shows(notebook.card(2), "other speaks")
    gate.touch()
    for index, name in ((1, "one"), (2, "other")):
        shows(notebook.card(index), f"the value of {name}")
        expect(notebook.card(index)).to_have_count(1)
    expect(notebook.output(1)).not_to_contain_text("other speaks")
    expect(notebook.output(2)).not_to_contain_text("one speaks")


def test_after_a_kernel_restart_the_task_is_found_by_name(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = WAITING.format(name="lasting", said="still here", gate=gate)
    notebook = lab.open(page, "restart", LOAD, task, "%task show lasting", "%task result lasting")
    notebook.run(0, 1)
    shows(notebook.card(1), "still here")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.wait_for_kernel()
    notebook.run(0, 2)
    shows(notebook.card(2), "running")
    shows(notebook.card(2), "still here")
    gate.touch()
    shows(notebook.card(2), "succeeded")
    notebook.run(3)
    notebook.says(3, "the value of lasting")


def test_a_saved_card_is_there_after_a_reload_and_without_a_kernel(lab: Lab, page: Page, tmp_path: Path) -> None:
    cells = ["%%task total\nprint('adding')\n1 + 1", "%%task wrong\ndef halve(n):\n    return n / 0\n\n\nhalve(3)"]
    notebook = lab.open(page, "saved", LOAD, *cells)
    notebook.run(0, 1, 2)
    shows(notebook.card(1), "succeeded")
    shows(notebook.card(2), "ZeroDivisionError")
    notebook.command("docmanager:save")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    page.reload()
    notebook.wait_for_kernel()
    shows(notebook.card(1), "adding")
    shows(notebook.card(2), "return n / 0")

    outputs = [cell.outputs for cell in nbformat.read(notebook.path, as_version=4).cells]
    assert "succeeded" in outputs[1][0].data["text/plain"]
    page_of_it = as_html(notebook.path)
    assert re.search(r"task \d+ total</strong>.*succeeded.*as of \d{4}-", page_of_it)
    assert re.search(r"task \d+ wrong</strong>.*failed</span>.*as of \d{4}-", page_of_it)


def as_html(path: Path) -> str:
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", path], check=True, capture_output=True)
    return path.with_suffix(".html").read_text()


def test_a_card_can_be_read_in_the_dark(lab: Lab, page: Page) -> None:
    lab.set("apputils-extension/themes", '{"theme": "JupyterLab Dark"}')
    try:
        cell = "%%task dark\nprint('printed')\nraise ValueError('told')"
        notebook = lab.open(page, "dark", LOAD, cell)
        notebook.run(0, 1)
        shows(notebook.card(1), "ValueError")
        expect(page.locator("body[data-jp-theme-light=false]")).to_have_count(1)
        contrasts = page.evaluate(CONTRASTS)
    finally:
        lab.set("apputils-extension/themes", "{}")
    assert len(contrasts) >= 4
    assert min(contrasts.values()) >= 3, contrasts  # WCAG's least for large text and marks


CONTRASTS = """() => {
    // of each piece of text on the card against what lies behind it, as WCAG 2 defines it
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = colour => channels(colour).slice(0, 3)
        .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if ((channels(colour)[3] ?? 1) > 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const found = {};
    for (const e of document.querySelectorAll('.taskfc-card span, .taskfc-card strong, .taskfc-card pre')) {
        const [light, dark] = [getComputedStyle(e).color, behind(e)].map(luminance).sort((a, b) => b - a);
        found[e.textContent.slice(0, 40)] = (light + 0.05) / (dark + 0.05);
    }
    return found;
}"""
