"""Who can race: where each contender's code is, what has to be installed, and what its process is told."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


class Racer(Protocol):
    """A net in one framework, with its weights and its SGD with momentum.

    Made by `(net, shape, params, rate, momentum)`, where `params` are minicnn's for images of `shape`.
    """

    def batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Return a batch (N, H, W, 1), (N,) as this framework wants it; not timed."""

    def learn(self, batch: Any) -> float:
        """Take one training step and return the loss before it."""

    def infer(self, batch: Any) -> Any:
        """Return the logits (N, classes), as something that NumPy can read."""

    def set_rate(self, rate: float) -> None:
        """Change the learning rate; only those that race to an accuracy need it."""


@dataclass(frozen=True)
class Contender:
    """`racer` is module:class in this package; `package` must be installed; a yardstick computes no net.

    One that `keeps_memory` is set as minicnn sets itself: what it frees stays with the process for the next step.
    """

    racer: str
    package: str
    title: str
    environment: dict[str, str] = field(default_factory=dict)
    yardstick: bool = False
    keeps_memory: bool = False

    def make(self) -> Callable[..., Racer]:
        """Import the framework and return what makes racers."""
        module, _, name = self.racer.partition(":")
        return getattr(importlib.import_module(f"experiments.race.{module}"), name)  # type: ignore[no-any-return]


SGEMM = "sgemm"
CONTENDERS = {
    "minicnn": Contender("by_minicnn:Racer", "numba", "minicnn, compiled", {"MINICNN_KERNELS": "compiled"}),
    "minicnn-reference": Contender("by_minicnn:Racer", "numpy", "minicnn, reference", {"MINICNN_KERNELS": "reference"}),
    "torch": Contender("by_torch:Racer", "torch", "PyTorch, eager"),
    "torch-channels-last": Contender("by_torch:ChannelsLast", "torch", "PyTorch, channels_last"),
    "torch-compile": Contender("by_torch:Compiled", "torch", "PyTorch, torch.compile"),
    "torch-kept": Contender("by_torch:ChannelsLast", "torch", "PyTorch, freed memory kept", keeps_memory=True),
    "jax": Contender("by_jax:Racer", "jax", "JAX, jit"),
    "keras": Contender("by_keras:Racer", "keras", "Keras on JAX", {"KERAS_BACKEND": "jax"}),
    "tinygrad": Contender("by_tinygrad:Racer", "tinygrad", "tinygrad, TinyJit", {"DEV": "CPU"}),
    "autograd": Contender("by_autograd:Racer", "autograd", "HIPS autograd"),
    SGEMM: Contender("by_sgemm:Racer", "numpy", "matrix product", yardstick=True),
}
TORCH = ("torch", "torch-channels-last", "torch-compile")
"""PyTorch's modes, of which the best counts. They run as they come; that kept memory helps them is shown apart."""


def installed() -> list[str]:
    """Return the contenders whose framework is there, the yardstick last."""
    return [name for name, who in CONTENDERS.items() if importlib.util.find_spec(who.package)]


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the variables of a contender's process: the same number of threads for whatever it computes with."""
    pools = ("OMP", "OPENBLAS", "MKL", "MINICNN", "NUMEXPR", "VECLIB_MAXIMUM")
    numbers = {f"{pool}_NUM_THREADS" if pool != "MINICNN" else "MINICNN_THREADS": str(threads) for pool in pools}
    return {**os.environ, **numbers, "CPU_COUNT": str(threads), **CONTENDERS[name].environment}
