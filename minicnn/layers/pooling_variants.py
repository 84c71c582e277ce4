"""Pooling variants for research, as layers: over windows, over the whole image, and adaptive ones.

Each is the op of its name, where its definition, its source and its accuracy are described.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.geometry import Shape, Size, Windows, check_image, pair
from minicnn.layers.base import OpLayer, Params, checked, leaf, snake_case
from minicnn.layers.pool import GlobalPooling, WindowPooling
from minicnn.ops.pad import Mode, check_mode
from minicnn.ops.pool import Ties, check_ties, global_pool_shape
from minicnn.ops.pooling_variants.adaptive import adaptive_windows
from minicnn.ops.pooling_variants.blur import blur_windows
from minicnn.validation import number


@dataclass(frozen=True, repr=False)
class LogMeanExpPooling2D(WindowPooling, op=ops.log_mean_exp_pool2d):
    """(1 / r) log(mean(exp(r x))) of each window: (H, W, C) -> (P, Q, C). See `ops.log_mean_exp_pool2d`.

    >>> LogMeanExpPooling2D(2, r=5.0).output_shape((8, 8, 4))
    (4, 4, 4)
    """

    r: float = checked(1.0, number, above=0)


@dataclass(frozen=True, repr=False)
class SoftPooling2D(WindowPooling, op=ops.soft_pool2d):
    """Mean of each window weighted by its softmax: (H, W, C) -> (P, Q, C). See `ops.soft_pool2d`.

    >>> SoftPooling2D(3, strides=2).output_shape((9, 9, 4))
    (4, 4, 4)
    """


@dataclass(frozen=True, repr=False)
class MaxAveragePooling2D(WindowPooling, op=ops.max_average_pool2d):
    """Maximum plus average of each window: (H, W, C) -> (P, Q, C). See `ops.max_average_pool2d`."""


@dataclass(frozen=True, repr=False)
class StochasticPooling2D(WindowPooling, op=ops.stochastic_pool2d):
    """One element of each window, drawn by its size in training, else their mean. See `ops.stochastic_pool2d`.

    For activations that are not negative: put it after a ReLU.

    >>> StochasticPooling2D()({}, np.array([0.0, 1.0, 1.0, 2.0]).reshape(1, 2, 2, 1)).ravel()
    array([1.5])
    """

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Pool a batch; with `rng` by drawing."""
        return self.op(x, **vars(self), rng=rng)


class _LearnedPower(OpLayer):
    """A generalised mean whose exponent is the parameter `p`, (1,); the field `p` is its initial value."""

    p: float
    epsilon: float

    def param_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Return (1,)."""
        return {"p": (1,)}

    def init(self, rng: np.random.Generator, shape: Shape) -> Params:
        """Return the initial exponent."""
        self.output_shape(shape)
        return {"p": np.full(1, self.p, np.float32)}

    def _how(self, params: Params) -> dict[str, Any]:
        return {**_fields(self), "p": leaf(self, params, "p")}


@dataclass(frozen=True, repr=False)
class GeMPooling2D(_LearnedPower, WindowPooling, op=ops.gem_pool2d):
    """Generalised mean of each window with a learned exponent: (H, W, C) -> (P, Q, C). See `ops.gem_pool2d`.

    >>> GeMPooling2D(2).init(np.random.default_rng(0), (8, 8, 4))
    {'p': array([3.], dtype=float32)}
    """

    p: float = checked(3.0, number, above=0)
    epsilon: float = checked(1e-6, number, above=0)

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Pool a batch."""
        return self.op(x, **self._how(params))


@dataclass(frozen=True, repr=False)
class _GlobalPooling(GlobalPooling):
    """The op of a window pooling with one window over the whole image: (H, W, C) -> (C,)."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (C,) or (1, 1, C)."""
        return global_pool_shape(snake_case(type(self).__name__), (1, *shape), self.keepdims)[1:]

    def __call__(self, params: Params, x: Any, rng: np.random.Generator | None = None) -> Any:
        """Pool a batch."""
        shape = global_pool_shape(snake_case(type(self).__name__), x.shape, self.keepdims)
        return ops.reshape(self.op(x, pool_size=x.shape[1:3], **self._how(params)), shape)

    def _how(self, params: Params) -> dict[str, Any]:
        return _fields(self)


def _fields(layer: OpLayer) -> dict[str, Any]:
    return {name: value for name, value in vars(layer).items() if name != "keepdims"}


@dataclass(frozen=True, repr=False)
class GlobalLpPooling2D(_GlobalPooling, op=ops.lp_pool2d):
    """Lp norm of each channel, the sum and not the mean: (H, W, C) -> (C,). See `ops.lp_pool2d`.

    >>> GlobalLpPooling2D(p=2.0)({}, np.array([3.0, 4.0]).reshape(1, 1, 2, 1))
    array([[5.]])
    """

    p: float = checked(2.0, number, least=1)


@dataclass(frozen=True, repr=False)
class GlobalLogMeanExpPooling2D(_GlobalPooling, op=ops.log_mean_exp_pool2d):
    """(1 / r) log(mean(exp(r x))) of each channel: (H, W, C) -> (C,). See `ops.log_mean_exp_pool2d`."""

    r: float = checked(1.0, number, above=0)


@dataclass(frozen=True, repr=False)
class GlobalSoftPooling2D(_GlobalPooling, op=ops.soft_pool2d):
    """Mean of each channel weighted by its softmax: (H, W, C) -> (C,). See `ops.soft_pool2d`."""


@dataclass(frozen=True, repr=False)
class GlobalGeMPooling2D(_LearnedPower, _GlobalPooling, op=ops.gem_pool2d):
    """Generalised mean of each channel with a learned exponent: (H, W, C) -> (C,). See `ops.gem_pool2d`.

    >>> GlobalGeMPooling2D().param_shapes((8, 8, 4))
    {'p': (1,)}
    """

    p: float = checked(3.0, number, above=0)
    epsilon: float = checked(1e-6, number, above=0)


@dataclass(frozen=True, repr=False)
class BlurPooling2D(OpLayer, op=ops.blur_pool2d):
    """Binomial blur, then every second pixel: (H, W, C) -> (ceil(H / s), ceil(W / s), C). See `ops.blur_pool2d`.

    >>> BlurPooling2D().output_shape((7, 8, 4))
    (4, 4, 4)
    """

    pool_size: Size = checked(3, pair)
    strides: Size = checked(2, pair)
    mode: Mode = checked("reflect", check_mode)

    def windows(self, shape: Shape) -> Windows:
        """Return how the windows lie on the input."""
        return replace(blur_windows(shape[:2], self.pool_size, self.strides), mode=self.mode)  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class AdaptiveAveragePooling2D(OpLayer, op=ops.adaptive_average_pool2d):
    """Average of each of P x Q windows: (H, W, C) -> (P, Q, C). See `ops.adaptive_average_pool2d`.

    >>> AdaptiveAveragePooling2D(3).output_shape((7, 5, 8))
    (3, 3, 8)
    """

    output_size: Size = field(metadata={"check": pair})

    def windows(self, shape: Shape) -> Windows:
        """Return how the windows lie on the input."""
        check_image("adaptive_pooling2d", (1, *shape))
        return adaptive_windows(shape[:2], pair("adaptive", "output_size", self.output_size))  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class AdaptiveMaxPooling2D(AdaptiveAveragePooling2D, op=ops.adaptive_max_pool2d):
    """Maximum of each of P x Q windows: (H, W, C) -> (P, Q, C). See `ops.adaptive_max_pool2d`.

    >>> AdaptiveMaxPooling2D((1, 4)).output_shape((7, 5, 8))
    (1, 4, 8)
    """

    ties: Ties = checked("first", check_ties)
