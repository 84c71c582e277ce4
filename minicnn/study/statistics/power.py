"""Power: how probably a comparison comes to the right verdict, and how many replicates that takes.

The right verdict for a true difference outside the region of practical equivalence, ±rope, is "better" or "worse"; for
one inside it is "equivalent"; on its edge there is none. `level` is the two-sided error of one comparison, 0.05 for a
single one and 0.05 / m for m comparisons (Bonferroni).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minicnn.optional import need
from minicnn.study.statistics.intervals import LEAST_REPLICATES, Factor, independent, root_factor
from minicnn.validation import integer, number

MOST_REPLICATES = 1_000_000
"""Where so many replicates do not suffice, no number does."""
NODES = 400
"""Quantiles of the standard deviation over which the power of equivalence is averaged: exact to about 0.001."""


def power(
    difference: float, sd: float, n: int, *, rope: float = 0.0, level: float = 0.05, factor: Factor = independent
) -> float:
    """Return the probability of the right verdict with n replicates, if differences have this true mean and sd.

    >>> round(power(0.25, 0.225, 9), 2)  # 0.25 points, Fashion-MNIST
    0.83
    >>> round(power(0.0, 0.1, 13, rope=0.1), 2)  # equivalence
    0.82
    """
    number("power", "sd", sd, above=0)
    number("power", "rope", rope, least=0)
    number("power", "level", level, above=0, below=1)
    integer("power", "n", n, least=2)
    error = sd * root_factor("power", factor, n)
    margin = abs(number("power", "difference", difference)) - rope
    if margin > 0:
        return _power_outside(margin / error, n - 1, level)
    return _power_inside(abs(difference), rope, error, n - 1, level) if margin < 0 else 0.0


def replicates_needed(
    difference: float,
    sd: float,
    *,
    rope: float = 0.0,
    level: float = 0.05,
    factor: Factor = independent,
    wanted: float = 0.8,
) -> int | None:
    """Return the least number of replicates with the power `wanted`, or None if no number would do.

    No number would do for a difference on the edge of the region, and where correlated replicates leave an interval
    that is too wide however many there are.

    >>> replicates_needed(0.25, 0.225)
    9
    >>> replicates_needed(0.25, 0.5, factor=lambda n: 1 / n + 359 / 1258) is None
    True
    """
    number("replicates_needed", "wanted", wanted, above=0, below=1)

    def enough(n: int) -> bool:
        return power(difference, sd, n, rope=rope, level=level, factor=factor) >= wanted

    high = LEAST_REPLICATES
    while not enough(high):
        if high == MOST_REPLICATES:
            return None
        high = min(2 * high, MOST_REPLICATES)
    low = max(LEAST_REPLICATES - 1, high // 2 if high < MOST_REPLICATES else LEAST_REPLICATES)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def smallest_difference(
    sd: float,
    n: int,
    *,
    rope: float = 0.0,
    level: float = 0.05,
    factor: Factor = independent,
    wanted: float = 0.8,
) -> float:
    """Return the smallest true difference, above `rope`, that n replicates call better with the power `wanted`.

    >>> round(smallest_difference(0.145, 12), 3)
    0.129
    """
    number("smallest_difference", "wanted", wanted, above=level, below=1)
    error = sd * root_factor("smallest_difference", factor, n)
    margin = need("scipy.optimize").brentq(lambda m: _power_outside(m, n - 1, level) - wanted, 0.0, 100 / level)
    return float(rope + margin * error)


def _power_outside(noncentrality: float, degrees: int, level: float) -> float:
    """Return P(T > critical) of the noncentral t distribution."""
    stats = need("scipy.stats")
    return float(stats.nct.sf(stats.t.isf(level / 2, degrees), degrees, noncentrality))


def _power_inside(difference: float, rope: float, error: float, degrees: int, level: float) -> float:
    """Return P(-rope <= mean - c s and mean + c s <= rope), s the estimated and `error` the true standard error."""
    special = need("scipy.special")  # its functions take a tenth of the time of the distributions in scipy.stats
    half = -special.stdtrit(degrees, level / 2) * error * _sd_quantiles(degrees)
    room = rope - half
    inside = special.ndtr((room - difference) / error) - special.ndtr((-room - difference) / error)
    return math.fsum(np.where(room > 0, inside, 0.0)) / NODES


@functools.lru_cache(maxsize=32)  # the searches for the number of replicates begin with the same ones
def _sd_quantiles(degrees: int) -> np.ndarray:
    """Return NODES quantiles of an estimated standard deviation over the true one."""
    ranks = (np.arange(NODES) + 0.5) / NODES
    found: np.ndarray = np.sqrt(2 * need("scipy.special").gammaincinv(degrees / 2, ranks) / degrees)
    return found
