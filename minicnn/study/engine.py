"""Running a study: check it, find what the ledger does not have, train and measure that, record it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minicnn.data import Dataset
from minicnn.notebook import progress_bar
from minicnn.study import canonical, checks
from minicnn.study.description import check_same_study, description
from minicnn.study.executors import Executor, chosen
from minicnn.study.images import base
from minicnn.study.interruption import signals_interrupt
from minicnn.study.missing import Search, searched, work_left
from minicnn.study.opening import open_results
from minicnn.study.replicates import Seeds, forget, of_replicate, of_tuning
from minicnn.study.results import Results
from minicnn.study.spec import Specification
from minicnn.study.store import Store, writing
from minicnn.study.trial import Outcome, Trial
from minicnn.study.trials import recipe_text, test_trials
from minicnn.validation import integer

AT_A_TIME = 64
"""Trials whose parameters are read at a time to be measured, so that memory does not grow with the study."""


def checked(study: Specification) -> list[str]:
    """Raise ValueError or TypeError for a study that cannot be trained as it is; return warnings about its design."""
    forget()
    study.replicates.check(study.data)
    parts = of_replicate(study.data, study.replicates, 0)
    if not len(parts.test):
        raise ValueError("Study: data must have test images, got none. Hold some out, such as test=0.2.")
    if study.tune and not len(of_tuning(study.data, study.replicates, study.tune.seeds[0]).valid):
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
    study: Specification, path: str | Path, *, jobs: int, dask: str | None, retry_failed: bool, progress: bool | None
) -> Results:
    """Train and measure what the ledger does not have and return the results; see `Study.run`."""
    integer("Study.run", "jobs", jobs)
    warnings = checked(study)
    digests = data_digests(study)
    with signals_interrupt(), writing(path) as store:
        check_same_study(study, digests, store)
        try:
            store.keep_sample(of_replicate(study.data, study.replicates, 0).test)
            with chosen(jobs, dask) as executor, _bar(study, progress) as bar:
                _Work(study, digests, warnings, store, executor, retry_failed, bar).all()
        except KeyboardInterrupt:
            print("study: interrupted; what is complete is kept, and the next run continues there.", file=sys.stderr)
    return open_results(path)


def _bar(study: Specification, progress: bool | None) -> Any:
    total = len(study.arms) * study.replicates.n
    return progress_bar(total, unit="trial", shown=progress, scaled=False)


@dataclass
class _Work:
    """The trials of one call of `run`; `seen` are those that it has come to."""

    study: Specification
    digests: Sequence[str]
    warnings: Sequence[str]
    store: Store
    executor: Executor
    retry_failed: bool
    bar: Any
    seen: set[str] = field(default_factory=set)

    def all(self) -> None:
        """Tune until each arm has its learning rate or has failed, then train and measure the study proper."""
        self.describe(search := searched(self.study, self.store))
        while new := [trial for trial in search.trials if trial.id not in self.seen]:
            self.bar.total += len(new)
            self.run(new, "tuning")
            search = searched(self.study, self.store)
        trials = self.describe(search)
        self.fail([trial for trial in trials if trial.arm in search.failures], search.failures)
        self.run([trial for trial in trials if trial.arm not in search.failures], "test")

    def describe(self, search: Search) -> list[Trial]:
        """Write down what the study consists of, as far as that is known; return its trials."""
        trials = test_trials(self.study, self.digests, search.rates)
        self.store.describe(description(self.study, self.digests, search.rates, trials, self.warnings, search.trials))
        return trials

    def run(self, new: Sequence[Trial], what: str) -> None:
        """Train and measure what is missing, recording each trial when it is complete."""
        self.seen |= {trial.id for trial in new}
        left = work_left(new, self.store, self.retry_failed)
        # `initial` leaves what was done before out of the time that is left
        self.bar.n += (before := len(new) - len(left.train) - len(left.measure))
        self.bar.initial = getattr(self.bar, "initial", 0) + before
        if left.damaged:
            where = self.store.folder / "trials"
            files, are, they = ("file", "is", "it is") if left.damaged == 1 else ("files", "are", "they are")
            said = f"study: {left.damaged} {files} in {where} {are} missing or damaged; {they} made again."
            print(said, file=sys.stderr)
        for start in range(0, len(left.measure), AT_A_TIME):
            some = left.measure[start : start + AT_A_TIME]
            self._run([replace(trial, params=self.store.params(trial.id)) for trial in some], "measure")
        self._run(left.train, what)

    def fail(self, trials: Sequence[Trial], failures: Mapping[str, str]) -> None:
        """Record the trials of arms that have no learning rate as failed."""
        recorded = self.store.trials()
        for trial in trials:
            if trial.id not in recorded or (self.retry_failed and recorded[trial.id].status == "failed"):
                self.store.record(trial, Outcome(trial.id, error=failures[trial.arm]))
            self.bar.update(1)

    def _run(self, trials: Sequence[Trial], what: str) -> None:
        self.bar.set_description(what, refresh=False)
        for trial, outcome in self.executor(trials):
            self.store.record(trial, outcome)
            self.bar.set_postfix_str(trial.arm, refresh=False)
            self.bar.update(1)


def data_digests(study: Specification) -> list[str]:
    """Return a digest of the data of each replicate.

    A function is called for each seed; data by name and a data set are divided by the replicates, whose settings and
    seed are part of a trial's configuration anyway, so one digest is enough. Raises ValueError if replicates that are
    `Seeds` do not share a test set.
    """
    count = len(study.replicates.seeds)
    fixed = isinstance(study.data, Dataset)
    if isinstance(study.replicates, Seeds) and not fixed:
        _check_fixed_test_set(study, study.replicates)
    if callable(study.data) and not fixed:
        return [canonical.data_digest(study.replicates.dataset(study.data, r)) for r in range(count)]
    return [canonical.data_digest(base(study.data, 0))] * count


def _check_fixed_test_set(study: Specification, replicates: Seeds) -> None:
    # data by name have one rule for all seeds; a function may have any, for tuning as well
    seeds = replicates.seeds[:2] if isinstance(study.data, str) else (*replicates.seeds, *_tuning_seeds(study))
    tests = (base(study.data, seed).test for seed in seeds)
    seen = {(test.images.tobytes(), test.labels.tobytes()) for test in tests}
    if len(seen) > 1:
        raise ValueError(
            "Study: replicates must be Resplits or KFold for data whose test images depend on the seed, got Seeds. "
            f"Use study.Resplits({replicates.n}): it corrects for overlapping splits."
        )


def _tuning_seeds(study: Specification) -> tuple[int, ...]:
    return study.tune.seeds if study.tune else ()
