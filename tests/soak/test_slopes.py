"""The arithmetic of slopes, on series that are made up; and the verdict on samples that are made up."""

from __future__ import annotations

import random

import pytest

from tests.soak.harness import STORE_BYTES, Resources, Sample, growths, table
from tests.soak.slopes import fit, quantile


def test_a_line_has_its_slope_and_no_error():
    slope = fit([0, 1, 2, 3, 4], [7, 9, 11, 13, 15])
    assert slope.value == pytest.approx(2)
    assert slope.error == pytest.approx(0, abs=1e-9)
    assert slope.upper == pytest.approx(slope.lower)


def test_a_constant_has_no_slope():
    assert fit(range(10), [5] * 10) == (0, 0, 0, 0)


def test_a_known_regression():
    # worked by hand: residuals -0.1, 0.7, -1.0, 0.3 and 0.1; their squares are 1.6; x spreads by 10
    slope = fit([1, 2, 3, 4, 5], [2.0, 4.0, 3.5, 6.0, 7.0])
    assert slope.value == pytest.approx(1.2)
    assert slope.error == pytest.approx((1.6 / 3 / 10) ** 0.5)
    assert slope.upper == pytest.approx(1.2 + 3.182 * (1.6 / 3 / 10) ** 0.5)


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (3, 3.182), (30, 2.042), (31, 2.0395), (60, 2.0003), (1000, 1.9623)]
)
def test_quantiles_of_students_t(freedom, value):
    assert quantile(freedom) == pytest.approx(value, abs=2e-4)


def test_the_interval_has_the_slope_nineteen_times_of_twenty():
    draw = random.Random(1)
    n_within = 0
    for _ in range(1000):
        slope = fit(range(40), [3.0 * x + draw.gauss(0, 10) for x in range(40)])
        n_within += slope.lower <= 3.0 <= slope.upper
    assert 920 < n_within < 980


def test_samples_that_resemble_their_neighbours_say_less():
    draw, noise, drifting = random.Random(2), 0.0, []
    for _ in range(100):
        noise = 0.9 * noise + draw.gauss(0, 1)
        drifting.append(noise)
    shuffled = draw.sample(drifting, len(drifting))
    assert fit(range(100), drifting).error > 1.5 * fit(range(100), shuffled).error


@pytest.mark.parametrize(("xs", "ys"), [([1, 2, 3], [1, 2, 3]), ([1] * 5, [1] * 5), ([], [])])
def test_too_few_points_have_no_slope(xs, ys):
    with pytest.raises(ValueError, match="needs four points"):
        fit(xs, ys)


def samples(*, leak: float = 0.0, fds: float = 0.0, store: int = 10**6) -> list[Sample]:
    """Return samples of a controller with these growths for each task, and some noise of its memory."""
    draw = random.Random(3)
    return [
        Sample(
            tasks,
            {"controller": Resources(int(5e7 + leak * tasks + draw.gauss(0, 5000)), int(20 + fds * tasks), 5)},
            store + draw.randrange(1000),
        )
        for tasks in range(0, 500_000, 5_000)
    ]


@pytest.mark.parametrize(
    ("facts", "over"),
    [
        ({}, []),
        ({"leak": 15.0}, []),
        ({"leak": 17.0}, ["controller, memory"]),
        ({"leak": -20.0}, []),
        ({"fds": 1e-4}, ["controller, descriptors"]),
        ({"store": STORE_BYTES}, ["store"]),
    ],
    ids=str,
)
def test_a_growth_over_its_bound_is_noticed(facts, over):
    found = growths(samples(**facts))
    assert [each.what for each in found if each.is_over] == over
    assert table(found).count("OVER") == len(over)
