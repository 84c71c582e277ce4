"""Statistical inference from replicates: confidence intervals, paired differences and verdicts.

Accuracies and their differences are fractions (0.01 is one percentage point). The replicates are seeds. Two arms are
compared seed by seed, because runs with the same seed share the data split, the order of batches and initial weights.

`test_share` distinguishes two cases:

- `None`: the test set is fixed, the seeds are independent, and the interval is Student's.
- n_test / n_train: each seed splits the *same* images at random, the training sets overlap, and Student's interval is
  too narrow. Nadeau and Bengio ("Inference for the generalization error", Machine Learning 52, 2003) replace 1/n in
  the variance of the mean by 1/n + n_test/n_train.

Both cases estimate the standard deviation from the replicates. Accuracies are multiples of one over the number of
test images, so replicates can be equal by chance, and a standard deviation of zero would suggest certainty. Replicates
that vary by less than can be measured therefore have no interval and no p-value, and fewer than three give no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from minicnn.optional import need
from minicnn.study.ledger import Run, by_arm
from minicnn.study.statistics.intervals import LEAST_REPLICATES as LEAST_SEEDS
from minicnn.study.statistics.intervals import (
    ROUNDING,
    Factor,
    Interval,
    Verdict,
    differences_by_seed,
    standard_error,
    verdict,
)
from minicnn.study.statistics.intervals import mean_interval as _mean_interval

__all__ = ["LEAST_SEEDS", "Interval", "verdict"]

SIGNIFICANCE = 0.05
"""The adjusted p-value from which on no arm is called better or worse."""


@dataclass(frozen=True)
class Row:
    """The summary of all runs of one arm.

    `median` and `sd` describe the test accuracy over the seeds. The last six fields describe the comparison with
    `control`; `difference`, `verdict` and `holm_p` are None for the control itself and if the control was not run.
    `holm_p` is NaN if the difference has no interval.
    """

    arm: str
    n: int
    parameters: int
    multiply_adds: int
    seconds_per_epoch: float
    accuracy: Interval
    median: float
    sd: float
    difference: Interval | None
    verdict: Verdict | None
    holm_p: float | None
    control: str
    rope: float
    test_share: float | None


def mean_interval(
    values: Sequence[float],
    *,
    test_share: float | None = None,
    confidence: float = 0.95,
    resolution: float = ROUNDING,
) -> Interval:
    """Return the mean of `values` with Student's interval, mean ± t(n - 1) sd sqrt(1/n + test_share).

    A single value and values whose standard deviation is below `resolution` have no interval: its ends are NaN.
    Raises ValueError for no values and for values that are not finite.

    >>> interval = mean_interval([0.96, 0.98, 1.0])
    >>> f"{interval.mean:.2f} {interval.low:.3f} {interval.high:.3f}"
    '0.98 0.930 1.030'
    >>> mean_interval([0.25, 0.25, 0.25])
    Interval(mean=0.25, low=nan, high=nan, n=3)
    """
    return _mean_interval(values, factor=_factor(test_share), confidence=confidence, resolution=resolution)


def p_value(values: Sequence[float], *, test_share: float | None = None, resolution: float = ROUNDING) -> float:
    """Return the two-sided p-value of a mean of zero, from the t of `mean_interval`; NaN if that has no interval."""
    error = standard_error("mean_interval", values, _factor(test_share), resolution)
    middle = mean(map(float, values))
    if math.isnan(error):
        return math.nan
    return float(2 * need("scipy.stats").t.sf(abs(middle) / error, len(values) - 1))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values for multiple comparisons (Holm, 1979); NaN stays NaN and is not counted.

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    known = [p for p in p_values if not math.isnan(p)]
    if not known:
        return tuple(p_values)
    adjusted = iter(need("statsmodels.stats.multitest").multipletests(known, method="holm")[1])
    return tuple(p if math.isnan(p) else float(next(adjusted)) for p in p_values)


def paired_difference(
    a: Mapping[int, float],
    b: Mapping[int, float],
    *,
    test_share: float | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean of a - b over the seeds in both, with its interval.

    >>> paired_difference({0: 0.75, 1: 0.5, 2: 0.9}, {1: 0.25, 0: 0.5}).mean
    0.25
    """
    differences = tuple(differences_by_seed(a, b).values())
    return mean_interval(differences, test_share=test_share, confidence=confidence)


def summarize(
    runs: Sequence[Run],
    control: str,
    *,
    test_share: float | None = None,
    rope: float = 0.005,
    test_images: int | None = None,
) -> tuple[Row, ...]:
    """Return one row per arm, in order of first appearance; each arm is compared with the arm named `control`.

    Without runs of the control there are no comparisons. `rope` is a difference of accuracies; 0.005 is half a
    percentage point. An arm is called better or worse only if, in addition to its interval, its adjusted p-value is
    below SIGNIFICANCE. With `test_images`, the size of the test set, differences whose standard deviation is smaller
    than one test image have no interval. Raises ValueError if the runs of an arm are of different networks, or have
    no seed in common with those of the control.
    """
    if test_images is not None and not test_images >= 1:
        raise ValueError(f"summarize: test_images must be 1 or more, got {test_images}. Omit it if it is not known.")
    groups = by_arm(runs)
    differences = accuracy_differences(runs, control)
    resolution = ROUNDING if test_images is None else 1 / test_images
    adjusted = _adjusted(
        {a: p_value(tuple(d.values()), test_share=test_share, resolution=resolution) for a, d in differences.items()}
    )

    def row(arm: str) -> Row:
        accuracies = [run.test_accuracy for run in groups[arm]]
        pairs = tuple(differences.get(arm, {}).values())
        difference = mean_interval(pairs, test_share=test_share, resolution=resolution) if pairs else None
        return Row(
            arm=arm,
            n=len(accuracies),
            parameters=_common_value(arm, "parameters", [run.parameters for run in groups[arm]]),
            multiply_adds=_common_value(arm, "multiply-adds", [run.multiply_adds for run in groups[arm]]),
            seconds_per_epoch=median(run.seconds_per_epoch for run in groups[arm]),
            accuracy=mean_interval(accuracies, test_share=test_share),
            median=median(accuracies),
            sd=stdev(accuracies) if len(accuracies) > 1 else math.nan,
            difference=difference,
            verdict=_judged(difference, rope, adjusted[arm]) if difference else None,
            holm_p=adjusted.get(arm),
            control=control,
            rope=rope,
            test_share=test_share,
        )

    return tuple(row(arm) for arm in groups)


def excludes_zero(interval: Interval) -> bool:
    """Tell whether an interval excludes 0.

    >>> excludes_zero(Interval(0.02, 0.01, 0.03, n=10)), excludes_zero(Interval(0.02, -0.01, 0.05, n=10))
    (True, False)
    """
    return interval.low > 0 or interval.high < 0


def may_be_chance(row: Row) -> bool:
    """Tell whether the interval of a difference excludes 0, but the p-value adjusted for all comparisons does not."""
    if row.difference is None or row.holm_p is None:
        return False
    return excludes_zero(row.difference) and row.holm_p >= SIGNIFICANCE


def accuracy_differences(runs: Sequence[Run], control: str) -> dict[str, dict[int, float]]:
    """Return the differences of test accuracy of each arm from `control`, by seed; {} if the control was not run."""
    accuracies = {arm: {run.seed: run.test_accuracy for run in group} for arm, group in by_arm(runs).items()}
    base = accuracies.pop(control, None)
    if base is None:
        return {}
    return {arm: differences_by_seed(a, base, (arm, control)) for arm, a in accuracies.items()}


def _judged(difference: Interval, rope: float, adjusted_p: float) -> Verdict:
    judged = verdict(difference, rope)
    return "undecided" if judged in {"better", "worse"} and not adjusted_p < SIGNIFICANCE else judged


def _adjusted(p_values: dict[str, float]) -> dict[str, float]:
    """Adjust for all comparisons; those without a p-value are counted with a p-value of 1."""
    adjusted = holm([1.0 if math.isnan(p) else p for p in p_values.values()])
    return {arm: p if math.isnan(p) else a for (arm, p), a in zip(p_values.items(), adjusted, strict=True)}


def _factor(test_share: float | None) -> Factor:
    if test_share is not None and not test_share > 0:
        raise ValueError(
            f"mean_interval: test_share must be above 0, got {test_share}. "
            "Use n_test / n_train, or None for a fixed test set."
        )
    return lambda n: 1 / n + (test_share or 0)


def _common_value(arm: str, what: str, values: Sequence[int]) -> int:
    if len(set(values)) > 1:
        raise ValueError(
            f"summarize: the {what} of an arm must be equal in all runs, got {sorted(set(values))} for {arm}. "
            "Keep the runs of one network."
        )
    return values[0]
