"""The product of windows with a matrix, read straight from the images: what a convolution spends its time on.

A tile is a dozen or half a dozen windows times a panel of filters. Its sums stay in registers from the first tap to the
last; each tap is one pixel per window, read where it lies, and one row of the panel. So windows are never copied into a
matrix, which takes as long as the product where channels are few. The sum of each output is taken in the order of the
taps, whatever else is computed with it: the bits do not depend on the size of the batch.

The loops are written in LLVM's language, which has vectors: Numba keeps sums in memory, where each product would have
to be loaded and stored again. Measured on a Zen 4 core in float32: 45 to 58 billion products per second of at most 59,
for convolutions of 6 to 64 channels.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
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

_INT = ir.IntType(64)


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
            arrays = {
                name: context.make_array(signature.args[i])(context, builder, args[i])
                for i, name in enumerate(("x", "places", "", "runs", "", "panel", "", "sums"))
                if name
            }
            count = builder.extract_value(arrays["runs"].shape, 0)
            data = {name: array.data for name, array in arrays.items()}
            _generate(builder, vectors, data, count, *(args[i] for i in (2, 4, 6)))
            return context.get_dummy_value()

        integer = types.int64
        return types.void(x, places, integer, runs, integer, panel, integer, sums), generate

    return product


def _generate(
    b: ir.IRBuilder, vectors: int, data: dict[str, Any], count: Any, first: Any, length: Any, start: Any
) -> None:
    scalar = data["x"].type.pointee
    lanes = VECTOR // (4 if isinstance(scalar, ir.FloatType) else 8)
    width = vectors * lanes
    vector = ir.VectorType(scalar, lanes)
    rows = range(ROWS[vectors - 1])
    tile = [(r, v) for r in rows for v in range(vectors)]
    fma = _function(b.module, f"llvm.fma.v{lanes}f{VECTOR // lanes * 8}", vector)

    def number(value: int) -> Any:
        return ir.Constant(_INT, value)

    def at(pointer: Any, *offsets: Any) -> Any:
        return b.gep(pointer, offsets)

    def as_vector(pointer: Any) -> Any:
        return b.bitcast(pointer, vector.as_pointer())

    places = [b.load(at(data["places"], b.add(first, number(r)))) for r in rows]
    before = b.block
    runs, taps, next_run, done = (b.append_basic_block(name) for name in ("runs", "taps", "next_run", "done"))
    b.branch(runs)

    b.position_at_end(runs)
    run, row = b.phi(_INT), b.phi(_INT)
    sums = {key: b.phi(vector) for key in tile}
    run.add_incoming(number(0), before)
    row.add_incoming(start, before)
    base = at(data["x"], b.load(at(data["runs"], run)))
    b.branch(taps)

    b.position_at_end(taps)
    tap, weight_row = b.phi(_INT), b.phi(_INT)
    so_far = {key: b.phi(vector) for key in tile}
    tap.add_incoming(number(0), runs)
    weight_row.add_incoming(row, runs)
    panel = at(data["panel"], weight_row)
    # Alignment is that of one element: images and panels begin anywhere.
    size = VECTOR // lanes
    weights = [b.load(as_vector(at(panel, number(v * lanes))), align=size) for v in range(vectors)]
    after = {}
    for r in rows:
        pixel = b.load(at(base, b.add(tap, places[r])), align=size)
        alone = b.insert_element(ir.Constant(vector, ir.Undefined), pixel, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        everywhere = b.shuffle_vector(alone, ir.Constant(vector, ir.Undefined), zeros)
        for v in range(vectors):
            after[r, v] = b.call(fma, [everywhere, weights[v], so_far[r, v]])
    one_more, next_row = b.add(tap, number(1)), b.add(weight_row, number(width))
    tap.add_incoming(one_more, taps)
    weight_row.add_incoming(next_row, taps)
    b.cbranch(b.icmp_signed("<", one_more, length), taps, next_run)

    b.position_at_end(next_run)
    another = b.add(run, number(1))
    run.add_incoming(another, next_run)
    row.add_incoming(next_row, next_run)
    b.cbranch(b.icmp_signed("<", another, count), runs, done)
    for key in tile:
        sums[key].add_incoming(ir.Constant(vector, [0.0] * lanes), before)
        sums[key].add_incoming(after[key], next_run)
        so_far[key].add_incoming(sums[key], runs)
        so_far[key].add_incoming(after[key], taps)

    b.position_at_end(done)
    for r, v in tile:
        offset = b.add(b.mul(b.add(first, number(r)), number(width)), number(v * lanes))
        b.store(after[r, v], as_vector(at(data["sums"], offset)), align=size)


def _function(module: Any, name: str, vector: Any) -> Any:
    known = module.globals.get(name)
    return known or ir.Function(module, ir.FunctionType(vector, [vector] * 3), name)


_ONE, _TWO, _THREE, _FOUR = (_tile(vectors) for vectors in (1, 2, 3, 4))


@loop
def multiply_windows(x, places, windows, runs, length, panel, start, vectors, sums):
    """Write the sums of all windows, a row of `vectors` vectors each; `places` and `sums` are whole tiles long.

    Sums of very many taps are added up from blocks, see `kernels.arithmetic`.
    """
    if len(runs) * length <= PIECE_TERMS:
        _multiply(x, places, windows, runs, length, panel, start, vectors, sums)
        return
    total, width = np.zeros(sums.shape, np.float64), vectors * (VECTOR // x.itemsize)
    for run in range(len(runs)):
        for tap in range(0, length, TERMS):
            row = start + (run * length + tap) * width
            _multiply(
                x[tap:], places, windows, runs[run : run + 1], min(TERMS, length - tap), panel, row, vectors, sums
            )
            total += sums
    sums[:] = total


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
