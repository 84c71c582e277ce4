"""The trials of a study: which arm is trained with which recipe, seed and data, and under which id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from minicnn.study import canonical
from minicnn.study.spec import Arm, Recipe, Specification
from minicnn.study.trial import Trial
from minicnn.study.tuning import with_rate


def test_trials(study: Specification, digests: Sequence[str], rates: Mapping[str, float]) -> list[Trial]:
    """Return the trials of the study proper: all arms of a replicate, then the next replicate.

    An interrupted study therefore leaves complete pairs.
    """
    arms = {name: rated(study.arm(name), rates.get(name)) for name in study.arms}
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
        _trial(study, "tune", name, rated(study.arm(name), rate, grid.epochs), index, seed, digests[0], rate)
        for name, tried in rates.items()
        for rate in tried
        for index, seed in enumerate(grid.seeds)
    ]


def rated(arm: Arm, rate: float | None, epochs: int | None = None) -> Arm:
    """Return the arm with another learning rate or another number of epochs in its recipe."""
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
