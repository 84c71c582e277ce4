"""The trials of a study: which arm is trained with which recipe, seed and data, and under which id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from minicnn.study import canonical
from minicnn.study.measures import Measure
from minicnn.study.replicates import of_tuning
from minicnn.study.spec import Arm, Recipe, Specification
from minicnn.study.trial import Known, Trial
from minicnn.study.tuning import with_rate


def test_trials(study: Specification, digests: Sequence[str], rates: Mapping[str, float]) -> list[Trial]:
    """Return the trials of the study proper: all arms of a replicate, then the next replicate.

    An interrupted study therefore leaves complete pairs.
    """
    arms = {name: rated(study.arm(name), rates.get(name)) for name in study.arms}
    make = _maker(study, study.measures)
    return [
        make("test", name, arm, replicate, seed, digests[replicate], rates.get(name))
        for replicate, seed in enumerate(study.replicates.seeds)
        for name, arm in arms.items()
    ]


def tune_trials(study: Specification, rates: Mapping[str, Sequence[float]]) -> list[Trial]:
    """Return the trials that choose the learning rates."""
    grid = study.tune
    if grid is None:
        return []
    make = _maker(study, {})
    digests = [canonical.data_digest(of_tuning(study.data, study.replicates, seed)) for seed in grid.seeds]
    return [
        make("tune", name, arm, index, seed, digests[index], rate)
        for name, tried in rates.items()
        for rate in tried
        for arm in [rated(study.arm(name), rate, grid.epochs)]
        for index, seed in enumerate(grid.seeds)
    ]


def rated(arm: Arm, rate: float | None, epochs: int | None = None) -> Arm:
    """Return the arm with another learning rate or another number of epochs in its recipe."""
    recipe: Any = arm.recipe
    if rate is not None:
        recipe = replace(recipe, optimizer=with_rate(recipe.optimizer, rate))
    return replace(arm, recipe=replace(recipe, epochs=epochs) if epochs else recipe)


def _maker(study: Specification, measures: Mapping[str, Measure]) -> Callable[..., Trial]:
    """Return a function that makes the trials of a study; what all of them share is described once."""
    measure_ids = {name: canonical.measure_id(measure) for name, measure in measures.items()}
    numerics = canonical.numerics()
    nets = {name: canonical.canonical(study.arm(name).net) for name in study.arms}

    def make(role: str, name: str, arm: Arm, replicate: int, seed: int, digest: str, rate: float | None) -> Trial:
        recipe: Recipe = arm.recipe or study.recipe
        identity = canonical.trial_id({
            "role": role,
            "net": nets[name],
            "recipe": recipe_text(recipe),
            "replicate": study.replicates.identity(replicate) if role == "test" else {"kind": "tune"},
            "seed": seed,
            "data": digest,
            "numerics": numerics,
        })  # fmt: skip
        plain = (identity, role, name, replicate, seed, arm.net, recipe)
        source = study.data if isinstance(study.data, str) else Known(digest, study.data)
        return Trial(*plain, dict(measures), measure_ids, source, study.replicates, rate)

    return make


def recipe_text(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values."""
    return {
        "optimizer": canonical.canonical(recipe.optimizer),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "label_smoothing": recipe.label_smoothing,
        "augment": None if recipe.augment is None else canonical.canonical(recipe.augment),
    }
