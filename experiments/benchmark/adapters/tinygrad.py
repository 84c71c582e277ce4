"""tinygrad: training step and logits compiled with TinyJit."""

from __future__ import annotations

from typing import Any

import numpy as np
from tinygrad import Tensor, TinyJit, nn

from experiments.benchmark.frameworks import unsupported
from minicnn import layers as L  # noqa: N812 - L.Conv2D beside the other framework's
from minicnn import trees
from minicnn.layers import Sequential


def logits(net: Sequential, shape: tuple[int, ...], params: Any, x: Any) -> Any:
    """Return the logits of the network, computed in NCHW; Flatten transposes to NHWC, the order of the weights."""
    for name, layer, _ in net.children(shape):
        if isinstance(layer, L.Conv2D):
            padding = layer.kernel_size // 2 if layer.padding == "same" else 0  # type: ignore[operator]
            x = x.conv2d(params[name]["kernel"], params[name]["bias"], padding=padding)
        elif isinstance(layer, L.MaxPooling2D):
            x = x.max_pool2d(layer.pool_size)
        elif isinstance(layer, L.Dense):
            x = x.linear(params[name]["kernel"], params[name]["bias"])
        elif isinstance(layer, L.Flatten):
            x = x.permute(0, 2, 3, 1).flatten(1)
        elif isinstance(layer, L.GlobalAveragePooling2D):
            x = x.mean((2, 3))
        elif isinstance(layer, L.ReLU):
            x = x.relu()
        else:
            raise unsupported("tinygrad", layer)
    return x


class TinygradAdapter:
    """See `frameworks.Adapter`."""

    def __init__(
        self, net: Sequential, shape: tuple[int, ...], params: Any, learning_rate: float, momentum: float
    ) -> None:
        def weight(w: np.ndarray) -> Any:
            return Tensor(np.ascontiguousarray(w.transpose(3, 2, 0, 1) if w.ndim == 4 else w))

        self.params = trees.map_leaves(weight, params)
        optimizer = nn.optim.SGD(trees.leaves(self.params), lr=learning_rate, momentum=momentum)

        def step(x: Any, y: Any) -> Any:
            Tensor.training = True
            optimizer.zero_grad()
            loss = logits(net, shape, self.params, x).sparse_categorical_crossentropy(y).backward()
            return loss.realize(*optimizer.schedule_step())

        self.step = TinyJit(step)
        self.logits = TinyJit(lambda x: logits(net, shape, self.params, x).realize())

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return tensors, the images as (N, C, H, W)."""
        x = Tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).realize()
        return x, Tensor(labels.astype(np.int32)).realize()

    def train_step(self, batch: Any) -> float:
        """Take one training step."""
        return float(self.step(*batch).item())

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        return self.logits(batch[0]).numpy()  # type: ignore[no-any-return]
