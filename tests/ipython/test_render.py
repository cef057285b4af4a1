from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import pytest

from taskfc_ext.ipython.cards.render import (
    Card,
    Table,
    card_bundle,
    card_html,
    card_text,
    tasks_table,
)
from taskfc_ext.protocol.infos import TaskInfo, TaskProgress
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.view.cards import CARD_TYPE, CARD_VERSION
from taskfc_ext.view.wording import ICONS, farm_caption
from taskfc_ext.worker.output.capture import BoundedText

SEEN = datetime(2026, 11, 22, 9, 38, 17)
HOSTILE = "<script>alert(1)</script>\x1b]0;title\x07\x1b[31m\u202eab\"'&\x00"


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def test_a_card_names_the_task_that_it_retries() -> None:
    card = Card(as_of=SEEN, state="running", taskid=3, title="fit", attempts=2, retry_of=1)
    assert card_text(card) == "▶ task 3 fit · running · attempt 2 · retry of 1 · as of 2026-11-22 09:38:17"
    assert "attempt 2 · retry of 1 · as of" in card_html(card)


def test_a_running_card() -> None:
    card = Card(as_of=SEEN, state="running", taskid=3, title="fit", attempts=2, elapsed=2.0, output="a\nb\n")
    assert card_text(card) == ("▶ task 3 fit · running · 2.00 s · attempt 2 · as of 2026-11-22 09:38:17\n    a\n    b")


def test_a_page_learns_which_task_it_can_draw() -> None:
    card = Card(as_of=SEEN, state="running", taskid=3, farm="night", submitted=12.5, title="fit\n\x1b[31m")
    told = card_bundle(card, card_id="c1")[CARD_TYPE]
    assert told == {
        "version": CARD_VERSION,
        "card": "c1",
        "farm": "night",
        "taskid": 3,
        "submitted": 12.5,
        "title": "fit",
        "state": "running",
        "as_of": SEEN.timestamp(),
    }
    assert set(card_bundle(card)) == {"text/plain", "text/html"}
    assert CARD_TYPE not in card_bundle(replace(card, taskid=None), card_id="c1")  # not accepted yet


def test_a_card_that_may_be_out_of_date_says_what_to_type() -> None:
    card = Card(as_of=SEEN, state="running", taskid=3)
    assert "<code>%task show 3</code> shows it now</span>" in card_html(card, is_live=True)
    assert "%task show" not in card_html(replace(card, state="succeeded"))


def test_a_page_finds_the_card_of_a_task() -> None:
    about = 'data-farm="night" data-task="3"'
    assert about in card_html(Card(as_of=SEEN, state="running", taskid=3, farm="night"))
    assert "data-task" not in card_html(Card(as_of=SEEN, state="scheduled", farm="night"))  # not accepted yet


def test_a_finished_card_shows_output_result_and_time() -> None:
    card = Card(as_of=SEEN, state="succeeded", taskid=3, title="fit", elapsed=0.25, output="one", result="42")
    assert card_text(card).splitlines() == [
        "✔ task 3 fit · succeeded · 0.25 s · as of 2026-11-22 09:38:17",
        "    one",
        "    42",
    ]
    assert "as of 2026-11-22 09:38:17" in card_html(card)


def test_a_failed_card_shows_the_reason_and_the_traceback() -> None:
    card = Card(as_of=SEEN, state="failed", reason="timeout", taskid=3, title="fit", error="TaskTimeout: 3 s")
    assert "failed (timeout)" in card_text(card)
    assert "TaskTimeout: 3 s" in card_html(card)


def test_only_the_last_lines_of_the_output_are_shown() -> None:
    card = Card(as_of=SEEN, state="running", output="\n".join(map(str, range(25))))
    lines = card_text(card).splitlines()
    assert lines[1:3] == ["    … 15 lines before", "    15"]
    assert lines[-1] == "    24"


def test_of_an_output_that_was_cut_no_exact_number_of_lines_is_said() -> None:
    printed = BoundedText(200)
    printed.append("".join(f"{i}\n" for i in range(1000)))
    lines = card_text(Card(as_of=SEEN, state="running", output=log_of(printed.take()))).splitlines()
    assert re.fullmatch(r"    … more than \d+ lines before", lines[1])
    assert lines[-1] == "    999"


def test_a_progress_bar_leaves_its_last_state() -> None:
    card = Card(as_of=SEEN, state="running", output="10%\r50%\r90%")
    assert card_text(card).splitlines()[1] == "    90%"


def test_a_running_card_shows_how_far_it_is() -> None:
    card = Card(as_of=SEEN, state="running", elapsed=42.0, progress=TaskProgress(42, 100, "fit"))
    assert card_text(card).splitlines()[1] == "    42 % (42 of 100) fit · about 58.0 s left"
    html = card_html(card)
    assert 'role="progressbar" aria-label="fit"' in html
    assert 'aria-valuenow="42" aria-valuemin="0" aria-valuemax="100"' in html
    assert "width: 42%" in html


def test_progress_without_a_known_end() -> None:
    card = Card(as_of=SEEN, state="running", elapsed=42.0, progress=TaskProgress(1042))
    assert card_text(card).splitlines()[1] == "    1,042 done"
    html = card_html(card)
    assert 'role="progressbar"' in html
    assert "aria-valuenow" not in html


@pytest.mark.parametrize("progress", [TaskProgress(0, 0), TaskProgress(1e18, 1e-300), TaskProgress(1e-300, 1e18)])
def test_odd_progress_is_shown(progress: TaskProgress) -> None:
    assert "progressbar" in card_html(Card(as_of=SEEN, state="running", elapsed=9.0, progress=progress))


def test_a_finished_card_shows_no_bar() -> None:
    bundle = card_bundle(Card(as_of=SEEN, state="succeeded", progress=TaskProgress(42, 100)))
    assert "42" not in bundle["text/plain"]
    assert "progressbar" not in bundle["text/html"]


def test_a_hostile_description_is_text() -> None:
    bundle = card_bundle(Card(as_of=SEEN, state="running", progress=TaskProgress(1, 2, HOSTILE)))
    tags = Tags(bundle["text/html"])
    assert tags.tags == {"div", "span", "strong"}
    assert {name for name in tags.attributes if not name.startswith("aria-")} == {
        "style",
        "class",
        "role",
        "data-state",
    }
    for text in bundle.values():
        assert not any(character in text for character in "\x1b\x07\x00\u202e\x9b")


def test_a_table_shows_the_percentage_beside_the_state() -> None:
    task = TaskInfo(taskid=3, name="fit", label="", state="running", progress=TaskProgress(42, 100))
    assert "▶ running 42 %" in tasks_table("", [task]).text()


@pytest.mark.parametrize("field", ["title", "output", "result", "error", "note", "reason"])
def test_hostile_text_is_text(field: str) -> None:
    bundle = card_bundle(Card(as_of=SEEN, state="failed", **{field: HOSTILE}))
    tags = Tags(bundle["text/html"])
    assert tags.tags <= {"div", "span", "strong", "pre"}
    assert tags.attributes <= {"style", "class", "role", "data-state", "aria-label", "aria-hidden"}
    for text in bundle.values():
        assert not any(character in text for character in "\x1b\x07\x00\u202e\x9b")
    assert "<script>" in bundle["text/plain"]


def test_the_html_is_readable_in_any_theme() -> None:
    bar = card_html(Card(as_of=SEEN, state="running", progress=TaskProgress(1, 2)))
    assert "background" not in bar
    assert all("var(--jp-" in part.split(";")[0] for part in bar.split("solid")[1:])
    html = card_html(Card(as_of=SEEN, state="failed", title="x", output="y", error="z"))
    assert "background" not in html
    assert html.count("monospace") == html.count("<pre") == 2  # an exported notebook would set them in its prose font
    assert all("var(--jp-" in part.split(";")[0] for part in html.split("color:")[1:])


def test_every_state_has_a_picture_beside_its_word() -> None:
    for state in ICONS:
        assert card_text(Card(as_of=SEEN, state=state)).startswith(f"{ICONS[state]} task · {state}")


def test_tables_escape_and_align() -> None:
    rows = [
        TaskInfo(taskid=3, name="<b>", label="x", state="running", stopping=True, elapsed=3.0, worker=1, attempts=2),
        TaskInfo(taskid=12, name=None, label="fit(3)", state="failed", reason="timeout", message="m\nn"),
    ]
    table = tasks_table("caption <i>", rows)
    assert table.text().splitlines() == [
        "caption <i>",
        "id  name    state                 time  attempts  worker",
        " 3  <b>     ◼ stopping          3.00 s         2       1",
        "12  fit(3)  ✘ failed (timeout)                            m n",
    ]
    assert Tags(table.html()).tags == {"div", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_state_and_a_time_are_not_broken_into_lines() -> None:
    html = tasks_table("", [TaskInfo(taskid=3, name="fit", label="", state="running", elapsed=3.0)]).html()
    cells = dict(zip(["id", "name", "state", "time"], html.split("<td")[1:], strict=False))
    assert ["nowrap" in cells[column] for column in ("name", "state", "time")] == [False, True, True]


def test_an_empty_table_is_its_caption() -> None:
    table = Table("nothing", ("a",), [])
    assert table.text() == "nothing"
    assert table.html() == '<div class="taskfc-plain mathjax_ignore tex2jax_ignore"><div>nothing</div></div>'


def test_tex_is_not_typeset() -> None:
    for html in (card_html(Card(as_of=SEEN, state="running", title="$x$")), Table("", ("a",), [("$x$",)]).html()):
        assert re.match(r'<div class="[^"]*\bmathjax_ignore\b', html)


def test_the_caption_has_running_for_pending() -> None:
    counts = {"scheduled": 2, "pending": 1, "succeeded": 1000, "failed": 0}
    assert farm_caption("default", counts, 1) == "default · 1 worker · 2 scheduled, 1 running, 1,000 succeeded"
    assert farm_caption("default", {}, 0) == "default · 0 workers · no tasks"
