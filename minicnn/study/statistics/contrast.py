"""One contrast, arm - control, and what to say where it is undecided."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev

from minicnn.optional import need
from minicnn.study.statistics.intervals import LEAST_REPLICATES, ROUNDING, Interval, Verdict, verdict
from minicnn.study.statistics.pooled import Ends
from minicnn.study.statistics.power import MOST_REPLICATES, replicates_needed
from minicnn.study.statistics.rules import Rules

OPPOSITE: Mapping[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True, repr=False)
class Contrast:
    """The difference arm - control over the `n` replicates that both have.

    Attributes
    ----------
    mean, sd : float
        Mean and standard deviation of the differences; NaN for too few replicates.
    low, high : float
        The simultaneous interval of the mean, NaN if there is none. The verdict follows from it and the region alone.
    verdict : str
        "better", "worse", "equivalent" or "undecided".
    why : str
        One sentence for an undecided contrast, else "".
    needed : int or None
        For an undecided contrast: with so many replicates, this mean and this sd, a verdict has a probability of 80 %.
        None if no number would do, without a measured sd, or with a verdict; `why` says which.
    sign_flip_p : float
        The exact p-value of no difference, adjusted for all contrasts (`sign_flip_p`); NaN for correlated replicates.
    pooled : tuple of float
        Sensitivity: the interval if all arms had one variance and were not paired, Dunnett's for contrasts with a
        control, Tukey's for all pairs. NaN for correlated replicates, for which neither holds.
    better_share : Interval
        The share of replicates in which the arm is better than the control, P(A > B), with Wilson's interval for this
        contrast alone, which is NaN for correlated replicates; replicates with equal values count against it.
    differences : mapping
        Replicate -> difference.
    """

    arm: str
    control: str
    n: int
    mean: float
    sd: float
    low: float
    high: float
    verdict: Verdict
    why: str
    needed: int | None
    sign_flip_p: float
    pooled: Ends
    better_share: Interval
    differences: Mapping[int, float]

    def __repr__(self) -> str:
        interval = f"{self.mean:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"
        return f"Contrast({self.arm!r} - {self.control!r} = {interval}, {self.verdict}, n={self.n})"


def judged(
    pair: tuple[str, str],
    differences: Mapping[int, float],
    interval: Interval,
    critical: float,
    sign_flip_p: float,
    pooled: Ends,
    rules: Rules,
) -> Contrast:
    """Return the contrast with its verdict; the differences and the interval are of arm - control."""
    word, n = verdict(interval, rules.rope), interval.n
    sd = stdev(differences.values()) if n > 1 else math.nan
    needed = None
    if word == "undecided" and sd >= rules.resolution:
        level = single_level(critical, n)
        needed = replicates_needed(interval.mean, sd, rope=rules.rope, level=level, factor=rules.factor)
    return Contrast(
        *pair,
        n=n,
        mean=interval.mean,
        sd=sd,
        low=interval.low,
        high=interval.high,
        verdict=OPPOSITE.get(word, word) if rules.lower_is_better else word,
        why=_why(n, sd, needed, rules) if word == "undecided" else "",
        needed=needed,
        sign_flip_p=sign_flip_p if n else math.nan,
        pooled=pooled,
        better_share=_better_share(differences, rules),
        differences=dict(differences),
    )


def single_level(critical: float, n: int) -> float:
    """Return the two-sided error of one interval with this critical value on its own.

    >>> round(single_level(2.776, 5), 3)
    0.05
    """
    return float(2 * need("scipy.stats").t.sf(critical, n - 1))


def _why(n: int, sd: float, needed: int | None, rules: Rules) -> str:
    if n == 0:
        return "Arm and control have no replicate in common."
    if not n > 1:
        return f"One replicate has no interval; use at least {LEAST_REPLICATES}."
    if not sd >= rules.resolution:
        return f"The differences vary by less than the resolution, {rules.resolution:.2g}, so their spread is unknown."
    if needed is not None:
        return f"With this mean and spread, {needed} replicates would give a verdict with a probability of 80 %."
    if rules.factor(MOST_REPLICATES) > 2 / MOST_REPLICATES:
        return "The replicates are correlated: no number of them would give a verdict with a probability of 80 %."
    return (
        "The mean lies on the edge of the region of practical equivalence, or too near to it: "
        f"not even {MOST_REPLICATES:,} replicates would give a verdict with a probability of 80 %."
    )


def _better_share(differences: Mapping[int, float], rules: Rules) -> Interval:
    n = len(differences)
    if not n:
        return Interval(math.nan, math.nan, math.nan, 0)
    sign = -1 if rules.lower_is_better else 1
    wins = sum(sign * difference > 0 for difference in differences.values())
    if rules.factor(n) > 1 / n * (1 + ROUNDING):  # correlated replicates are not independent trials
        return Interval(wins / n, math.nan, math.nan, n)
    ends = need("scipy.stats").binomtest(wins, n).proportion_ci(rules.confidence, method="wilson")
    return Interval(wins / n, float(ends.low), float(ends.high), n)
