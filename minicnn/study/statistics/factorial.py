"""Ordered and crossed arms: Page's trend test and the repeated-measures analysis of variance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn.optional import need


class Effect(NamedTuple):
    """The F statistic of one factor or of an interaction, its degrees of freedom, and its p-value."""

    name: str
    f: float
    degrees: float
    rest_degrees: float
    p: float


def trend_p(values: Mapping[str, Mapping[int, float]]) -> float:
    """Return the p-value of an upward trend over arms in the order given (Page, 1963): the strides 3, 2, 1, say.

    `values` has one mapping of replicate -> value per arm, at least three arms; replicates that all arms have are
    used, at least two. List the arms the other way around for a downward trend.

    >>> p = trend_p({"3": {0: 0.90, 1: 0.91}, "2": {0: 0.92, 1: 0.93}, "1": {0: 0.95, 1: 0.96}})
    >>> round(p, 4)  # both of two replicates in order: 1 in 3! * 3!
    0.0278
    """
    rows = _complete("trend_p", values, least_arms=3)
    return float(need("scipy.stats").page_trend_test(rows).pvalue)


def factor_effects(
    values: Mapping[tuple[str, str], Mapping[int, float]], factors: tuple[str, str] = ("trunk", "head")
) -> tuple[Effect, ...]:
    """Return the effects of two crossed factors and of their interaction, each replicate a block.

    `values` maps (level of the first factor, level of the second) to replicate -> value, one entry for every pair of
    levels; replicates that all have are used. From statsmodels' AnovaRM.

    >>> rng = np.random.default_rng(0)
    >>> values = {(t, h): {s: (t == "max") * (h == "flat") + rng.normal(0, 0.1) for s in range(5)}
    ...           for t in ("max", "stride") for h in ("flat", "average")}
    >>> [(effect.name, effect.p < 0.01) for effect in factor_effects(values)]
    [('trunk', True), ('head', True), ('trunk:head', True)]
    """
    rows = _complete("factor_effects", values, least_arms=4)
    levels = [sorted({pair[i] for pair in values}) for i in (0, 1)]
    if len(values) != len(levels[0]) * len(levels[1]) or min(map(len, levels)) < 2:
        raise ValueError(
            f"factor_effects: values must have every pair of two or more levels, got {len(values)} pairs of "
            f"{len(levels[0])} and {len(levels[1])} levels. Add the arms that are missing."
        )
    pairs = [pair for _ in rows for pair in values]
    blocks = np.repeat(np.arange(len(rows)), len(values))
    columns: dict[str, Any] = {"value": rows.ravel(), "replicate": blocks}
    columns |= {name: [pair[i] for pair in pairs] for i, name in enumerate(factors)}
    frame = need("pandas").DataFrame(columns)
    table = need("statsmodels.stats.anova").AnovaRM(frame, "value", "replicate", within=list(factors)).fit().anova_table
    return tuple(Effect(str(name), *map(float, row)) for name, row in zip(table.index, table.to_numpy(), strict=True))


def _complete(where: str, values: Mapping[Any, Mapping[int, float]], least_arms: int) -> np.ndarray:
    """Return the values (replicates, arms) of the replicates that all arms have."""
    common = sorted(set.intersection(*map(set, values.values()))) if values else []
    if len(values) < least_arms or len(common) < 2:
        raise ValueError(
            f"{where}: values must have {least_arms} or more arms with 2 or more replicates in common, "
            f"got {len(values)} arms with {len(common)}."
        )
    return np.array([[float(arm[replicate]) for arm in values.values()] for replicate in common])
