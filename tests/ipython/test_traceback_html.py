from __future__ import annotations

import re
from html import unescape

import pytest

from taskfc_ext.ipython.cards.traceback_html import traceback_html

TRACEBACK = """Traceback (most recent call last):
  File "<task 3>", line 2, in halve
    return n / 0 + "x"
           ~~^~~
ZeroDivisionError: division by zero
"""


def text_in(html: str) -> str:
    return unescape(re.sub(r"</?span[^>]*>", "", html))


def test_the_error_stands_out_and_nothing_is_lost() -> None:
    html = traceback_html(TRACEBACK)
    assert 'font-weight: bold">ZeroDivisionError</span>' in html
    assert re.search(r"ui-font-color2[^>]*>&quot;&lt;task 3&gt;&quot;</span>, line <span[^>]*>2</span>, in halve", html)
    assert re.search(r"error-color1[^>]*> *~~\^~~</span>", html)
    assert text_in(html) == TRACEBACK


@pytest.mark.parametrize(
    "text",
    [
        "TaskAborted: task 0 was aborted",
        "<script>alert(1)</script>",
        TRACEBACK.replace("<task 3>", "<img src=x onerror=alert(1)>")
        .replace("halve", "<b>")
        .replace("division", "</pre>"),
        "\n\n  no traceback \n",
        "a" * 20_000,
        "WorkerLost: died\n" + "  in x\n    [0x7f] " * 2_000,
        "Traceback (most recent call last):\n"
        + '  File "x, line ' * 2_000
        + "\n"
        + "^ ~" * 5_000
        + "x\n"
        + "a." * 10_000,
    ],
)
def test_it_is_text_whatever_it_is(text: str) -> None:
    html = traceback_html(text)
    assert text_in(html) == text
    assert set(re.findall(r"<(\w+)", html)) <= {"span"}
