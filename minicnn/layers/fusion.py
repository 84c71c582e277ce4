"""Layer fusion: which consecutive layers of a Sequential run together, and which do not, and why.

A convolution with the max pooling and the ReLU that directly follow it runs as one kernel: the convolution's output is
pooled while it is in the processor's cache and is never written to memory. The results are those
of the separate layers, bit for bit. The gradients are sums of the same terms, without those that are 0 and in another
order.

`layers.explain_execution(net)` prints the plan. `MINICNN_FUSE=0` in the environment switches it off, so that a
debugger stops in every op; it is read once, when the first net runs.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from minicnn import kernels, ops
from minicnn.layers.activation import ReLU
from minicnn.layers.base import Layer, Params
from minicnn.layers.conv import Conv2D
from minicnn.layers.pool import GlobalMaxPooling2D, MaxPooling2D
from minicnn.ops.fused import MOST_ELEMENTS
from minicnn.validation import pair

Named: TypeAlias = Sequence[tuple[str, Layer]]


class Step(NamedTuple):
    """Layers of a Sequential that run together.

    Attributes
    ----------
    names : tuple of str
        The layers, in their order in the net. Only the first one may have parameters.
    run : callable
        `run(params_of_the_first_layer, x, rng)`; for a single layer the layer itself.
    reason : str
        Why these layers run together, or why this one runs alone; empty where there is nothing to fuse.
    """

    names: tuple[str, ...]
    run: Callable[..., Any]
    reason: str = ""


def is_on() -> bool:
    """Tell whether plans are used: the kernels can fuse, and MINICNN_FUSE does not forbid it."""
    return wanted() and kernels.can_fuse()


# Read once: gradients with fusion have other last bits, so fusion must not change during training.
@functools.cache
def wanted() -> bool:
    """Tell whether MINICNN_FUSE lets plans be used."""
    asked = os.environ.get("MINICNN_FUSE", "")
    # A misspelt value, such as "off", must not silently leave fusion on.
    if asked not in ("", "0", "1"):
        raise ValueError(f"minicnn: MINICNN_FUSE must be 0 or 1, got {asked!r}. Set it to 0 to run each layer alone.")
    return asked != "0"


def why_off() -> str:
    """Return why plans are not used, or an empty string if they are."""
    if not wanted():
        return "MINICNN_FUSE=0 switches fusion off"
    return "" if kernels.can_fuse() else f"the {kernels.name()} kernels do not fuse"


def one_by_one(named: Named) -> tuple[Step, ...]:
    """Return the layers as steps, each on its own."""
    return tuple(Step((name,), layer) for name, layer in named)


def plan(named: Named) -> tuple[Step, ...]:
    """Return the steps of a chain with fusion. Only exact types are fused: a subclass may compute something else."""
    # Greedy from left to right: fusing with a convolution saves most, so it takes all layers that it can.
    steps: list[Step] = []
    start = 0
    while start < len(named):
        step = _convolution(named, start) or _pooling_first(named, start) or _alone(named, start)
        steps.append(step)
        start += len(step.names)
    return tuple(steps)


def _convolution(named: Named, start: int) -> Step | None:
    """Return the step of a convolution with its followers: at most one pooling and one ReLU, in either order.

    ReLU is monotonic, so the maximum of ReLUs is the ReLU of the maximum, bit for bit. The gradients are equal, too:
    where they could differ, at a maximum of 0 or below, both are 0.
    """
    conv = named[start][1]
    if type(conv) is not Conv2D or conv.padding_mode != "constant":
        return None
    pool_size, relu, end = (1, 1), False, start + 1
    for _, layer in named[start + 1 :]:
        if type(layer) is ReLU and not relu:
            relu = True
        elif type(layer) is MaxPooling2D and pool_size == (1, 1) and not _obstacle(layer):
            pool_size = pair("MaxPooling2D", "pool_size", layer.pool_size)
        else:
            break
        end += 1
    if end == start + 1:  # the plain op does not keep a byte per pool for the gradient
        return None
    # A square window as an int: the result of a shape rule is remembered for plain arguments, not for a tuple.
    size = pool_size[0] if pool_size[0] == pool_size[1] else pool_size
    # A partial of a function, not a closure: nets are sent to the processes of a study by pickle.
    options = {**conv.options, "pool_size": size, "relu": relu}
    del options["padding_mode"]  # zeros, as checked above
    run = functools.partial(_fused, conv, options)
    reason = "one kernel: the output of the convolution is used while it is in cache"
    return Step(tuple(name for name, _ in named[start:end]), run, reason)


def _fused(conv: Conv2D, options: dict[str, Any], params: Params, x: Any, rng: Any = None) -> Any:
    kernel, bias = conv.weights(params)
    return ops.conv2d_pool(x, kernel, bias, **options)


def convolution(step: Step) -> tuple[Conv2D, dict[str, Any]] | None:
    """Return the convolution of a fused step with the keywords of `ops.conv2d_pool`, None for another step."""
    run = step.run
    return run.args if isinstance(run, functools.partial) and run.func is _fused else None


def in_order(step: Step) -> tuple[Layer, ...]:
    """Return the layers of a step without a fused convolution, in the order in which they run."""
    run = step.run
    if isinstance(run, functools.partial):
        relu, pooling = run.args
        return pooling, relu
    return (run,)  # type: ignore[return-value]


def _pooling_first(named: Named, start: int) -> Step | None:
    """Return the step of a ReLU and a max pooling that runs the pooling first: 3 % of a training step in small nets."""
    if type(named[start][1]) is not ReLU or start + 1 == len(named) or not _reads_pixels(named[start + 1][1]):
        return None
    names, (relu, pooling) = zip(*named[start : start + 2], strict=True)
    run = functools.partial(_pooled_then_relu, relu, pooling)
    return Step(names, run, f"{names[1]} runs first: ReLU then has fewer elements, with the same result")


def _pooled_then_relu(relu: Layer, pooling: Layer, params: Params, x: Any, rng: Any = None) -> Any:
    return relu({}, pooling({}, x, rng), rng)


def _alone(named: Named, start: int) -> Step:
    name, layer = named[start]
    return Step((name,), layer, _why_alone(layer, [name for name, _ in named[start + 1 : start + 2]]))


def _why_alone(layer: Layer, following: Sequence[str]) -> str:
    if isinstance(layer, Conv2D):
        if type(layer) is not Conv2D:
            return "a subclass of Conv2D may compute something else"
        if layer.padding_mode != "constant":
            return f"the fused kernel pads with zeros, not with padding_mode={layer.padding_mode!r}"
        return f"{following[0]} cannot be fused with it" if following else "no layer follows"
    if isinstance(layer, MaxPooling2D) and (obstacle := _obstacle(layer)):
        return obstacle
    if isinstance(layer, ReLU | MaxPooling2D):
        return "only one ReLU and one max pooling directly after a Conv2D are fused"
    return ""


def _obstacle(layer: MaxPooling2D) -> str:
    """Return why a pooling cannot be part of a convolution's kernel: each output may be in at most one window."""
    if type(layer) is not MaxPooling2D:
        return "a subclass of MaxPooling2D may compute something else"
    window = pair("MaxPooling2D", "pool_size", layer.pool_size)
    if layer.strides is not None and pair("MaxPooling2D", "strides", layer.strides) != window:
        return "its strides differ from its pool_size"
    for name, fitting in (("padding", "valid"), ("ceil_mode", False), ("ties", "first")):
        if getattr(layer, name) != fitting:
            return f"the fused kernel has {name}={fitting!r} only"
    if not _reads_pixels(layer):
        return "its windows are dilated"
    return "" if math.prod(window) <= MOST_ELEMENTS else f"its windows have more than {MOST_ELEMENTS} elements"


def _reads_pixels(layer: Layer) -> bool:
    """Tell whether it is a max pooling with a pixel in every window; a dilated window may contain padding only."""
    pooling = type(layer) in (MaxPooling2D, GlobalMaxPooling2D)
    return pooling and getattr(layer, "dilation_rate", 1) in (1, (1, 1))
