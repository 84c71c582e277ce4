"""A classifier's net with its scaling in front and probabilities at its end, as one net."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.estimator.rows import Scale
from minicnn.layers import BatchNormalization, Layer, Sequential, Softmax

EPSILON = 1e-12
"""What batch normalization adds to the variance; it is taken off again before."""


def scaled_net(net: Layer, params: Any, scale: Scale, shape: tuple[int, ...]) -> tuple[Sequential, Any]:
    """Return `softmax(net((x - mean) / sd))` as a net, and its parameters.

    Batch normalization with stored statistics is the scaling: (x - mean) / sqrt(variance + epsilon).
    """
    whole = Sequential([BatchNormalization(epsilon=EPSILON), net, Softmax()])
    norm, inner, *_ = whole.init(np.random.default_rng(0), shape)
    channels = np.ones(shape[-1])
    statistics = {
        "gamma": channels,
        "beta": 0 * channels,
        "moving_mean": scale.mean * channels,
        "moving_variance": scale.sd**2 * channels - EPSILON,
    }
    return whole, {norm: {name: value.astype(np.float32) for name, value in statistics.items()}, inner: params}
