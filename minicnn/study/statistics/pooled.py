"""Sensitivity: simultaneous intervals as if all arms had one variance and were not paired, from SciPy.

A pooled variance has more degrees of freedom, so these intervals are narrower than those with variances of their own;
they hold only if the arms vary equally.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from minicnn.optional import need
from minicnn.study.statistics.intervals import ROUNDING

Ends = tuple[float, float]
Values = Mapping[str, Mapping[int, float]]
"""Arm -> replicate -> value."""
Pair = tuple[str, str]
"""An arm and its control."""
Pooled = Callable[[Values, Sequence[Pair], float], dict[Pair, Ends]]
NONE: Ends = (math.nan, math.nan)


def dunnett(values: Values, pairs: Sequence[Pair], confidence: float) -> dict[Pair, Ends]:
    """Return Dunnett's interval of each contrast; of several controls, each has its share of the error.

    The integral behind it has a fixed seed. Contrasts that cannot be computed are left out.

    >>> values = {"a": {0: 0.1, 1: 0.3}, "b": {0: 0.5, 1: 0.6}, "c": {0: 0.9, 1: 0.8}}
    >>> ends = dunnett(values, [("b", "a"), ("c", "a")], 0.95)
    >>> [f"{low:.2f} {high:.2f}" for low, high in ends.values()]
    ['-0.04 0.74', '0.26 1.04']
    """
    groups = defaultdict(list)
    for arm, control in pairs:
        groups[control].append(arm)
    found: dict[Pair, Ends] = {}
    for control, arms in groups.items():
        if _varying(values, [control, *arms]):
            share = (1 - confidence) * len(arms) / len(pairs)
            found |= {
                (arm, control): ends
                for arm, ends in zip(arms, _dunnett(_samples(values, [control, *arms]), share), strict=True)
            }
    return found


def _dunnett(samples: Sequence[np.ndarray], level: float) -> Iterator[Ends]:
    """Yield the interval of each sample's mean less that of the first."""
    sizes = tuple(map(len, samples))
    critical = _dunnett_critical(sizes, level)
    variance = sum(np.square(x - x.mean()).sum() for x in samples) / (sum(sizes) - len(sizes))
    control, *others = samples
    for x in others:
        middle, half = x.mean() - control.mean(), critical * math.sqrt(variance * (1 / len(x) + 1 / len(control)))
        yield float(middle - half), float(middle + half)


@functools.lru_cache(maxsize=8)  # a study compares the same arms by several measures
def _dunnett_critical(sizes: tuple[int, ...], level: float) -> float:
    """Return the quantile of the largest |t| of samples of these sizes, of which the first is the control.

    Dunnett, "A multiple comparison procedure for comparing several treatments with a control", 1955. SciPy's own
    search for it, `dunnett(...).confidence_interval`, takes four times as long and need not converge.
    """
    stats = need("scipy.stats")
    degrees, others = sum(sizes) - len(sizes), len(sizes) - 1
    least, most = stats.t.isf([level / 2, level / 2 / others], degrees)  # of one contrast, and Bonferroni's
    if others == 1:
        return float(least)
    roots = 1 / np.sqrt(1 + sizes[0] / np.array(sizes[1:]))
    correlation = np.outer(roots, roots)
    np.fill_diagonal(correlation, 1)

    @functools.cache  # `brentq` begins with both ends
    def excess(critical: float) -> float:
        ends = np.full(others, critical)
        inside = stats.multivariate_t.cdf(ends, None, correlation, degrees, lower_limit=-ends, random_state=0)
        return float(inside) - (1 - level)

    low, high = 0.99 * least, 1.01 * most  # with room for the error of the integral
    if not excess(low) < 0 < excess(high):  # a level below that error
        return float(most)  # wider than necessary, never too narrow
    return float(need("scipy.optimize").brentq(excess, low, high, xtol=1e-4))


def tukey(values: Values, pairs: Sequence[Pair], confidence: float) -> dict[Pair, Ends]:
    """Return Tukey's interval of each pair of arms; {} if they cannot be computed.

    >>> values = {"a": {0: 0.1, 1: 0.3}, "b": {0: 0.5, 1: 0.6}, "c": {0: 0.9, 1: 0.8}}
    >>> low, high = tukey(values, [("c", "b")], 0.95)["c", "b"]
    >>> f"{low:.2f} {high:.2f}"
    '-0.12 0.72'
    """
    arms = list(values)
    if len(arms) < 2 or not _varying(values, arms):
        return {}
    ends = need("scipy.stats").tukey_hsd(*_samples(values, arms)).confidence_interval(confidence)
    places = [(arms.index(arm), arms.index(control)) for arm, control in pairs]
    return {pair: (float(ends.low[at]), float(ends.high[at])) for pair, at in zip(pairs, places, strict=True)}


def _samples(values: Values, arms: Sequence[str]) -> list[np.ndarray]:
    return [np.array([float(values[arm][replicate]) for replicate in sorted(values[arm])]) for arm in arms]


def _varying(values: Values, arms: Sequence[str]) -> bool:
    """Tell whether the values of each arm vary; SciPy warns of those that do not."""
    return all(len(sample) > 1 and np.ptp(sample) > ROUNDING for sample in _samples(values, arms))
