"""The elements of each window on an axis of their own, and the way back, on plain arrays.

That axis, T elements in row order, is the first one: NumPy is fast along the long rows that follow it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from minicnn.geometry import Windows


def gather(x: np.ndarray, w: Windows, out: np.ndarray | None = None) -> np.ndarray:
    """Copy the windows, with 0 for padding: (N, H, W, C) -> (T, N, P, Q, C)."""
    padded = np.pad(x, ((0, 0), *w.pads, (0, 0))) if any(map(any, w.pads)) else x
    if out is None:
        out = np.empty((w.rows.k * w.cols.k, len(x), *w.out, x.shape[3]), x.dtype)
    for piece, image in _pieces(out, padded, w):
        piece[...] = image
    return out


def scatter(elements: np.ndarray, w: Windows) -> np.ndarray:
    """Add up in each pixel of the image what the windows hold of it: (T, N, P, Q, C) -> (N, H, W, C)."""
    rows, cols = (axis.n + sum(sides) for axis, sides in zip((w.rows, w.cols), w.pads, strict=True))
    padded = np.zeros((elements.shape[1], rows, cols, elements.shape[4]), elements.dtype)
    for piece, image in _pieces(elements, padded, w):
        np.add(image, piece, out=image)
    (top, _), (left, _) = w.pads
    return padded[:, top : top + w.rows.n, left : left + w.cols.n]


KEPT = 2**16
"""The largest mask that is kept, in bytes: those of large windows would stay in memory, 59 MB for 15x15 on 512x512."""


def real_elements(w: Windows) -> np.ndarray:
    """Return a mask that is False for padding: (T, 1, P, Q, 1), not to be written to."""
    return _kept_mask(w) if w.rows.k * w.cols.k * math.prod(w.out) <= KEPT else _mask(w)


@functools.lru_cache(maxsize=64)
def _kept_mask(w: Windows) -> np.ndarray:
    return _mask(w)


def _mask(w: Windows) -> np.ndarray:
    real = gather(np.ones((1, w.rows.n, w.cols.n, 1), bool), w)
    real.setflags(write=False)
    return real


def only(real: np.ndarray, elements: np.ndarray, pad: float = 0) -> np.ndarray:
    """Return the elements with padding replaced by `pad`."""
    return elements if real.all() else np.where(real, elements, elements.dtype.type(pad))


def _pieces(elements: np.ndarray, padded: np.ndarray, w: Windows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield views of the gathered elements, each with the view of the padded images that it is copied from.

    A piece is one tap of all windows or all taps of one window, whichever makes fewer pieces: a window over a whole
    image of 28x28 has 784 taps.
    """
    windows = elements.reshape(w.rows.k, w.cols.k, *elements.shape[1:])
    axes = w.rows, w.cols
    if w.rows.k * w.cols.k <= w.rows.out * w.cols.out:
        for taps in np.ndindex(w.rows.k, w.cols.k):
            at = (slice(i * a.d, i * a.d + (a.out - 1) * a.s + 1, a.s) for i, a in zip(taps, axes, strict=True))
            yield windows[taps], padded[:, *at]
    else:
        for p, q in np.ndindex(*w.out):
            at = (slice(i * a.s, i * a.s + a.span, a.d) for i, a in zip((p, q), axes, strict=True))
            yield windows[:, :, :, p, q].transpose(2, 0, 1, 3), padded[:, *at]
