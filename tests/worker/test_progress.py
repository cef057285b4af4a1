"""Progress read from `track` and `tqdm` bars."""

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

LONG = 1e6  # run time of the attempt in seconds


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The running lease, in a list that a test can change."""
    running = [5]
    monkeypatch.setattr(progress, "_outermost", None)
    monkeypatch.setattr(progress, "_running", lambda: running[0])
    return running


def sample(lease: int = 5, elapsed: float = LONG) -> Progress | None:
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
    assert sample() is None
    next(items)
    assert sample() == Progress(5, 0, 3, "fit")
    next(items)
    assert sample() == Progress(5, 1, 3, "fit")
    assert list(items) == ["c"]
    assert sample() == Progress(5, 3, 3, "fit")


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
def test_the_total_is_found_where_possible(lease: list[int], iterable: Any, options: Any, total: float | None) -> None:
    next(items := track(iterable, **options))
    reported = sample()
    assert reported is not None
    assert reported.total == total
    items.close()  # type: ignore[attr-defined]


def test_the_outermost_is_shown_and_the_next_one_after_it(lease: list[int]) -> None:
    for _ in track(range(2), description="outer"):
        for _ in track(range(9), description="inner"):
            reported = sample()
            assert reported is not None
            assert reported.description == "outer"
    next(items := track("xyz", description="second"))
    assert sample() == Progress(5, 0, 3, "second")
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
    assert sample() == Progress(5, 4, 10)
    assert progress._outermost is not None
    assert progress._outermost.is_over


def test_another_attempt_starts_without_progress(lease: list[int]) -> None:
    next(items := track("ab"))
    lease[0] = 6
    assert sample(6) is None
    next(others := track("xyz"))
    assert sample(6) == Progress(6, 0, 3)
    del items, others


def test_a_wrong_argument_raises_at_once() -> None:
    with pytest.raises(TypeError, match=r"^track\(\) needs something to iterate over, not int$"):
        track(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^track\(\) needs a number as its total, not str$"):
        track([], "fit")  # type: ignore[arg-type]


def test_a_description_is_bounded_and_can_be_sent(lease: list[int]) -> None:
    next(items := track("ab", description="\udcff<b>" * 1000))
    reported = sample()
    assert reported is not None
    reported.description.encode()
    assert len(reported.description) == MAX_DESCRIPTION
    del items


def test_the_outermost_bar_is_read_and_its_end_stays(lease: list[int]) -> None:
    sampler = Sampler()
    with bar(total=10, desc="outer") as outer, bar(total=99):
        outer.update(4)
        assert sampler.sample(5, LONG) == Progress(5, 4, 10, "outer")
        outer.update(6)
    assert sampler.sample(5, LONG) == Progress(5, 10, 10, "outer")


def test_a_bar_left_open_is_not_the_next_attempts(lease: list[int]) -> None:
    with bar(total=10):
        assert sample(5, LONG) == Progress(5, 0, 10)
        assert sample(6, -LONG) is None


def test_a_bar_with_odd_counts_does_no_harm(lease: list[int]) -> None:
    with bar(total=10) as odd:
        for n in (float("nan"), -3, 1e300, "x", None):
            odd.n = n
            assert sample() == Progress(5, 0, 10)
        odd.n, odd.total = 0, float("inf")
        assert sample() == Progress(5, 0, None)


def test_a_bar_dropped_by_its_task_is_not_drawn_from_the_helper_thread(lease: list[int]) -> None:
    sampler = Sampler()
    forgotten = bar(total=10)
    file, life = forgotten.fp, weakref.ref(forgotten)
    sampler.sample(5, LONG)
    del forgotten
    assert life() is not None
    drawn = file.getvalue()
    sampler.sample(5, LONG)
    assert sampler.sample(5, LONG) == Progress(5, 0, 10)
    assert life() is not None, "the last shown bar stays"
    with bar(total=3):
        assert sampler.sample(5, LONG) == Progress(5, 0, 3), "although the dropped bar was outside of it"
    assert life() is None
    assert file.getvalue() == drawn
