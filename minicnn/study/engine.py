"""Running a study: check it, find what the ledger does not have, train that, record it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn.data import Dataset
from minicnn.notebook import progress_bar
from minicnn.study import canonical, checks
from minicnn.study.description import check_same_study, description
from minicnn.study.executors import Executor, choose
from minicnn.study.replicates import Seeds, base, of_replicate
from minicnn.study.results import Results, open_results
from minicnn.study.spec import Specification
from minicnn.study.store import Store, writing
from minicnn.study.trial import Trial
from minicnn.study.trials import recipe_text, test_trials, tune_trials
from minicnn.validation import integer


def checked(study: Specification) -> list[str]:
    """Raise ValueError or TypeError for a study that cannot be trained as it is; return warnings about its design."""
    of_replicate.cache_clear()  # a function of the seed may return other images than before
    parts = of_replicate(study.data, study.replicates, 0)
    if study.tune and not len(parts.valid):
        raise ValueError("Study: data must have validation images for tune, got none. Use tune=None, or hold some out.")
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
        control=study.control,
        twins={name: arm.control for name, arm in arms.items() if arm.control},
    )
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
        name = self.study.tune.by.removeprefix("valid_") if self.study.tune else ""
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
    # data by name have one rule for all seeds; a function may have any
    count = min(2, study.replicates.n) if isinstance(study.data, str) else study.replicates.n
    tests = (study.replicates.dataset(study.data, r).test for r in range(count))
    seen = {(test.images.tobytes(), test.labels.tobytes()) for test in tests}
    if len(seen) > 1:
        raise ValueError(
            "Study: replicates must be Resplits or KFold for data whose test images depend on the seed, got Seeds. "
            f"Use study.Resplits({study.replicates.n}): it corrects for overlapping splits."
        )
