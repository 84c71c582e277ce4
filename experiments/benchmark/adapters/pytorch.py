"""PyTorch in three modes: eager, eager with the channels_last memory format, and torch.compile."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benchmark.frameworks import unsupported
from minicnn import layers as L  # noqa: N812 - L.Conv2D beside the other framework's
from minicnn.layers import Sequential

if "OMP_NUM_THREADS" in os.environ:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def module(net: Sequential, shape: tuple[int, ...], params: Any) -> nn.Sequential:
    """Return the same network with the same weights.

    The rows of a dense layer that follows Flatten are permuted, since PyTorch flattens (C, H, W) and minicnn (H, W, C).
    """
    modules: list[nn.Module] = []
    flattened = None
    for name, layer, input_shape in net.children(shape):
        if isinstance(layer, L.Conv2D):
            padding = layer.kernel_size // 2 if layer.padding == "same" else 0  # type: ignore[operator]
            modules.append(nn.Conv2d(input_shape[2], layer.filters, layer.kernel_size, padding=padding))  # type: ignore[arg-type]
            _copy(modules[-1], params[name]["kernel"].transpose(3, 2, 0, 1), params[name]["bias"])
        elif isinstance(layer, L.Dense):
            kernel = params[name]["kernel"]
            if flattened:
                kernel = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            modules.append(nn.Linear(*kernel.shape))
            _copy(modules[-1], kernel.T, params[name]["bias"])
            flattened = None
        elif isinstance(layer, L.Flatten):
            modules.append(nn.Flatten())
            flattened = input_shape
        else:
            modules += _without_weights(layer)
    return nn.Sequential(*modules)


def _without_weights(layer: L.Layer) -> list[nn.Module]:
    if isinstance(layer, L.MaxPooling2D):
        return [nn.MaxPool2d(layer.pool_size)]  # type: ignore[arg-type]
    if isinstance(layer, L.GlobalAveragePooling2D):
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if isinstance(layer, L.ReLU):
        return [nn.ReLU()]
    raise unsupported("pytorch", layer)


def _copy(module: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(np.ascontiguousarray(weight)))
        module.bias.copy_(torch.tensor(bias))


class EagerAdapter:
    """See `frameworks.Adapter`."""

    layout = torch.contiguous_format

    def __init__(
        self, net: Sequential, shape: tuple[int, ...], params: Any, learning_rate: float, momentum: float
    ) -> None:
        self.net = module(net, shape, params).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.net.parameters(), learning_rate, momentum=momentum)
        self.forward: Any = self.net

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return tensors, the images as (N, C, H, W)."""
        x = torch.tensor(images).permute(0, 3, 1, 2).contiguous(memory_format=self.layout)
        return x, torch.tensor(labels)

    def train_step(self, batch: Any) -> float:
        """Take one training step."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.forward(batch[0]), batch[1])
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the learning rate."""
        self.optimizer.param_groups[0]["lr"] = learning_rate

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        with torch.inference_mode():
            return self.forward(batch[0]).numpy()  # type: ignore[no-any-return]


class ChannelsLastAdapter(EagerAdapter):
    """Images and weights are stored in NHWC order."""

    layout = torch.channels_last


class CompiledAdapter(EagerAdapter):
    """The network is compiled with torch.compile."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.forward = torch.compile(self.net)
