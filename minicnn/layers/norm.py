"""Batch normalization without hidden state.

Training (rng given) uses the batch's own statistics. For evaluation `calibrate` runs data through the net once and
stores the population statistics in the parameters. No running average changes during training, so
evaluation depends only on `params` and the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape
from minicnn.layers.base import Layer, Params, checked, leaf
from minicnn.ops.norm import batch_norm_shape, moments
from minicnn.validation import ShapeError, number

LEAVES = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True, repr=False)
class BatchNormalization(Layer):
    """Normalize each channel to mean `beta` and standard deviation `gamma`: (..., C) -> (..., C).

    Parameters `gamma, beta, moving_mean, moving_variance`, each (C,). The last two take no gradient: they come
    from `calibrate`, and are 0 and 1 before that.
    """

    epsilon: float = checked(1e-3, number, above=0)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the input."""
        if not shape:
            raise ShapeError(
                "batch_normalization", "the input must have an axis of channels, got shape ()", "Use (features,)."
            )
        return shape

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Return (C,) for each of the four."""
        return dict.fromkeys(LEAVES, self.output_shape(shape)[-1:])

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Return ones for scales and variances, zeros for the others."""
        makers = (np.ones, np.zeros, np.zeros, np.ones)
        shapes = self.param_shapes(shape).items()
        return {name: make(size, np.float32) for make, (name, size) in zip(makers, shapes, strict=True)}

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Normalize a batch, by its own statistics if training."""
        if rng is not None:
            gamma, beta, _, _ = (leaf(self, params, name) for name in LEAVES)
            return ops.batch_norm(x, gamma, beta, epsilon=self.epsilon)
        scale, shift = self.factors(params)
        return x * scale + shift

    def factors(self, params: Params) -> tuple[Any, Any]:
        """Return by what evaluation multiplies each channel, and what it then adds."""
        gamma, beta, mean, variance = (leaf(self, params, name) for name in LEAVES)
        scale = gamma / ops.sqrt(variance + self.epsilon)
        return scale, beta - mean * scale

    def calibrate(self, params: Params, x: np.ndarray) -> tuple[Params, Any]:
        """Store mean and (population) variance of this batch, as accurate as those of `ops.batch_norm`."""
        batch_norm_shape(x.shape, x.shape[-1:], x.shape[-1:])  # an empty batch has no statistics
        _, pivot, mean, variance = moments(x)
        params = {**params, "moving_mean": pivot + mean, "moving_variance": variance}
        return params, self(params, x)
