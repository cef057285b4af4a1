"""The card of a group: its text, its HTML, and its updates on the board."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from taskfc_ext.client.group.counts import GroupCounts
from taskfc_ext.client.group.group import Call, TaskGroup
from taskfc_ext.ipython.cards.board import SHARE, CardBoard
from taskfc_ext.ipython.cards.group_card import (
    GroupCard,
    group_bundle,
    group_html,
    group_text,
    make_any_card,
    make_group_card,
)
from taskfc_ext.ipython.cards.waits import GroupWaits
from taskfc_ext.view.cards import GROUP_TYPE
from tests.shells import end_shell, new_shell

NOON = datetime(2030, 1, 1, 12)


def card(counts: GroupCounts, **changes: Any) -> GroupCard:
    made = GroupCard(as_of=NOON, farm="default", title="map fit", counts=counts, elapsed=10.0, throughput=40.0)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (card(GroupCounts(500), throughput=0.0), "▶ map fit · running · 0 of 500 · 10.0 s"),
        (
            card(GroupCounts(500, succeeded=398, failed=2)),
            "▶ map fit · running · 400 of 500 · 398 succeeded · 2 failed · 10.0 s · 40 a second · about 2.50 s left",
        ),
        (card(GroupCounts(500, succeeded=500)), "✔ map fit · succeeded · 500 tasks · 10.0 s · 40 a second"),
        (
            card(GroupCounts(3, succeeded=1, failed=2), throughput=0.3),
            "✘ map fit · failed · 3 tasks · 1 succeeded · 2 failed · 10.0 s · 0.3 a second",
        ),
        (card(GroupCounts(2, aborted=2), throughput=0.0), "⊘ map fit · aborted · 2 tasks · 10.0 s"),
        (card(GroupCounts(2, unknown=2), throughput=0.0), "◌ map fit · waiting · farm stopped · 0 of 2 · 10.0 s"),
    ],
)
def test_the_first_line(shown: GroupCard, text: str) -> None:
    assert group_text(shown) == f"{text} · as of 2030-01-01 12:00:00"
    assert f'data-state="{shown.state}"' in group_html(shown)


def test_failures_come_first_and_the_rest_is_counted() -> None:
    shown = card(
        GroupCounts(100, failed=17), n_more=12, failures=tuple((f"task {n}", "ValueError: no") for n in range(5))
    )
    lines = group_text(shown).split("\n")
    assert lines[1:] == [*(f"    ✘ task {n}: ValueError: no" for n in range(5)), "    and 12 more"]
    assert group_html(shown).count("ValueError: no") == 5


def test_hostile_text_stays_text() -> None:
    shown = card(GroupCounts(1, failed=1), title="<b>\x1b[31m", failures=(("task 1", "<script>"),))
    assert "<script>" not in group_html(shown)
    assert "<b>" not in group_html(shown)
    assert "\x1b" not in group_text(shown)


def test_the_bar_has_a_part_for_each_end() -> None:
    shown = group_html(card(GroupCounts(200, succeeded=50, failed=20, aborted=30)))
    assert 'aria-valuenow="50"' in shown
    assert [width in shown for width in ("width: 25.0%", "width: 10.0%", "width: 15.0%")] == [True] * 3
    assert "progressbar" not in group_html(card(GroupCounts(2, succeeded=2)))


# on the board


def group_of(farm: Any, n: int) -> TaskGroup:
    futures = [farm.with_options().submit_cell(f"fit({place})", {}) for place in range(n)]
    return TaskGroup(futures, Call(print, [range(n)], n))


class Board:
    """A board without a thread, and what it has published."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, bool]] = []
        self.now = 0.0
        self.click: Any = None
        self.offers: list[str] = []
        self.whose: Any = None
        self.state = ""
        self.board = CardBoard(self, self.make, is_live=True, make_buttons=self.make_buttons, clock=lambda: self.now)
        self.board._thread = SimpleNamespace(join=lambda timeout: None)  # type: ignore[assignment]
        self.cost = 0.0

    def make(self, shown: Any, now: datetime) -> Any:
        self.now += self.cost
        return make_any_card(shown, now)

    def make_buttons(self, act: Any, farm: str, taskid: int, verbs: tuple[str, ...], labels: dict[str, str]) -> Any:
        self.click, self.offers = act, [*verbs]
        return self

    def belong_to_group(self, what: str, ranges: Any) -> None:
        self.whose = what, ranges

    def bundle(self) -> Any:
        return {"text/plain": ""}

    def close(self) -> None:
        pass

    def __call__(self, bundle: Any, *, display_id: str, update: bool, metadata: Any = None) -> None:
        self.texts.append((bundle["text/plain"].split(" · 0")[0], update))


def test_the_card_is_updated_until_all_have_ended(farm: Any) -> None:
    shown = Board()
    group = group_of(farm, 3)
    shown.board.show(group)
    farm.succeed(0)
    farm.fail(1, ValueError("no"))
    shown.now = 1.0
    shown.board.update()
    farm.succeed(2)
    shown.now = 2.0
    assert shown.board.update() is None
    texts = [text for text, _ in shown.texts if text]
    assert "running · 2 of 3 · 1 succeeded · 1 failed" in texts[1]
    assert "failed · 3 tasks · 2 succeeded · 1 failed" in texts[2]
    assert len(texts) == 3
    shown.board.close()


def test_its_buttons_act_on_the_group(farm: Any) -> None:
    shown = Board()
    group = group_of(farm, 3)
    shown.board.show(group)
    assert (shown.offers, shown.whose) == (["abort all"], ("map fit(0)", ((0, 2),)))
    farm.succeed(0)
    assert shown.click("abort") == "Aborted tasks 1, 2."
    shown.now = 1.0
    shown.board.update()
    assert shown.offers == ["retry failed"]
    assert shown.click("retry") == "Tasks 1, 2 run again as tasks 3, 4."
    shown.now = 2.0
    shown.board.update()
    assert (shown.offers, shown.whose) == (["abort all"], ("map fit(0)", ((0, 0), (3, 4))))
    assert shown.texts[-1][0].startswith("▶ map fit(0) · running · 1 of 3")
    shown.board.close()


def test_a_page_gets_the_ranges_of_the_tasks() -> None:
    shown = card(GroupCounts(5), ranges=((3, 6), (9, 9)), submitted=NOON.timestamp())
    assert group_bundle(shown, card_id="id")[GROUP_TYPE] == {
        "version": 1,
        "card": "id",
        "farm": "default",
        "ranges": ((3, 6), (9, 9)),
        "submitted": NOON.timestamp(),
        "title": "map fit",
        "state": "running",
        "as_of": NOON.timestamp(),
    }
    assert GROUP_TYPE not in group_bundle(card(GroupCounts(5)), card_id="id")  # no ids yet
    assert GROUP_TYPE not in group_bundle(shown)


def test_making_the_card_takes_a_small_part_of_the_time(farm: Any) -> None:
    shown = Board()
    group = group_of(farm, 2)
    shown.board.show(group)
    shown.cost, shown.now = 1.0, 10.0
    assert shown.board.update() == 11.0 + SHARE
    shown.board.close()


def test_it_names_tasks_and_errors(farm: Any) -> None:
    group = group_of(farm, 7)
    for taskid in (6, 3):
        farm.fail(taskid, ValueError(f"no {taskid}"))
        assert group.counts.failed
    group[0].abort()
    made = make_group_card(group, NOON)
    assert made.failures == (("task 6", "ValueError: no 6"), ("task 3", "ValueError: no 3"))


# in a shell


def test_a_group_is_displayed_and_named_like_a_future(shell: Any, farm: Any) -> None:
    shell.ns["sweep"] = group = group_of(farm, 3)
    shell.run("sweep")
    assert shell.texts()[-1].startswith("▶ map fit(0) · running · 0 of 3 · ")
    farm.succeed(0)
    farm.fail(1, ValueError("no"))
    shell.run("%task abort sweep")
    assert [future.state for future in group] == ["succeeded", "failed", "aborted"]
    old = group[:]
    again = shell.run("%task retry sweep")
    assert group[:] == again
    assert [future.retry_of for future in group] == [future.taskid for future in old]
    assert group.counts == GroupCounts(3)


# the handle of an interrupted wait


@pytest.fixture
def ip() -> Any:
    made = new_shell()
    yield made
    end_shell(made)


def test_the_handle_is_the_newest_output(ip: Any) -> None:
    waits = GroupWaits(ip, CardBoard(lambda *_, **__: None, make_any_card, is_live=False))
    group = TaskGroup([], Call(print, [[]], 0))
    ip.run_cell("1 + 1", store_history=True)
    assert waits.keep(group) == "_"
    assert (ip.user_ns["_"], ip.user_ns["__"]) == (group, 2)
    assert not waits.show_wait(group)
    ip.run_cell("2 + 2", store_history=True)
    assert (ip.user_ns["_"], ip.user_ns["__"]) == (4, group)


def test_an_underscore_of_the_users_own_stays(ip: Any) -> None:
    waits = GroupWaits(ip, CardBoard(lambda *_, **__: None, make_any_card, is_live=False))
    group = TaskGroup([], Call(print, [[]], 0))
    ip.run_cell("1 + 1", store_history=True)
    ip.run_cell("_ = 'mine'", store_history=True)
    name = waits.keep(group)
    assert ip.user_ns["_"] == "mine"
    assert ip.user_ns[name] is group
