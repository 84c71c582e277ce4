"""A layer such as a user writes, for the tests of the explorer page."""

import numpy as np

from minicnn import layers, ops


class Swish(layers.Layer):
    """A layer of a user's own, with a parameter."""

    def output_shape(self, shape):
        return shape

    def param_shapes(self, shape):
        return {"slope": (1,)}

    def init(self, rng, shape):
        return {"slope": np.ones(1, np.float32)}

    def __call__(self, params, x, rng=None):
        return x * ops.sigmoid(x * params["slope"])

    def __repr__(self):
        return "Swish()"
