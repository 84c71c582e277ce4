"""The plan of a study, made without training it: trials, sizes, expected time, and what it can decide."""

from __future__ import annotations

import html
import math
import time
from dataclasses import dataclass
from pathlib import Path

from minicnn import kernels, train
from minicnn.layers import summary
from minicnn.notebook import html_table
from minicnn.study import engine
from minicnn.study.replicates import of_replicate
from minicnn.study.spec import Specification
from minicnn.study.statistics import power, smallest_difference
from minicnn.study.store import FILE, reading
from minicnn.study.trials import test_trials, tune_trials

SD = 0.005
"""The standard deviation of a paired difference of accuracies that is assumed unless one is given: half a point,
between the 0.1 of MNIST and the 0.7 of digits."""


@dataclass(frozen=True)
class PlannedArm:
    """An arm of the plan; `seconds` is the expected CPU time of one of its trials."""

    arm: str
    parameters: int
    multiply_adds: int
    seconds: float


@dataclass(frozen=True, repr=False)
class Plan:
    """What a study would do.

    Attributes
    ----------
    arms : tuple of PlannedArm
    trials, done : int
        All trials of the study proper and of tuning (before any grid is extended), and how many the ledger has.
    cpu_seconds : float
        The expected CPU time of those that are missing, from the time of one batch per arm.
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
        lines = [f"{'arm':{width}}  parameters  multiply-adds  CPU seconds per trial"]
        lines += [
            f"{a.arm:{width}}  {a.parameters:>10,}  {a.multiply_adds:>13,}  {a.seconds:>21.2f}" for a in self.arms
        ]
        return "\n".join([*lines, "", *self.sentences(), *self.warnings])

    def sentences(self) -> list[str]:
        """Return what the numbers mean."""
        return [
            f"{self.trials} trials, of which {self.done} are in the ledger; about {self.cpu_seconds:,.0f} CPU seconds "
            "for the others.",
            f"If paired differences have a standard deviation of {100 * self.sd:.2f} percentage points, a difference "
            f"of {100 * self.smallest:.2f} is decided with a probability of 80 %, and one of "
            f"{200 * self.rope:.2f} with {100 * self.power:.0f} %.",
        ]

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = [(a.arm, f"{a.parameters:,}", f"{a.multiply_adds:,}", f"{a.seconds:.2f}") for a in self.arms]
        words = "".join(f"<p>{html.escape(line)}</p>" for line in (*self.sentences(), *self.warnings))
        return html_table(("arm", "parameters", "multiply-adds", "CPU seconds per trial"), rows) + words


def plan(study: Specification, path: str | Path | None = None, *, sd: float = SD) -> Plan:
    """Return the plan of a study; `path` is the folder whose ledger may have a part of it already."""
    warnings = engine.checked(study)
    digests = engine.data_digests(study)
    trials = test_trials(study, digests, {})
    rates = dict.fromkeys(study.arms, study.tune.learning_rate) if study.tune else {}
    tuning = tune_trials(study, digests, rates)
    known = _known(path)
    arms = [_probed(study, name) for name in study.arms]
    seconds = {arm.arm: arm.seconds for arm in arms}
    missing = [t for t in (*trials, *tuning) if t.id not in known]
    parts = of_replicate(study.data, study.replicates, 0)
    factor = study.replicates.factor(len(parts.train), len(parts.test))
    contrasts, n, rope = max(len(study.controls()), 1), len(study.replicates.seeds), study.rope_of("accuracy")
    level = 0.05 / contrasts
    return Plan(
        arms=tuple(arms),
        trials=len(trials) + len(tuning),
        done=len(trials) + len(tuning) - len(missing),
        cpu_seconds=sum(seconds[trial.arm] for trial in missing),
        rope=rope,
        sd=sd,
        smallest=smallest_difference(sd, n, rope=rope, level=level, factor=factor) if n > 1 else math.inf,
        power=power(2 * rope, sd, n, rope=rope, level=level, factor=factor) if n > 1 else 0.0,
        warnings=tuple(warnings),
    )


def _known(path: str | Path | None) -> set[str]:
    if path is None or not (Path(path) / FILE).is_file():
        return set()
    with reading(path) as store:
        return {identity for identity, trial in store.trials().items() if trial.status == "done"}


def _probed(study: Specification, name: str) -> PlannedArm:
    """Return the arm with the expected time of a trial: that of one batch, times the number of batches."""
    arm, parts = study.arm(name), of_replicate(study.data, study.replicates, 0)
    recipe = arm.recipe or study.recipe
    batch = parts.train[: recipe.batch_size]
    with kernels.one_thread():
        took = []
        for _ in range(2):  # the first one also loads or compiles kernels
            began = time.process_time()
            train.fit(
                arm.net, batch, optimizer=recipe.optimizer, epochs=1, batch_size=recipe.batch_size, progress=False
            )
            took.append(time.process_time() - began)
    size = summary(arm.net, parts.train.images.shape[1:])
    seconds = took[-1] * recipe.epochs * len(parts.train) / len(batch)
    return PlannedArm(name, size.parameters, size.multiply_adds, seconds)
