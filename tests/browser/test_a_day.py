"""A day of a person at a notebook: after each step every card, future, name and count is true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import URLS, Lab, OpenNotebook
from tests.browser.test_buttons import press
from tests.browser.test_live_cards import restart_kernel
from tests.processes import until

SETUP = """%load_ext taskfc_ext
%task start -n 3
import pathlib, time
from taskfc_ext import attach, track
tc = attach()
def wait_for(gate):
    while not pathlib.Path(gate).exists():
        time.sleep(0.02)
    return gate.rpartition("/")[2]
def square(x):
    return x * x"""

CELLS = {
    "table": "%%task table -o rows\nfrom daily_helper import factor\nrows = [n * factor for n in range(3)]\nrows[-1]",
    "picture": "%%task picture\nfrom IPython.display import HTML\nHTML('<em class=drawn>a picture</em>')",
    "slow": "%%task slow\nprint('slow speaks')\nwait_for('{noon}')",
    "report": "%%task report --after slow\n'written'",
    "wrong": "%%task wrong\n{{}}['missing']",
    "long": "%%task long\nfor _ in track(range(2)):\n    result = wait_for('{evening}')\nresult",
}

LOOK = "print(*(f'{f.name}: ' + str(f.result() if f.state == 'succeeded' else f.state) for f in (NAMES)), sep='; ')"


def taskfc(*words: str) -> dict[str, object]:
    command = [sys.executable, "-m", "taskfc_ext.cli", *words, "--json"]
    answer: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


class Day:
    """The notebook of the day, and what its cards are to say.

    Args:
        notebook: the open notebook; cell 0 sets up, the next ones are `CELLS`.
    """

    def __init__(self, notebook: OpenNotebook) -> None:
        self.notebook = notebook
        self.expected: dict[str, str] = {}

    def place(self, name: str) -> int:
        return 1 + [*CELLS].index(name)

    def card(self, name: str) -> Locator:
        return self.notebook.card(self.place(name)).and_(self.notebook.page.locator(":visible"))

    def says(self, **texts: str) -> None:
        """Expect these texts on the cards, and on all others what they said before."""
        self.expected |= texts
        for name, text in self.expected.items():
            expect(self.card(name)).to_have_count(1)
            self.notebook.cell(self.place(name)).scroll_into_view_if_needed()  # unseen cards ask for no details
            expect(self.card(name)).to_contain_text(text)


def test_a_day(lab: Lab, page: Page, tmp_path: Path) -> None:
    noon, evening = tmp_path / "noon", tmp_path / "evening"
    helper = lab.folder / "daily_helper.py"
    helper.write_text("factor = 10\n")
    cells = [text.format(noon=noon, evening=evening) for text in CELLS.values()]
    look = LOOK.replace("NAMES", ", ".join(CELLS))
    notebook = lab.open(page, "day", SETUP, *cells, look, "sweep = tc.map_async(square, range(500))\nsweep")
    day = Day(notebook)

    # the morning: six cells, and the kernel is free
    notebook.run(0, *range(1, 7))
    day.says(table="20", slow="slow speaks", report="waits for task", wrong="KeyError: 'missing'", long="running")
    expect(notebook.output(day.place("picture")).locator(".drawn:visible")).to_have_count(1)

    # a reload, then a restart of the kernel: nothing is run, and all cards are true
    notebook.command("docmanager:save")
    page.reload()
    notebook.wait_for_kernel()
    day.says()
    restart_kernel(notebook)
    day.says()
    notebook.run(0)
    notebook.says(0, "2 running")
    notebook.run(7)
    notebook.says(
        7, "table: 20; picture: <IPython.core.display.HTML object>; slow: running; report: waiting; wrong: failed"
    )

    # a helper is edited, a finished cell is run again, and one whose task still runs
    helper.write_text("factor = 100\n")
    notebook.run(day.place("table"))
    day.says(table="200")
    first = str(day.card("long").get_attribute("data-task"))
    notebook.start(day.place("long"))
    notebook.says(day.place("long"), "so nothing was submitted")
    press(notebook.output(day.place("long")), "Replace")
    expect(day.card("long")).not_to_have_attribute("data-task", first)
    day.says(long="running")
    noon.touch()
    day.says(slow="noon", report="written")

    # a sweep
    notebook.run(8)
    sweep = notebook.card(8).and_(page.locator(":visible"))
    expect(sweep).to_contain_text("500 tasks")
    expect(sweep).to_contain_text("succeeded")

    # the laptop is closed, and the work goes on
    notebook.command("docmanager:save")
    context = page.context
    page.close()
    evening.touch()
    until(lambda: not taskfc("status")["tasks"]["running"], "the last task has ended")  # type: ignore[index]

    # the evening: another page
    page = context.new_page()
    lab.go(page, URLS["lab"].format(name=notebook.path.stem))
    notebook = OpenNotebook(lab, page, notebook.path)
    day.notebook = notebook
    day.says(long="evening")
    expect(notebook.card(8).and_(page.locator(":visible"))).to_contain_text("500 tasks")
    notebook.run(7)
    notebook.says(
        7, "table: 200; picture: <IPython.core.display.HTML object>; slow: noon; report: written; wrong: failed"
    )
    notebook.says(7, "long: evening")
    counts = taskfc("status")["tasks"]
    assert counts == {"waiting": 0, "scheduled": 0, "running": 0, "succeeded": 506, "failed": 1, "aborted": 1}
