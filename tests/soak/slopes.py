"""Slopes with confidence: a line fitted to a series by least squares, and the 95 % interval of its slope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, correlation, linear_regression
from typing import NamedTuple

_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 0.975 quantiles of Student's t with 1, 2, ... degrees of freedom."""


class Slope(NamedTuple):
    """A slope in units of y for each unit of x.

    Attributes:
        value: of the line that fits best.
        error: its standard error.
        lower: the lower end of its 95 % interval.
        upper: the upper end.
    """

    value: float
    error: float
    lower: float
    upper: float


def fit(xs: Sequence[float], ys: Sequence[float]) -> Slope:
    """Return the slope of the line through these points, which are in their order of time.

    Samples of memory resemble their neighbours, so they say less than as many independent ones: the standard error is
    that of the effective number of samples, after the correlation of each residual with the next one.

    Raises:
        ValueError: there are fewer than four points, or all `xs` are equal.
    """
    n = len(xs)
    if n < 4 or len(set(xs)) < 2:
        raise ValueError(f"a slope with confidence needs four points at least, not {n}")
    if len(set(ys)) == 1:  # as most numbers of descriptors are, for which rounding would find a slope
        return Slope(0.0, 0.0, 0.0, 0.0)
    slope, intercept = linear_regression(xs, ys)
    residuals = [y - (intercept + slope * x) for x, y in zip(xs, ys, strict=True)]
    mean = math.fsum(xs) / n
    spread = math.fsum((x - mean) ** 2 for x in xs)
    effective = max(3.0, n * _share_of_independence(residuals))
    error = math.sqrt(math.fsum(each * each for each in residuals) / (n - 2) / spread) * math.sqrt(n / effective)
    margin = quantile(int(effective) - 2) * error
    return Slope(slope, error, slope - margin, slope + margin)


def quantile(freedom: int) -> float:
    """Return the 0.975 quantile of Student's t with so many degrees of freedom, at least one."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _share_of_independence(residuals: Sequence[float]) -> float:
    """Return which share of the samples is worth an independent one."""
    before, after = residuals[:-1], residuals[1:]
    if len(set(before)) < 2 or len(set(after)) < 2:
        return 1.0
    near = min(0.99, max(0.0, correlation(before, after)))
    return (1 - near) / (1 + near)
