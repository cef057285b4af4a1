"""Tab and Shift+Tab in JupyterLab, whose own words of the page must not stand beside ours."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, OpenNotebook


def press_at_end(notebook: OpenNotebook, cell: int, line: int, keys: str) -> None:
    """Press keys at the end of a line of a cell."""
    notebook.cell(cell).locator(".cm-line").nth(line).click()
    notebook.page.keyboard.press("End")
    notebook.page.keyboard.press(keys)


def test_a_line_of_ours_is_completed_with_our_words_alone(lab: Lab, page: Page) -> None:
    notebook = lab.open(
        page,
        "completion",
        "%load_ext taskfc_ext\nretrieved = retrofit = 1",
        "%%task fit --ret\nretained = 1",
        "%%task fit -o \nalpha = 1\nbeta = retr",
        "%%task --timeout \nalpha = 1",
    )
    notebook.run(0)
    words = page.locator(".jp-Completer:not(.lm-mod-hidden) .jp-Completer-item .jp-Completer-match")

    def close() -> None:
        page.keyboard.press("Escape")
        expect(words).to_have_count(0)

    press_at_end(notebook, 1, 0, "Tab")
    expect(words).to_have_text(["--retries", "--retry-on"])
    page.keyboard.press("Enter")
    expect(notebook.cell(1).locator(".cm-line").first).to_have_text("%%task fit --retries")

    page.keyboard.press("Shift+Tab")
    expect(page.locator(".jp-Tooltip")).to_contain_text("Run the cell as a task")
    page.keyboard.press("Escape")

    press_at_end(notebook, 2, 0, "Tab")
    expect(words).to_have_text(["alpha", "beta", "*"])
    close()

    press_at_end(notebook, 2, 2, "Tab")  # in the body of the cell, Python
    expect(words).to_have_text(["retrieved", "retrofit"])
    close()

    press_at_end(notebook, 3, 0, "Tab")  # a free value: nothing, with the word that the help has for it
    expect(words).to_have_text([""])
    expect(page.locator(".jp-Completer-item .jp-Completer-typeExtended")).to_have_text(["s"])  # of seconds
