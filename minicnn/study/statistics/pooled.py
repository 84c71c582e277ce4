"""Sensitivity: simultaneous intervals as if all arms had one variance and were not paired, from SciPy.

A pooled variance has more degrees of freedom, so these intervals are narrower than those with variances of their own;
they hold only if the arms vary equally.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

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
            result = need("scipy.stats").dunnett(
                *_samples(values, arms), control=_samples(values, [control])[0], random_state=0
            )
            with warnings.catch_warnings():
                # of few replicates: its search ends within a tenth of the error, which is enough for a sensitivity
                warnings.filterwarnings("ignore", "Computation of the confidence interval did not converge")
                ends = result.confidence_interval(1 - share)
            found |= {(a, control): (float(ends.low[i]), float(ends.high[i])) for i, a in enumerate(arms)}
    return found


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
