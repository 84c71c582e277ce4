"""Running a study: check it, find what the ledger does not have, train that, record it."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minicnn import records
from minicnn.data import Dataset
from minicnn.environment import environment
from minicnn.layers import summary
from minicnn.notebook import progress_bar
from minicnn.study import canonical, checks
from minicnn.study.executors import Executor, choose
from minicnn.study.replicates import Seeds, base, of_replicate
from minicnn.study.results import Results, open_results
from minicnn.study.spec import Arm, Recipe, Specification
from minicnn.study.store import Store, writing
from minicnn.study.trial import Trial
from minicnn.study.tuning import rate_of, with_rate
from minicnn.validation import integer


def checked(study: Specification) -> list[str]:
    """Raise ValueError or TypeError for a study that cannot be trained as it is; return warnings about its design."""
    parts = of_replicate(study.data, study.replicates, 0)
    for measure in study.measures.values():
        if hasattr(measure, "check"):
            measure.check(parts)
    arms = {name: study.arm(name) for name in study.arms}
    recipes = {name: recipe_text(arm.recipe or study.recipe) for name, arm in arms.items()}
    _check_distinct({name: (canonical.canonical(arm.net), recipes[name]) for name, arm in arms.items()})
    found = checks.check(
        {name: arm.net for name, arm in arms.items()},
        parts.train.images.shape[1:],
        len(parts.classes),
        partial={name for name, arm in arms.items() if not arm.reads_all},
        same_as={name: arm.same_as for name, arm in arms.items() if arm.same_as},
        recipes=recipes,
    )
    # one function trained in two ways is an ablation of the recipe
    found = tuple(f for f in found if f.kind != "function" or len({str(recipes[arm]) for arm in f.arms}) == 1)
    checks.refuse(found)
    return [str(finding) for finding in found]


def _check_distinct(arms: Mapping[str, Any]) -> None:
    """Raise ValueError for two arms that would be the same trials: an A/A control needs another form of the net."""
    for one, two in itertools.combinations(arms, 2):
        if arms[one] == arms[two]:
            raise ValueError(
                f"Study: arms must differ in net or recipe, got {one!r} and {two!r}, which are equal. Leave one out."
            )


def run(
    study: Specification,
    path: str | Path,
    *,
    jobs: int = 1,
    dask: str | None = None,
    retry_failed: bool = False,
    progress: bool | None = None,
) -> Results:
    """Train what the ledger does not have and return the results; see `Study.run`."""
    executor = choose(integer("Study.run", "jobs", jobs), dask)
    warnings = checked(study)
    digests = data_digests(study)
    with writing(path) as store:
        check_same_study(study, digests, store)
        tests = test_trials(study, digests, {})
        tuning = tune_trials(study, digests, dict.fromkeys(study.arms, study.tune.learning_rate) if study.tune else {})
        try:
            store.keep_sample(of_replicate(study.data, study.replicates, 0).test)
            if study.tune:  # an interruption while tuning leaves a ledger that can be read
                store.describe(description(study, digests, {}, tests, warnings, []))
            with progress_bar(len(tests) + len(tuning), unit="trial", shown=progress, scaled=False) as bar:
                work = _Work(study, digests, store, executor, retry_failed, bar)
                trials = test_trials(study, digests, rates := work.tuned())
                store.describe(description(study, digests, rates, trials, warnings, work.tuning))
                work.run(trials, "test")
        except KeyboardInterrupt:
            print("study: interrupted; what is complete is kept, and the next run continues there.", file=sys.stderr)
    return open_results(path)


class _Work:
    """The trials of one call of `run`."""

    def __init__(
        self,
        study: Specification,
        digests: Sequence[str],
        store: Store,
        executor: Executor,
        retry_failed: bool,
        bar: Any,
    ) -> None:
        self.study, self.digests, self.store, self.executor = study, digests, store, executor
        self.retry_failed, self.bar = retry_failed, bar
        self.seen: set[str] = set()
        self.tuning: list[Trial] = []

    def run(self, trials: Sequence[Trial], what: str) -> None:
        """Train those that are missing, recording each when it is complete."""
        new = [trial for trial in trials if trial.id not in self.seen]
        self.seen |= {trial.id for trial in new}
        missing = missing_trials(new, self.store, self.retry_failed)
        self.bar.set_description(what, refresh=False)
        # `initial` leaves what was done before out of the time that is left
        self.bar.n += (before := len(new) - len(missing))
        self.bar.initial = getattr(self.bar, "initial", 0) + before
        for trial, outcome in self.executor(missing):
            self.store.record(trial, outcome)
            self.bar.set_postfix_str(trial.arm, refresh=False)
            self.bar.update(1)

    def tuned(self) -> dict[str, float]:
        """Return the learning rate of each arm; {} without tuning. All arms extend their grids in the same rounds."""
        grid = self.study.tune
        if grid is None:
            return {}
        rates = {name: list(grid.learning_rate) for name in self.study.arms}
        while True:
            self.tuning = tune_trials(self.study, self.digests, rates)
            self.run(self.tuning, "tuning")
            found = self._criteria()
            best = {name: grid.best(found[name]) for name in rates}
            more = {name: rate for name in rates if (rate := grid.beyond(rates[name], best[name]))}
            if not more:
                return best
            self.bar.total += len(more) * len(grid.seeds)
            rates = {name: [*tried, more[name]] if name in more else tried for name, tried in rates.items()}

    def _criteria(self) -> dict[str, dict[float, list[float]]]:
        assert_grid = self.study.tune
        name = assert_grid.by.removeprefix("valid_") if assert_grid else ""
        values = {trial: v for trial, split, m, _, v in self.store.values() if split == "valid" and m == name}
        found: dict[str, dict[float, list[float]]] = {}
        for trial in self.tuning:
            by_rate = found.setdefault(trial.arm, {}).setdefault(trial.rate or 0.0, [])
            by_rate.append(values.get(trial.id, float("nan")))
        return found


def missing_trials(trials: Sequence[Trial], store: Store, retry_failed: bool) -> list[Trial]:
    """Return the trials that are to be run: without a row in the ledger, or failed ones that are to be retried."""
    recorded = store.trials()
    settled = {i for i, r in recorded.items() if (r.status == "done" and store.arrays_path(i).is_file())}
    if not retry_failed:
        settled |= {i for i, r in recorded.items() if r.status == "failed"}
    return [trial for trial in trials if trial.id not in settled]


def data_digests(study: Specification) -> list[str]:
    """Return a digest of the data of each replicate.

    A function is called for each seed; data by name and a data set are divided by the replicates, whose settings and
    seed are part of a trial's configuration anyway, so one digest is enough. Raises ValueError if replicates that are
    `Seeds` do not share a test set.
    """
    count = len(study.replicates.seeds)
    fixed = isinstance(study.data, Dataset)
    if isinstance(study.replicates, Seeds) and not fixed:
        _check_fixed_test_set(study)
    if callable(study.data) and not fixed:
        return [canonical.data_digest(study.replicates.dataset(study.data, r)) for r in range(count)]
    return [canonical.data_digest(base(study.data, 0))] * count


def _check_fixed_test_set(study: Specification) -> None:
    seen = {study.replicates.dataset(study.data, r).test.images.tobytes() for r in range(min(2, study.replicates.n))}
    if len(seen) > 1:
        raise ValueError(
            "Study: replicates must be Resplits or KFold for data whose test images depend on the seed, got Seeds. "
            f"Use study.Resplits({study.replicates.n}): it corrects for overlapping splits."
        )


def test_trials(study: Specification, digests: Sequence[str], rates: Mapping[str, float]) -> list[Trial]:
    """Return the trials of the study proper: all arms of a replicate, then the next replicate.

    An interrupted study therefore leaves complete pairs.
    """
    arms = {name: _rated(study.arm(name), rates.get(name)) for name in study.arms}
    return [
        _trial(study, "test", name, arm, replicate, seed, digests[replicate], rates.get(name))
        for replicate, seed in enumerate(study.replicates.seeds)
        for name, arm in arms.items()
    ]


def tune_trials(study: Specification, digests: Sequence[str], rates: Mapping[str, Sequence[float]]) -> list[Trial]:
    """Return the trials that choose the learning rates."""
    grid = study.tune
    if grid is None:
        return []
    return [
        _trial(study, "tune", name, _rated(study.arm(name), rate, grid.epochs), index, seed, digests[0], rate)
        for name, tried in rates.items()
        for rate in tried
        for index, seed in enumerate(grid.seeds)
    ]


def _rated(arm: Arm, rate: float | None, epochs: int | None = None) -> Arm:
    recipe: Any = arm.recipe
    if rate is not None:
        recipe = replace(recipe, optimizer=with_rate(recipe.optimizer, rate))
    return replace(arm, recipe=replace(recipe, epochs=epochs) if epochs else recipe)


def _trial(
    study: Specification,
    role: str,
    name: str,
    arm: Arm,
    replicate: int,
    seed: int,
    digest: str,
    rate: float | None,
) -> Trial:
    recipe: Recipe = arm.recipe or study.recipe
    measures = dict(study.measures) if role == "test" else {}
    identity = canonical.trial_id({
        "role": role,
        "net": canonical.canonical(arm.net),
        "recipe": recipe_text(recipe),
        "replicate": study.replicates.identity(replicate) if role == "test" else {"kind": "tune"},
        "seed": seed,
        "data": digest,
        "measures": {name: canonical.canonical(measure) for name, measure in measures.items()},
        "numerics": canonical.numerics(),
    })  # fmt: skip
    return Trial(identity, role, name, replicate, seed, arm.net, recipe, measures, study.data, study.replicates, rate)


def recipe_text(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values."""
    return {
        "optimizer": canonical.canonical(recipe.optimizer),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "label_smoothing": recipe.label_smoothing,
        "augment": None if recipe.augment is None else canonical.canonical(recipe.augment),
    }


def check_same_study(study: Specification, digests: Sequence[str], store: Store) -> None:
    """Raise ValueError if the folder has the ledger of another study: of another name, or of other data."""
    known = store.description()
    if known and (known["name"], known["data"]["digest"]) != (study.name, digests[0]):
        raise ValueError(
            f"Study.run: path must be a folder of its own for each study, got {store.folder}, which has "
            f"{known['name']!r} on {known['data']['name']}. Use another folder, or the same name and data."
        )


def description(
    study: Specification,
    digests: Sequence[str],
    rates: Mapping[str, float],
    trials: Sequence[Trial],
    warnings: Sequence[str],
    tuning: Sequence[Trial],
) -> dict[str, Any]:
    """Return what a report needs to know beside the trials, as plain values."""
    parts = of_replicate(study.data, study.replicates, 0)
    shape = parts.train.images.shape[1:]
    sizes = {part: len(getattr(parts, part)) for part in ("train", "valid", "test")}
    return {
        "name": study.name,
        "control": study.control,
        "controls": study.controls(),
        "rope": {measure: study.rope_of(measure) for measure in study.measures},
        "measures": {name: canonical.canonical(measure) for name, measure in study.measures.items()},
        "replicates": records.to_json(study.replicates),
        "seeds": list(study.replicates.seeds),
        "data": {
            "name": parts.name,
            "digest": digests[0],
            "shape": list(map(int, shape)),
            "classes": list(parts.classes),
            **sizes,
        },
        "recipe": recipe_text(study.recipe),
        "tune": None if study.tune is None else records.to_json(study.tune),
        "arms": {name: _arm(study, name, shape, rates.get(name)) for name in study.arms},
        "trials": [_place(trial) for trial in trials],
        "tuning": [_place(trial) for trial in tuning],
        "warnings": list(warnings),
        "environment": {**environment(), **canonical.numerics()},
        "command": shlex.join(sys.argv),
    }


def _place(trial: Trial) -> dict[str, Any]:
    """Return a trial's id and its place in the study: an arm that is renamed keeps its trials."""
    return {"id": trial.id, "arm": trial.arm, "replicate": trial.replicate, "seed": trial.seed, "rate": trial.rate}


def _arm(study: Specification, name: str, shape: tuple[int, ...], rate: float | None) -> dict[str, Any]:
    arm = study.arm(name)
    size = summary(arm.net, shape)
    return {
        "net": canonical.canonical(arm.net),
        "repr": repr(arm.net),
        "recipe": recipe_text(_rated(arm, rate).recipe or study.recipe),
        "rate": rate or rate_of((arm.recipe or study.recipe).optimizer),
        "factors": dict(arm.factors),
        "control": arm.control,
        "same_as": arm.same_as,
        "about": arm.about,
        "parameters": size.parameters,
        "multiply_adds": size.multiply_adds,
    }
