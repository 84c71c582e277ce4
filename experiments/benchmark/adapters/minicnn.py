"""minicnn in the race, with whichever kernels MINICNN_KERNELS asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import ops, optim, value_and_grad
from minicnn.layers import Sequential


class Racer:
    """See `frameworks.Racer`."""

    def __init__(self, net: Sequential, shape: tuple[int, ...], params: Any, rate: float, momentum: float) -> None:
        self.net, self.params = net, params
        self.optimizer = optim.SGD(rate, momentum=momentum)
        self.state, self.rng = self.optimizer.init(params), np.random.default_rng(0)

    def batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Keep the arrays."""
        return images, labels

    def learn(self, batch: Any) -> float:
        """Take one training step."""
        images, labels = batch
        loss, grads = value_and_grad(lambda p: ops.cross_entropy(self.net(p, images, self.rng), labels))(self.params)
        self.params, self.state = self.optimizer.update(grads, self.state, self.params)
        return float(loss)

    def set_rate(self, rate: float) -> None:
        """Change the learning rate."""
        self.optimizer = replace(self.optimizer, learning_rate=rate)

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        return self.net(self.params, batch[0])  # type: ignore[no-any-return]
