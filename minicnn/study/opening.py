"""From the ledger in the folder of a study to its results, under the names that the study has for its measures now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from minicnn.hints import explained
from minicnn.study.results import Results
from minicnn.study.sql import undamaged
from minicnn.study.store import Measured, Recorded, reading
from minicnn.validation import shown


@explained
def open_results(path: str | Path) -> Results:
    """Return the results in the folder of a study, complete or not; nothing is trained.

    Raises ValueError for a folder without a ledger, or with a damaged one.
    """
    with reading(path) as store:
        description, recorded, measured = store.description(), store.trials(), store.measured()
        if not description:
            raise ValueError(
                f"open_results: path must be the folder of a study that has begun, got {shown(str(path))}."
            )
        values, histories = store.values(), store.curves()
    with undamaged(Path(path)):
        ids = description["measure_ids"]
        trials, tuning = (
            tuple(replace(recorded[place["id"]], **place) for place in description[part] if place["id"] in recorded)
            for part in ("trials", "tuning")
        )
        rows = {trial.id: [measured.get((trial.id, identity)) for identity in ids.values()] for trial in trials}
        unmeasured = sum(trial.status == "done" and None in rows[trial.id] for trial in trials)
        trials = tuple(_with_errors(trial, rows[trial.id]) for trial in trials)
        missing = len(description["trials"]) - len(trials)
        numbers = _numbers_by_trial(values, ids)
    return Results(Path(path), description, trials, missing, tuning, numbers, histories, unmeasured)


def _with_errors(trial: Recorded, rows: Sequence[Measured | None]) -> Recorded:
    """Return a trial as failed if one of its measures has failed."""
    errors = [row.error for row in rows if row is not None and row.status == "failed"]
    return replace(trial, status="failed", error=errors[0]) if errors and trial.status == "done" else trial


def _numbers_by_trial(
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
