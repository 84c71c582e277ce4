"""The frameworks that can be compared: adapter, required package and environment variables of each."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


class Adapter(Protocol):
    """A network in one framework, with its weights and an SGD optimizer with momentum.

    Constructed with `(net, shape, params, learning_rate, momentum)`, where `params` are the parameters of the minicnn
    network `net` for images of `shape`, (H, W, 1).
    """

    def make_batch(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """Convert images (N, H, W, 1) and labels (N,) to the arrays of the framework; not timed."""

    def train_step(self, batch: Any) -> float:
        """Take one training step and return the loss before the update; not called where `trains` is False."""

    def infer(self, batch: Any) -> Any:
        """Return the logits (N, classes) as an array that NumPy can read."""

    def set_learning_rate(self, learning_rate: float) -> None:
        """Change the learning rate; only needed to measure the time to a given accuracy."""


@dataclass(frozen=True)
class Framework:
    """A framework in one configuration.

    Attributes
    ----------
    adapter : str
        The adapter as ``module:class``, the module in `experiments.benchmark.adapters`.
    package : str
        The package that must be installed.
    title : str
        The name in tables and figures.
    environment : dict of str to str
        Additional environment variables of its process.
    is_baseline : bool
        True for the matrix product, which computes no network, so that its results are not checked.
    keeps_freed_memory : bool
        Whether the process keeps freed memory for the next step, as minicnn's own process does.
    trains : bool
        False for a framework that is measured in inference only.
    """

    adapter: str
    package: str
    title: str
    environment: dict[str, str] = field(default_factory=dict)
    is_baseline: bool = False
    keeps_freed_memory: bool = False
    trains: bool = True

    def load(self) -> Callable[..., Adapter]:
        """Import the framework and return the class of its adapter."""
        module, _, name = self.adapter.partition(":")
        return getattr(importlib.import_module(f"{ADAPTERS}.{module}"), name)  # type: ignore[no-any-return]


def unsupported(adapter: str, layer: Any) -> TypeError:
    """Return the error for a layer that an adapter cannot translate."""
    fix = "Add it to the adapter, or choose another network with --nets."
    return TypeError(f"benchmark: layer must be one that the adapter {adapter} supports, got {layer}. {fix}")


ADAPTERS = "experiments.benchmark.adapters"
BASELINE = "matrix-product"
FRAMEWORKS = {
    "minicnn": Framework("minicnn:MinicnnAdapter", "numba", "minicnn, compiled", {"MINICNN_KERNELS": "compiled"}),
    "minicnn-numpy": Framework(
        "minicnn:MinicnnAdapter", "numpy", "minicnn, NumPy", {"MINICNN_KERNELS": "numpy_blocked"}
    ),
    "torch": Framework("pytorch:EagerAdapter", "torch", "PyTorch, eager"),
    "torch-channels-last": Framework("pytorch:ChannelsLastAdapter", "torch", "PyTorch, channels_last"),
    "torch-compile": Framework("pytorch:CompiledAdapter", "torch", "PyTorch, torch.compile"),
    "torch-eager-kept": Framework(
        "pytorch:EagerAdapter", "torch", "PyTorch, eager, memory kept", keeps_freed_memory=True
    ),
    "torch-kept": Framework(
        "pytorch:ChannelsLastAdapter", "torch", "PyTorch, channels_last, memory kept", keeps_freed_memory=True
    ),
    "onnxruntime": Framework("onnxruntime:OnnxRuntimeAdapter", "onnxruntime", "ONNX Runtime", trains=False),
    "jax": Framework("jax:JaxAdapter", "jax", "JAX, jit"),
    "tinygrad": Framework("tinygrad:TinygradAdapter", "tinygrad", "tinygrad, TinyJit", {"DEV": "CPU"}),
    "autograd": Framework("hips_autograd:AutogradAdapter", "autograd", "HIPS autograd"),
    BASELINE: Framework("matrix_product:MatrixProductAdapter", "numpy", "matrix product", is_baseline=True),
}
TORCH = ("torch", "torch-channels-last", "torch-compile", "torch-eager-kept", "torch-kept")
"""The modes of PyTorch, among them those whose process keeps freed memory, as minicnn's does."""
PEERS = (*TORCH, "onnxruntime")
"""The fastest of these in a task is compared with minicnn."""


def installed() -> list[str]:
    """Return the names of the frameworks whose package is installed, the baseline last."""
    return [name for name, framework in FRAMEWORKS.items() if importlib.util.find_spec(framework.package)]


def able(names: Iterable[str], mode: str) -> list[str]:
    """Return the frameworks that can do what is measured: not all of them train."""
    return [name for name in names if mode == "inference" or FRAMEWORKS[name].trains]


def title(name: str) -> str:
    """Return the name of a framework for tables and figures."""
    return FRAMEWORKS[name].title


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the environment variables of a framework's process, with the number of threads of every library set."""
    libraries = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")
    numbers = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
    numbers |= {"MINICNN_THREADS": str(threads), "CPU_COUNT": str(threads)}  # CPU_COUNT is tinygrad's
    return {**os.environ, **numbers, **FRAMEWORKS[name].environment}
