"""Names of functions, outputs, results and exceptions that try to be more than text, in a real browser."""

from __future__ import annotations

import itertools
import json

from playwright.sync_api import Page

from tests.browser.lab import Lab

SCRIPTS = (
    "<script>window.struck = 1</script>",
    "<img src=x onerror='window.struck = 1'>",
    "<svg onload=window.struck=1>",
    "<iframe srcdoc='<script>parent.struck = 1</script>'></iframe>",
    "<a href='javascript:window.struck=1'>click</a>",
    "<style>* { display: none }</style>",
    "<div class='taskfc-card'><b>a card</b></div>",
    "<input autofocus onfocus=window.struck=1>",
    "<math><mtext></table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.struck=1&gt;'>",
    "<details open ontoggle=window.struck=1>",
    "&lt;script&gt;window.struck = 1&lt;/script&gt;",
    "$\\href{javascript:window.struck=1}{x}$",
    "[x](javascript:window.struck=1) ![y](x onerror=window.struck=1)",
)
BREAKERS = (
    "",
    "</pre></div>",
    "\"'>",
    "-->",
    "]]>",
    "\x00\x08\x7f",
    "\x1b[31m\x1b]0;title\x07\x1b]8;;javascript:window.struck=1\x1b\\",
    "\u202e\u2066\u200f",
    "\r\r\n\u2028\u2029\x85",
    "\ufeff\ufffe\U000e0041",
    "\ud83d",  # half a pair
)
ENDS = ("", " end", "</strong>")
CORPUS = [before + script + end for before, script, end in itertools.product(BREAKERS, SCRIPTS, ENDS)][:400]

PART = 100
"""Tasks of a cell: a server drops what comes faster than it allows."""

TASKS = """%load_ext taskfc_ext
import json
from taskfc_ext import TaskClient
CORPUS = json.loads({corpus!r})


def say(text, how):
    print(text.encode("utf-8", "backslashreplace").decode())
    if how:
        raise type("Error", (Exception,), {{}})(text)
    return text


def called(text):
    def function(how):
        return say(text, how)

    function.__qualname__ = text  # an option `name` of that kind is refused; a function may be called anything
    return function


tc = TaskClient()
futures = [tc.submit(called(text), nth % 2) for nth, text in enumerate(CORPUS)]
tc.barrier(futures)
"""

FOUND = """() => {
    const cards = [...document.querySelectorAll('.jp-OutputArea-output .taskfc-card')];
    const elements = cards.flatMap(card => [...card.querySelectorAll('*')]);
    const texts = cards.map(card => card.textContent).join('');
    return {
        cards: cards.length,
        tags: [...new Set(elements.map(e => e.tagName))].sort(),
        attributes: [...new Set(elements.flatMap(e => e.getAttributeNames()))].sort(),
        steering: [...new Set(texts.match(/[\\x00-\\x08\\x0b-\\x1f\\x7f\\u202a-\\u202e\\u2066-\\u2069]/g) ?? [])],
        struck: window.struck ?? null,
    };
}"""


TABLES = "() => [...new Set([...document.querySelectorAll('table, table *')].map(e => e.tagName))].sort()"


def test_400_hostile_tasks_are_text(lab: Lab, page: Page) -> None:
    assert len(CORPUS) == 400
    alerts: list[str] = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message) or dialog.dismiss())
    parts = range(0, 400, PART)
    shown = [f"display(*futures[{first}:{first + PART}])" for first in parts]
    tables = ["%task status --all", "%task status 0-399", "from IPython.display import HTML\nHTML('$x^2$')"]
    notebook = lab.open(page, "hostile", TASKS.format(corpus=json.dumps(CORPUS)), *shown, *tables)
    notebook.run(*range(len(shown) + len(tables) + 1))
    page.wait_for_function("() => document.querySelectorAll('.jp-OutputArea-output .taskfc-card').length >= 400")
    page.locator("mjx-container").first.wait_for()  # the last cell's: by now all that is taken for TeX is typeset
    found = page.evaluate(FOUND)
    assert found == {
        "cards": 400,
        "tags": ["PRE", "SPAN", "STRONG"],
        "attributes": ["aria-hidden", "style"],
        "steering": [],
        "struck": None,
    }
    tags = page.evaluate(
        "() => [...new Set([...document.querySelectorAll('table, table *')].map(e => e.tagName))].sort()"
    )
    assert tags == ["TABLE", "TBODY", "TD", "TH", "THEAD", "TR"]
    assert alerts == []
