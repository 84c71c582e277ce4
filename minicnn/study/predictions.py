"""The logits of a net for the test images of a data set, computed once for several measures."""

from __future__ import annotations

import contextlib
import hashlib
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minicnn import train, trees
from minicnn.data import Dataset
from minicnn.geometry import Shape
from minicnn.layers import Layer, prepare
from minicnn.train.checks import check_split

Params: TypeAlias = dict[str, Any]
Applied: TypeAlias = Callable[[np.ndarray], np.ndarray]
BATCH = 256
"""As many images at a time as `train.predict` takes: with some kernels the rounding depends on it."""


@dataclass
class _Last:
    """The logits of the last call, and what they are those of."""

    key: tuple[Any, ...] = ()
    images: Callable[[], np.ndarray | None] = lambda: None
    logits: np.ndarray | None = None


_REMEMBERED: ContextVar[_Last | None] = ContextVar("_REMEMBERED", default=None)


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Let the measures that are called inside share the logits of a net; each thread has its own."""
    token = _REMEMBERED.set(_Last())
    try:
        yield
    finally:
        _REMEMBERED.reset(token)


def logits(net: Layer, params: Params, dataset: Dataset) -> np.ndarray:
    """Return the logits of the test images, (N, classes).

    Inside `remembered` those of the last call, if nothing has changed since. Raises what `train.evaluate` raises for a
    net and a test split that do not fit.
    """
    last, images = _REMEMBERED.get() or _Last(), dataset.test.images
    # Parameters and images are compared by their bytes, not by their identity: they may have been changed in place.
    # The images are not kept alive by this.
    key = (net, _digest(params), zlib.crc32(np.ascontiguousarray(images).data))
    if last.logits is None or last.images() is not images or last.key != key:
        check_split("measure", net, dataset.test)
        found = train.predict(net, params, images)
        found.setflags(write=False)
        last.key, last.images, last.logits = key, weakref.ref(images), found
        return found
    return last.logits


def applied(net: Layer, params: Params, input_shape: Shape) -> Applied:
    """Return a function of images that gives what `train.predict` does; the net is prepared once for many calls."""
    predictor = prepare(net, params, input_shape)

    def apply(images: np.ndarray) -> np.ndarray:
        return np.concatenate([predictor(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])

    return apply


def _digest(params: Params) -> bytes:
    digest = hashlib.sha256()
    for path, leaf in trees.items(params):
        digest.update(f"{path} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.digest()
