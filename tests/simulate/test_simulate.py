"""The simulation in short: some seeds hold, a seed repeats exactly, mistakes are found and shrunk."""

from __future__ import annotations

import os
import time

import pytest

from tests.simulate.mistakes import MISTAKES, Mistake
from tests.simulate.plan import Plan, make_plan
from tests.simulate.shrink import play, shrink
from tests.simulate.world import World

SECONDS = float(os.environ.get("TASKFC_SIMULATE_SECONDS", "20"))
"""Time for seeds; `make simulate SEEDS=N` runs as many as it is told to."""

AT_LEAST = 40

FOUND_FAST = ("messages are sent before the commit", "a wait is answered early", "a task is retried once more")


def test_every_invariant_holds():
    began, seed = time.monotonic(), 0
    while seed < AT_LEAST or time.monotonic() - began < SECONDS:
        violation = play(make_plan(seed))
        assert violation is None, f"python -m tests.simulate --seed {seed} --shrink --trace: {violation}"
        seed += 1


@pytest.mark.parametrize("seed", [5000039, 102292800])
def test_seeds_that_have_found_a_fault_hold(seed):
    assert play(make_plan(seed)) is None


def test_a_seed_tells_the_same_story_each_time():
    stories: list[list[str]] = [[], []]
    for story in stories:
        World(make_plan(7), trace=story).run()
    assert stories[0] == stories[1]
    assert len(stories[0]) > 10


def first_found(mistake: Mistake) -> tuple[Plan, str]:
    """Return the plan of the first seed that finds a mistake, and the invariant that it breaks."""
    for seed in range(mistake.seeds):
        violation = play(make_plan(seed))
        if violation is not None:
            return make_plan(seed), violation.name
    raise AssertionError(f"{mistake.text}: not found within {mistake.seeds} seeds")


@pytest.mark.parametrize(
    "mistake", [mistake for mistake in MISTAKES if mistake.text.startswith(FOUND_FAST)], ids=lambda each: each.text
)
def test_a_mistake_is_found(mistake):
    with mistake.made():
        first_found(mistake)


def test_a_violation_is_shrunk_to_a_few_steps():
    mistake = next(each for each in MISTAKES if each.text == "a wait is answered early")
    with mistake.made():
        plan, name = first_found(mistake)
        shorter, salt = shrink(plan, name, most=60)
        violation = play(shorter, salt)
    assert violation is not None
    assert violation.name == name
    assert len(shorter.steps) < len(plan.steps)
    assert len(shorter.steps) <= 6
