"""The product of windows with a matrix, read straight from the images: what a convolution spends its time on.

A tile is a dozen or half a dozen windows times a panel of filters. Its sums stay in registers from the first tap to the
last; each tap is one pixel per window, read where it lies, and one row of the panel. So windows are never copied into a
matrix, which takes as long as the product where channels are few. The sum of each output is taken in the order of the
taps, whatever else is computed with it: the bits do not depend on the size of the batch.

The loops are written in LLVM's language, which has vectors: in Numba's, sums would be kept in memory, and each product
would load and store one. Measured on a Zen 4 core in float32: 45 to 58 billion products per second of at most 59,
for convolutions of 6 to 64 channels.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once_value, for_range
from numba.extending import intrinsic

from minicnn.kernels.arithmetic import PIECE_TERMS, TERMS
from minicnn.kernels.compiled.loop import copy, loop

ROWS = (12, 6, 6, 6)
"""Windows of a tile with one vector of filters, two, three, four. The last needs 24 sums, 4 weights and a pixel, of 32
registers. With one vector six sums would wait for each other: 22 billion products per second instead of 25."""
VECTOR = 32
"""Bytes of a vector of filters: 8 filters in float32."""
MOST = 4 if llvmlite.binding.get_host_cpu_features().get("avx512vl", False) else 2
"""Vectors of filters in a panel: half as many where the processor has 16 registers."""


def _tile(vectors: int) -> Any:
    """Return the loop of a tile with so many vectors of filters."""

    @intrinsic
    def product(
        typing: Any, x: Any, places: Any, first: Any, runs: Any, length: Any, panel: Any, start: Any, sums: Any
    ) -> Any:
        """Write the sums of the windows of a tile from `first` on.

        Window r begins at x[places[r]]; its taps are the runs of `length` elements that begin `runs[i]` after that.
        """

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            def data(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, args[i]).data

            count = builder.extract_value(context.make_array(runs)(context, builder, args[3]).shape, 0)
            _write_tile(builder, vectors, data(0), data(1), args[2], data(3), count, args[4], data(5), args[6], data(7))
            return context.get_dummy_value()

        integer = types.int64
        return types.void(x, places, integer, runs, integer, panel, integer, sums), generate

    return product


def _write_tile(
    b: ir.IRBuilder,
    vectors: int,
    x: Any,
    places: Any,
    first: Any,
    runs: Any,
    run_count: Any,
    length: Any,
    panel: Any,
    start: Any,
    sums: Any,
) -> None:
    vector, lanes, size = _vector(x.type.pointee)
    windows, columns, width = range(ROWS[vectors - 1]), range(vectors), _number(vectors * lanes)
    positions = [b.load(b.gep(places, [b.add(first, _number(r))])) for r in windows]
    # Variables of the loop's own stack frame: the compiler keeps them in registers.
    totals = [[alloca_once_value(b, ir.Constant(vector, [0.0] * lanes)) for _ in columns] for _ in windows]
    with for_range(b, run_count) as run:
        pixels = b.gep(x, [b.load(b.gep(runs, [run.index]))])
        with for_range(b, length) as tap:
            row = b.gep(panel, [b.add(start, b.mul(b.add(b.mul(run.index, length), tap.index), width))])
            weights = [b.load(_at(b, row, _number(v * lanes), vector), align=size) for v in columns]
            for r in windows:
                pixel = b.load(b.gep(pixels, [b.add(positions[r], tap.index)]), align=size)
                repeated = _repeat(b, pixel, vector)
                for v in columns:
                    total = _multiply_add(b, repeated, weights[v], b.load(totals[r][v]))
                    b.store(total, totals[r][v])
    for r in windows:
        target = b.gep(sums, [b.mul(b.add(first, _number(r)), width)])
        for v in columns:
            b.store(b.load(totals[r][v]), _at(b, target, _number(v * lanes), vector), align=size)


def _vector(scalar: ir.Type) -> tuple[ir.VectorType, int, int]:
    """Return the type of a vector of this type, how many fit in it, and the bytes of one."""
    size = 4 if isinstance(scalar, ir.FloatType) else 8
    return ir.VectorType(scalar, VECTOR // size), VECTOR // size, size


def _number(value: int) -> ir.Constant:
    """Return an integer of LLVM's."""
    return ir.Constant(ir.IntType(64), value)


def _at(b: ir.IRBuilder, pointer: Any, offset: Any, vector: ir.VectorType) -> Any:
    """Return a pointer to the vector that begins `offset` elements after `pointer`."""
    return b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())


def _repeat(b: ir.IRBuilder, scalar: Any, vector: ir.VectorType) -> Any:
    """Return a vector with the same number in all lanes."""
    undefined, index = ir.Constant(vector, ir.Undefined), ir.IntType(32)
    zeros = ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count)
    return b.shuffle_vector(b.insert_element(undefined, scalar, ir.Constant(index, 0)), undefined, zeros)


def _multiply_add(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z, rounded once, in each lane: one instruction of the processor."""
    name = f"llvm.fma.v{x.type.count}f{8 * VECTOR // x.type.count}"
    fma = b.module.globals.get(name) or ir.Function(b.module, ir.FunctionType(x.type, [x.type] * 3), name)
    return b.call(fma, [x, y, z])


_ONE, _TWO, _THREE, _FOUR = (_tile(vectors) for vectors in (1, 2, 3, 4))


@loop
def multiply_windows(x, places, windows, runs, length, panel, start, vectors, sums):
    """Write the sums of all windows, a row of `vectors` vectors each; `places` and `sums` are whole tiles long.

    Sums of very many taps are added up from blocks, see `kernels.arithmetic`.
    """
    if len(runs) * length <= PIECE_TERMS:
        _multiply(x, places, windows, runs, length, panel, start, vectors, sums)
        return
    total, width = np.zeros(len(sums), np.float64), vectors * (VECTOR // x.itemsize)
    for run in range(len(runs)):
        for tap in range(0, length, TERMS):
            row = start + (run * length + tap) * width
            _multiply(
                x[tap:], places, windows, runs[run : run + 1], min(TERMS, length - tap), panel, row, vectors, sums
            )
            for i in range(np.uintp(len(sums))):
                total[i] += sums[i]
    for i in range(np.uintp(len(sums))):
        sums[i] = total[i]


@loop
def _multiply(x, places, windows, runs, length, panel, start, vectors, sums):
    if vectors == 4:
        for first in range(0, windows, ROWS[3]):
            _FOUR(x, places, first, runs, length, panel, start, sums)
    elif vectors == 3:
        for first in range(0, windows, ROWS[2]):
            _THREE(x, places, first, runs, length, panel, start, sums)
    elif vectors == 2:
        for first in range(0, windows, ROWS[1]):
            _TWO(x, places, first, runs, length, panel, start, sums)
    else:
        for first in range(0, windows, ROWS[0]):
            _ONE(x, places, first, runs, length, panel, start, sums)


@loop
def panel_width(filters, itemsize):
    """Return the columns of the widest panel for so many filters: whole vectors."""
    lanes = VECTOR // itemsize
    return min(MOST, -(-filters // lanes)) * lanes


@loop
def pack(kernel, groups):
    """Return the panels of a kernel (kh, kw, C, K), zeros where the last vector of a group has no filters."""
    kh, kw, c, filters = kernel.shape
    taps, k, lanes = kh * kw * c, filters // groups, VECTOR // kernel.itemsize
    weights, wide, columns = kernel.reshape(kernel.size), MOST * lanes, -(-k // lanes) * lanes
    panels = np.zeros(groups * taps * columns, kernel.dtype)
    for group in range(groups):
        for block in range(0, k, wide):
            width, found = min(wide, columns - block), min(wide, k - block)
            write, read = (group * columns + block) * taps, group * k + block
            for tap in range(taps):
                copy(panels, write + tap * width, weights, read + tap * filters, found)
    return panels
