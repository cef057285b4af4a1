"""A task under its cell: JupyterLab in Chromium, driven as the tests drive it."""

from __future__ import annotations

import random
import time
from statistics import median

from playwright.sync_api import Page

from benchmarks.answer import Answer, answer
from tests.browser.lab import lab_and_page

START = "%load_ext taskfc_ext\n%task start -n 1"
STOP = "%task stop"
TASK = """%%task
import pathlib, time
while not pathlib.Path("{gate}").exists():
    time.sleep(0.001)
"""
"""One worker runs these in order, so that the end of one is the start of the next."""

ENDLESS = """%%task
import pathlib, time
try:
    while True:
        time.sleep(0.001)
finally:
    pathlib.Path("{stopped}").write_text(str(time.time()))
"""

BLOCK = """import pathlib, time
while not pathlib.Path("{gate}").exists():
    time.sleep(0.01)
"""

CLICK = """([cell, name]) => {
    const row = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[cell].querySelector('.taskfc-buttons');
    const button = [...(row?.querySelectorAll('button') ?? [])].find(each => each.textContent === name);
    if (!button) return null;
    const now = Date.now();
    button.click();
    return now;
}"""

WATCH = """() => {
    // when each card first said each word, in the milliseconds of the host's clock
    window.said = {};
    new MutationObserver(() => {
        const now = Date.now();
        document.querySelectorAll('.jp-Notebook .jp-CodeCell').forEach((cell, index) => {
            const text = cell.querySelector('.taskfc-card')?.textContent ?? '';
            for (const word of ['running', 'succeeded']) {
                if (text.includes(word)) window.said[`${index} ${word}`] ??= now;
            }
        });
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


TELLS = """%%task cell{number}
import pathlib, time
print("told by {number}")
while not pathlib.Path("{gate}").exists():
    time.sleep(0.001)
"""

WATCH_ALL = """n => {
    // when the page first had a card, and when all of them said that their task has ended
    const cards = () => [...document.querySelectorAll('.jp-Notebook .taskfc-card')];
    window.said = {};
    new MutationObserver(() => {
        const shown = cards();
        if (shown.length > 0) window.said.first ??= Date.now();
        const isTrue = shown.length >= n && shown.every(card => card.textContent.includes('succeeded'));
        if (isTrue) window.said.all ??= Date.now();
    }).observe(document, {subtree: true, childList: true, characterData: true});
}"""


def card(system: str, n: int) -> Answer:
    """From the moment when a task may end: until its card says so, and until that of the next one says that it runs.

    Medians of `n`, at moments that have nothing to do with when cards are brought up to date.
    """
    del system  # others show nothing under a cell that goes on
    chance = random.Random(n)
    ends, starts = [], []
    with lab_and_page() as (lab, page):
        gates = [lab.folder / f"gate-{number}" for number in range(n + 1)]
        notebook = lab.open(page, "card", START, *(TASK.format(gate=gate) for gate in gates), STOP)
        try:
            notebook.run(0)
            page.evaluate(WATCH)
            notebook.run(*range(1, n + 2))
            for number, gate in enumerate(gates[:-1], 1):
                wait_for(page, f"{number} running")
                time.sleep(0.2 + chance.random())
                opened_ms = time.time() * 1e3
                gate.touch()
                ends.append(wait_for(page, f"{number} succeeded") - opened_ms)
                starts.append(wait_for(page, f"{number + 1} running") - opened_ms)
            gates[-1].touch()
        finally:
            notebook.run(n + 2)
    return {"end_dom_ms": median(ends), "start_dom_ms": median(starts)}


def abort(system: str, n: int) -> Answer:
    """From the click that confirms an Abort, while the kernel's main thread is blocked, until the task has stopped.

    Median of `n`. The task is Python that can be interrupted; it writes down when it was.
    """
    del system
    times = []
    with lab_and_page() as (lab, page):
        ends = [lab.folder / f"stopped-{number}" for number in range(n)]
        gate = lab.folder / "unblocked"
        cells = [*(ENDLESS.format(stopped=end) for end in ends), BLOCK.format(gate=gate)]
        notebook = lab.open(page, "abort", START, *cells, STOP)
        try:
            notebook.run(0)
            page.evaluate(WATCH)
            notebook.run(*range(1, n + 1))
            notebook.start(n + 1)
            for number, end in enumerate(ends, 1):
                wait_for(page, f"{number} running")
                time.sleep(0.3)  # until it is in its loop
                _click(page, number, "Abort")
                clicked_ms = _click(page, number, "Yes, abort")
                while not end.exists() or not end.read_text():
                    time.sleep(0.005)
                times.append(float(end.read_text()) * 1e3 - clicked_ms)
        finally:
            gate.touch()
            notebook.wait_for_end(n + 1)
            notebook.run(n + 2)
    return {"abort_ms": median(times)}


def reload(system: str, n: int) -> Answer:
    """From the first card that a reloaded page shows until all `n` are true.

    They were saved while their tasks waited, and their kernel was restarted before those ran.
    """
    del system  # others show nothing under a cell that goes on
    with lab_and_page() as (lab, page):
        gate = lab.folder / "gate"
        cells = [TELLS.format(number=number, gate=gate) for number in range(n)]
        notebook = lab.open(page, "reload", START, *cells, "%load_ext taskfc_ext", STOP)
        try:
            notebook.run(*range(n + 1))
            notebook.command("docmanager:save")
            page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
            notebook.wait_for_kernel()
            gate.touch()
            page.add_init_script(f"({WATCH_ALL})({n})")
            page.evaluate(WATCH_ALL, n)
            wait_for(page, "all")
            page.reload()
            true_ms = wait_for(page, "all") - wait_for(page, "first")
            notebook.wait_for_kernel()
        finally:
            gate.touch()
            notebook.run(n + 1, n + 2)
    return {"true_ms": true_ms}


def _click(page: Page, cell: int, name: str) -> float:
    """Click a button under a card when it is there; return when, in milliseconds of the host's clock."""
    return float(page.wait_for_function(CLICK, arg=[cell, name]).json_value())


def wait_for(page: Page, what: str) -> float:
    """Wait until the page has shown `what`; return when it first did, in milliseconds of the host's clock."""
    return float(page.wait_for_function("what => window.said[what]", arg=what).json_value())


if __name__ == "__main__":
    answer(card, abort, reload)
