"""PyTorch in the race: eager, with images and weights in channels_last, and compiled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from minicnn import layers as L  # noqa: N812
from minicnn.layers import Sequential

if "OMP_NUM_THREADS" in os.environ:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def module(net: Sequential, shape: tuple[int, ...], params: Any) -> nn.Sequential:
    """Return the same net with the same weights; a dense layer after Flatten gets its rows in NCHW order."""
    made: list[nn.Module] = []
    flat = None
    for name, layer, at in net.children(shape):
        if isinstance(layer, L.Conv2D):
            same = layer.kernel_size // 2 if layer.padding == "same" else 0  # type: ignore[operator]
            made.append(nn.Conv2d(at[2], layer.filters, layer.kernel_size, padding=same))  # type: ignore[arg-type]
            _fill(made[-1], params[name]["kernel"].transpose(3, 2, 0, 1), params[name]["bias"])
        elif isinstance(layer, L.Dense):
            kernel = params[name]["kernel"]
            if flat:
                kernel = kernel.reshape(*flat, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
            made.append(nn.Linear(*kernel.shape))
            _fill(made[-1], kernel.T, params[name]["bias"])
            flat = None
        elif isinstance(layer, L.Flatten):
            made.append(nn.Flatten())
            flat = at
        else:
            made += _plain(layer)
    return nn.Sequential(*made)


def _plain(layer: L.Layer) -> list[nn.Module]:
    if isinstance(layer, L.MaxPooling2D):
        return [nn.MaxPool2d(layer.pool_size)]  # type: ignore[arg-type]
    if isinstance(layer, L.GlobalAveragePooling2D):
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if isinstance(layer, L.ReLU):
        return [nn.ReLU()]
    raise TypeError(f"{layer} has no counterpart here")


def _fill(made: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        made.weight.copy_(torch.tensor(np.ascontiguousarray(weight)))
        made.bias.copy_(torch.tensor(bias))


class Racer:
    """See `frameworks.Racer`."""

    layout = torch.contiguous_format

    def __init__(self, net: Sequential, shape: tuple[int, ...], params: Any, rate: float, momentum: float) -> None:
        self.net = module(net, shape, params).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.net.parameters(), rate, momentum=momentum)
        self.run: Any = self.net

    def batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Make tensors (N, C, H, W)."""
        x = torch.tensor(images).permute(0, 3, 1, 2).contiguous(memory_format=self.layout)
        return x, torch.tensor(labels)

    def learn(self, batch: Any) -> float:
        """Take one training step."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.run(batch[0]), batch[1])
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def set_rate(self, rate: float) -> None:
        """Change the learning rate."""
        self.optimizer.param_groups[0]["lr"] = rate

    def infer(self, batch: Any) -> np.ndarray:
        """Return the logits."""
        with torch.inference_mode():
            return self.run(batch[0]).numpy()  # type: ignore[no-any-return]


class ChannelsLast(Racer):
    """Images and weights in NHWC order in memory."""

    layout = torch.channels_last


class Compiled(Racer):
    """The net through torch.compile."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.run = torch.compile(self.net)
