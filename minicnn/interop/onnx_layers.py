"""How each layer is written in ONNX's operators.

A rule takes the graph, the layer, its parameters, the shape and the name of its input, and returns the name of its
result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minicnn import layers
from minicnn.geometry import Axis, Pads, Pair, Shape, Windows, windows
from minicnn.interop.onnx_graph import Elements, Graph, onnx_pads
from minicnn.layers import Layer
from minicnn.layers.base import Params
from minicnn.ops.pad import check_pads
from minicnn.ops.pooling_variants.adaptive import AdaptiveAxis

Rule: TypeAlias = Callable[[Graph, Any, Params, Shape, str], str]


def _element_wise(kind: str, attributes: Callable[[Any], dict[str, Any]] = lambda layer: {}) -> Rule:
    return lambda graph, layer, params, shape, x: graph.add(kind, x, **attributes(layer))


def _softmax(graph: Graph, layer: Layer, params: Params, shape: Shape, x: str) -> str:
    return graph.add("Softmax", x, axis=1)  # the channels or the features


def _same(graph: Graph, layer: Layer, params: Params, shape: Shape, x: str) -> str:
    return x


def _dense(graph: Graph, layer: Layer, params: Params, shape: Shape, x: str) -> str:
    return graph.add("Gemm", x, *_weights(graph, params))


def _weights(graph: Graph, params: Params) -> list[str]:
    return [graph.constant(name, np.asarray(params[name], np.float32)) for name in ("kernel", "bias") if name in params]


def _flatten(graph: Graph, layer: Layer, params: Params, shape: Shape, x: str) -> str:
    # Back to (N, H, W, C), so that the dense layer behind it keeps its kernel.
    last = graph.add("Transpose", x, perm=[0, 2, 3, 1]) if len(shape) == 3 else x
    return graph.add("Flatten", last, axis=1)


def _batch_normalization(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    leaves = [graph.constant(n, np.asarray(params[n], np.float32)) for n in layer.param_shapes(shape)]
    return graph.add("BatchNormalization", x, *leaves, epsilon=layer.epsilon)


def _convolution(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    kernel = np.asarray(params["kernel"], np.float32).transpose(3, 2, 0, 1)  # HWIO -> OIHW
    weights = [graph.constant("kernel", kernel), *_weights(graph, {"bias": params["bias"]} if layer.use_bias else {})]
    return _convolve(graph, x, weights, layer.windows(shape), layer.padding_mode, layer.groups)


def _convolve(graph: Graph, x: str, weights: list[str], w: Windows, mode: str, groups: int) -> str:
    pads = w.pads
    if mode != "constant":
        x, pads = graph.pad(x, pads, mode, (w.rows.n, w.cols.n)), NO_PADS
    where = {"pads": onnx_pads(pads), "strides": w.strides, "dilations": w.dilation}
    return graph.add("Conv", x, *weights, kernel_shape=[w.rows.k, w.cols.k], group=groups, **where)


NO_PADS: Pads = ((0, 0), (0, 0))
TINY = float(np.finfo(np.float32).tiny)


def _blur(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    w, channels = layer.windows(shape), shape[2]
    rows, cols = ((np.poly1d([0.5, 0.5]) ** (axis.k - 1)).coeffs for axis in (w.rows, w.cols))  # binomial, sum 1
    kernel = np.tile(np.multiply.outer(rows, cols).astype(np.float32), (channels, 1, 1, 1))
    return _convolve(graph, x, [graph.constant("kernel", kernel)], w, layer.mode, channels)


def _padding(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    pads = check_pads("to_onnx", "padding", layer.padding)
    return graph.pad(x, pads, getattr(layer, "mode", "constant"), (shape[0], shape[1]))


def _cropping(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    (top, bottom), (left, right) = check_pads("to_onnx", "cropping", layer.cropping)
    starts, ends = graph.integers("starts", top, left), graph.integers("ends", shape[0] - bottom, shape[1] - right)
    return graph.add("Slice", x, starts, ends, graph.integers("axes", 2, 3))


# Poolings. ONNX's own operators where runtimes agree on them: padding is explicit, `ceil_mode` is never set and padding
# never counts, since runtimes differ there (onnxruntime's issues 24681 and 26708, PyTorch's 183528).


def _max_pooling(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    return _maximum(graph, layer.windows(shape), x)


def _maximum(graph: Graph, w: Windows, x: str) -> str:
    if _is_plain(w) and all(map(_has_max_pool, (w.rows, w.cols), w.pads)):
        return graph.add("MaxPool", x, pads=onnx_pads(w.pads), **_where(w))
    elements = Elements(graph, x, w)
    return elements.finish(elements.reduce("ReduceMax", elements.masked(elements.values, -np.inf)), -np.inf)


def _has_max_pool(axis: Axis, pads: Pair) -> bool:
    """Tell whether onnxruntime's MaxPool does the same along an axis; windows that dilation spreads can be too much.

    It refuses padding as large as the window without its dilation, and gives the lowest number instead of -inf for a
    window that reads no pixel.
    """
    return max(pads) < axis.k and 0 not in axis.real_elements(include_pad=False)


def _average_pooling(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    return _average(graph, layer.windows(shape), x, include_pad=getattr(layer, "count_include_pad", False))


def _average(graph: Graph, w: Windows, x: str, *, include_pad: bool = False) -> str:
    if not _is_plain(w):
        elements = Elements(graph, x, w)
        return graph.add("Div", elements.reduce("ReduceSum", elements.masked(elements.values, 0)), elements.counts())
    # Zeros around the image, the average over whole windows, and what each window has to be divided by instead.
    y = graph.add("AveragePool", graph.pad(x, w.pads), **_where(w))
    down, across = (np.maximum(axis.real_elements(include_pad=include_pad), 1) for axis in (w.rows, w.cols))
    factors = w.rows.k * w.cols.k / np.multiply.outer(down, across)
    if np.all(factors == 1):
        return y
    return graph.add("Mul", y, graph.constant("factors", factors.astype(np.float32)))


def _where(w: Windows) -> dict[str, Any]:
    return {"kernel_shape": [w.rows.k, w.cols.k], "strides": w.strides, "dilations": w.dilation}


def _is_plain(w: Windows) -> bool:
    """Tell windows of one size at one distance, as ONNX's operators have them, from those of an adaptive pooling."""
    return not isinstance(w.rows, AdaptiveAxis)


def _max_average(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    w = layer.windows(shape)
    return graph.add("Add", _maximum(graph, w, x), _average(graph, w, x))


def _adaptive(rule: Callable[[Graph, Windows, str], str]) -> Rule:
    def apply(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
        w = layer.windows(shape)
        sizes = w.rows.n // w.rows.out, w.cols.n // w.cols.out
        if (w.rows.out * sizes[0], w.cols.out * sizes[1]) == (w.rows.n, w.cols.n):
            w = windows("to_onnx", shape[:2], sizes, sizes, pooling=True)  # type: ignore[arg-type]
        return rule(graph, w, x)

    return apply


def _lp(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    elements = Elements(graph, graph.add("Abs", x), layer.windows(shape))
    values = elements.masked(elements.values, 0)
    # Relative to the largest element, so that no power overflows; a window of zeros stays 0.
    largest = elements.reduce("ReduceMax", values, keepdims=True)
    shares = graph.add("Div", values, graph.add("Max", largest, graph.number("tiny", TINY)))
    powers = elements.reduce("ReduceSum", graph.add("Pow", shares, graph.number("p", layer.p)))
    norm = graph.add("Pow", powers, graph.number("inverse", 1 / layer.p))
    return elements.finish(graph.add("Mul", norm, elements.reduce("ReduceMax", values)), 0)


def _log_mean_exp(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    elements = Elements(graph, x, layer.windows(shape))
    return elements.finish(_mean_exp(graph, elements, elements.values, layer.r), -np.inf)


SHARP = 0.1


def _mean_exp(graph: Graph, elements: Elements, values: str, r: float) -> str:
    """Return log(mean(exp(r x))) / r of each window, relative to the largest r x so that nothing overflows."""
    # Division by r multiplies the rounding of the logarithm: a small r needs more digits.
    kind = np.float32 if abs(r) >= SHARP else np.float64
    if kind is np.float64:
        values = graph.add("Cast", values, to=graph.helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
    scaled = graph.add("Mul", values, factor := graph.constant("r", np.array(r, kind)))
    if not elements.real.all():
        scaled = graph.add("Add", scaled, graph.constant("mask", np.where(elements.real, 0, -np.inf).astype(kind)))
    largest = elements.reduce("ReduceMax", scaled, keepdims=True)
    total = elements.reduce("ReduceSum", graph.add("Exp", graph.add("Sub", scaled, largest)))
    mean = graph.add("Div", total, graph.constant("counts", elements.real.sum(axis=0).astype(kind)))
    y = graph.add("Div", graph.add("Add", graph.add("Log", mean), elements.reduce("ReduceMax", scaled)), factor)
    return y if kind is np.float32 else graph.add("Cast", y, to=1)


def _gem(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    p = float(np.asarray(params["p"])[0])
    if not p:
        raise ValueError("to_onnx: p of a GeM pooling must be a number other than 0, got 0. Use p=1 for the average.")
    # The mean of powers is the log-mean-exp of logarithms.
    floor = graph.add("Max", x, graph.number("epsilon", layer.epsilon))
    elements = Elements(graph, graph.add("Log", floor), layer.windows(shape))
    return elements.finish(graph.add("Exp", _mean_exp(graph, elements, elements.values, p)), 0)


def _soft(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    elements = Elements(graph, x, layer.windows(shape))
    weights = graph.add("Softmax", elements.masked(elements.values, -np.inf), axis=2)
    return elements.finish(elements.reduce("ReduceSum", graph.add("Mul", weights, elements.values)), 0)


def _stochastic(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
    # The mean weighted by the elements themselves; relative to the largest one, so that no square overflows.
    elements = Elements(graph, graph.add("Relu", x), layer.windows(shape))
    values = elements.masked(elements.values, 0)
    largest = elements.reduce("ReduceMax", values, keepdims=True)
    odds = graph.add("Div", values, graph.add("Max", largest, graph.number("tiny", TINY)))
    total = graph.add("Max", elements.reduce("ReduceSum", odds), graph.number("one", 1))
    mean = graph.add("Div", elements.reduce("ReduceSum", graph.add("Mul", odds, odds)), total)
    return elements.finish(graph.add("Mul", mean, elements.reduce("ReduceMax", values)), 0)


def _whole(rule: Rule) -> Rule:
    """Return the rule of a global pooling from one that gives (N, C, 1, 1)."""

    def apply(graph: Graph, layer: Any, params: Params, shape: Shape, x: str) -> str:
        y = rule(graph, layer, params, shape, x)
        return y if layer.keepdims else graph.add("Flatten", y, axis=1)

    return apply


RULES: dict[type[Layer], Rule] = {
    layers.AdaptiveAveragePooling2D: _adaptive(_average),
    layers.AdaptiveMaxPooling2D: _adaptive(_maximum),
    layers.AveragePooling2D: _average_pooling,
    layers.BatchNormalization: _batch_normalization,
    layers.BlurPooling2D: _blur,
    layers.Conv2D: _convolution,
    layers.Cropping2D: _cropping,
    layers.Dense: _dense,
    layers.Dropout: _same,
    layers.ELU: _element_wise("Elu", lambda layer: {"alpha": float(layer.alpha)}),
    layers.Flatten: _flatten,
    layers.GELU: _element_wise("Gelu", lambda layer: {"approximate": "tanh" if layer.approximate else "none"}),
    layers.GeMPooling2D: _gem,
    layers.GlobalAveragePooling2D: _whole(_element_wise("GlobalAveragePool")),
    layers.GlobalGeMPooling2D: _whole(_gem),
    layers.GlobalLogMeanExpPooling2D: _whole(_log_mean_exp),
    layers.GlobalLpPooling2D: _whole(_lp),
    layers.GlobalMaxPooling2D: _whole(_element_wise("GlobalMaxPool")),
    layers.GlobalSoftPooling2D: _whole(_soft),
    layers.LeakyReLU: _element_wise("LeakyRelu", lambda layer: {"alpha": float(layer.negative_slope)}),
    layers.LogMeanExpPooling2D: _log_mean_exp,
    layers.LpPooling2D: _lp,
    layers.MaxAveragePooling2D: _max_average,
    layers.MaxPooling2D: _max_pooling,
    layers.Padding2D: _padding,
    layers.ReLU: _element_wise("Relu"),
    layers.Sigmoid: _element_wise("Sigmoid"),
    layers.SoftPooling2D: _soft,
    layers.Softmax: _softmax,
    layers.Softplus: _element_wise("Softplus"),
    layers.StochasticPooling2D: _stochastic,
    layers.Tanh: _element_wise("Tanh"),
    layers.ZeroPadding2D: _padding,
}
