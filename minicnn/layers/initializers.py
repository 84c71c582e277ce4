"""How weights begin: values that are called with a generator and a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, repr=False)
class Initializer:
    """Zero-mean random numbers whose variance is `scale / fan`.

    Parameters
    ----------
    name : str
        Its repr.
    scale : float
        0 gives zeros.
    average : bool
        Divide by the mean of fan-in and fan-out instead of fan-in.
    uniform : bool
        Uniform instead of normal (not truncated).

    Examples
    --------
    >>> he_normal
    he_normal
    >>> he_normal(np.random.default_rng(0), (3, 3, 1, 16)).dtype
    dtype('float32')
    """

    name: str
    scale: float
    average: bool = False
    uniform: bool = False

    def __repr__(self) -> str:
        return self.name

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 weights; the last axis is fan-out, the one before it fan-in, the rest are taps of both."""
        if not self.scale:
            return np.zeros(shape, np.float32)
        taps = math.prod(shape[:-2])
        fan_in, fan_out = taps * shape[-2], taps * shape[-1]
        variance = self.scale / ((fan_in + fan_out) / 2 if self.average else fan_in)
        if self.uniform:
            return rng.uniform(-math.sqrt(3 * variance), math.sqrt(3 * variance), shape).astype(np.float32)
        return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(variance))


zeros = Initializer("zeros", 0.0)
he_normal = Initializer("he_normal", 2.0)
"""He et al., 2015: keeps the variance of a forward pass through ReLU."""
lecun_normal = Initializer("lecun_normal", 1.0)
"""LeCun et al., 1998: keeps the variance of a linear forward pass."""
glorot_uniform = Initializer("glorot_uniform", 1.0, average=True, uniform=True)
"""Glorot and Bengio, 2010: a compromise between forward and backward."""
