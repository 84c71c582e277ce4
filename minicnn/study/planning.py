"""The plan of a study, made without training it: trials, sizes, expected time, and what it can decide."""

from __future__ import annotations

import contextlib
import html
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from minicnn.layers import summary
from minicnn.notebook import html_table
from minicnn.study import engine
from minicnn.study.missing import Left, Search, searched, work_left
from minicnn.study.probing import Probe, probed
from minicnn.study.replicates import of_replicate, of_tuning
from minicnn.study.spec import Specification
from minicnn.study.statistics import power, smallest_difference
from minicnn.study.store import Store, has_begun, reading
from minicnn.study.trial import Trial
from minicnn.study.trials import test_trials

SD = 0.005
"""The standard deviation of a paired difference of accuracies that is assumed unless one is given: half a point,
between the 0.1 of MNIST and the 0.7 of digits."""


@dataclass(frozen=True)
class PlannedArm:
    """An arm of the plan.

    `seconds` is the expected CPU time of one of its trials, with its measures; `rate` its learning rate, None before
    tuning has found it.
    """

    arm: str
    parameters: int
    multiply_adds: int
    seconds: float
    rate: float | None = None


@dataclass(frozen=True, repr=False)
class Plan:
    """The plan of a study: what it would train, how long that takes, and what it can decide.

    Attributes
    ----------
    arms : tuple of PlannedArm
    trials, done : int
        All trials of the study proper and of tuning, as far as grids have been extended, and how many are trained or
        have failed.
    to_train, to_measure : int
        How many are to be trained, and how many that are trained lack a measure.
    cpu_seconds : float
        The expected CPU time of that, from the time of one batch and of the measures of some images per arm.
    rope, sd : float
        The region of equivalence and the assumed standard deviation of a paired difference of accuracies.
    smallest : float
        The smallest difference that the study would call better or worse with a probability of 80 %.
    power : float
        The probability of calling a difference of twice `rope` better or worse.
    warnings : tuple of str
        What the checks say about the design.
    """

    arms: tuple[PlannedArm, ...]
    trials: int
    done: int
    to_train: int
    to_measure: int
    cpu_seconds: float
    rope: float
    sd: float
    smallest: float
    power: float
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        trials = f"{self.done} of {self.trials} trials done"
        return f"Plan({len(self.arms)} arms, {trials}, {self.cpu_seconds:,.0f} CPU seconds for the others)"

    def __str__(self) -> str:
        width = max(len(arm.arm) for arm in self.arms)
        tuned = any(arm.rate for arm in self.arms)
        lines = [f"{'arm':{width}}  parameters  multiply-adds  CPU seconds per trial" + "  learning rate" * tuned]
        lines += [
            f"{a.arm:{width}}  {a.parameters:>10,}  {a.multiply_adds:>13,}  {a.seconds:>21.2f}"
            + f"  {_written(a.rate):>13}" * tuned
            for a in self.arms
        ]
        return "\n".join([*lines, "", *self.sentences(), *self.warnings])

    def sentences(self) -> list[str]:
        """Return what the numbers mean."""
        todo = (
            f"{self.trials} trials, of which {self.done} are in the ledger: {self.to_train} trials to train, "
            f"{self.to_measure} to measure, in about {self.cpu_seconds:,.0f} CPU seconds."
        )
        if math.isinf(self.smallest):
            return [todo, "One replicate decides no difference."]
        decided = (
            f"If paired differences have a standard deviation of {100 * self.sd:.2f} percentage points, a difference "
            f"of {100 * self.smallest:.2f} is decided with a probability of 80 %, and one of "
            f"{200 * self.rope:.2f} with {100 * self.power:.0f} %."
        )
        return [todo, decided]

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = [(a.arm, f"{a.parameters:,}", f"{a.multiply_adds:,}", f"{a.seconds:.2f}") for a in self.arms]
        words = "".join(f"<p>{html.escape(line)}</p>" for line in (*self.sentences(), *self.warnings))
        return html_table(("arm", "parameters", "multiply-adds", "CPU seconds per trial"), rows) + words


def plan(study: Specification, path: str | Path | None = None, *, sd: float = SD) -> Plan:
    """Return the plan of a study; `path` is the folder whose ledger may have a part of it already."""
    warnings = engine.checked(study)
    digests = engine.data_digests(study)
    probes = {name: probed(study, name) for name in study.arms}
    with _ledger(path) as store:
        search = searched(study, store)
        trials = [*test_trials(study, digests, search.rates), *search.trials]
        left = _left(study, trials, search, store)
    parts = of_replicate(study.data, study.replicates, 0)
    factor = study.replicates.factor(len(parts.train), len(parts.test))
    contrasts, n, rope = max(len(study.controls()), 1), len(study.replicates.seeds), study.rope_of("accuracy")
    level = 0.05 / contrasts
    rates = {name: rate for name, rate in search.rates.items() if name not in search.failures}
    return Plan(
        arms=tuple(_planned(study, name, probe, len(parts.train), rates.get(name)) for name, probe in probes.items()),
        trials=len(trials),
        done=len(trials) - len(left.train),
        to_train=len(left.train),
        to_measure=len(left.measure),
        cpu_seconds=_seconds(study, left, probes),
        rope=rope,
        sd=sd,
        smallest=smallest_difference(sd, n, rope=rope, level=level, factor=factor) if n > 1 else math.inf,
        power=power(2 * rope, sd, n, rope=rope, level=level, factor=factor) if n > 1 else 0.0,
        warnings=(*warnings, *search.failures.values()),
    )


@contextlib.contextmanager
def _ledger(path: str | Path | None) -> Iterator[Store | None]:
    """Open the ledger in a folder, if one has begun there."""
    if path is None or not has_begun(path):
        yield None
        return
    with reading(path) as store:
        yield store


def _left(study: Specification, trials: Sequence[Trial], search: Search, store: Store | None) -> Left:
    """Return what is to be done; an arm that has no learning rate yet has all of its trials before it."""
    pending = {name for name in study.arms if study.tune and name not in search.rates}
    waits = [trial.role == "test" and trial.arm in pending for trial in trials]
    left = work_left([trial for trial, later in zip(trials, waits, strict=True) if not later], store)
    waiting = list(itertools.compress(trials, waits))
    # those of an arm that has failed are recorded without training
    train = [trial for trial in left.train if trial.role == "tune" or trial.arm not in search.failures]
    return replace(left, train=[*waiting, *train])


def _seconds(study: Specification, left: Left, probes: Mapping[str, Probe]) -> float:
    sizes = _train_sizes(study)
    training = sum(probes[t.arm].training(sizes[t.role], t.recipe) for t in left.train)
    return training + sum(probes[t.arm].measures[name] for t in (*left.train, *left.measure) for name in t.measures)


def _train_sizes(study: Specification) -> dict[str, int]:
    sizes = {"test": len(of_replicate(study.data, study.replicates, 0).train)}
    if study.tune:
        sizes["tune"] = len(of_tuning(study.data, study.replicates, study.tune.seeds[0]).train)
    return sizes


def _planned(study: Specification, name: str, probe: Probe, images: int, rate: float | None) -> PlannedArm:
    arm = study.arm(name)
    size = summary(arm.net, of_replicate(study.data, study.replicates, 0).train.images.shape[1:])
    seconds = probe.training(images, arm.recipe or study.recipe) + sum(probe.measures.values())
    return PlannedArm(name, size.parameters, size.multiply_adds, seconds, rate)


def _written(rate: float | None) -> str:
    return "" if rate is None else f"{rate:g}"
