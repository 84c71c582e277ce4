"""Convolution, which in this field is cross-correlation: the kernel is not flipped."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import numpy as np

from minicnn import kernels
from minicnn.geometry import Padding, Shape, Size, Windows, check_image, integer, windows
from minicnn.graph import Array, op, remembered
from minicnn.hints import C, spelled_out
from minicnn.ops.pad import Mode, check_copies, check_mode, padded
from minicnn.validation import LARGEST, ShapeError


class ConvKeywords(TypedDict, total=False):
    """The keywords that say where the windows of a convolution lie. Their defaults are those of `conv_windows`."""

    strides: Size
    padding: Padding
    dilation_rate: Size


def conv_windows(
    x: Shape, kernel: Shape, *, strides: Size = 1, padding: Padding = "valid", dilation_rate: Size = 1
) -> Windows:
    """Return how the windows of a convolution lie on images, or raise what does not fit."""
    return windows("conv2d", (x[1], x[2]), (kernel[0], kernel[1]), strides, padding, dilation_rate)


checked_conv_windows = remembered(conv_windows)


def conv_keywords(convolution: C) -> C:
    """Decorate a convolution, so that its signature lists the keywords that it passes on to `conv_windows`."""
    return spelled_out(ConvKeywords, conv_windows)(convolution)


def conv2d_shape(
    x: Shape, kernel: Shape, bias: Shape | None = None, *, groups: int = 1, padding_mode: Mode = "constant", **how: Any
) -> Shape:
    """Shape rule of conv2d: (N, H, W, C) with (kh, kw, C // groups, K) -> (N, P, Q, K)."""
    check_image("conv2d", x)
    if len(kernel) != 4:
        fix = "Use (kh, kw, in // groups, out)."
        raise ShapeError("conv2d", f"kernel must have 4 axes, got {len(kernel)} axes {kernel}", fix)
    groups = integer("conv2d", "groups", groups, most=LARGEST)
    channels, filters = x[3], kernel[3]
    # Before the windows: images with channels first seem to have few rows, and that error would hide the reason.
    if channels != kernel[2] * groups:
        takes = f"{kernel} for {kernel[2]} x {groups} groups"
        what = f"kernel must fit the {channels} channels of the input {x}, got {takes}"
        fitting = (*kernel[:2], max(1, channels // groups), filters)
        fix = f"Use a kernel of {fitting}, or NHWC images, as x.transpose(0, 2, 3, 1)."
        raise ShapeError("conv2d", what, fix)
    if filters % groups:
        fix = f"Use a multiple of {groups} filters."
        raise ShapeError("conv2d", f"filters must be divisible by groups={groups}, got {filters} filters", fix)
    if bias is not None and bias != (filters,):
        what = f"bias must have one value for each of {filters} filters, got {bias}"
        raise ShapeError("conv2d", what, f"Use ({filters},).")
    check_mode("conv2d", "padding_mode", padding_mode)
    w = conv_windows(x, kernel, **how)
    if padding_mode != "constant":
        check_copies("conv2d", (x[1], x[2]), w.pads, padding_mode)
    return x[0], *w.out, filters


@op(conv2d_shape)
@conv_keywords
def conv2d(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    groups: int = 1,
    padding_mode: Mode = "constant",
    **how: Unpack[ConvKeywords],
) -> Any:
    """Slide a kernel over images: (N, H, W, C) with (kh, kw, C // groups, K) -> (N, P, Q, K).

    y[n, p, q, k] = bias[k] + sum over i, j, c of x[n, p * s + i * d, q * s + j * d, c] * kernel[i, j, c, k] with
    zeros for padding, or with a `padding_mode` of reflect, edge or wrap the copies that `pad2d` makes. `groups`
    splits channels and filters; `groups=C` is a depthwise convolution.

    >>> conv2d(np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    w = checked_conv_windows(x.shape, kernel.shape, **how)
    geometry, groups, fold = w.geometry, int(groups), None
    if padding_mode != "constant":  # the kernels pad with zeros only
        x, fold = padded(x, w.pads, padding_mode)
        geometry = geometry._replace(pads=((0, 0), (0, 0)))

    def vjp_x(g: np.ndarray) -> Any:
        dx = kernels.conv2d_input_grad(g, kernel, x.shape, geometry, groups)
        return fold(dx) if fold else dx  # a pixel also gets the gradients of its copies

    # The gradients of kernel and bias are both sums over g, so one function returns both: the engine calls it once.
    def weights(g: np.ndarray) -> Any:
        return kernels.conv2d_weight_grads(g, x, kernel.shape, geometry, groups)

    return kernels.conv2d(x, kernel, bias, geometry, groups), (vjp_x, weights, weights)
