"""Initial weights: an initializer is a value that is called with a generator and a shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.geometry import check_elements
from minicnn.hints import a_type, explained, frozen
from minicnn.layers.guards import check_shape
from minicnn.records import register
from minicnn.validation import FLOATS, ShapeError, flag, generator, number, one_of, shown

__all__ = ["Initializer", "glorot_uniform", "he_normal", "lecun_normal", "zeros"]


@register
@frozen(repr=False)
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

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"Initializer: name must be a string, got {a_type(self.name)}.")
        object.__setattr__(self, "scale", number("Initializer", "scale", self.scale, least=0))
        flag("Initializer", "average", self.average)
        flag("Initializer", "uniform", self.uniform)

    def __repr__(self) -> str:
        return self.name

    @explained
    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 weights; the last axis is fan-out, the one before it fan-in, the rest are taps of both."""
        generator(self.name, rng)
        shape = check_shape(self.name, shape)
        check_elements(self.name, "the array", shape)
        if not self.scale:
            return np.zeros(shape, np.float32)
        if len(shape) < 2:
            raise ShapeError(
                self.name, f"shape must have at least two axes, fan-in and fan-out, got {shape}", "Use zeros."
            )
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

KNOWN = {each.name: each for each in (zeros, he_normal, lecun_normal, glorot_uniform)}


def initializer(where: str, name: str, value: Any) -> Callable[..., np.ndarray]:
    """Return an initializer: one of these by its name as in Keras, or any callable of a generator and a shape."""
    if isinstance(value, str):
        return KNOWN[one_of(where, name, value, KNOWN)]
    if not callable(value) or isinstance(value, type):
        fix = f"Use one of {', '.join(KNOWN)}, or a function of a generator and a shape."
        raise TypeError(f"{where}: {name} must be an initializer, got {shown(value)}. {fix}")
    return value  # type: ignore[no-any-return]


def draw(
    where: str, makers: dict[str, Any], shapes: dict[str, tuple[int, ...]], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the parameters of these shapes, drawn in order; raise ShapeError if one has another shape."""
    params = {}
    for name, shape in shapes.items():
        made = makers[name](rng, shape)
        if not isinstance(made, np.ndarray) or made.shape != shape or made.dtype not in FLOATS:
            what = f"{made.dtype} of shape {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
            what = f"{name}_initializer must return a float32 array of shape {shape}, got {what}"
            raise ShapeError(where, what, "Use the shape and the generator that it is called with.")
        params[name] = made
    return params
