"""An ONNX graph while it is built: nodes, constants, and the elements of pooling windows on an axis of their own.

Feature maps are (N, C, H, W) inside the graph, because the window operators of ONNX know no other layout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.geometry import Axis, Pads, Windows
from minicnn.ops.pooling_variants.adaptive import AdaptiveAxis, spans
from minicnn.optional import need


class Graph:
    """Nodes in the order in which they run, and constants."""

    def __init__(self) -> None:
        self.helper, self.numpy_helper = need("onnx.helper", "interop"), need("onnx.numpy_helper", "interop")
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.layer = ""

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its result."""
        name = f"{self.layer}/{kind}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, name: str, array: Any) -> str:
        """Add an array under the layer's path and return its name."""
        name = f"{self.layer}/{name}"
        while name in self.constants:
            name += "_"
        # a copy in C order: ONNX stores the bytes as they lie
        self.constants[name] = self.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def number(self, name: str, value: float) -> str:
        """Add a float32 number."""
        return self.constant(name, np.array(value, np.float32))

    def integers(self, name: str, *values: int) -> str:
        """Add a list of int64 numbers, as shapes and axes are given."""
        return self.constant(name, np.array(values, np.int64))

    def pad(self, x: str, pads: Pads, mode: str = "constant", size: tuple[int, int] = (0, 0)) -> str:
        """Pad feature maps by zeros or by copies of their pixels; "wrap" needs their size."""
        (top, bottom), (left, right) = pads
        if not any((top, bottom, left, right)):
            return x
        if mode == "wrap":  # onnxruntime's Pad refuses it for a batch of no images
            for axis, n, around in zip((2, 3), size, pads, strict=True):
                x = self.add(
                    "Gather", x, self.integers("wrapped", *np.pad(np.arange(n), around, mode="wrap")), axis=axis
                )
            return x
        ends = self.integers("pads", 0, 0, top, left, 0, 0, bottom, right)
        return self.add("Pad", x, ends, mode=mode)


def onnx_pads(pads: Pads) -> list[int]:
    """Return padding in the order of ONNX: both beginnings, then both ends."""
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]


class Elements:
    """The T elements of each window on an axis of their own: (N, C, H, W) -> (N, C, T, P, Q).

    One Gather by constant indices serves all strides, dilations and padding, and adaptive windows of different sizes.
    Elements that are padding are masked: `real` is False there. A window of padding only reads some pixel, and
    `finish` replaces what is computed from it.
    """

    def __init__(self, graph: Graph, x: str, w: Windows) -> None:
        self.graph = graph
        rows, cols = _taps(w.rows), _taps(w.cols)
        real = _outer(rows >= 0, cols >= 0, np.logical_and)
        self.empty = np.logical_not(real.any(axis=0, keepdims=True))[0]
        self.real = real | self.empty
        index = _outer(np.maximum(rows, 0) * w.cols.n, np.maximum(cols, 0), np.add)
        flat = graph.add("Reshape", x, graph.integers("shape", 0, 0, w.rows.n * w.cols.n))
        self.values = graph.add("Gather", flat, graph.constant("windows", index.astype(np.int64)), axis=2)

    def masked(self, values: str, pad: float) -> str:
        """Return the values with `pad`, 0 or -inf, at padding."""
        if self.real.all():
            return values
        real = self.graph.constant("real", self.real[None, None])
        return self.graph.add("Where", real, values, self.graph.number("pad", pad))

    def reduce(self, kind: str, values: str, *, keepdims: bool = False) -> str:
        """Reduce over the elements of each window."""
        return self.graph.add(kind, values, self.graph.integers("axes", 2), keepdims=int(keepdims))

    def counts(self) -> str:
        """Return the number of pixels in each window as a constant (P, Q)."""
        return self.graph.constant("counts", self.real.sum(axis=0).astype(np.float32))

    def finish(self, values: str, fill: float) -> str:
        """Return (N, C, P, Q) with `fill` for windows of padding only."""
        if not self.empty.any():
            return values
        empty = self.graph.constant("empty", self.empty[None, None])
        return self.graph.add("Where", empty, self.graph.number("fill", fill), values)


def _taps(axis: Axis) -> np.ndarray:
    """Return what each window reads along an axis, (k, out), with -1 for padding."""
    if isinstance(axis, AdaptiveAxis):
        found = np.full((axis.k, axis.out), -1)
        for i, (start, end) in enumerate(spans(axis.n, axis.out)):
            found[: end - start, i] = np.arange(start, end)
        return found
    places = np.add.outer(np.arange(axis.k) * axis.d, np.arange(axis.out) * axis.s) - axis.before
    return np.where((places >= 0) & (places < axis.n), places, -1)


def _outer(rows: np.ndarray, cols: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Combine (k, P) and (l, Q) to (k * l, P, Q)."""
    both = combine(rows[:, None, :, None], cols[None, :, None, :])
    return np.asarray(both).reshape(-1, rows.shape[1], cols.shape[1])
