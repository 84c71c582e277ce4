"""Adaptive pooling: the size of the result is given, the windows follow from it.

Window i of `out` reads the pixels from floor(i * n / out) up to ceil((i + 1) * n / out), as in PyTorch and Keras: where
the sizes do not divide, windows overlap and differ in size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import kernels
from minicnn.geometry import Axis, Shape, Size, Windows, check_area, check_image, one_window, pair
from minicnn.graph import Array, op
from minicnn.kernels.arithmetic import add_up
from minicnn.ops.pool import Ties, check_ties

Index = tuple[slice | int, ...]


class AdaptiveAxis(Axis):
    """One axis of an adaptive pooling: `k` is the largest window, `s` the mean distance, rounded down."""

    unread = ()
    overhang = 0

    def formula(self, rounding: str) -> str:
        """Return where the windows lie."""
        n, out = self.n, self.out
        return f"from floor(i * {n} / {out}) up to ceil((i + 1) * {n} / {out}) for i = 0 .. {out - 1}"


def spans(n: int, out: int) -> list[tuple[int, int]]:
    """Return first pixel and end of each window of an adaptive pooling; they may overlap and differ in size.

    >>> spans(7, 3)
    [(0, 3), (2, 5), (4, 7)]
    """
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def adaptive_windows(size: tuple[int, int], out: tuple[int, int]) -> Windows:
    """Return both axes of an adaptive pooling."""
    largest = (max(end - start for start, end in spans(n, o)) for n, o in zip(size, out, strict=True))
    rows, cols = (AdaptiveAxis(n, k, max(1, n // o), 1, 0, 0, o) for n, k, o in zip(size, largest, out, strict=True))
    return Windows(rows, cols, "adaptive")


def adaptive_shape(where: str, x: Shape, output_size: Size) -> Shape:
    """Shape rule of adaptive pooling: (N, H, W, C) -> (N, P, Q, C)."""
    check_image(where, x)
    out = pair(where, "output_size", output_size)
    check_area(where, "the result", out, x[1:3], "Use a smaller output_size.")
    return x[0], *out, x[3]


def _windows(x: Shape, out: Shape) -> Iterator[tuple[Index, Index]]:
    """Yield the place of each result and the window it comes from."""
    for p, (top, bottom) in enumerate(spans(x[1], out[1])):
        for q, (left, right) in enumerate(spans(x[2], out[2])):
            yield (slice(None), slice(p, p + 1), slice(q, q + 1)), (slice(None), slice(top, bottom), slice(left, right))


def adaptive_average_pool2d_shape(x: Shape, output_size: Size) -> Shape:
    """Shape rule of adaptive_average_pool2d."""
    return adaptive_shape("adaptive_average_pool2d", x, output_size)


@op(adaptive_average_pool2d_shape)
def adaptive_average_pool2d(x: Array, output_size: Size) -> Any:
    """Average of each of P x Q windows: (N, H, W, C) -> (N, P, Q, C) for any H and W, as accurate as average_pool2d.

    >>> adaptive_average_pool2d(np.arange(5.0).reshape(1, 1, 5, 1), (1, 3)).ravel()
    array([0.5, 2. , 3.5])
    """
    y = np.empty(adaptive_average_pool2d_shape(x.shape, output_size), x.dtype)
    places = list(_windows(x.shape, y.shape))
    for at, window in places:
        part = x[window]
        y[at] = add_up(part, (1, 2), True) / (part.shape[1] * part.shape[2])

    def vjp_x(g: np.ndarray) -> Any:
        dx = np.zeros(x.shape, g.dtype)
        for at, window in places:
            part = dx[window]
            part += g[at] / (part.shape[1] * part.shape[2])
        return dx

    return y, (vjp_x,)


def adaptive_max_pool2d_shape(x: Shape, output_size: Size, *, ties: Ties = "first") -> Shape:
    """Shape rule of adaptive_max_pool2d."""
    check_ties("adaptive_max_pool2d", "ties", ties)
    return adaptive_shape("adaptive_max_pool2d", x, output_size)


@op(adaptive_max_pool2d_shape)
def adaptive_max_pool2d(x: Array, output_size: Size, *, ties: Ties = "first") -> Any:
    """Maximum of each of P x Q windows: (N, H, W, C) -> (N, P, Q, C) for any H and W; ties as in max_pool2d.

    >>> adaptive_max_pool2d(np.arange(5.0).reshape(1, 1, 5, 1), (1, 3)).ravel()
    array([1., 3., 4.])
    """
    y = np.empty(adaptive_max_pool2d_shape(x.shape, output_size), x.dtype)
    places = list(_windows(x.shape, y.shape))
    for at, window in places:
        y[at] = x[window].max(axis=(1, 2), keepdims=True)

    def vjp_x(g: np.ndarray) -> Any:
        dx = np.zeros(x.shape, g.dtype)
        for at, window in places:
            part = x[window]
            dx[window] += kernels.max_pool2d_grad(g[at], part, y[at], one_window(part.shape[1:3]), ties == "split")
        return dx

    return y, (vjp_x,)
