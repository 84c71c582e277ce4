"""What every layer of a network returns for a batch, by the layer's path: the intermediate outputs of inference."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.hints import a_type, explained
from minicnn.layers.base import Layer, Params, check_net, check_params
from minicnn.layers.branches import Concat, Residual
from minicnn.layers.containers import Classifier, Sequential
from minicnn.validation import FLOATS


class Call(NamedTuple):
    """One call of a layer: its parameters, what it was given, and what it returned."""

    layer: Layer
    params: Params
    x: Any
    y: Any


@explained
def activations(net: Layer, params: Params, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each layer of a net returns for images (N, H, W, C), by its path, in the order of computation.

    The paths are those of `summary` and of the parameters: `conv2d`, `trunk/relu_1`, `residual/body/conv2d`. A
    container comes after the layers in it: `trunk` is the result of its last layer, `concat` that of all branches.
    The layers run one by one, in inference, and give the same bits as `net(params, images)`. A net that is a single
    layer, Concat or Residual has the path `layer`.

    Raises
    ------
    ValueError, TypeError
        Images or parameters that do not fit the net.

    >>> from minicnn.layers import Conv2D, Dense, Flatten, ReLU, Sequential
    >>> net = Sequential([Conv2D(4, 3), ReLU(), Flatten(), Dense(10)])
    >>> params = net.init(np.random.default_rng(0), (8, 8, 1))
    >>> found = activations(net, params, np.zeros((5, 8, 8, 1), np.float32))
    >>> {path: array.shape for path, array in found.items()}
    {'conv2d': (5, 6, 6, 4), 'relu': (5, 6, 6, 4), 'flatten': (5, 144), 'dense': (5, 10)}
    """
    check_batch("activations", net, params, images)
    return {path: call.y for path, call in trace(net, params, images).items()}


def check_batch(where: str, net: Any, params: Any, images: Any) -> None:
    """Raise unless a net can be applied to images with these parameters."""
    if not isinstance(images, np.ndarray) or images.dtype not in FLOATS:
        got = f"dtype {images.dtype}" if isinstance(images, np.ndarray) else a_type(images)
        fix = "Bytes from 0 to 255 become images in [0, 1] by images.astype(np.float32) / 255."
        raise TypeError(f"{where}: images must be a float32 or float64 array, got {got}. {fix}")
    if images.ndim in {0, 1, 3}:
        fix = "Use images[None] for one image."
        raise ValueError(f"{where}: images must have shape (N, H, W, C), got {images.shape}. {fix}")
    shape = check_net(where, net, images.shape[1:])
    net.output_shape(shape)
    check_params(net, params, shape)


def trace(net: Layer, params: Params, x: Any) -> dict[str, Call]:
    """Return the call of each layer by its path; of a batch that is a Tensor the results are Tensors, too."""
    calls: dict[str, Call] = {}
    _run("", net, params, x, calls)
    return calls


def _run(path: str, layer: Layer, params: Params, x: Any, calls: dict[str, Call]) -> Any:
    """Apply a layer, the layers of a container one by one, and note the calls."""

    def part(name: str, child: Layer, given: Any) -> Any:
        return _run(f"{path}/{name}" if path else name, child, params.get(name, {}), given, calls)

    chain = _runs_like(layer, Sequential, Classifier)
    if chain:
        y = x
        for name, child in layer.parts():  # type: ignore[attr-defined]
            y = part(name, child, y)
    elif _runs_like(layer, Concat):
        y = ops.concatenate(*(part(name, branch, x) for name, branch in layer.parts()))  # type: ignore[attr-defined]
    elif _runs_like(layer, Residual):
        body, around = [part(name, child, x) for name, child in layer.parts()] + ([] if layer.shortcut else [x])  # type: ignore[attr-defined]
        y = body + around
    else:
        y = layer(params, x)
    if path or not chain:  # the result of a chain without a path is that of its last layer
        calls[path or "layer"] = Call(layer, params, x, y)
    return y


def _runs_like(layer: Layer, *kinds: type[Layer]) -> bool:
    """Tell whether a layer runs its parts as one of these containers does: a subclass may compute something else."""
    return any(isinstance(layer, kind) and type(layer).__call__ is kind.__call__ for kind in kinds)
