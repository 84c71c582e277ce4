"""What replicates can say: intervals of means, paired differences, verdicts.

Accuracies and their differences are fractions (0.01 is one point of a hundred). Replicates are seeds. Two heads
are compared seed by seed, because runs of one seed share the data split, the batch order and the trunk's weights.

Two cases, which `test_share` tells apart:

- `None`: a fixed official test set, the seeds are independent, and the interval is Student's;
- n_test / n_train: each seed splits the *same* images anew, the training sets overlap, and Student's interval is
  too narrow. Nadeau and Bengio ("Inference for the generalization error", Machine Learning 52, 2003) put
  1/n + n_test/n_train in the place of the 1/n in the variance of the mean.

Both estimate the spread from the replicates. An accuracy is a number of images over their number, so replicates can
be equal by chance, and a spread of zero would then pass for certainty. Replicates that vary by less than can be
measured therefore have no interval and no p, and fewer than three of them give no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import Literal

from minicnn.optional import need
from minicnn.study.run import Run, by_head

Verdict = Literal["better", "worse", "equivalent", "undecided"]
LEAST_SEEDS = 3
"""For a verdict: the spread of two replicates rests on a single number, their distance."""
ROUNDING = 1e-9
"""Accuracies that differ by less are equal but for rounding: one image of a thousand million."""


@dataclass(frozen=True)
class Interval:
    """A mean of `n` replicates between the ends of its confidence interval; both are NaN where it has none."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width: the number after the plus-minus sign."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Row:
    """What all runs of one head say together.

    `median` and `sd` are of the test accuracy over the seeds. The last six fields are of the comparison with
    `control`; `difference`, `verdict` and `holm_p` are None for the control itself and where it was not run. `holm_p`
    is NaN where the difference has no interval.
    """

    head: str
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

    One value, and values whose standard deviation is below `resolution`, have no interval: its ends are NaN.
    Raises ValueError for no values and for values that are not finite.

    >>> interval = mean_interval([0.96, 0.98, 1.0])
    >>> f"{interval.mean:.2f} {interval.low:.3f} {interval.high:.3f}"
    '0.98 0.930 1.030'
    >>> mean_interval([0.25, 0.25, 0.25])
    Interval(mean=0.25, low=nan, high=nan, n=3)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"mean_interval: confidence is {confidence}. Use a number between 0 and 1, such as 0.95.")
    error = _standard_error(values, test_share, resolution)
    middle, n = mean(map(float, values)), len(values)
    if math.isnan(error):
        return Interval(middle, math.nan, math.nan, n)
    half = float(need("scipy.stats").t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(middle, middle - half, middle + half, n)


def p_value(values: Sequence[float], *, test_share: float | None = None, resolution: float = ROUNDING) -> float:
    """Return the two-sided p of "the mean is zero", from the same t as `mean_interval`; NaN where that has no ends."""
    error, middle = _standard_error(values, test_share, resolution), mean(map(float, values))
    if math.isnan(error):
        return math.nan
    return float(2 * need("scipy.stats").t.sf(abs(middle) / error, len(values) - 1))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values for their number (Holm, 1979); a NaN stays NaN and does not count.

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    known = [p for p in p_values if not math.isnan(p)]
    if not known:
        return tuple(p_values)
    adjusted = iter(need("statsmodels.stats.multitest").multipletests(known, method="holm")[1])
    return tuple(p if math.isnan(p) else float(next(adjusted)) for p in p_values)


def differences_by_seed(
    a: Mapping[int, float], b: Mapping[int, float], names: tuple[str, str] = ("a", "b")
) -> dict[int, float]:
    """Return a - b for each seed that both have, in the order of `a`.

    Raises ValueError, with the `names` and the seeds, where they have none in common.
    """
    common = {seed: float(a[seed]) - float(b[seed]) for seed in a if seed in b}
    if not common:
        seeds = f"{names[0]} has {sorted(a)}, {names[1]} has {sorted(b)}"
        raise ValueError(f"{names[0]} - {names[1]}: no seed in common: {seeds}. Run both with the same seeds.")
    return common


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


def verdict(interval: Interval, rope: float = 0.0) -> Verdict:
    """Judge a difference against ±`rope`, the region of practical equivalence, in the unit of the interval.

    The whole interval decides: above the region "better", below it "worse", inside it "equivalent", and
    "undecided" wherever it lies across an edge, has no ends, or is of fewer than LEAST_SEEDS replicates.

    >>> verdict(Interval(0.02, 0.01, 0.03, n=10), rope=0.005)
    'better'
    """
    if rope < 0:
        raise ValueError(f"verdict: rope is {rope}. Use 0 or a positive difference, such as 0.005.")
    if interval.n < LEAST_SEEDS:
        return "undecided"
    if interval.low > rope:
        return "better"
    if interval.high < -rope:
        return "worse"
    if interval.low >= -rope and interval.high <= rope:
        return "equivalent"
    return "undecided"


def summarize(
    runs: Sequence[Run],
    control: str = "max",
    test_share: float | None = None,
    rope: float = 0.005,
    test_images: int | None = None,
) -> tuple[Row, ...]:
    """Return a row for each head, in order of first appearance, each but the control compared with it.

    `rope` is a difference of accuracies; 0.005 is half a point. With `test_images`, the size of the test set,
    differences whose standard deviation is below one image of it have no interval. Raises ValueError where the runs
    of one head are of different networks, or share no seed with the control's.
    """
    if test_images is not None and not test_images >= 1:
        raise ValueError(
            f"summarize: test_images must be 1 or more, got {test_images}. Leave it out if it is not known."
        )
    groups = by_head(runs)
    differences = accuracy_differences(runs, control)
    resolution = ROUNDING if test_images is None else 1 / test_images
    adjusted = _adjusted(
        {h: p_value(tuple(d.values()), test_share=test_share, resolution=resolution) for h, d in differences.items()}
    )

    def row(head: str) -> Row:
        accuracies = [run.test_accuracy for run in groups[head]]
        pairs = tuple(differences.get(head, {}).values())
        difference = mean_interval(pairs, test_share=test_share, resolution=resolution) if pairs else None
        return Row(
            head=head,
            n=len(accuracies),
            parameters=_the_one(head, "parameters", [run.parameters for run in groups[head]]),
            multiply_adds=_the_one(head, "multiply-adds", [run.multiply_adds for run in groups[head]]),
            seconds_per_epoch=median(run.seconds_per_epoch for run in groups[head]),
            accuracy=mean_interval(accuracies, test_share=test_share),
            median=median(accuracies),
            sd=stdev(accuracies) if len(accuracies) > 1 else math.nan,
            difference=difference,
            verdict=verdict(difference, rope) if difference else None,
            holm_p=adjusted.get(head),
            control=control,
            rope=rope,
            test_share=test_share,
        )

    return tuple(row(head) for head in groups)


def accuracy_differences(runs: Sequence[Run], control: str = "max") -> dict[str, dict[int, float]]:
    """Return for each head but `control` its test accuracy minus the control's, by seed; {} without the control."""
    accuracies = {head: {run.seed: run.test_accuracy for run in group} for head, group in by_head(runs).items()}
    base = accuracies.pop(control, None)
    if base is None:
        return {}
    return {head: differences_by_seed(a, base, (head, control)) for head, a in accuracies.items()}


def _adjusted(p_values: dict[str, float]) -> dict[str, float]:
    """Adjust for all comparisons that were made: those without a p count as well, as if it were 1."""
    adjusted = holm([1.0 if math.isnan(p) else p for p in p_values.values()])
    return {head: p if math.isnan(p) else a for (head, p), a in zip(p_values.items(), adjusted, strict=True)}


def _standard_error(values: Sequence[float], test_share: float | None, resolution: float) -> float:
    """Return the standard error of the mean, NaN where the values cannot tell it."""
    strange = [value for value in values if not math.isfinite(value)]
    if strange or len(values) == 0:
        raise ValueError(
            f"{len(strange)} of {len(values)} values are not finite. An interval needs one or more that are."
        )
    if test_share is not None and not test_share > 0:
        raise ValueError(f"test_share is {test_share}. Use n_test / n_train, or None for a fixed test set.")
    spread = stdev(map(float, values)) if len(values) > 1 else math.nan
    return spread * math.sqrt(1 / len(values) + (test_share or 0)) if spread >= resolution else math.nan


def _the_one(head: str, what: str, values: Sequence[int]) -> int:
    if len(set(values)) > 1:
        raise ValueError(f"{head}: its runs have {sorted(set(values))} {what}. Keep the runs of one network.")
    return values[0]
