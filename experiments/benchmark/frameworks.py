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
        return getattr(importlib.import_module(f"experiments.benchmark.adapters.{module}"), name)  # type: ignore[no-any-return]


SGEMM = "sgemm"
CONTENDERS = {
    "minicnn": Contender("minicnn:Racer", "numba", "minicnn, compiled", {"MINICNN_KERNELS": "compiled"}),
    "minicnn-reference": Contender("minicnn:Racer", "numpy", "minicnn, reference", {"MINICNN_KERNELS": "reference"}),
    "torch": Contender("pytorch:Racer", "torch", "PyTorch, eager"),
    "torch-channels-last": Contender("pytorch:ChannelsLast", "torch", "PyTorch, channels_last"),
    "torch-compile": Contender("pytorch:Compiled", "torch", "PyTorch, torch.compile"),
    "torch-kept": Contender("pytorch:ChannelsLast", "torch", "PyTorch, freed memory kept", keeps_memory=True),
    "jax": Contender("jax:Racer", "jax", "JAX, jit"),
    "tinygrad": Contender("tinygrad:Racer", "tinygrad", "tinygrad, TinyJit", {"DEV": "CPU"}),
    "autograd": Contender("hips_autograd:Racer", "autograd", "HIPS autograd"),
    SGEMM: Contender("matrix_product:Racer", "numpy", "matrix product", yardstick=True),
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
