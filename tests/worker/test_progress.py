"""`track` and `tqdm` bars, and what is read of them."""

from __future__ import annotations

import io
import subprocess
import sys
import weakref
from typing import Any

import pytest
import tqdm

import taskfc_ext
from taskfc_ext.protocol.worker_messages import MAX_DESCRIPTION, Progress
from taskfc_ext.worker.output import progress
from taskfc_ext.worker.output.progress import Sampler, track

LONG = 1e6  # seconds that the attempt has run


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lease that runs, in a list that a test can change."""
    running = [5]
    monkeypatch.setattr(progress, "_outermost", None)
    monkeypatch.setattr(progress, "_running", lambda: running[0])
    return running


def sampled(lease: int = 5, elapsed: float = LONG) -> Progress | None:
    return Sampler().sample(lease, elapsed)


def bar(*args: Any, **options: Any) -> Any:
    return tqdm.tqdm(*args, file=io.StringIO(), **options)


def test_it_is_public_and_cheap_to_import() -> None:
    assert taskfc_ext.track is track
    heavy = "{'IPython', 'zmq', 'tqdm', 'asyncio'} & set(sys.modules)"
    code = f"import sys; from taskfc_ext import track; print(list(track('ab')), sorted({heavy}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "['a', 'b'] []\n"


def test_outside_a_task_it_only_iterates(lease: list[int]) -> None:
    lease[0] = 0
    assert list(track([1, 2])) == [1, 2]
    assert progress._outermost is None


def test_an_item_counts_when_it_is_done(lease: list[int]) -> None:
    items = track(["a", "b", "c"], description="fit")
    assert sampled() is None
    next(items)
    assert sampled() == Progress(5, 0, 3, "fit")
    next(items)
    assert sampled() == Progress(5, 1, 3, "fit")
    assert list(items) == ["c"]
    assert sampled() == Progress(5, 3, 3, "fit")


@pytest.mark.parametrize(
    ("iterable", "options", "total"),
    [
        (range(4), {}, 4),
        (iter([1, 2]), {}, 2),
        ((x for x in "ab"), {}, None),
        ((x for x in "ab"), {"total": 7}, 7),
        ("ab", {"total": float("nan")}, None),
        ("ab", {"total": -1}, None),
    ],
)
def test_the_total_is_what_is_known(lease: list[int], iterable: Any, options: Any, total: float | None) -> None:
    next(items := track(iterable, **options))
    said = sampled()
    assert said is not None
    assert said.total == total
    items.close()  # type: ignore[attr-defined]


def test_the_outermost_is_shown_and_the_next_one_after_it(lease: list[int]) -> None:
    for _ in track(range(2), description="outer"):
        for _ in track(range(9), description="inner"):
            said = sampled()
            assert said is not None
            assert said.description == "outer"
    next(items := track("xyz", description="second"))
    assert sampled() == Progress(5, 0, 3, "second")
    del items


@pytest.mark.parametrize("how", ["break", "raise"])
def test_an_early_end_leaves_the_last_count(lease: list[int], how: str) -> None:
    def run() -> None:
        for item in track(range(10)):
            if item == 4 and how == "raise":
                raise ValueError
            if item == 4:
                break

    try:
        run()
    except ValueError:
        pass
    assert sampled() == Progress(5, 4, 10)
    assert progress._outermost is not None
    assert progress._outermost.is_over


def test_another_attempt_starts_without(lease: list[int]) -> None:
    next(items := track("ab"))
    lease[0] = 6
    assert sampled(6) is None
    next(others := track("xyz"))
    assert sampled(6) == Progress(6, 0, 3)
    del items, others


def test_what_cannot_be_tracked_is_said_at_once() -> None:
    with pytest.raises(TypeError, match=r"^track\(\) needs something to iterate over, not int$"):
        track(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^track\(\) needs a number as its total, not str$"):
        track([], "fit")  # type: ignore[arg-type]


def test_a_description_is_bounded_and_can_be_sent(lease: list[int]) -> None:
    next(items := track("ab", description="\udcff<b>" * 1000))
    said = sampled()
    assert said is not None
    said.description.encode()
    assert len(said.description) == MAX_DESCRIPTION
    del items


def test_the_outermost_bar_is_read_and_its_end_stays(lease: list[int]) -> None:
    sampler = Sampler()
    with bar(total=10, desc="outer") as outer, bar(total=99):
        outer.update(4)
        assert sampler.sample(5, LONG) == Progress(5, 4, 10, "outer")
        outer.update(6)
    assert sampler.sample(5, LONG) == Progress(5, 10, 10, "outer")


def test_a_bar_that_was_left_open_is_not_the_next_attempts(lease: list[int]) -> None:
    with bar(total=10):
        assert sampled(5, LONG) == Progress(5, 0, 10)
        assert sampled(6, -LONG) is None


def test_a_bar_that_counts_oddly_harms_nobody(lease: list[int]) -> None:
    with bar(total=10) as odd:
        for n in (float("nan"), -3, 1e300, "x", None):
            odd.n = n
            assert sampled() == Progress(5, 0, 10)
        odd.n, odd.total = 0, float("inf")
        assert sampled() == Progress(5, 0, None)


def test_a_bar_that_its_task_forgot_is_not_drawn_from_our_thread(lease: list[int]) -> None:
    sampler = Sampler()
    forgotten = bar(total=10)
    file, life = forgotten.fp, weakref.ref(forgotten)
    sampler.sample(5, LONG)
    del forgotten
    assert life() is not None
    drawn = file.getvalue()
    sampler.sample(5, LONG)
    assert sampler.sample(5, LONG) == Progress(5, 0, 10)
    assert life() is not None, "what was shown last stays"
    with bar(total=3):
        assert sampler.sample(5, LONG) == Progress(5, 0, 3), "though the forgotten one was outside of it"
    assert life() is None
    assert file.getvalue() == drawn
