"""Class maps: how much each place of a net's last feature map contributes to the score of a class."""

from __future__ import annotations

import numpy as np

from minicnn import trees
from minicnn.autograd import Tensor
from minicnn.kernels.uncompiled import uncompiled
from minicnn.layers import Classifier
from minicnn.layers.base import Params
from minicnn.layers.inspection.class_maps import contributions


@uncompiled()  # in float64, for which a training compiles no loops
def class_map(net: Classifier, params: Params, image: np.ndarray, label: int) -> tuple[np.ndarray, float, float]:
    """Return the contributions (H, W) to the score of class `label` for one image (H, W, C), the score, and the bias.

    >>> from minicnn import models
    >>> net = models.small_cnn("global-max", filters=(4,), strides=(1,))
    >>> params = net.init(np.random.default_rng(0), (8, 8, 1))
    >>> places, score, bias = class_map(net, params, np.ones((8, 8, 1), np.float32), 3)
    >>> places.shape, bool(np.isclose(places.sum(), score - bias, atol=1e-6))
    ((8, 8), True)
    """
    # float64, so that the sum over a map is exact enough to be compared with the score
    params = trees.map_leaves(lambda leaf: np.asarray(leaf, np.float64), params)
    head = params.get("head", {})
    features = Tensor(net.trunk(params.get("trunk", {}), image[np.newaxis].astype(np.float64)))
    scores = net.head(head, features)
    nothing = float(np.asarray(net.head(head, np.zeros_like(features.data)))[0, label])
    return contributions(scores[0, label], features)[0], float(scores.data[0, label]), nothing
