"""A study as a value: the recipe, the arms and the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minicnn.layers import Layer
from minicnn.optim import Optimizer
from minicnn.train.loop import Augment


@dataclass(frozen=True)
class Recipe:
    """How every arm is trained: the data set, the optimizer and the number of epochs."""

    dataset: str
    optimizer: Optimizer
    epochs: int
    batch_size: int = 64
    label_smoothing: float = 0.0
    augment: Augment | None = None


@dataclass(frozen=True)
class Study:
    """Networks by name (the arms), each trained by one recipe with each of the seeds."""

    recipe: Recipe
    arms: Mapping[str, Layer]
    seeds: tuple[int, ...]

    def jobs(self) -> list[tuple[str, int]]:
        """Return (arm, seed) in the order of execution: all arms of a seed, then the next seed.

        An interrupted study therefore leaves complete pairs.
        """
        return [(arm, seed) for seed in self.seeds for arm in self.arms]
