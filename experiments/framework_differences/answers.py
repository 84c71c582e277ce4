"""What Keras, PyTorch and ONNX compute for a 4x4 image, derived from their rules, and the minicnn call for each.

In the image with the values 1 to 16, the pixel in row i and column j (from 0) is 1 + 4 i + j. The maximum of a window
is therefore the pixel in its last row and column, and its average is 1 + 4 (mean row) + (mean column). The comments
state which rows the windows read; the columns are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.framework_differences.topic import Answer, Call, Topic
from minicnn import ops

RISING = np.arange(1.0, 17.0).reshape(4, 4)
EQUAL = np.ones((4, 4))
ONES = np.ones((3, 3))


def pool(op: Callable[..., Any], size: int, **options: Any) -> Call:
    """Return the call of a pooling op."""
    return Call(op, {"pool_size": size, **options})


def gradient_of_max(ties: str) -> Call:
    """Return the call for the gradient of 2x2 max pooling."""
    return Call(ops.max_pool2d, {"pool_size": 2, "ties": ties}, gradient=True)


def _torch_gradient(torch: Any, x: Any, f: Callable[[Any], Any]) -> Any:
    x = x.clone().requires_grad_()
    f(x).sum().backward()
    return x.grad


def _tiles(x: Any) -> Any:
    """Split a 4x4 image into 2x2 tiles; axes 3 and 5 are the rows and columns within a tile."""
    return x.reshape(1, 1, 2, 2, 2, 2)


SAME_MAX = Topic(
    "'same' with stride 2, maximum of 3x3",
    "For 4 rows, windows of 3 with stride 2 need one row of padding: TensorFlow puts it at the bottom. PyTorch pads"
    " both sides equally and so reads other windows, although their number is the same.",
    RISING,
    (
        Answer(
            "Keras",
            'MaxPooling2D(3, strides=2, padding="same")',
            "TensorFlow kernel_shape_util.cc: padding (0, 1)",
            ((11, 12), (15, 16)),  # rows 0-2 and 2-3
            pool(ops.max_pool2d, 3, strides=2, padding="same"),
        ),
        Answer(
            "PyTorch",
            "F.max_pool2d(x, 3, stride=2, padding=1)",
            "ATen Pool.h: padding (1, 1), floor((4 + 2 - 3) / 2) + 1 = 2",
            ((6, 8), (14, 16)),  # rows 0-1 and 1-3
            pool(ops.max_pool2d, 3, strides=2, padding=1),
            lambda torch, x: torch.nn.functional.max_pool2d(x, 3, stride=2, padding=1),
        ),
        Answer(
            "ONNX",
            'MaxPool(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")',
            "ONNX operators: odd padding goes to the end",
            ((11, 12), (15, 16)),
            pool(ops.max_pool2d, 3, strides=2, padding="same"),
        ),
        Answer(
            "ONNX",
            'MaxPool(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")',
            "ONNX operators: odd padding goes to the beginning",
            ((6, 8), (14, 16)),  # rows 0-1 and 1-3: no window reads PyTorch's padding at the bottom
            pool(ops.max_pool2d, 3, strides=2, padding=((1, 0), (1, 0))),
        ),
    ),
)
SAME_CONV = Topic(
    "'same' with stride 2, convolution with a 3x3 kernel of ones",
    "The same difference for convolution: results of weights copied from Keras to PyTorch differ, although the weights"
    " are correct (keras-team/keras#19291).",
    RISING,
    (
        Answer(
            "Keras",
            'Conv2D(1, 3, strides=2, padding="same")',
            "TensorFlow kernel_shape_util.cc: padding (0, 1)",
            ((54, 45), (72, 54)),  # elements times average: 9 * 6, 6 * 7.5, 6 * 12, 4 * 13.5
            Call(ops.conv2d, {"strides": 2, "padding": "same"}, kernel=ONES),
        ),
        Answer(
            "PyTorch",
            "F.conv2d(x, ones(1, 1, 3, 3), stride=2, padding=1)",
            "ATen Convolution.cpp: padding (1, 1); padding='same' is not supported with stride 2",
            ((14, 30), (57, 99)),  # elements times average: 4 * 3.5, 6 * 5, 6 * 9.5, 9 * 11
            Call(ops.conv2d, {"strides": 2, "padding": 1}, kernel=ONES),
            lambda torch, x: torch.nn.functional.conv2d(x, torch.ones_like(x[:, :, :3, :3]), stride=2, padding=1),
        ),
        Answer(
            "ONNX",
            "Conv(kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])",
            "ONNX operators: pads lists all beginnings, then all ends, so that both of the above can be expressed",
            ((54, 45), (72, 54)),
            Call(ops.conv2d, {"strides": 2, "padding": ((0, 1), (0, 1))}, kernel=ONES),
        ),
    ),
)
# Average over 3x3 at stride 1 with padding 1 on all sides: image rows 0-1, 0-2, 1-3, 2-3, so mean rows .5, 1, 2, 2.5.
EXCLUDED = ((3.5, 4, 5, 5.5), (5.5, 6, 7, 7.5), (9.5, 10, 11, 11.5), (11.5, 12, 13, 13.5))
# Padding is zero: only the divisor changes, from the number of pixels (2, 3, 3, 2 rows times as many columns) to 9.
INCLUDED = tuple(
    tuple(v * r * c / 9 for v, c in zip(row, (2, 3, 3, 2), strict=True))
    for row, r in zip(EXCLUDED, (2, 3, 3, 2), strict=True)
)
DIVISOR = Topic(
    "average divisor, 3x3 at stride 1",
    "At the border a window contains fewer pixels of the image: dividing by their number keeps the brightness, dividing"
    " by 9 darkens the border.",
    RISING,
    (
        Answer(
            "Keras",
            'AveragePooling2D(3, strides=1, padding="same")',
            "TensorFlow avg_pool: padding is always excluded",
            EXCLUDED,
            pool(ops.average_pool2d, 3, strides=1, padding="same"),
        ),
        Answer(
            "PyTorch",
            "F.avg_pool2d(x, 3, stride=1, padding=1)",
            "ATen AvgPoolKernel.cpp: count_include_pad=True by default",
            INCLUDED,
            pool(ops.average_pool2d, 3, strides=1, padding=1, count_include_pad=True),
            lambda torch, x: torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1),
        ),
        Answer(
            "ONNX",
            "AveragePool(kernel_shape=[3, 3], pads=[1, 1, 1, 1])",
            "ONNX operators: count_include_pad=0 by default",
            EXCLUDED,
            pool(ops.average_pool2d, 3, strides=1, padding=1),
        ),
    ),
)
CEIL = Topic(
    "ceil mode, average of 3x3 at stride 2 with padding 1",
    "Rounding up adds a last window that extends beyond the padded image; elements beyond it are never counted. Whether"
    " padding is counted differs as in the topic on the divisor.",
    RISING,
    (
        Answer(
            "Keras",
            'AveragePooling2D(3, strides=2, padding="same")',
            "no ceil mode; 'same' has ceil(4 / 2) = 2 windows with padding (0, 1)",
            ((6, 7.5), (12, 13.5)),  # mean rows 1 and 2.5
            pool(ops.average_pool2d, 3, strides=2, padding="same"),
        ),
        Answer(
            "PyTorch",
            "F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)",
            "ATen Pool.h: ceil((4 + 2 - 3) / 2) + 1 = 3; AvgPoolKernel.cpp: windows are clipped to the padded image",
            # sums of the image rows 0-1, 1-3, 3 by columns, divided by 3, 3, 2 padded rows by columns
            ((14 / 9, 30 / 9, 12 / 6), (57 / 9, 99 / 9, 36 / 6), (27 / 6, 45 / 6, 16 / 4)),
            pool(ops.average_pool2d, 3, strides=2, padding=1, ceil_mode=True, count_include_pad=True),
            lambda torch, x: torch.nn.functional.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True),
        ),
        Answer(
            "ONNX",
            "AveragePool(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)",
            "ONNX operators, opset 22: padding is excluded; a last window must start in the image or the first padding",
            ((3.5, 5, 6), (9.5, 11, 12), (13.5, 15, 16)),  # mean rows .5, 2, 3
            pool(ops.average_pool2d, 3, strides=2, padding=1, ceil_mode=True),
        ),
    ),
)
STRIDE = Topic(
    "default stride, maximum of 2x2",
    "In Keras and PyTorch the default stride is the window size; in ONNX, as in Flax, numpy-ml and DeZero, it is 1.",
    RISING,
    (
        Answer(
            "Keras",
            "MaxPooling2D(2)",
            "Keras: strides=None is the pool size",
            ((6, 8), (14, 16)),
            pool(ops.max_pool2d, 2),
        ),
        Answer(
            "PyTorch",
            "F.max_pool2d(x, 2)",
            "torch.nn.functional: stride=None is the kernel size",
            ((6, 8), (14, 16)),
            pool(ops.max_pool2d, 2),
            lambda torch, x: torch.nn.functional.max_pool2d(x, 2),
        ),
        Answer(
            "ONNX",
            "MaxPool(kernel_shape=[2, 2])",
            "ONNX operators: strides default to 1 along each axis",
            ((6, 7, 8), (10, 11, 12), (14, 15, 16)),
            pool(ops.max_pool2d, 2, strides=1),
        ),
    ),
)
FIRST = ((1, 0, 1, 0), (0, 0, 0, 0), (1, 0, 1, 0), (0, 0, 0, 0))
SHARED = ((0.25,) * 4,) * 4
TIES = Topic(
    "ties, the gradient of the maximum of 2x2",
    "For four equal elements, a pooling that stores an argmax gives the gradient to one of them, a reduction that"
    " compares with the maximum to all four. PyTorch has both rules.",
    EQUAL,
    (
        Answer(
            "Keras",
            "MaxPooling2D(2)",
            "rule of the backend: poolings of TensorFlow, JAX and PyTorch all use the first maximum in row order",
            FIRST,
            gradient_of_max("first"),
        ),
        Answer(
            "PyTorch",
            "F.max_pool2d(x, 2)",
            "ATen MaxPoolKernel.cpp: a later element must be strictly greater",
            FIRST,
            gradient_of_max("first"),
            lambda torch, x: _torch_gradient(torch, x, lambda x: torch.nn.functional.max_pool2d(x, 2)),
        ),
        Answer(
            "PyTorch",
            "x.reshape(1, 1, 2, 2, 2, 2).amax(dim=(3, 5))",
            "ATen: amax distributes the gradient evenly; so do TensorFlow's reduce_max and jnp.max (tensorflow#4886)",
            SHARED,
            gradient_of_max("split"),
            lambda torch, x: _torch_gradient(torch, x, lambda x: _tiles(x).amax(dim=(3, 5))),
        ),
        Answer("ONNX", "MaxPool(kernel_shape=[2, 2], strides=[2, 2])", "a format for inference: no gradients"),
    ),
)
TOPICS = (SAME_MAX, SAME_CONV, DIVISOR, CEIL, STRIDE, TIES)
