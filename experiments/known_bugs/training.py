"""Training a network on the digits once, and what is recorded of it."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn import data, train
from minicnn.layers import Layer
from minicnn.study import Recipe


@dataclass(frozen=True)
class Run:
    """The test accuracy of a network after training with a seed, and the training loss of each epoch."""

    seed: int
    test_accuracy: float
    losses: tuple[float, ...]


def run_once(recipe: Recipe, net: Layer, seed: int) -> Run:
    """Train and test; KeyboardInterrupt if Ctrl-C ended the training early, because such a run does not count."""
    digits = data.load("digits", seed=seed)
    result = train.fit(
        net,
        digits.train,
        valid=digits.valid,
        optimizer=recipe.optimizer,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        progress=False,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    losses = tuple(float(loss) for loss in result.history["loss"])
    return Run(seed, train.evaluate(net, result.params, digits.test).accuracy, losses)
