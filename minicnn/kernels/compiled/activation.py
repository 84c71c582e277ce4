"""ReLU, over any shape."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from minicnn.kernels.compiled.loop import contiguous, loop
from minicnn.kernels.cores import in_parallel


def relu(x: ndarray) -> ndarray:
    """See `reference.relu`."""
    x = contiguous(x)
    y = np.empty_like(x)
    in_parallel(_relu, x.size, x.size, x.reshape(-1), y.reshape(-1))
    return y


@loop
def _relu(first, last, x, y):
    for i in range(np.uintp(first), np.uintp(last)):
        v = x[i]
        y[i] = v if v > 0 or v != v else 0


def relu_grad(g: ndarray, y: ndarray) -> ndarray:
    """See `reference.relu_grad`."""
    g = contiguous(g)
    dx = np.empty_like(g)
    in_parallel(_relu_grad, g.size, g.size, g.reshape(-1), contiguous(y).reshape(-1), dx.reshape(-1))
    return dx


@loop
def _relu_grad(first, last, g, y, dx):
    for i in range(np.uintp(first), np.uintp(last)):
        dx[i] = g[i] if y[i] > 0 else 0
