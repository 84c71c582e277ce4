"""What a ledger does not have of a study: rates that are to be tried, trials to be trained, measures to be taken."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from minicnn.study.spec import Specification
from minicnn.study.store import Measured, Recorded, Store
from minicnn.study.trial import Trial
from minicnn.study.trials import tune_trials
from minicnn.study.tuning import Grid


@dataclass(frozen=True)
class Search:
    """The search for learning rates, as far as a ledger determines it.

    Attributes
    ----------
    trials : list of Trial
        Those that are recorded, and those that are next.
    rates : dict
        The rate of each arm whose search is over.
    failures : dict
        Why an arm has no rate, of arms that cannot be trained at any; `rates` then has the smallest that was tried.
    """

    trials: list[Trial] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def searched(study: Specification, store: Store | None) -> Search:
    """Return how far the search of each arm has come; all arms have the same one, of their own."""
    grid = study.tune
    if grid is None:
        return Search()
    recorded = store.trials() if store else {}
    values = _criteria(grid, store)
    tried, rates = {name: list(grid.learning_rate) for name in study.arms}, dict.fromkeys(study.arms, math.inf)
    while True:
        trials = tune_trials(study, tried)
        found = _found(trials, recorded, values)
        before = tried
        tried, rates = {}, {}
        for name in study.arms:
            tried[name], best = grid.search(found[name])
            if best is not None:
                rates[name] = best
        if tried == before:
            break
    failures = {n: _failure(n, tried[n], trials, recorded) for n, rate in rates.items() if math.isnan(rate)}
    return Search(trials, {n: min(tried[n]) if n in failures else rate for n, rate in rates.items()}, failures)


def _criteria(grid: Grid, store: Store | None) -> dict[str, float | None]:
    name = grid.by.removeprefix("valid_")
    values = store.values() if store else []
    return {trial: value for trial, split, measure, _, value in values if (split, measure) == ("valid", name)}


def _found(
    trials: Sequence[Trial], recorded: Collection[str], values: Mapping[str, float | None]
) -> dict[str, dict[float, list[float]]]:
    """Return the criterion by arm and rate, of rates that have been tried with all seeds; NaN of a failed trial."""
    found: dict[str, dict[float, list[float]]] = {}
    for trial in trials:
        value = values.get(trial.id)
        by_rate = found.setdefault(trial.arm, {}).setdefault(trial.rate or 0.0, [])
        by_rate.append(math.nan if value is None else value)
    for trial in trials:
        if trial.id not in recorded:
            found[trial.arm].pop(trial.rate or 0.0, None)
    return found


def _failure(arm: str, tried: Sequence[float], trials: Sequence[Trial], recorded: Mapping[str, Recorded]) -> str:
    errors = [recorded[t.id].error.strip() for t in trials if t.arm == arm and recorded[t.id].error]
    last = f" The last attempt ended in: {errors[-1].splitlines()[-1]}" if errors else ""
    return (
        f"Grid: learning_rate must contain a rate at which training of {arm!r} does not diverge, got "
        f"{', '.join(f'{rate:g}' for rate in sorted(tried))}. Use smaller rates.{last}"
    )


@dataclass(frozen=True)
class Left:
    """What is to be done.

    Attributes
    ----------
    train : list of Trial
        Trials that are not in the ledger, with all of their measures.
    measure : list of Trial
        Trials that are trained, with the measures that have not been taken of them; without their parameters.
    damaged : int
        How many files of arrays are not as the ledger says.
    """

    train: list[Trial] = field(default_factory=list)
    measure: list[Trial] = field(default_factory=list)
    damaged: int = 0


def work_left(trials: Sequence[Trial], store: Store | None, retry_failed: bool = False) -> Left:
    """Return what is to be trained and measured; what has failed only if it is to be retried."""
    if store is None:
        return Left(train=list(trials))
    recorded, measured = store.trials(), store.measured()

    def is_settled(row: Recorded | Measured | None) -> bool:
        if row is None:
            return False
        if row.status == "failed":
            return not retry_failed
        if store.is_intact(row):
            return True
        damaged.append(row)
        return False

    damaged: list[Recorded | Measured] = []
    left = Left()
    for trial in trials:
        row = recorded.get(trial.id)
        if not is_settled(row):
            left.train.append(trial)
        elif row is not None and row.status == "done":
            ids = trial.measure_ids
            some = {n: m for n, m in trial.measures.items() if not is_settled(measured.get((trial.id, ids[n])))}
            left.measure.extend([replace(trial, measures=some)] if some else [])
    return replace(left, damaged=len(damaged))
