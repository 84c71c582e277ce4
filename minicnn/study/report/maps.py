"""Class maps: how much each place of a net's last feature map contributes to the score of a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import value_and_grad
from minicnn.layers import Classifier
from minicnn.layers.base import Params


def class_map(net: Classifier, params: Params, image: np.ndarray, label: int) -> tuple[np.ndarray, float, float]:
    """Return the contributions (H, W) to the score of class `label` for one image (H, W, C), the score, and the bias.

    The contribution of a place is the sum over its channels of feature * d score / d feature. For heads that scale
    with their input (flatten, maximum, average and generalized means, followed by one dense layer) the contributions
    add up to the score less the bias, by Euler's theorem for homogeneous functions; for log-mean-exp they do not.

    >>> from minicnn import models
    >>> net = models.small_cnn("global-max", filters=(4,), strides=(1,))
    >>> params = net.init(np.random.default_rng(0), (8, 8, 1))
    >>> contributions, score, bias = class_map(net, params, np.ones((8, 8, 1), np.float32), 3)
    >>> contributions.shape, bool(np.isclose(contributions.sum(), score - bias, atol=1e-6))
    ((8, 8), True)
    """
    # float64, so that the sum over a map is exact enough to be compared with the score
    trunk, head = (_double(params.get(part, {})) for part in ("trunk", "head"))
    features = np.asarray(net.trunk(trunk, image[np.newaxis].astype(np.float64)))

    def score(features: Any) -> Any:
        return net.head(head, features)[0, label]

    value, gradient = value_and_grad(score)(features)
    nothing = float(np.asarray(net.head(head, np.zeros_like(features)))[0, label])
    contributions: np.ndarray = (features * gradient).sum(axis=-1)[0]
    return contributions, float(value), nothing


def _double(params: Any) -> Any:
    if isinstance(params, dict):
        return {name: _double(part) for name, part in params.items()}
    return np.asarray(params, np.float64)
