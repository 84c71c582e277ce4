"""The panel of a study: its values, intervals and curves, from the ledger."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.explain.contract import Arm, Real, Study
from minicnn.study import Results
from minicnn.study.statistics import Contrast, mean_interval


def describe_study(results: Results, measure: str = "accuracy") -> Study:
    """Return the panel of a study for one of its measures."""
    condition = results.conditions(measure)[0] if results.conditions(measure) else ""
    comparison = results.compare(measure, condition)
    contrasts = {contrast.arm: contrast for contrast in comparison.contrasts}
    column = _column(results)
    values = results.values(measure, condition)
    arms = [_arm(results, name, list(values[name].values()), contrasts.get(name), column) for name in results.arms]
    return Study(
        name=results.name,
        metric=measure,
        arms=[arm for arm in arms if arm.values],
        baseline=results.control,
        margin=comparison.rope,
        confidence=comparison.confidence,
        curve_of=column or None,
        verdict=_sentence(results, list(contrasts.values()), measure),
    )


def _arm(results: Results, name: str, values: list[float], contrast: Contrast | None, column: str) -> Arm:
    finite = [value for value in values if math.isfinite(value)]
    interval = mean_interval(finite, factor=results.factor()) if len(finite) > 1 else None
    curves = [[float(row.get(column, math.nan)) for row in rows] for rows in results.curves(name)] if column else []
    against: dict[str, Any] = {}
    if contrast is not None:
        against = {
            "control": contrast.control,
            "difference": contrast.mean,
            "difference_low": contrast.low,
            "difference_high": contrast.high,
            "verdict": contrast.verdict,
        }
    return Arm(
        name=name,
        values=[float(v) for v in values],
        mean=float(np.mean(finite)) if finite else math.nan,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        **against,
        curve=_mean_curve(curves),
        curves=[[*curve] for curve in curves] or None,
    )


def _column(results: Results) -> str:
    rows = [row for rows in results.histories.values() for row in rows[:1]]
    return next((name for name in ("valid_accuracy", "accuracy") if rows and name in rows[0]), "")


def _mean_curve(curves: list[list[float]]) -> list[Real] | None:
    """Return the mean per epoch, over the replicates that had it."""
    if not curves:
        return None
    longest = max(map(len, curves))
    return [float(np.mean([curve[i] for curve in curves if i < len(curve)])) for i in range(longest)]


def _sentence(results: Results, contrasts: list[Contrast], measure: str) -> str:
    kinds = ("better", "worse", "equivalent", "undecided")
    by = {kind: [contrast.arm for contrast in contrasts if contrast.verdict == kind] for kind in kinds}
    parts = [f"{kind}: {', '.join(arms)}" for kind, arms in by.items() if arms]
    return f"{measure.capitalize()} against {results.control}: {'; '.join(parts)}." if parts else ""
