"""The product of windows with a matrix, read straight from the images: what a convolution spends its time on.

A tile is a dozen or half a dozen windows times a panel of filters. Its sums stay in registers from the first tap to the
last; each tap is one pixel per window, read where it lies, and one row of the panel. So windows are never copied into a
matrix, which takes as long as the product where channels are few. The sum of each output is taken in the order of the
taps, whatever else is computed with it: the bits do not depend on the size of the batch.

Measured on a Zen 4 core in float32: 45 to 58 billion products per second of at most 59, for convolutions of 6 to 64
channels.
"""

from __future__ import annotations

import itertools
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once, for_range
from numba.extending import intrinsic

from minicnn.kernels.arithmetic import PIECE_TERMS, TERMS
from minicnn.kernels.compiled.loop import copy, loop
from minicnn.kernels.compiled.vectors import VECTOR, at, multiply_add, number, repeat, vector_of

ROWS = (12, 6, 6, 6)
"""Windows of a tile with one vector of filters, two, three, four. The last needs 24 sums, 4 weights and a pixel, of 32
registers. With one vector six sums would wait for each other: 22 billion products per second instead of 25."""
MOST = 4 if llvmlite.binding.get_host_cpu_features().get("avx512vl", False) else 2
"""Vectors of filters in a panel: half as many where the processor has 16 registers."""
Taps = tuple[Any, Any, Any, Any, Any]
"""Where the runs of taps begin, how many there are, their length, the elements from one tap to the next, and the rows
of the panel from one run to the next."""


def _tile(vectors: int) -> Any:
    """Return the loop of a tile with so many vectors of filters."""

    @intrinsic
    def product(
        typing: Any,
        x: Any,
        places: Any,
        first: Any,
        runs: Any,
        taps: Any,
        panel: Any,
        start: Any,
        sums: Any,
        apart: Any,
    ) -> Any:
        """Write the sums of the windows of a tile from `first` on, those of window r from sums[r * apart] on.

        Window r begins at x[places[r]]. Its taps are in runs, which begin `runs[i]` after that; `taps` has the length
        of a run, the elements from one of its taps to the next, and the rows of the panel from one run to the next.
        """

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            def data(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, args[i]).data

            count = builder.extract_value(context.make_array(runs)(context, builder, args[3]).shape, 0)
            run = (data(3), count, *(builder.extract_value(args[4], i) for i in range(3)))
            _write_tile(builder, vectors, data(0), data(1), args[2], run, data(5), args[6], data(7), args[8])
            return context.get_dummy_value()

        integer = types.int64
        triple = types.UniTuple(integer, 3)
        return types.void(x, places, integer, runs, triple, panel, integer, sums, integer), generate

    return product


def _write_tile(
    b: ir.IRBuilder,
    vectors: int,
    x: Any,
    places: Any,
    first: Any,
    taps: Taps,
    panel: Any,
    start: Any,
    sums: Any,
    apart: Any,
) -> None:
    _, lanes, size = vector_of(x.type.pointee)
    positions = [b.load(b.gep(places, [b.add(first, number(r))])) for r in range(ROWS[vectors - 1])]
    totals = add_taps(b, vectors, x, positions, taps, b.gep(panel, [start]))
    for r, row in enumerate(totals):
        target = b.gep(sums, [b.mul(b.add(first, number(r)), apart)])
        for v, total in enumerate(row):
            b.store(total, at(b, target, number(v * lanes), total.type), align=size)


def add_taps(b: ir.IRBuilder, vectors: int, x: Any, positions: list[Any], taps: Taps, panel: Any) -> list[list[Any]]:
    """Return the vectors of sums of the window at each position."""
    runs, run_count, length, step, rows = taps
    vector, lanes, size = vector_of(x.type.pointee)
    columns, width = range(vectors), number(vectors * lanes)
    # Variables of the loop's own stack frame: the compiler keeps them in registers.
    totals = [[alloca_once(b, vector) for _ in columns] for _ in positions]
    for total in itertools.chain(*totals):
        b.store(ir.Constant(vector, [0.0] * lanes), total)
    with for_range(b, run_count) as run:
        pixels = b.gep(x, [b.load(b.gep(runs, [run.index]))])
        with for_range(b, length) as tap:
            row = b.gep(panel, [b.mul(b.add(b.mul(run.index, rows), tap.index), width)])
            weights = [b.load(at(b, row, number(v * lanes), vector), align=size) for v in columns]
            place = b.mul(tap.index, step)
            for r, position in enumerate(positions):
                pixel = b.load(b.gep(pixels, [b.add(position, place)]), align=size)
                repeated = repeat(b, pixel, vector)
                for v in columns:
                    total = multiply_add(b, repeated, weights[v], b.load(totals[r][v]))
                    b.store(total, totals[r][v])
    return [[b.load(total) for total in row] for row in totals]


_ONE, _TWO, _THREE, _FOUR = (_tile(vectors) for vectors in (1, 2, 3, 4))


@loop
def multiply_windows(x, places, windows, runs, taps, panel, start, vectors, sums):
    """Write the sums of all windows, a row of `vectors` vectors each; `places` and `sums` are whole tiles long.

    `taps` has the length of a run of taps, the elements from one tap to the next, and the rows of the panel from one
    run to the next. Sums of very many taps are added up from blocks, see `kernels.arithmetic`.
    """
    length, step, rows = taps
    width = vectors * (VECTOR // x.itemsize)
    if len(runs) * length <= PIECE_TERMS:
        multiply_apart(x, places, windows, runs, taps, panel, start, vectors, sums, width)
        return
    total = np.zeros(len(sums), np.float64)
    for run in range(len(runs)):
        for tap in range(0, length, TERMS):
            row, part = start + (run * rows + tap) * width, (min(TERMS, length - tap), step, rows)
            multiply_apart(
                x[tap * step :], places, windows, runs[run : run + 1], part, panel, row, vectors, sums, width
            )
            for i in range(np.uintp(len(sums))):
                total[i] += sums[i]
    for i in range(np.uintp(len(sums))):
        sums[i] = total[i]


@loop
def multiply_apart(x, places, windows, runs, taps, panel, start, vectors, sums, apart):
    """Write the sums of each window, of at most `PIECE_TERMS` taps, `apart` elements after those of the one before."""
    if vectors == 4:
        for first in range(0, windows, ROWS[3]):
            _FOUR(x, places, first, runs, taps, panel, start, sums, apart)
    elif vectors == 3:
        for first in range(0, windows, ROWS[2]):
            _THREE(x, places, first, runs, taps, panel, start, sums, apart)
    elif vectors == 2:
        for first in range(0, windows, ROWS[1]):
            _TWO(x, places, first, runs, taps, panel, start, sums, apart)
    else:
        for first in range(0, windows, ROWS[0]):
            _ONE(x, places, first, runs, taps, panel, start, sums, apart)


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
