"""How long a trial will take, from one batch of training and from the measures of a few images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from minicnn import kernels, train
from minicnn.data import Dataset
from minicnn.layers import Layer
from minicnn.study.measures import Measure
from minicnn.study.replicates import of_replicate
from minicnn.study.spec import Recipe, Specification

FEW, SOME = 16, 64
"""Test images that are measured, to tell what a measure takes for each image from what it takes once."""


@dataclass(frozen=True)
class Probe:
    """CPU seconds of an arm: of a batch of `images` in training, and of each measure on all test images."""

    batch: float
    images: int
    measures: Mapping[str, float]

    def training(self, images: int, recipe: Recipe) -> float:
        """Return the expected time to train with a recipe on so many images."""
        return self.batch * recipe.epochs * images / self.images


def probed(study: Specification, name: str) -> Probe:
    """Return how long an arm takes on one core."""
    arm, parts = study.arm(name), of_replicate(study.data, study.replicates, 0)
    recipe = arm.recipe or study.recipe
    batch = parts.train[: recipe.batch_size]
    with kernels.one_thread():

        def trained() -> Any:
            return train.fit(
                arm.net, batch, optimizer=recipe.optimizer, epochs=1, batch_size=recipe.batch_size, progress=False
            ).params

        params = trained()  # the first time also loads or compiles kernels
        seconds = _took(trained)
        measures = {m: _measuring(measure, arm.net, params, parts) for m, measure in study.measures.items()}
    return Probe(seconds, len(batch), measures)


def _measuring(measure: Measure, net: Layer, params: Any, parts: Dataset) -> float:
    """Return the expected time of a measure; 0 if it fails with these parameters, as a trial will say."""
    count = min(len(parts.test), getattr(measure, "first", None) or len(parts.test))
    few, some = (replace(parts, test=parts.test[: min(count, images)]) for images in (FEW, SOME))
    try:
        measure(net, params, few)
        short, long = (_took(lambda part=part: measure(net, params, part)) for part in (few, some))  # type: ignore[misc]
    except Exception:
        return 0.0
    more = len(some.test) - len(few.test)
    return long + max(0.0, long - short) * (count - len(some.test)) / max(more, 1)


def _took(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began
