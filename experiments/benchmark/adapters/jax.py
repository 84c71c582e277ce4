"""JAX: one jit-compiled function for the training step and one for the logits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.frameworks import unsupported
from minicnn import layers as L  # noqa: N812 - L.Conv2D beside the other framework's
from minicnn.layers import Sequential


def logits(net: Sequential, params: Any, x: Any) -> Any:
    """Return the logits of the network, computed in NHWC."""
    for name, layer, _ in net.children(x.shape[1:]):
        if isinstance(layer, L.Conv2D):
            layouts = ("NHWC", "HWIO", "NHWC")
            padding = str(layer.padding).upper()
            x = jax.lax.conv_general_dilated(x, params[name]["kernel"], (1, 1), padding, dimension_numbers=layouts)
            x = x + params[name]["bias"]
        elif isinstance(layer, L.MaxPooling2D):
            window = (1, layer.pool_size, layer.pool_size, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        elif isinstance(layer, L.Dense):
            x = x @ params[name]["kernel"] + params[name]["bias"]
        elif isinstance(layer, L.Flatten):
            x = x.reshape(len(x), -1)
        elif isinstance(layer, L.GlobalAveragePooling2D):
            x = x.mean(axis=(1, 2))
        elif isinstance(layer, L.ReLU):
            x = jax.nn.relu(x)
        else:
            raise unsupported("jax", layer)
    return x


class JaxAdapter:
    """See `frameworks.Adapter`."""

    def __init__(
        self, net: Sequential, shape: tuple[int, ...], params: Any, learning_rate: float, momentum: float
    ) -> None:
        def loss(params: Any, x: Any, y: Any) -> Any:
            return -jnp.take_along_axis(jax.nn.log_softmax(logits(net, params, x)), y[:, None], axis=1).mean()

        def step(params: Any, velocity: Any, x: Any, y: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(params, x, y)
            velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, grads)
            return jax.tree.map(lambda w, v: w - learning_rate * v, params, velocity), velocity, value

        self.params = jax.tree.map(jnp.asarray, params)
        self.velocity = jax.tree.map(jnp.zeros_like, self.params)
        self.step = jax.jit(step)
        self.logits = jax.jit(lambda params, x: logits(net, params, x))

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return JAX arrays."""
        return jnp.asarray(images), jnp.asarray(labels)

    def train_step(self, batch: Any) -> float:
        """Take one training step."""
        self.params, self.velocity, loss = self.step(self.params, self.velocity, *batch)
        return float(loss)

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        return np.asarray(self.logits(self.params, batch[0]))
