"""How often does a study of several arms come to a false verdict, if every difference lies on the edge of the region?

Normal replicates of seven arms and a control are drawn, whose true differences are exactly the largest one that does
not matter. "better", "worse" and "equivalent" are then all false, and the family-wise error is the fraction of studies
with at least one of them. Two columns of the table:

- `region 0.1`: the region is ±0.1 percentage points, narrower than most intervals, so that mainly the verdicts beyond
  the edge are possible, "better" at the upper one and "worse" at the lower one.
- `any region`: a wide region, for which "equivalent" is as easily false, or none, for which "better" and "worse" are.
  It is the fraction of studies in which an interval does not contain its true difference, the most there can be.

For comparison, `multivariate t` is the latter with the critical value of a common variance and the unshrunk
correlation.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.study.statistics import Factor, Interval, independent, simultaneous, verdict
from minicnn.validation import integer

ARMS = 7
ROPE = 0.1
"""Half the region's width, in percentage points."""
EQUAL = (0.15,) * (ARMS + 1)
"""Standard deviations of the control and of each arm in percentage points; a difference has 0.21 (Fashion-MNIST)."""
UNEQUAL = (0.15, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
STEADY_CONTROL, NOISY_CONTROL = (0.02, *EQUAL[1:]), (0.6, *EQUAL[1:])


@dataclass(frozen=True)
class Case:
    """Studies with `n` replicates; `shared` is the variance common to correlated replicates, over their own."""

    name: str
    n: int
    sds: Sequence[float] = EQUAL
    shared: float = 0.0

    @property
    def factor(self) -> Factor:
        """The factor of the standard error that belongs to such replicates."""
        return lambda n: independent(n) + self.shared

    def differences(self, rng: np.random.Generator) -> np.ndarray:
        """Return differences (replicates, arms) from the control whose true mean is 0."""
        values = rng.normal(size=(self.n, len(self.sds))) + math.sqrt(self.shared) * rng.normal(size=len(self.sds))
        values *= self.sds
        found: np.ndarray = values[:, 1:] - values[:, :1]
        return found


CASES = [
    *(Case("seeds", n) for n in (5, 10, 3, 20)),
    *(Case("seeds, unequal sds", n, UNEQUAL) for n in (5, 10)),
    *(Case("seeds, steady control", n, STEADY_CONTROL) for n in (5, 10)),
    *(Case("seeds, noisy control", n, NOISY_CONTROL) for n in (5, 10)),
    Case("splits, n_test / n_train = 0.25", 10, shared=0.25),
    Case("10-fold cross-validation", 10, shared=1 / 9),
]


def false_verdicts(case: Case, studies: int, seed: int = 0) -> Counter[str]:
    """Return for each column of the table the number of simulated studies with an error."""
    rng = np.random.default_rng((seed, case.n, round(1e6 * case.shared), round(1e6 * case.sds[0])))
    count: Counter[str] = Counter()
    for _ in range(studies):
        differences = case.differences(rng)
        found = simultaneous(differences, factor=case.factor)
        count["any region"] += any(i.low > 0 or i.high < 0 for i in found.intervals)
        count["multivariate t"] += _outside_multivariate_t(differences, found.intervals, found.critical[0], rng)
        count["region 0.1"] += _false(found.intervals, ROPE)
    return count


def _false(intervals: Sequence[Interval], rope: float) -> bool:
    """Tell whether any verdict is given, if the true differences lie on the two edges of the region in turn."""
    edges = ((-1) ** arm * rope for arm in range(len(intervals)))
    moved = (Interval(i.mean + e, i.low + e, i.high + e, i.n) for i, e in zip(intervals, edges, strict=True))
    return any(verdict(interval, rope) != "undecided" for interval in moved)


def _outside_multivariate_t(
    differences: np.ndarray, intervals: Sequence[Interval], critical: float, rng: np.random.Generator
) -> bool:
    """Tell whether an interval with the quantile of the multivariate t distribution does not contain 0."""
    n, draws = len(differences), 4000
    # Weighted sums of the rows are normal with the sample correlation, singular or not.
    unit = (differences - differences.mean(axis=0)) / differences.std(axis=0, ddof=1) / math.sqrt(n - 1)
    peaks = np.abs(rng.normal(size=(draws, n)) @ unit).max(axis=1)
    quantile = np.quantile(peaks / np.sqrt(rng.chisquare(n - 1, draws) / (n - 1)), 0.95)
    return any(abs(interval.mean) > quantile / critical * interval.half for interval in intervals)


def rows(cases: Sequence[Case], studies: int) -> Iterator[str]:
    """Yield a Markdown table of percentages with their standard errors."""
    names = ["region 0.1", "any region", "multivariate t"]
    yield f"| replicates | n | {' | '.join(names)} |"
    yield f"|---|---:|{'---:|' * len(names)}"
    for case in cases:
        count = false_verdicts(case, studies)
        fractions = [count[name] / studies for name in names]
        texts = [f"{100 * p:.1f} ± {100 * math.sqrt(p * (1 - p) / studies):.1f}" for p in fractions]
        yield f"| {case.name} | {case.n} | {' | '.join(texts)} |"


def main(argv: list[str] | None = None) -> int:
    """Print the family-wise error of each case, in percent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="simulated studies per case (default: %(default)s)")
    options = parser.parse_args(argv)
    integer("command line", "--studies", options.studies)
    print(f"Family-wise error in percent, {ARMS} arms and a control, {options.studies:,} studies, confidence 95 %")
    for row in rows(CASES, options.studies):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
