"""Means with Student's interval, paired differences, and the verdict of an interval.

The standard error of a mean of n replicates is sd * sqrt(factor(n)). `factor` comes from the kind of replicates:

- seeds with a fixed test set are independent: 1/n, Student's interval (`independent`);
- random splits of the same images overlap: 1/n + n_test/n_train (Nadeau and Bengio, "Inference for the generalization
  error", Machine Learning 52, 2003);
- repeated k-fold cross-validation: 1/n + 1/(k - 1), the same formula.

Measured values are multiples of a smallest step, such as one over the number of test images, so replicates can be equal
by chance, and a standard deviation of zero would suggest certainty. Replicates that vary by less than `resolution`
therefore have no interval, and fewer than LEAST_REPLICATES give no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from minicnn.optional import need
from minicnn.validation import number

Factor = Callable[[int], float]
"""From the number of replicates to the factor in: standard error = sd * sqrt(factor)."""
Verdict = Literal["better", "worse", "equivalent", "undecided"]
LEAST_REPLICATES = 3
"""The fewest replicates for a verdict: the standard deviation of two values rests on a single difference."""
ROUNDING = 1e-9
"""Values that differ by less are equal up to rounding: one image in a thousand million."""


@dataclass(frozen=True)
class Interval:
    """The mean of `n` replicates and the ends of its confidence interval, which are NaN without an interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def independent(n: int) -> float:
    """Return 1/n, the factor of independent replicates.

    >>> independent(4)
    0.25
    """
    return 1 / n


def checked_confidence(where: str, confidence: float) -> float:
    """Return a confidence strictly between 0 and 1, or raise ValueError."""
    if not 0 < confidence < 1:
        raise ValueError(f"{where}: confidence must be between 0 and 1, got {confidence}. Use 0.95.")
    return float(confidence)


def mean_interval(
    values: Sequence[float], *, factor: Factor = independent, confidence: float = 0.95, resolution: float = ROUNDING
) -> Interval:
    """Return the mean of `values` with the interval mean ± t(n - 1) sd sqrt(factor(n)).

    A single value and values whose standard deviation is below `resolution` have no interval: its ends are NaN.
    Raises ValueError for no values and for values that are not finite.

    >>> interval = mean_interval([0.96, 0.98, 1.0])
    >>> f"{interval.mean:.2f} {interval.low:.3f} {interval.high:.3f}"
    '0.98 0.930 1.030'
    >>> mean_interval([0.25, 0.25, 0.25])
    Interval(mean=0.25, low=nan, high=nan, n=3)
    """
    checked_confidence("mean_interval", confidence)
    error = standard_error("mean_interval", values, factor, resolution)
    middle, n = mean(map(float, values)), len(values)
    if math.isnan(error):
        return Interval(middle, math.nan, math.nan, n)
    half = float(need("scipy.stats").t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(middle, middle - half, middle + half, n)


def standard_error(where: str, values: Sequence[float], factor: Factor, resolution: float) -> float:
    """Return the standard error of the mean, NaN if it cannot be estimated from the values."""
    finite = sum(map(math.isfinite, values))
    if finite < len(values) or not finite:
        raise ValueError(
            f"{where}: values must be one or more finite numbers, got {len(values)} values of which "
            f"{len(values) - finite} are not finite."
        )
    sd = stdev(map(float, values)) if len(values) > 1 else math.nan
    return sd * root_factor(where, factor, len(values)) if sd >= resolution else math.nan


def root_factor(where: str, factor: Factor, n: int) -> float:
    """Return sqrt(factor(n)), or raise ValueError if the factor is below that of independent replicates."""
    if not callable(factor):
        raise TypeError(
            f"{where}: factor must be a function of n, got {factor!r}. Use replicates.factor(n_train, n_test)."
        )
    return math.sqrt(number(where, f"factor({n})", factor(n), least=1 / n * (1 - ROUNDING)))


def differences_by_seed(
    a: Mapping[int, float], b: Mapping[int, float], names: tuple[str, str] = ("a", "b")
) -> dict[int, float]:
    """Return a - b for each seed in both, in the order of `a`.

    Raises ValueError, with the `names` and the seeds, if they have no seed in common.

    >>> differences_by_seed({0: 0.75, 1: 0.5, 2: 0.9}, {1: 0.25, 0: 0.5})
    {0: 0.25, 1: 0.25}
    """
    common = {seed: float(a[seed]) - float(b[seed]) for seed in a if seed in b}
    if not common:
        seeds = f"{names[0]} has {sorted(a)}, {names[1]} has {sorted(b)}"
        raise ValueError(
            f"{names[0]} - {names[1]}: the arms must have a seed in common, got {seeds}. Run both with the same seeds."
        )
    return common


def verdict(interval: Interval, rope: float = 0.0) -> Verdict:
    """Compare the interval of a difference with ±`rope`, the region of practical equivalence, in the same unit.

    The verdict is "better" if the whole interval lies above the region, "worse" if it lies below, "equivalent" if it
    lies inside, else "undecided", as without an interval or with fewer than LEAST_REPLICATES replicates.

    >>> verdict(Interval(0.02, 0.01, 0.03, n=10), rope=0.005)
    'better'
    """
    if rope < 0:
        raise ValueError(f"verdict: rope must be at least 0, got {rope}. Use a difference such as 0.005.")
    if interval.n < LEAST_REPLICATES:
        return "undecided"
    if interval.low > rope:
        return "better"
    if interval.high < -rope:
        return "worse"
    if interval.low >= -rope and interval.high <= rope:
        return "equivalent"
    return "undecided"
