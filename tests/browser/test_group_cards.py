"""The card of a map, in a real JupyterLab: counted from the state of its farm, with or without its kernel."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.lab import Lab

LOAD = """%load_ext taskfc_ext
%task start -n 2
import pathlib, time
from taskfc_ext import attach
tc = attach()
gate, mended = pathlib.Path("{gate}"), pathlib.Path("{mended}")

def fit(x):
    while x > 3 and not gate.exists():
        time.sleep(0.02)
    if x % 2 and not mended.exists():
        raise ValueError(f"no fit for {{x}}")
    return x"""

BLOCK = "while not gate.exists():\n    time.sleep(0.02)"


def test_the_card_of_a_map_is_true_with_a_blocked_kernel_and_without_one(lab: Lab, page: Page, tmp_path: Path) -> None:
    gate, mended = tmp_path / "gate", tmp_path / "mended"
    cells = (LOAD.format(gate=gate, mended=mended), "sweep = tc.map_async(fit, range(40))\nsweep", BLOCK)
    notebook = lab.open(page, "sweep", *cells, "print(sweep.result() == list(range(40)))")
    notebook.run(0, 1)
    card = notebook.card(1).and_(page.locator(":visible"))
    notebook.start(2)
    expect(card).to_contain_text("running · 4 of 40 · 2 succeeded · 2 failed · 2 running")
    expect(card).to_contain_text("no fit for 1")
    gate.touch()
    notebook.wait_for_end(2)
    expect(card).to_contain_text("failed · 40 tasks · 20 succeeded · 20 failed")
    expect(card).to_contain_text("and 15 more")
    mended.touch()
    notebook.output(1).get_by_role("button", name="Retry failed").and_(page.locator(":visible")).click()
    notebook.output(1).get_by_role("button", name="Yes, retry failed").and_(page.locator(":visible")).click()
    expect(card).to_contain_text("succeeded")
    expect(card).not_to_contain_text("no fit")
    notebook.run(3)
    notebook.says(3, "True")


def test_after_a_restart_and_a_reload_it_goes_on_and_can_be_aborted(lab: Lab, page: Page, tmp_path: Path) -> None:
    cells = (LOAD.format(gate=tmp_path / "gate", mended=tmp_path / "mended"), "tc.map_async(fit, range(20))")
    notebook = lab.open(page, "again", *cells)
    notebook.run(0, 1)
    card = notebook.card(1).and_(page.locator(":visible"))
    expect(card).to_contain_text("running · 4 of 20 · 2 succeeded · 2 failed · 2 running")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.reload()
    notebook.wait_for_kernel()
    expect(card).to_contain_text("running · 4 of 20 · 2 succeeded · 2 failed · 2 running")
    notebook.output(1).get_by_role("button", name="Abort all").and_(page.locator(":visible")).click()
    notebook.output(1).get_by_role("button", name="Yes, abort all").and_(page.locator(":visible")).click()
    expect(card).to_contain_text("failed · 20 tasks · 2 succeeded · 2 failed · 16 aborted")
