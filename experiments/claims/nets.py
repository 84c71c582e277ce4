"""What all studies of the claims use for a data set: images with a margin, recipe, replicates and widths."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from minicnn import data, optim, schedules
from minicnn.data import Dataset
from minicnn.layers import Classifier, Layer, MaxPooling2D, Sequential
from minicnn.models import pooled_cnn
from minicnn.study.measures import Measure
from minicnn.study.replicates import Replicates, Resplits, Seeds
from minicnn.study.spec import Arm, Recipe
from minicnn.study.study import Study
from minicnn.study.transforms import padded
from minicnn.study.tuning import Grid
from minicnn.validation import shown

MARGIN = 2
"""Pixels of background around the images, so that a shift by two moves nothing out of them."""


@dataclass(frozen=True)
class Framed:
    """A data set by name, with a margin of zeros around its images: a function of the seed, as a study takes it."""

    name: str
    margin: int = MARGIN

    def __call__(self, seed: int) -> Dataset:
        """Return the images."""
        return padded(data.load(self.name, seed=seed), self.margin)


@dataclass(frozen=True)
class Setting:
    """A data set with the recipe and the repetitions of the studies on it.

    `rope` is the largest difference of accuracies on unchanged images that does not matter, `rope_changed` that on
    changed ones, both as fractions.
    """

    source: Framed
    recipe: Recipe
    replicates: Replicates
    shape: tuple[int, int, int]
    rope: float
    rope_changed: float = 0.01
    filters: tuple[int, int] = (16, 32)
    rounds: int = 15
    within: float = 0.02
    tune: Grid | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def study(self, name: str, arms: dict[str, Layer | Arm], control: str, measures: dict[str, Measure]) -> Study:
        """Return a study of this setting."""
        rope = {measure: self.rope if measure == "accuracy" else self.rope_changed for measure in measures}
        return Study(
            arms,
            control=control,
            data=self.source,
            recipe=self.recipe,
            replicates=self.replicates,
            measures=measures,
            rope=rope,
            tune=self.tune,
            name=name,
        )

    def pooled(self, trunk: str, head: str | Layer = "flatten", **options: Any) -> Layer:
        """Return a net that pools between convolutions."""
        return pooled_cnn(trunk, head, **{"filters": self.filters, **self.options, **options})


# One learning rate for all arms would decide some of the claims: each arm's is chosen on validation images.
TUNE = Grid((1e-2, 3e-2, 1e-1), seeds=(1000,))

SETTINGS = {
    "digits": Setting(
        Framed("digits"),
        Recipe(optim.Adam(schedules.OneCycle(3e-2)), epochs=12),
        Resplits(8, tuning=0.25),
        shape=(12, 12, 1),
        rope=0.005,
        tune=TUNE,
    ),
    "mnist": Setting(
        Framed("mnist"),
        Recipe(optim.Adam(schedules.OneCycle(1e-2)), epochs=2, batch_size=128),
        Seeds(5),
        shape=(32, 32, 1),
        rope=0.001,
        tune=replace(TUNE, epochs=1),
        options={"batch_norm": True},
    ),
}


def without_pooling(net: Layer) -> Layer:
    """Return a `Classifier` with the poolings of its trunk taken out; its head must take maps of any size."""
    if not isinstance(net, Classifier) or not isinstance(net.trunk, Sequential):
        raise TypeError(f"without_pooling: net must be a Classifier with a Sequential trunk, got {shown(net)}.")
    layers = [layer for layer in net.trunk.layers if not isinstance(layer, MaxPooling2D)]
    return replace(net, trunk=Sequential(layers))
