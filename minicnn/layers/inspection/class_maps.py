"""Class maps: how much each place of a feature map contributes to a score."""

from __future__ import annotations

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor


def contributions(score: Tensor, features: Tensor) -> np.ndarray:
    """Return what each place of feature maps (N, H, W, C) contributes to a score computed from them, (N, H, W).

    It is the sum over the channels of feature * d score / d feature. For heads that scale with their input (flatten,
    maximum, average and generalized means, followed by one dense layer) the contributions add up to the score less the
    bias, by Euler's theorem for homogeneous functions; for log-mean-exp they do not.

    >>> features = Tensor(np.array([[[[1.0], [4.0]], [[3.0], [2.0]]]]))
    >>> contributions(5 * ops.global_max_pool2d(features), features).tolist()
    [[[0.0, 20.0], [0.0, 0.0]]]
    """
    ops.sum(score).backward()
    gradient = np.zeros_like(features.data) if features.grad is None else features.grad
    # where the feature is 0 its share is 0, though the gradient of a power may be infinite there
    shares = np.where(features.data == 0, 0, features.data * gradient)
    return np.asarray(shares.sum(axis=-1))
