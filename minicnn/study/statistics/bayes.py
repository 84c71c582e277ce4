"""The Bayesian correlated t-test of Corani and Benavoli, from baycomp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, variance
from typing import NamedTuple

from minicnn.optional import need
from minicnn.study.statistics.intervals import ROUNDING, Factor, root_factor, standard_error
from minicnn.validation import number


class Probabilities(NamedTuple):
    """Posterior probabilities that the difference lies below, inside and above the region of practical equivalence."""

    left: float
    rope: float
    right: float


def correlated_t(
    differences: Sequence[float], *, rope: float, factor: Factor, resolution: float = ROUNDING
) -> Probabilities:
    """Return the posterior probabilities of a difference below -rope, within ±rope, and above rope.

    The posterior is Student's t around the mean with variance sd**2 * factor(n) (Corani and Benavoli, "A Bayesian
    approach for comparing cross-validated algorithms on multiple data sets", Machine Learning 100, 2015).
    `baycomp.two_on_single` is this with the factor of k-fold cross-validation, 1/n + 1/(k - 1). Differences that vary
    by less than `resolution` give NaN.

    >>> found = correlated_t([0.01, 0.02, 0.03, 0.02, 0.01], rope=0.005, factor=lambda n: 1 / n + 1 / 4)
    >>> [round(p, 3) for p in found]
    [0.007, 0.033, 0.959]
    """
    number("correlated_t", "rope", rope, least=0)
    if math.isnan(standard_error("correlated_t", differences, factor, resolution)):
        return Probabilities(math.nan, math.nan, math.nan)
    n = len(differences)
    spread = variance(map(float, differences)) * root_factor("correlated_t", factor, n) ** 2
    posterior = need("baycomp.single").Posterior(mean(map(float, differences)), spread, n - 1, rope)
    found = [float(p) for p in posterior.probs()]
    return Probabilities(*found) if rope else Probabilities(found[0], 0.0, found[1])
