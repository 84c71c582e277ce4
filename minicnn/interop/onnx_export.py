"""A net as an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicnn.files import atomic_write
from minicnn.geometry import Shape
from minicnn.hints import explained
from minicnn.interop.onnx_graph import Graph
from minicnn.interop.onnx_layers import RULES
from minicnn.interop.walk import check_kinds, params_at
from minicnn.layers import Concat, Layer, check_params
from minicnn.layers.base import Params, check_net
from minicnn.optional import need
from minicnn.trees import leaves
from minicnn.validation import path as checked_path
from minicnn.validation import shown

OPSET, IR = 22, 10
"""Versions are set by hand: the defaults of the onnx package are newer than what most runtimes read."""
MOST = 2**31 - 2**20
"""Bytes of parameters in one file: protobuf's limit is 2 GiB."""


@explained
def to_onnx(net: Layer, params: Params, input_shape: Sequence[int], path: str | Path) -> Path:
    """Write the net as it evaluates (no dropout, stored statistics) to an ONNX file and return its path.

    The graph has one input `image`, float32 (N, H, W, C) or (N, features) for any N, and one result `output` in the
    layout that the net gives. Feature maps are transposed inside. Operators of opset 22, IR version 10. Parameters
    become float32 and keep their paths as names, as `trunk/conv2d/kernel`. In onnxruntime results differ from
    `net(params, x)` by rounding only, with two exceptions: its maximum ignores NaN, and a log-mean-exp pooling is
    accurate to an absolute 1e-6 / r rather than relative to its elements.

    Parameters
    ----------
    net : Layer
        Of the layers of `minicnn.layers`.
    params : dict
        Its parameters.
    input_shape : tuple
        (H, W, C) or (features,).
    path : path
        Of the file, written completely or not at all.

    Raises
    ------
    TypeError
        A layer has no rule, which is so for layers that users write; the message names it and its place.
    ValueError
        Parameters or input shape do not fit the net.
    ImportError
        The package onnx is missing: it comes with the extra `interop`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minicnn.layers import Dense
    >>> net = Dense(10)
    >>> params = net.init(np.random.default_rng(0), (64,))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(net, params, (64,), f"{folder}/net.onnx").name
    'net.onnx'
    """
    target = checked_path("to_onnx", "path", path)
    shape = check_net("to_onnx", net, input_shape)
    if len(shape) not in {1, 3}:
        raise ValueError(f"to_onnx: input_shape must be (H, W, C) or (features,), got {shown(input_shape)}.")
    check_kinds("to_onnx", net, shape, RULES)
    check_params(net, params, shape)
    if (size := 4 * sum(leaf.size for leaf in leaves(params))) > MOST:
        raise ValueError(f"to_onnx: params must take at most {MOST:,} bytes, protobuf's limit, got {size:,}.")
    model = _model(net, params, shape)
    need("onnx.checker", "interop").check_model(model, full_check=True)
    return atomic_write(target, model.SerializeToString())


def _model(net: Layer, params: Params, shape: Shape) -> Any:
    graph = Graph()
    maps = len(shape) == 3
    x = graph.add("Transpose", "image", perm=[0, 3, 1, 2]) if maps else "image"
    y = net.flow(_Writer(graph, params), x, shape)
    graph.layer, out = "", net.output_shape(shape)
    if len(out) == 3:
        graph.nodes.append(graph.helper.make_node("Transpose", [y], ["output"], "output", perm=[0, 2, 3, 1]))
    else:
        graph.nodes.append(graph.helper.make_node("Identity", [y], ["output"], "output"))
    ends = [
        graph.helper.make_tensor_value_info(name, 1, ["N", *sizes])  # 1 is float32
        for name, sizes in (("image", shape), ("output", out))
    ]
    made = graph.helper.make_graph(graph.nodes, "minicnn", ends[:1], ends[1:], list(graph.constants.values()))
    opsets = [graph.helper.make_opsetid("", OPSET)]
    return graph.helper.make_model(made, opset_imports=opsets, ir_version=IR, producer_name="minicnn")


class _Writer:
    """The flow of a value's name through a net: each layer adds its nodes."""

    def __init__(self, graph: Graph, params: Params) -> None:
        self.graph, self.params = graph, params

    def layer(self, name: str, layer: Layer, shape: Shape, state: str) -> str:
        self.graph.layer = name
        return RULES[type(layer)](self.graph, layer, params_at(self.params, name), shape, state)

    def join(self, container: Layer, shape: Shape, state: str, ends: list[str]) -> str:
        if isinstance(container, Concat):
            return self.graph.add("Concat", *ends, axis=1)
        return self.graph.add("Add", *ends)
