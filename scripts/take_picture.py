"""Take the picture of the README: cards in a real JupyterLab, while the kernel is busy.

Run it from the repository's root, in the environment of the tests: python -m scripts.take_picture
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from scripts.run_demo import own_farm
from tests.browser.lab import lab_and_page

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "cards.png"

FIGURE = """%%task waves
import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 12, 400)
figure, panel = plt.subplots(figsize=(6, 1.6), layout="constrained")
for n in range(1, 6):
    panel.plot(x, np.sin(x * n / 2) / n)"""

PROGRESS = """%%task fit
from time import sleep
from tqdm import tqdm

print("fitting 40 models")
for _ in tqdm(range(40), desc="fit"):
    sleep(0.25)"""

FAILURE = """%%task wrong
def halve(n):
    return n / 0

halve(3)"""

BUSY = "sleep(30)  # the kernel is busy, the tasks are not"


def main() -> None:
    """Write the picture."""
    with own_farm(), lab_and_page(width=900, height=1250) as (lab, page):
        start = "%load_ext taskfc_ext\n%task start -n 2\nfrom time import sleep"
        notebook = lab.open(page, "cards", start, FIGURE, PROGRESS, FAILURE, BUSY)
        notebook.command("application:toggle-left-area")
        notebook.run(0, 1, 2, 3)
        notebook.start(4)
        expect(notebook.card(3)).to_contain_text("ZeroDivisionError")
        expect(notebook.output(1).locator("img")).to_have_count(1)
        expect(notebook.card(2)).to_contain_text("(12 of 40)")
        page.locator(".jp-NotebookPanel .jp-Notebook").screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
