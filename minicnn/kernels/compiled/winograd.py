"""Convolution with 3x3 windows by 16 multiplications per channel for four outputs, instead of 36.

Four outputs in a square, a tile, depend on a patch of 4x4 pixels. With d the patch of a channel and g the filter's
weights for it, the tile is, summed over the channels (* is elementwise, ' transposes):

    y = A' [(G g G') * (B' d B)] A       B' = 1  0 -1  0    G = 1    0    0     A' = 1  1  1  0
                                              0  1  1  0        1/2  1/2  1/2        0  1 -1 -1
                                              0 -1  1  0        1/2 -1/2  1/2
                                              0  1  0 -1        0    0    1

This is F(2x2, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308.
G g G' is computed once for a net. For each of its 16 elements the sum over the channels is a matrix product, (tiles,
channels) times (channels, filters). B' and A' need only additions.

Rounding errors measured with 64 channels, relative to the largest output: at most 4.2e-7, and 9.7e-7 for sums over
windows, which have nine times as many terms. Differences of infinite pixels are NaN, and those of huge ones overflow
where the sums of the definition do not. So images with such pixels are computed by windows, see `walk`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import for_range
from numba.extending import intrinsic
from numpy import ndarray

from minicnn.geometry import Geometry, Pair
from minicnn.kernels.compiled.loop import NO_POOL, loop
from minicnn.kernels.compiled.tile import ROWS, multiply_windows, pack, panel_width
from minicnn.kernels.compiled.vectors import VECTOR, at, number, repeat, vector_of
from minicnn.kernels.compiled.windows import FRAMES, find_windows, frame, framed_images

G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
TILES = 48
"""Tiles at a time: with 32 channels their patches take 98 KB in float32, and stay in a core's cache."""
LEAST = 16
"""The fewest channels, and the fewest filters, of such a convolution. Measured on a Zen 4 core, with pooling, relative
to windows: 0.8 times as fast with 8 channels and filters, 1.1 with 8 and 16, 1.6 with 16 and 32 or 32 and 64; without
pooling 1.1 with 16 and 16, 1.3 with 16 and 32, 1.7 with 64 and 64."""
LIMIT = 2.0**60
"""Sums of pixels and weights below it cannot overflow: B' d B adds up four pixels, y nine sums over the channels."""


def winograd_panels(kernel: ndarray, geometry: Geometry, groups: int, pool: Pair) -> ndarray | None:
    """Return G g G' of a kernel (3, 3, C, K), packed as a kernel (4, 4, C, K). None where windows are used."""
    c, k = kernel.shape[2:]
    plain = geometry.window == (3, 3) and geometry.strides == geometry.dilation == (1, 1) and groups == 1
    lanes = VECTOR // kernel.itemsize
    if not plain or pool not in {NO_POOL, (2, 2)} or min(c, k) < LEAST or c % lanes or k % lanes:
        return None
    if not max(-kernel.min(), kernel.max()) * 9 / 4 * c < LIMIT:  # a row of G adds up to 3/2 at most
        return None
    g = G.astype(kernel.dtype)
    with np.errstate(under="ignore"):
        weights: ndarray = g @ (g @ kernel.reshape(3, 3 * c * k)).reshape(
            4, 3, c * k
        )  # `einsum` takes ten times as long
    packed: ndarray = pack(weights.reshape(4, 4, c, k), 1)
    return packed


@loop
def within(x):
    """Tell whether all numbers of a flat array are finite, and so small that no sum overflows."""
    others, limit = 0, x.dtype.type(LIMIT)
    for i in range(np.uintp(x.size)):
        others += not abs(x[i]) < limit
    return others == 0


@loop
def convolve_tiles(x, panels, bias, y, geometry, pooled, relu):
    """Write the results of a convolution, or of a max pooling with 2x2 after it.

    Those of images with numbers that are not `within` limits are wrong.
    """
    count, h, w, c = x.shape
    _, p, q, filters = y.shape
    down, right = (p, q) if pooled else ((p + 1) // 2, (q + 1) // 2)
    patches = _patches(geometry, h, w, down, right)
    across, size, framed = frame(x.shape, patches)
    at_once = max(1, min(count, FRAMES // size)) if framed else count
    frames = np.zeros(at_once * size if framed else 0, x.dtype)
    lines = max(1, min(at_once * down, TILES // right))
    rows, wide = lines * right + max(ROWS), min(filters, panel_width(filters, x.itemsize))
    places, reads, runs = np.empty(lines * right, np.int64), np.arange(rows) * c, np.zeros(1, np.int64)
    spread, sums = np.zeros(16 * rows * c, x.dtype), np.empty(16 * rows * wide, x.dtype)
    for image in range(0, count, at_once):
        images = min(at_once, count - image)
        pixels = framed_images(x, image, images, frames, patches)
        for start in range(0, images * down, lines):
            stop = min(images * down, start + lines)
            tiles, offset = (stop - start) * right, image * down
            find_windows(places, start, stop, patches, NO_POOL, (down, right), size, across * c, c)
            for t in range(tiles):
                _SPREAD(pixels, places[t], across * c, c, spread, t * c, rows * c)
            for block in range(0, filters, wide):
                width = min(wide, filters - block)
                vectors = width // (VECTOR // x.itemsize)
                for e in range(16):
                    matrix, product, panel = (
                        spread[e * rows * c :],
                        sums[e * rows * width :],
                        (16 * block + e * width) * c,
                    )
                    multiply_windows(matrix, reads, tiles, runs, (c, 1, c), panels, panel, vectors, product)
                columns = block, width
                _put_tiles(sums, rows * width, columns, bias, y, offset + start, offset + stop, pooled, relu)


@loop
def _patches(geometry, h, w, down, right):
    """Return the windows of the patches, with so much padding that the last ones lie in the frame."""
    pads = geometry[2]
    bottom = max(pads[0][1], 2 * down + 2 - h - pads[0][0])
    end = max(pads[1][1], 2 * right + 2 - w - pads[1][0])
    return (4, 4), (2, 2), ((pads[0][0], bottom), (pads[1][0], end)), (1, 1), (down, right)


@loop
def _put_tiles(sums, gap, columns, bias, y, start, stop, pooled, relu):
    """Write some columns of the results of the lines of tiles from `start` to `stop`."""
    _, p, q, filters = y.shape
    block, width = columns
    results, biases, least, read = y.reshape(y.size), bias[block:], y.dtype.type(0 if relu else -np.inf), 0
    side = 1 if pooled else 2
    down, right = (p + side - 1) // side, (q + side - 1) // side
    for line in range(start, stop):
        n, i = divmod(line, down)
        for j in range(right):
            place = ((n * p + side * i) * q + side * j) * filters + block
            if pooled:
                _GATHER_MAXIMUM(sums, read, gap, width, biases, least, results, place, (0, 0))
            else:
                steps = q * filters if 2 * i + 1 < p else 0, filters if 2 * j + 1 < q else 0
                _GATHER(sums, read, gap, width, biases, least, results, place, steps)
            read += width


def _spread(typing: Any, x: Any, place: Any, line: Any, channels: Any, target: Any, write: Any, gap: Any) -> Any:
    """Write B' d B of the patch that begins at x[place]: element e of channel c to target[e * gap + write + c].

    `line` is the distance of two rows of pixels.
    """

    def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        source, matrices = (context.make_array(signature.args[i])(context, b, args[i]).data for i in (0, 4))
        _, first, down, right, _, offset, apart = args
        vector, lanes, size = vector_of(source.type.pointee)
        with for_range(b, b.sdiv(right, number(lanes))) as block:
            channel = b.mul(block.index, number(lanes))
            begin = b.gep(source, [b.add(first, channel)])
            pixels = [[b.add(b.mul(down, number(i)), b.mul(right, number(j))) for j in range(4)] for i in range(4)]
            d = [[b.load(at(b, begin, pixel, vector), align=size) for pixel in row] for row in pixels]
            for e, element in enumerate(_both_sides(b, _times_b, d)):
                position = b.add(b.add(b.mul(apart, number(e)), offset), channel)
                b.store(element, at(b, matrices, position, vector), align=size)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(x, integer, integer, integer, target, integer, integer), generate


def _gather(pooled: bool) -> Any:
    """Return the loop that computes a tile, or its maximum, from the sums of its 16 elements."""

    @intrinsic
    def gather(
        typing: Any, sums: Any, read: Any, gap: Any, width: Any, bias: Any, least: Any, y: Any, place: Any, steps: Any
    ) -> Any:
        """Write A' m A + bias from y[place] on, or its maximum, and `least` where that is more.

        Element e of column k of m is sums[e * gap + read + k]. `steps` are the distances of the tile's rows and columns
        in y, 0 for those outside, over which the first ones are written.
        """

        def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
            source, biases, target = (
                context.make_array(signature.args[i])(context, b, args[i]).data for i in (0, 4, 6)
            )
            _, first, apart, columns, _, floor, _, write, _ = args
            down, right = (b.extract_value(args[8], i) for i in range(2))
            vector, lanes, size = vector_of(source.type.pointee)
            with for_range(b, b.sdiv(columns, number(lanes))) as block:
                column = b.mul(block.index, number(lanes))
                begins = [b.add(b.add(b.mul(apart, number(e)), first), column) for e in range(16)]
                m = [b.load(at(b, source, begin, vector), align=size) for begin in begins]
                tile = _both_sides(b, _times_a, [m[e : e + 4] for e in range(0, 16, 4)])
                tile = [functools.reduce(functools.partial(_larger, b), tile)] if pooled else tile
                added, begin = b.load(at(b, biases, column, vector), align=size), b.gep(target, [b.add(write, column)])
                for e, output in reversed(list(enumerate(tile))):
                    position = b.add(b.mul(down, number(e // 2)), b.mul(right, number(e % 2)))
                    result = _larger(b, repeat(b, floor, vector), b.fadd(output, added))
                    b.store(result, at(b, begin, position, vector), align=size)
            return context.get_dummy_value()

        integer = types.int64
        pair = types.UniTuple(integer, 2)
        return types.void(sums, integer, integer, integer, bias, sums.dtype, y, integer, pair), generate

    return gather


def _both_sides(b: ir.IRBuilder, times: Any, rows: list[Any]) -> list[Any]:
    """Return the elements, row by row, of a matrix that is multiplied from the left and, transposed, from the right."""
    half = zip(*(times(b, column) for column in zip(*rows, strict=True)), strict=True)
    return [element for row in half for element in times(b, row)]


def _times_b(b: ir.IRBuilder, d: Any) -> list[Any]:
    """Return B' d."""
    return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]


def _times_a(b: ir.IRBuilder, m: Any) -> list[Any]:
    """Return A' m."""
    return [b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])]


def _larger(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """Return the larger in each lane, and `y` if one is NaN."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


_SPREAD: Any = intrinsic(_spread)
_GATHER, _GATHER_MAXIMUM = _gather(False), _gather(True)
