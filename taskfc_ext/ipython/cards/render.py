"""Cards and tables as text and HTML. Pure: no clock, no client, no front end.

Names, outputs, results and messages are untrusted: escape sequences are removed, and HTML shows them as text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from taskfc_ext.ipython.cards import look, rich
from taskfc_ext.ipython.cards.traceback_html import traceback_html
from taskfc_ext.protocol.infos import TaskInfo, TaskProgress
from taskfc_ext.text import format_progress, format_seconds, one_line, percent, plain_text, plural, table
from taskfc_ext.view.cards import CARD_TYPE, TaskCard
from taskfc_ext.view.wording import icon, retry_text, state_of, task_row

RESULT_CHARS = 2_000
ERROR_CHARS = 20_000

# front ends typeset TeX in HTML, and an untrusted name could make a link with it
NO_MATH = "mathjax_ignore tex2jax_ignore"

# the queue view recognises by this class the table that stands in for a widget
_PLAIN = f"taskfc-plain {NO_MATH}"

FARM_STOPPED = "farm stopped"
"""The reason of a task that waits for the start of its farm."""

AS_OF = "taskfc-as-of"
"""The class of the time on a live card."""

Bundle = dict[str, Any]
"""Contents by MIME type, as front ends take them: text, except for widgets and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The contents of the card of one task, at the time `as_of`. A page finds the card by `farm` and `taskid`.

    Attributes:
        submitted: wall-clock seconds, by the farm's clock; `None`: not known.
        reason: of an unfinished task, such as *held*.
        error: the traceback or the message of a failure.
        note: one more fact for the first line.
    """

    as_of: datetime
    state: str
    taskid: int | None = None
    farm: str = ""
    submitted: float | None = None
    title: str = ""
    reason: str = ""
    attempts: int = 0
    elapsed: float | None = None
    output: str = ""
    result: str = ""
    error: str = ""
    note: str = ""
    retry_of: int | None = None
    progress: TaskProgress | None = None
    outputs: tuple[rich.Output, ...] = ()

    def keep_seen(self, seen: Card) -> Card:
        """Return the card of a task whose farm was stopped, with the output and the facts that were seen before."""
        kept = {name: getattr(seen, name) for name in ("submitted", "attempts", "output", "outputs")}
        return replace(self, **kept)


def card_bundle(card: Card, *, is_live: bool = False, card_id: str = "") -> Bundle:
    """Return the card in every form that is published.

    Args:
        card: what it shows.
        is_live: see `card_html`.
        card_id: that of the card in its page; without it, and before its task is accepted, no page draws it live.
    """
    bundle: Bundle = {"text/plain": card_text(card), "text/html": card_html(card, is_live=is_live)}
    if card_id and card.taskid is not None and card.submitted is not None:
        bundle[CARD_TYPE] = _for_page(card, card.taskid, card.submitted, card_id)
    return bundle


def _for_page(card: Card, taskid: int, submitted: float, card_id: str) -> dict[str, Any]:
    """Return the data with which a page draws the card from the state of the farm."""
    shown = TaskCard(
        card=card_id,
        farm=card.farm,
        taskid=taskid,
        submitted=submitted,
        title=one_line(card.title),
        state=card.state,
        as_of=round(card.as_of.timestamp(), 3),
    )
    plain: dict[str, Any] = msgspec.to_builtins(shown)
    return plain


def card_text(card: Card) -> str:
    """Return the card as lines of text."""
    head = " · ".join((f"{icon(card.state)} {_title(card)}", *_facts(card), as_of_text(card.as_of)))
    displayed = [rich.text_of(output) for output in rich.on_card(card.outputs)]
    blocks = (_progress_text(card), _tail(card.output), *displayed, card.result, card.error)
    return "\n".join([head, *(_indent(text) for text in blocks if text)])


def card_html(card: Card, *, is_live: bool = False) -> str:
    """Return the card as static HTML: no script, and colours of the front end's theme.

    Args:
        card: what it shows.
        is_live: the card is kept up to date: a page that also has its buttons hides the time.
    """
    now = _show_now(card) if is_live else ""
    head = head_html(card.state, _title(card), _facts(card), as_of_text(card.as_of) + now, is_live=is_live)
    displayed = "".join(_block(rich.text_of(output)) for output in rich.on_card(card.outputs))
    body = "".join(
        (
            _block(_tail(card.output), look.PRINTED),
            displayed,
            _block(card.result),
            _error_block(card.error),
        )
    )
    inside = head + _progress_html(card) + body
    about = f'role="group" aria-label="{escape(_title(card))}" data-state="{escape(card.state)}"'
    if card.farm and card.taskid is not None:
        about += f' data-farm="{escape(card.farm)}" data-task="{card.taskid}"'
    return f'<div class="taskfc-card {NO_MATH}" {about}>{inside}</div>'


def _block(text: str, style: str = look.BLOCK) -> str:
    return f'<pre style="{style}">{escape(text)}</pre>' if text else ""


def _error_block(text: str) -> str:
    """Return a traceback, scrolled to its end, where the exception is."""
    if not text:
        return ""
    return f'<pre style="{look.FROM_ITS_END}"><span>{traceback_html(plain_text(text))}</span></pre>'


def _progress_text(card: Card) -> str:
    """Return the progress and the estimated time left; empty if the task reports none or has ended."""
    progress = card.progress
    if progress is None or card.state not in ("running", "stopping"):
        return ""
    text = format_progress(progress.done, progress.total, progress.description)
    if progress.total and card.elapsed and 0 < progress.done < progress.total:
        left = card.elapsed * (progress.total - progress.done) / progress.done
        text += f" · about {format_seconds(left)} left" if left < 1e6 else ""
    return text


def _progress_html(card: Card) -> str:
    text, progress = _progress_text(card), card.progress
    if not text or progress is None:
        return ""
    bar = ""
    values = ""
    if progress.total:
        part = percent(progress.done, progress.total)
        values = f' aria-valuenow="{part}" aria-valuemin="0" aria-valuemax="100"'
        bar = f'<div style="{look.FILLED}; width: {part}%"></div>'
    label = escape(one_line(progress.description) or "progress")
    return (
        f'<div role="progressbar" aria-label="{label}" aria-valuetext="{escape(text)}"{values} style="{look.TROUGH}">'
        f'{bar}</div><div style="{look.FAINT}">{escape(text)}</div>'
    )


def _title(card: Card) -> str:
    taskid = "task" if card.taskid is None else f"task {card.taskid}"
    return f"{taskid} {one_line(card.title)}".rstrip()


def _facts(card: Card) -> list[str]:
    facts = [f"{card.state} ({one_line(card.reason)})" if card.reason else card.state]
    if card.elapsed is not None:
        facts.append(format_seconds(card.elapsed))
    if card.attempts > 1:
        facts.append(f"attempt {card.attempts}")
    if card.retry_of is not None:
        facts.append(retry_text(card.retry_of))
    if card.note:
        facts.append(one_line(card.note))
    return facts


def _show_now(card: Card) -> str:
    return "" if card.taskid is None else f" · <code>%task show {card.taskid}</code> shows it now"


def _tail(output: str) -> str:
    lines = plain_text(output).rstrip().split("\n")
    if len(lines) <= look.OUTPUT_LINES:
        return "\n".join(lines)
    more = "more than " if look.DROPPED in output else ""
    before = f"… {more}{plural(len(lines) - look.OUTPUT_LINES, 'line')} before"
    return "\n".join([before, *lines[-look.OUTPUT_LINES :]])


def _indent(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in plain_text(text).rstrip().split("\n"))


# shared with cards of groups


def as_of_text(moment: datetime) -> str:
    """Return the time of a card: `as of 2026-07-01 12:00:00`."""
    return f"as of {moment:%Y-%m-%d %H:%M:%S}"


def head_html(state: str, title: str, facts: Sequence[str], as_of: str, *, is_live: bool) -> str:
    """Return the first line of a card.

    Args:
        state: decides the icon and the colour.
        title: the title.
        facts: the state in words, then other facts.
        as_of: HTML of the time.
        is_live: the time can be hidden, see `card_html`.
    """
    colour = look.COLOURS.get(state, "inherit")
    words, *others = map(escape, facts)
    rest = "".join(f" · {fact}" for fact in others)
    rest += f'<span class="{AS_OF}"> · {as_of}</span>' if is_live else f" · {as_of}"
    return (
        f'<span style="color: {colour}" aria-hidden="true">{icon(state)}</span> '
        f'<strong>{escape(title)}</strong> · <span style="color: {colour}">{words}</span> '
        f'<span style="{look.FAINT}">{rest.lstrip()}</span>'
    )


def escape(text: str) -> str:
    """Return untrusted text as HTML that shows it."""
    return html.escape(plain_text(text), quote=True)


def shorten(text: str, limit: int) -> str:
    """Return `text`, cut at `limit` characters with a note of its length."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headers, with a line above them."""

    caption: str
    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: frozenset[int] = field(default=frozenset())  # columns of numbers
    whole: frozenset[int] = field(default=frozenset())  # columns that are not broken into lines

    def bundle(self) -> Bundle:
        """Return the table in every form that is published."""
        return {"text/plain": self.text(), "text/html": self.html()}

    def text(self) -> str:
        """Return aligned lines."""
        if not self.rows:
            return one_line(self.caption)
        rows = [[one_line(cell) for cell in row] for row in self.rows]
        return f"{one_line(self.caption)}\n{table(rows, self.headers, right=self.right)}"

    def html(self) -> str:
        """Return a plain HTML table."""
        caption = f"<div>{escape(self.caption)}</div>"
        if not self.rows:
            return f'<div class="{_PLAIN}">{caption}</div>'
        head = "".join(f'<th scope="col"{self._align(column)}>{name}</th>' for column, name in enumerate(self.headers))
        body = "".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows)
        whole = f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div class="{_PLAIN}">{whole}</div>'

    def _cells(self, row: Sequence[str]) -> str:
        return "".join(f"<td{self._align(column)}>{escape(one_line(cell))}</td>" for column, cell in enumerate(row))

    def _align(self, column: int) -> str:
        wrap = "; white-space: nowrap" if column in self.whole else ""
        return f' style="text-align: {"right" if column in self.right else "left"}{wrap}"'


def tasks_table(caption: str, tasks: Sequence[TaskInfo]) -> Table:
    """Return tasks as a table, in their order."""
    headers = ("id", "name", "state", "time", "attempts", "worker", "")
    return Table(caption, headers, [task_cells(task) for task in tasks], frozenset((0, 3, 4, 5)), frozenset((2, 3)))


def task_cells(task: TaskInfo) -> tuple[str, ...]:
    """Return the cells of a task in a table: id, title, state, time, attempts, worker, message."""
    row = task_row(task)
    state = f"{icon(state_of(task))} {row.state}"
    return row.taskid, row.title, state, row.time, row.attempts, row.worker, shorten(row.message, 80)
