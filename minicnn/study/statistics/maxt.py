"""Simultaneous intervals and tests of several mean differences: the distribution of the largest ``|t|``.

Each column of a matrix of differences (replicates, contrasts) is one contrast, and each has its own variance. All
intervals mean ± c * sd * sqrt(factor(n)) hold together with the given confidence if c is the quantile of the largest
``|t|`` of all columns.

`critical_value` takes that quantile from a simulation of normal replicates with the contrasts' correlation. Two
shorter ways fail with few replicates:

- The quantile of the multivariate t distribution assumes one common variance for all contrasts. (SciPy's `cdf` of it
  is, moreover, wrong for the singular correlation of more contrasts than replicates.)
- The sample correlation of few replicates is too strong, which makes c too small. It is therefore shrunk towards zero
  (Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004), which errs to wider
  intervals.

`experiments/familywise_error.py` prints the error rates. The simulation has a fixed seed: the same data give the same
verdict.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

from minicnn.optional import need
from minicnn.study.statistics.intervals import (
    ROUNDING,
    Factor,
    Interval,
    checked_confidence,
    independent,
    standard_error,
)

DRAWS = 20_000
"""Simulated samples for a critical value: their 95 % quantile is a quantile between 94.7 % and 95.3 %."""
SEED = 0
MOST_FLIPS = 2**12
"""Up to so many, all assignments of signs are enumerated; beyond, so many are drawn at random."""
BLOCK = 2**20
"""Random numbers that are held in memory at once."""


@dataclass(frozen=True)
class Simultaneous:
    """Intervals that hold together, the critical value of each, and the rule: "max-t" or "Bonferroni"."""

    intervals: tuple[Interval, ...]
    critical: tuple[float, ...]
    rule: str


def simultaneous(
    differences: np.ndarray, *, factor: Factor = independent, confidence: float = 0.95, resolution: float = ROUNDING
) -> Simultaneous:
    """Return simultaneous intervals for the mean of each column of `differences` (replicates, contrasts).

    A NaN is a missing replicate. If there is one, a column uses what it has, with Bonferroni's critical value for that
    number of replicates, which needs no correlation. A column of fewer than two replicates, or whose standard
    deviation is below `resolution`, has no interval, and still counts as a contrast.

    >>> differences = np.random.default_rng(0).normal([0.0, 1.0], 0.2, (10, 2))
    >>> found = simultaneous(differences)
    >>> [interval.low > 0 for interval in found.intervals]
    [False, True]
    >>> 2.26 < found.critical[0] < 2.69  # t(9) quantiles: for one contrast, and Bonferroni's for two
    True
    """
    rows, contrasts = differences.shape
    columns = [column[~np.isnan(column)] for column in differences.T]
    complete = rows > 1 and all(len(column) == rows for column in columns)
    if complete:
        critical = [critical_value(differences, confidence=confidence, resolution=resolution)] * contrasts
    else:
        critical = [bonferroni(len(column), contrasts, confidence=confidence) for column in columns]
    intervals = [_interval(x, c, factor, resolution) for x, c in zip(columns, critical, strict=True)]
    return Simultaneous(tuple(intervals), tuple(critical), "max-t" if complete else "Bonferroni")


def _interval(values: np.ndarray, critical: float, factor: Factor, resolution: float) -> Interval:
    n = len(values)
    middle = float(values.mean()) if n else math.nan
    half = critical * standard_error("simultaneous", values.tolist(), factor, resolution) if n > 1 else math.nan
    return Interval(middle, middle - half, middle + half, n)


def critical_value(differences: np.ndarray, *, confidence: float = 0.95, resolution: float = ROUNDING) -> float:
    """Return the quantile of the largest |t| of all columns of `differences` (replicates, contrasts).

    It is at least Student's quantile for one contrast and at most Bonferroni's, `bonferroni(n, contrasts)`.
    """
    n, contrasts = differences.shape
    checked_confidence("critical_value", confidence)
    most = bonferroni(n, contrasts, confidence=confidence)
    if contrasts == 1:
        return most
    peaks = _largest_t(correlation(differences, resolution), n)
    return float(np.clip(np.quantile(peaks, confidence), bonferroni(n, 1, confidence=confidence), most))


def bonferroni(n: int, contrasts: int, *, confidence: float = 0.95) -> float:
    """Return Student's two-sided quantile of n replicates, with the error divided by the number of contrasts.

    It is NaN for fewer than two replicates.

    >>> round(bonferroni(5, 1), 3), round(bonferroni(5, 7), 3)
    (2.776, 5.068)
    """
    if n < 2:
        return math.nan
    return float(need("scipy.stats").t.isf((1 - confidence) / 2 / contrasts, n - 1))


def correlation(differences: np.ndarray, resolution: float = ROUNDING) -> np.ndarray:
    """Return the shrunk correlation (contrasts, contrasts) of the columns; one that does not vary has none with others.

    >>> noise = np.random.default_rng(0).normal(size=(6, 3))
    >>> correlation(noise).diagonal().round(9).tolist()
    [1.0, 1.0, 1.0]
    """
    centred = differences - differences.mean(axis=0)
    varies = differences.std(axis=0, ddof=1) >= resolution
    found = np.eye(differences.shape[1])
    if varies.any():
        unit = centred[:, varies] / centred[:, varies].std(axis=0)
        shrunk, _ = need("sklearn.covariance").ledoit_wolf(unit, assume_centered=True)
        found[np.ix_(varies, varies)] = shrunk
    return found


def _largest_t(correlation: np.ndarray, n: int) -> np.ndarray:
    """Return DRAWS values of the largest |t| of n normal replicates with mean zero and this correlation."""
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T  # singular correlations have no Cholesky factor
    if n > 2 * len(root):
        return _t_many(n, root)
    rng = np.random.default_rng(SEED)
    size = max(1, BLOCK // (n * len(root)))
    blocks = (min(size, DRAWS - start) for start in range(0, DRAWS, size))
    return np.concatenate([_t_block(rng, count, n, root) for count in blocks])


def _t_block(rng: np.random.Generator, count: int, n: int, root: np.ndarray) -> np.ndarray:
    # sqrt(n) times the mean is normal, and the sum of squared deviations is that of n - 1 independent normals.
    contrasts = len(root)
    normals = (rng.standard_normal((n * count, contrasts)) @ root).reshape(n, count, contrasts)
    variance = np.square(normals[1:]).sum(axis=0) / (n - 1)
    largest: np.ndarray = np.abs(normals[0] / np.sqrt(variance)).max(axis=1)
    return largest


def _t_many(n: int, root: np.ndarray) -> np.ndarray:
    """Return the same without drawing all replicates."""
    means, triangles = _bartlett(n, len(root))
    variance = np.square(triangles @ root).reshape(DRAWS, *root.shape).sum(axis=1) / (n - 1)
    largest: np.ndarray = np.abs(means @ root / np.sqrt(variance)).max(axis=1)
    return largest


@functools.lru_cache(maxsize=1)  # a study compares the same arms by several measures
def _bartlett(n: int, contrasts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means and triangular factors of n - 1 independent normal rows, DRAWS times.

    Such a factor has normals above its diagonal and square roots of chi-squares on it (Bartlett, "On the theory of
    statistical regression", 1933).
    """
    rng = np.random.default_rng(SEED)
    triangles, places = np.zeros((DRAWS, contrasts, contrasts)), np.arange(contrasts)
    above = np.triu_indices(contrasts, 1)
    triangles[:, *above] = rng.standard_normal((DRAWS, len(above[0])))
    triangles[:, places, places] = np.sqrt(rng.chisquare(n - 1 - places, (DRAWS, contrasts)))
    return rng.standard_normal((DRAWS, contrasts)), triangles.reshape(-1, contrasts)


def sign_flip_p(differences: np.ndarray) -> np.ndarray:
    """Return for each column the p-value of a mean of zero, adjusted for all columns, from random signs.

    If arm and control are exchangeable, each replicate's differences could as well have the other sign. The signs of
    whole replicates are flipped, which keeps the correlation of the contrasts, and p is the fraction of assignments
    whose largest |t| reaches the |t| of the column (single-step max-t; Westfall and Young, "Resampling-based multiple
    testing", 1993). It is exact up to MOST_FLIPS assignments; beyond, MOST_FLIPS are drawn with a fixed seed, the
    observed one among them. NaN differences are missing replicates; columns of zeros have p = 1.

    The smallest possible value is 2 / 2**n: 0.0625 for 5 replicates.

    >>> sign_flip_p(np.array([[1.0, 1.2], [2.0, -1.1], [3.0, 1.3], [4.0, -1.0], [5.0, 1.1]])).tolist()
    [0.125, 0.875]
    """
    known = np.isfinite(differences)
    filled = np.where(known, differences, 0.0)
    scale = np.sqrt((filled**2).sum(axis=0))
    # |sum| / sqrt(n * sum of squares) lies in [0, 1] and grows with |t|; flips leave the denominator as it is.
    unit = filled / np.where(scale > 0, scale * np.sqrt(np.maximum(known.sum(axis=0), 1)), 1.0)
    degrees = np.maximum(known.sum(axis=0) - 1, 0)
    observed = _t_of_share(np.abs(unit.sum(axis=0)), degrees)
    peaks = _t_of_share(np.abs(_signs(len(differences)) @ unit), degrees).max(axis=1)
    return np.asarray((peaks[:, None] >= observed * (1 - ROUNDING)).mean(axis=0))


def _t_of_share(share: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    # Near 1 the differences are equal up to rounding; all of them get the same, largest, value.
    share = np.minimum(share, 1 - ROUNDING)
    found: np.ndarray = share * np.sqrt(degrees / (1 - share**2))
    return found


def _signs(n: int) -> np.ndarray:
    """Return assignments of signs (assignments, n), the first without a flip."""
    if n <= math.log2(MOST_FLIPS):
        return np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    signs = np.random.default_rng(SEED).choice((1.0, -1.0), (MOST_FLIPS, n))
    signs[0] = 1.0
    return signs
