"""The card of a group of tasks: counts, a bar, throughput, time left, and the first failures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from taskfc_ext.ipython.cards import rich
from taskfc_ext.ipython.cards.look import COLOURS, FAINT, PART, REASON, TROUGH
from taskfc_ext.ipython.cards.render import FARM_STOPPED, NO_MATH, Bundle, Card, as_of_text, escape, head_html, shorten
from taskfc_ext.ipython.cards.snapshot import make_card
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.text import format_seconds, one_line, percent, plain_text, plural
from taskfc_ext.view.cards import GROUP_TYPE, MAX_RANGES, GroupOfTasks
from taskfc_ext.view.wording import icon

if TYPE_CHECKING:  # importing the client takes long, and `%load_ext` imports this
    from taskfc_ext.client.future.future import TaskFuture
    from taskfc_ext.client.group.counts import GroupCounts
    from taskfc_ext.client.group.group import TaskGroup

MAX_FAILURES = 5
"""Failures that a card names."""

_MAX_WHY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCard:
    """The contents of the card of a group, at the time `as_of`.

    Attributes:
        title: the name of the function.
        elapsed: seconds from the submission to now, or to the last end.
        unit: the thing that is counted: a task, or an item where a task has several.
        throughput: items that have ended in a second, on average.
        failures: of the failed tasks that were noticed first: which task, and the type and text of its exception.
        n_more: the number of other failed tasks.
        ranges: the ids of the tasks: the first and the last of each range. Empty until all are accepted.
        submitted: wall-clock seconds.
    """

    as_of: datetime
    farm: str
    title: str
    counts: GroupCounts
    elapsed: float
    throughput: float
    unit: str = "task"
    failures: tuple[tuple[str, str], ...] = ()
    n_more: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    submitted: float = 0.0
    outputs: ClassVar[tuple[rich.Output, ...]] = ()

    @property
    def state(self) -> str:
        """The state of the group: running until all have ended; then the worst of theirs."""
        counts = self.counts
        if counts.unknown:
            return "waiting"
        if counts.unfinished:
            return "running"
        return "failed" if counts.failed else "aborted" if counts.aborted else "succeeded"

    @property
    def taskid(self) -> int | None:
        """The id of the first task; `None` until all are accepted."""
        return self.ranges[0][0] if self.ranges else None

    @property
    def reason(self) -> str:
        """The reason of an unfinished group, such as that its farm was stopped."""
        return FARM_STOPPED if self.counts.unknown else ""


def is_group(value: object) -> bool:
    """Tell whether `value` is a `TaskGroup`, without importing the client."""
    return hasattr(type(value), "retry_failed")


def make_any_card(shown: Any, now: datetime, formatter: Any = None) -> Card | GroupCard:
    """Return the card of a future or of a group as it is now."""
    return make_group_card(shown, now) if is_group(shown) else make_card(shown, now, formatter)


def make_group_card(group: TaskGroup[Any], now: datetime) -> GroupCard:
    """Return the card of `group` as it is now. Asks the controller nothing."""
    counts = group.counts
    failed = group.failed_tasks()
    return GroupCard(
        as_of=now,
        farm=group.farm,
        title=f"map {group.label}",
        counts=counts,
        elapsed=group.seconds,
        throughput=group.throughput,
        unit="task" if group.chunksize == 1 else "item",
        failures=tuple(map(_failure, failed[:MAX_FAILURES])),
        n_more=len(failed[MAX_FAILURES:]),
        ranges=group.id_ranges,
        submitted=group.submitted,
    )


def _failure(future: TaskFuture) -> tuple[str, str]:
    from taskfc_ext.client.group.frame import failure_text

    which = "task" if future.taskid is None else f"task {future.taskid}"
    return which, shorten(failure_text(future), _MAX_WHY)


def group_bundle(card: GroupCard, *, is_live: bool = False, card_id: str = "") -> Bundle:
    """Return the card in every form that is published.

    Args:
        card: what it shows.
        is_live: see `group_html`.
        card_id: that of the card in its page; without it, and before its tasks are accepted, no page draws it live.
    """
    bundle: Bundle = {"text/plain": group_text(card), "text/html": group_html(card, is_live=is_live)}
    if card_id and 0 < len(card.ranges) <= MAX_RANGES and card.counts.total <= MAX_IDS:
        shown = GroupOfTasks(
            card=card_id,
            farm=card.farm,
            ranges=card.ranges,
            submitted=card.submitted,
            title=one_line(card.title),
            state=card.state,
            as_of=round(card.as_of.timestamp(), 3),
        )
        bundle[GROUP_TYPE] = msgspec.to_builtins(shown)
    return bundle


def group_text(card: GroupCard) -> str:
    """Return the card as lines of text."""
    head = " · ".join((f"{icon(card.state)} {one_line(card.title)}", *_facts(card), as_of_text(card.as_of)))
    lines = [f"{icon('failed')} {which}: {why}" for which, why in card.failures]
    return "\n".join([head, *(f"    {plain_text(line)}" for line in [*lines, *_more(card)])])


def group_html(card: GroupCard, *, is_live: bool = False) -> str:
    """Return the card as static HTML: no script, and colours of the front end's theme.

    Args:
        card: what it shows.
        is_live: the card is kept up to date: a page that also has its buttons hides the time.
    """
    title = one_line(card.title)
    head = head_html(card.state, title, _facts(card), as_of_text(card.as_of), is_live=is_live)
    red = COLOURS["failed"]
    failures = "".join(
        f'<div><span style="color: {red}" aria-hidden="true">{icon("failed")}</span> '
        f'{escape(which)}: <span style="{REASON}">{escape(why)}</span></div>'
        for which, why in card.failures
    )
    more = "".join(f'<div style="{FAINT}">{escape(text)}</div>' for text in _more(card))
    about = f'role="group" aria-label="{escape(title)}" data-state="{card.state}"'
    return f'<div class="taskfc-card {NO_MATH}" {about}>{head}{_bar(card)}{failures}{more}</div>'


def _facts(card: GroupCard) -> list[str]:
    counts = card.counts
    facts = [card.state, *([card.reason] if card.reason else [])]
    facts += (
        [f"{counts.done:,} of {counts.total:,}"] if counts.done < counts.total else [plural(counts.total, card.unit)]
    )
    by_state = {"succeeded": counts.succeeded, "failed": counts.failed, "aborted": counts.aborted}
    facts += [f"{n:,} {state}" for state, n in by_state.items() if n and (n < counts.total or state != card.state)]
    facts.append(format_seconds(card.elapsed))
    if counts.done and card.throughput > 0:
        facts.append(f"{_rate(card.throughput)} a second")
        if counts.unfinished:
            facts.append(f"about {format_seconds(counts.unfinished / card.throughput)} left")
    return facts


def _rate(throughput: float) -> str:
    return f"{throughput:,.0f}" if throughput >= 10 else f"{throughput:.2g}"


def _more(card: GroupCard) -> list[str]:
    return [f"and {card.n_more:,} more"] if card.n_more else []


def _bar(card: GroupCard) -> str:
    counts = card.counts
    if not counts.unfinished:
        return ""
    text = f"{counts.done:,} of {counts.total:,}"
    parts = (
        (counts.succeeded, COLOURS["running"]),
        (counts.failed, COLOURS["failed"]),
        (counts.aborted, COLOURS["aborted"]),
    )
    filled = "".join(
        f'<div style="{PART} {colour}; width: {100 * n / counts.total:.1f}%"></div>' for n, colour in parts if n
    )
    values = f'aria-valuenow="{percent(counts.done, counts.total)}" aria-valuemin="0" aria-valuemax="100"'
    return (
        f'<div role="progressbar" aria-label="progress" aria-valuetext="{text}" {values} '
        f'style="{TROUGH}; display: flex">{filled}</div>'
    )
