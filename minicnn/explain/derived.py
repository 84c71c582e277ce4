"""Arrays that the page computes from others, to the last bit.

The page sums in float64 and in a fixed order, so that NumPy does the same sums with the same bits. The library sums in
float32 and in the order that is fastest: its result differs by a few units in the last place. So an array is told as a
rule, its arguments, and that difference of the bits, which is mostly zeros. Each function here has its other half in
web/src/arrays.ts and web/src/ops.ts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.explain.contract import Axis, Id, Layer, Node, Packed
from minicnn.explain.packing import Arrays, expanded, unpack

Array = np.ndarray


def same(_: Layer, x: Array) -> Array:
    """Return the same numbers, in the shape of the result."""
    return x


def relu(_: Layer, x: Array) -> Array:
    """Return what is positive."""
    return np.asarray(np.where(x > 0, x, 0))


def relu_grad(_: Layer, y: Array, g: Array) -> Array:
    """Return the gradient under positive results."""
    return np.asarray(np.where(y > 0, g, 0))


def dense(_: Layer, x: Array, kernel: Array, bias: Array) -> Array:
    """Return bias + x @ kernel, feature by feature."""
    total = bias + np.float64(0)
    for v, line in zip(x.ravel().astype(np.float64), kernel, strict=True):
        total += v * line
    return np.asarray(total)


def dense_grad(_: Layer, x: Array, g: Array) -> Array:
    """Return the gradient of a dense kernel: of one image each element is one product, added to zero."""
    return np.asarray(np.multiply.outer(x.ravel(), g.ravel()) + 0)


def conv2d(layer: Layer, x: Array, kernel: Array, bias: Array) -> Array:
    """Return the convolution of x (1, H, W, C), tap by tap and channel by channel."""
    rows, cols = _axes(layer)
    double = x[0].astype(np.float64)
    total = np.broadcast_to(bias + np.float64(0), (rows.out, cols.out, len(bias))).copy()
    for i, j, (to, of) in _taps(rows, cols):
        for c in range(kernel.shape[2]):
            total[to] += double[of][..., c, None] * kernel[i, j, c]
    return total


def conv2d_grad(layer: Layer, x: Array, g: Array) -> Array:
    """Return the gradient of the kernel, place by place in row order."""
    rows, cols = _axes(layer)
    x, g = x[0].astype(np.float64), g[0].astype(np.float64)
    total = np.zeros((rows.k, cols.k, x.shape[2], g.shape[2]))
    for p, q in np.ndindex(rows.out, cols.out):
        for i, row in _inside(rows, p):
            for j, col in _inside(cols, q):
                total[i, j] += x[row, col, :, None] * g[p, q]
    return total


def _axes(layer: Layer) -> tuple[Axis, Axis]:
    if layer.rows is None or layer.cols is None:
        raise ValueError(f"page: layer must have windows, got {layer.name}. Compute it without a rule.")
    return layer.rows, layer.cols


def _inside(axis: Axis, o: int) -> Iterator[tuple[int, int]]:
    """Yield each tap of window `o` that reads an element, with the place of the element."""
    for i in range(axis.k):
        at = o * axis.s + i * axis.d - axis.before
        if 0 <= at < axis.n:
            yield i, at


def _taps(rows: Axis, cols: Axis) -> Iterator[tuple[int, int, tuple[Any, Any]]]:
    """Yield each tap with the windows in which it reads an element, and those elements."""
    for i, j in np.ndindex(rows.k, cols.k):
        down, across = _line(rows, i), _line(cols, j)
        yield i, j, (np.ix_(down[0], across[0]), np.ix_(down[1], across[1]))


def _line(axis: Axis, i: int) -> tuple[list[int], list[int]]:
    places = [(o, o * axis.s + i * axis.d - axis.before) for o in range(axis.out)]
    real = [(o, at) for o, at in places if 0 <= at < axis.n]
    return [o for o, _ in real], [at for _, at in real]


RULES: dict[str, Callable[..., Array]] = {
    rule.__name__: rule for rule in (same, relu, relu_grad, dense, dense_grad, conv2d, conv2d_grad)
}


def derive(nodes: list[Node], net: list[Layer], arrays: Arrays) -> None:
    """Replace arrays of a tape by rules where that takes less room."""
    layers = {layer.name: layer for layer in _every(net)}
    for node in nodes:
        layer = layers.get(node.layer or "")
        sources = [nodes[f.node].value for f in node.from_]
        if layer is None or node.value is None or None in sources:
            continue
        for target, rule, arguments in _rules(node, layer, [Id(s) for s in sources if s is not None]):
            if target is not None and None not in arguments:
                arrays.derive(target, rule, layer, [a for a in arguments if a is not None], RULES[rule])


def read(arrays: dict[Id, Packed], net: list[Layer]) -> dict[Id, Array]:
    """Return the arrays of a page, those that are told as rules computed as the page does."""
    layers = {layer.name: layer for layer in _every(net)}
    found: dict[Id, Array] = {}

    def one(name: Id) -> Array:
        packed = arrays[name]
        if name not in found and packed.rule:
            rule, layer, *sources = packed.rule
            bits = RULES[rule](layers[layer], *map(one, sources)).astype("<f4").reshape(packed.shape).view("<i4")
            found[name] = (bits + expanded(packed, "<i4") if packed.z else bits).view("<f4")
        elif name not in found:
            found[name] = unpack(packed)
        return found[name]

    return {name: one(name) for name in arrays}


def _every(net: list[Layer]) -> Iterator[Layer]:
    for layer in net:
        yield layer
        for branch in layer.branches or []:
            yield from _every(branch)


Rule = tuple[Id | None, str, list[Id | None]]


def _rules(node: Node, layer: Layer, sources: list[Id]) -> Iterator[Rule]:
    """Yield what of a node can be computed: the array, the rule, and its arguments."""
    x, parts = sources[0] if sources else None, [f.part for f in node.from_]
    if node.op in ("flatten", "reshape") and len(parts) == 1:
        yield node.value, "same", [x]
        yield parts[0], "same", [node.grad]
    elif node.op == "relu":
        yield node.value, "relu", [x]
        yield parts[0], "relu_grad", [node.value, node.grad]
    elif node.op in ("dense", "conv2d") and len(parts) == 3 and _is_plain(layer):
        yield node.value, node.op, [*sources]
        yield parts[1], f"{node.op}_grad", [x, node.grad]


def _is_plain(layer: Layer) -> bool:
    """Return whether the rules cover a layer: one group, zeros as padding, not a layer of a user's own."""
    zeros = layer.mode in (None, "constant") and layer.options.get("groups", 1) == 1
    return layer.kind == "Dense" or (layer.kind == "Conv2D" and zeros)
