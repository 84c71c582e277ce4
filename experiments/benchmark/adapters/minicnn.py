"""minicnn, with the kernels that the environment variable MINICNN_KERNELS selects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import ops, optim, value_and_grad
from minicnn.layers import Sequential, prepare


class MinicnnAdapter:
    """See `frameworks.Adapter`."""

    def __init__(
        self, net: Sequential, shape: tuple[int, ...], params: Any, learning_rate: float, momentum: float
    ) -> None:
        self.net, self.shape, self.params = net, shape, params
        self.prepared_for, self.predictor = params, prepare(net, params, shape)
        self.optimizer = optim.SGD(learning_rate, momentum=momentum)
        self.state, self.rng = self.optimizer.init(params), np.random.default_rng(0)
        self.loss_and_grads = value_and_grad(lambda p, x, y: ops.cross_entropy(net(p, x, self.rng), y))

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return the arrays themselves."""
        return images, labels

    def train_step(self, batch: Any) -> float:
        """Take one training step."""
        loss, grads = self.loss_and_grads(self.params, *batch)
        self.params, self.state = self.optimizer.update(grads, self.state, self.params)
        return float(loss)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the learning rate."""
        self.optimizer = replace(self.optimizer, learning_rate=learning_rate)

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits, by a prepared net, as the other frameworks do in inference."""
        if self.prepared_for is not self.params:
            self.prepared_for, self.predictor = self.params, prepare(self.net, self.params, self.shape)
        return self.predictor(batch[0])
