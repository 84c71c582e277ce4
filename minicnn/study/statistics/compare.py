"""Comparison of arms: simultaneous intervals, verdicts, and the number of replicates that a verdict takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Unpack

import numpy as np

from minicnn.hints import explained, near, spelled_out
from minicnn.notebook import html_table
from minicnn.study.statistics.contrast import Contrast, judged, single_level
from minicnn.study.statistics.intervals import ROUNDING, Factor, checked_confidence, independent, root_factor
from minicnn.study.statistics.maxt import sign_flip_p, simultaneous
from minicnn.study.statistics.pooled import NONE, Pair, Pooled, Values, dunnett, tukey
from minicnn.study.statistics.rules import Rules, RulesKeywords
from minicnn.validation import number, shown


@dataclass(frozen=True, repr=False)
class Comparison:
    """All contrasts of a family, with simultaneous intervals.

    Attributes
    ----------
    contrasts : tuple of Contrast
        In the order of the arms.
    critical : float
        The critical value, mean ± critical * standard error: of the contrast with the fewest replicates, at least 2.
    confidence, rope : float
        As given.
    rule : str
        Where `critical` comes from: "max-t", or "Bonferroni" where contrasts have different replicates.
    n : int
        The fewest replicates, at least 2, of a contrast; 0 if none has as many.
    """

    contrasts: tuple[Contrast, ...]
    critical: float
    confidence: float
    rope: float
    rule: str
    n: int

    def __repr__(self) -> str:
        verdicts = Counter(c.verdict for c in self.contrasts)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        return f"Comparison({len(self.contrasts)} contrasts: {counts or 'none'})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: each contrast with its interval and its verdict."""
        rows = [
            (c.arm, c.control, c.n, f"{c.mean:+.4g}", f"[{c.low:+.4g}, {c.high:+.4g}]", c.verdict)
            for c in self.contrasts
        ]
        head = ("arm", "control", "replicates", "difference", f"{self.confidence:.0%} interval", "verdict")
        return html_table(head, rows)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of each t."""
        return max(self.n - 1, 0)

    @property
    def single_confidence(self) -> float:
        """The confidence of one interval on its own, for intervals beside these such as that of `new_images`."""
        return 1 - single_level(self.critical, self.n)


@explained
@spelled_out(RulesKeywords, Rules)
def compare(values: Values, control: str | Mapping[str, str], **how: Unpack[RulesKeywords]) -> Comparison:
    """Compare arms with their controls by simultaneous intervals of the mean paired difference.

    A verdict needs the whole interval above (better), below (worse) or inside (equivalent) the region ±`rope`. The
    intervals hold together with probability `confidence`. Differences that are equal or vary by less than
    `resolution`, and fewer than 3 replicates, are undecided.

    Parameters
    ----------
    values : mapping
        Arm -> replicate -> value. A contrast uses the replicates that both arms have.
    control : str or mapping
        The arm that all others are compared with; or arm -> its control, for the arms that are compared.
    rope : float
        The largest difference that does not matter, in the unit of the values.
    factor : function of n
        The standard error of a mean is sd * sqrt(factor(n)): the `factor` of the replicates.
    resolution : float
        The smallest step of a value, for an accuracy one over the number of test images.
    lower_is_better : bool
        Whether a negative difference is "better", as for a loss. Differences keep their sign.

    Raises
    ------
    ValueError
        For an unknown control, no arm to compare, and values that are not finite.

    Examples
    --------
    >>> values = {"max": {0: 0.90, 1: 0.91, 2: 0.92, 3: 0.91}, "flatten": {0: 0.95, 1: 0.96, 2: 0.96, 3: 0.96}}
    >>> (contrast,) = compare(values, "max", rope=0.01).contrasts
    >>> f"{contrast.mean:.4f} [{contrast.low:.4f}, {contrast.high:.4f}] {contrast.verdict}"
    '0.0475 [0.0395, 0.0555] better'
    """
    return _family(values, _pairs(values, control), Rules(**how), dunnett)


@explained
@spelled_out(RulesKeywords, Rules)
def all_pairs(values: Values, **how: Unpack[RulesKeywords]) -> Comparison:
    """Compare every two arms, as `compare` does: the intervals of all pairs hold together, so they are wider.

    >>> values = {"a": {0: 0.1, 1: 0.2, 2: 0.3}, "b": {0: 0.3, 1: 0.1, 2: 0.2}, "c": {0: 0.9, 1: 0.8, 2: 0.9}}
    >>> [(c.arm, c.control) for c in all_pairs(values, rope=0.01).contrasts]
    [('b', 'a'), ('c', 'a'), ('c', 'b')]
    """
    pairs = [(arm, control) for control, arm in combinations(values, 2)]
    return _family(values, pairs, Rules(**how), tukey)


def _pairs(values: Values, control: str | Mapping[str, str]) -> list[Pair]:
    if isinstance(control, str):
        control = {arm: control for arm in values if arm != control} or {control: control}
    for name in (*control, *control.values()):
        if name not in values:
            known = ", ".join(values) or "an arm with values"
            raise ValueError(f"compare: control must be {known}, got {shown(name)}.{near(name, values)}")
    for arm, other in control.items():
        if arm == other:
            raise ValueError(f"compare: control must be another arm, got {shown(arm)} for itself. Add an arm.")
    return list(control.items())


def _family(values: Values, pairs: Sequence[Pair], rules: Rules, pooled: Pooled) -> Comparison:
    number("compare", "rope", rules.rope, least=0)
    number("compare", "resolution", rules.resolution, above=0)
    checked_confidence("compare", rules.confidence)
    if not pairs:
        raise ValueError(f"compare: values must have arms to compare, got {len(values)} arms. Add an arm.")
    differences = [_differences(values, *pair) for pair in pairs]
    matrix = _matrix(differences)
    found = simultaneous(matrix, factor=rules.factor, confidence=rules.confidence, resolution=rules.resolution)
    # flips, pooled intervals and Wilson's need independent replicates
    independent = _independent(rules.factor, len(matrix))
    flips = sign_flip_p(matrix).tolist() if independent else [math.nan] * len(pairs)
    ends = pooled(values, pairs, rules.confidence) if independent else {}
    contrasts = tuple(
        judged(pair, by_replicate, interval, critical, flip_p, ends.get(pair, NONE), rules)
        for pair, by_replicate, interval, critical, flip_p in zip(
            pairs, differences, found.intervals, found.critical, flips, strict=True
        )
    )
    n, critical = min(
        ((c.n, t) for c, t in zip(contrasts, found.critical, strict=True) if c.n > 1), default=(0, math.nan)
    )
    return Comparison(contrasts, critical, rules.confidence, rules.rope, found.rule, n)


def _differences(values: Values, arm: str, control: str) -> dict[int, float]:
    """Return replicate -> arm - control, for the replicates that both have."""
    common = sorted(set(values[arm]) & set(values[control]))
    for name in (arm, control):
        for replicate in common:
            number("compare", f"the value of {name} in replicate {replicate}", values[name][replicate])
    return {replicate: float(values[arm][replicate]) - float(values[control][replicate]) for replicate in common}


def _matrix(differences: Sequence[Mapping[int, float]]) -> np.ndarray:
    """Return the differences as (replicates, contrasts), NaN where one is missing."""
    replicates = sorted(set().union(*differences))
    rows = [[of.get(replicate, math.nan) for of in differences] for replicate in replicates]
    return np.array(rows, np.float64).reshape(-1, len(differences))


def _independent(factor: Factor, n: int) -> bool:
    return n > 0 and root_factor("compare", factor, n) <= math.sqrt(independent(n)) * (1 + ROUNDING)
