"""From the rows of a ledger to the names that a study has for its measures now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from minicnn.study.store import Measured, Recorded


def with_errors(trial: Recorded, rows: Sequence[Measured | None]) -> Recorded:
    """Return a trial as failed if one of its measures has failed."""
    errors = [row.error for row in rows if row is not None and row.status == "failed"]
    return replace(trial, status="failed", error=errors[0]) if errors and trial.status == "done" else trial


def numbers_by_trial(
    values: Sequence[tuple[str, str, str, str, float | None]], ids: Mapping[str, str]
) -> dict[str, dict[tuple[str, str, str], float]]:
    """Return the values of each trial, under the names that the study has for its measures now."""
    names: dict[str, list[str]] = {}
    for name, identity in ids.items():
        names.setdefault(identity, []).append(name)
    numbers: dict[str, dict[tuple[str, str, str], float]] = {}
    for trial, split, measure, condition, value in values:
        for name in names.get(measure, []) if split == "test" else [measure]:
            # SQLite has no NaN: it becomes NULL
            numbers.setdefault(trial, {})[split, name, condition] = float("nan") if value is None else float(value)
    return {trial: dict(sorted(by.items())) for trial, by in numbers.items()}
