"""HIPS autograd: layers written with its NumPy, convolution as a matrix product over gathered patches."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad

from experiments.benchmark.frameworks import unsupported
from minicnn import layers as L  # noqa: N812 - L.Conv2D beside the other framework's
from minicnn import trees
from minicnn.layers import Sequential


def logits(net: Sequential, params: Any, x: Any) -> Any:
    """Return the logits of the network, computed in NHWC."""
    for name, layer, input_shape in net.children(x.shape[1:]):
        if isinstance(layer, L.Conv2D):
            x = _convolve(x, params[name]["kernel"], layer.padding == "same") + params[name]["bias"]
        elif isinstance(layer, L.MaxPooling2D):
            n, (h, w, c), k = len(x), input_shape, layer.pool_size
            x = x[:, : h // k * k, : w // k * k].reshape(n, h // k, k, w // k, k, c).max(axis=(2, 4))  # type: ignore[operator, misc]
        elif isinstance(layer, L.Dense):
            x = anp.dot(x, params[name]["kernel"]) + params[name]["bias"]
        elif isinstance(layer, L.Flatten):
            x = x.reshape(len(x), -1)
        elif isinstance(layer, L.GlobalAveragePooling2D):
            x = anp.mean(x, axis=(1, 2))
        elif isinstance(layer, L.ReLU):
            x = anp.maximum(x, 0)
        else:
            raise unsupported("hips_autograd", layer)
    return x


def _convolve(x: Any, kernel: Any, same: bool) -> Any:
    kh, kw, c, k = kernel.shape
    if same:
        x = anp.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)), mode="constant")
    p, q = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    taps = [x[:, i : i + p, j : j + q] for i in range(kh) for j in range(kw)]
    patches = anp.concatenate(taps, axis=3).reshape(-1, kh * kw * c)
    return anp.dot(patches, kernel.reshape(-1, k)).reshape(len(x), p, q, k)


class AutogradAdapter:
    """See `frameworks.Adapter`."""

    def __init__(
        self, net: Sequential, shape: tuple[int, ...], params: Any, learning_rate: float, momentum: float
    ) -> None:
        def loss(params: Any, x: Any, y: Any) -> Any:
            z = logits(net, params, x)
            largest = anp.max(z, axis=1, keepdims=True)
            log_sum = anp.log(anp.sum(anp.exp(z - largest), axis=1)) + largest[:, 0]
            return anp.mean(log_sum - z[np.arange(len(y)), y])

        self.net, self.params, self.learning_rate, self.momentum = net, params, learning_rate, momentum
        self.velocity = trees.map_leaves(np.zeros_like, params)
        self.gradient = value_and_grad(loss)

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return the arrays themselves."""
        return images, labels

    def train_step(self, batch: Any) -> float:
        """Take one training step."""
        loss, grads = self.gradient(self.params, *batch)
        self.velocity = trees.map_leaves(lambda v, g: self.momentum * v + g, self.velocity, grads)
        self.params = trees.map_leaves(lambda w, v: w - np.float32(self.learning_rate) * v, self.params, self.velocity)
        return float(loss)

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        return np.asarray(logits(self.net, self.params, batch[0]))
