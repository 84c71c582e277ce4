"""Sums over the entries of a filter: gradients, and the positions at which their windows begin.

Taps of a window that are adjacent in memory, a run, are processed as the lanes of a vector, so long runs (many
channels) are fastest: measured on a Zen 4 core in float32, 40 billion products per second for the sum of windows of 96
taps in a row.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once_value, for_range
from numba.extending import intrinsic

from minicnn.kernels.compiled.loop import loop
from minicnn.kernels.compiled.vectors import (
    VECTOR,
    at,
    first_lanes,
    load_lanes,
    multiply_add,
    number,
    repeat,
    store_lanes,
    vector_of,
)

PIECES = (12, 6, 4, 3, 2, 1)
"""Vectors of a run that are processed together. Twelve sums, a gradient and a pixel take 14 of 16 registers."""


def _sum_windows(vectors: int) -> Any:
    """Return the loop that adds up a piece of a run of taps over the entries of a filter."""

    @intrinsic
    def add_up(typing: Any, x: Any, places: Any, gradients: Any, last: Any, sums: Any) -> Any:
        """Add gradients[i] * x[places[i] + t] to sums[t]; the last vector has `last` lanes."""

        def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
            pixels, begins, values, target = (_data(context, b, signature, args, i) for i in (0, 1, 2, 4))
            count = _length(context, b, signature, args, 2)
            _write_sums(b, vectors, pixels, begins, values, count, args[3], target)
            return context.get_dummy_value()

        return types.void(x, places, gradients, types.int64, sums), generate

    return add_up


def _write_sums(
    b: ir.IRBuilder, vectors: int, pixels: Any, places: Any, gradients: Any, count: Any, last: Any, target: Any
) -> None:
    vector, lanes, size = vector_of(pixels.type.pointee)
    mask, zero = first_lanes(b, last, vector), ir.Constant(vector, [0.0] * lanes)
    columns = [number(v * lanes) for v in range(vectors)]
    # Each addition waits about four cycles for the one before it. With few vectors, several partial sums are kept and
    # used in turn.
    turns = 4 if vectors < 4 else 2 if vectors < 8 else 1
    sums = [[alloca_once_value(b, zero) for _ in columns] for _ in range(turns)]

    def add(entry: Any, turn: int) -> None:
        begin = b.gep(pixels, [b.load(b.gep(places, [entry]))])
        gradient = repeat(b, b.load(b.gep(gradients, [entry])), vector)
        for v, total in enumerate(sums[turn]):
            window = at(b, begin, columns[v], vector)
            pixel = load_lanes(b, window, mask) if v == vectors - 1 else b.load(window, align=size)
            b.store(multiply_add(b, pixel, gradient, b.load(total)), total)

    rounds = b.udiv(count, number(turns))
    with for_range(b, rounds) as round_:
        for turn in range(turns):
            add(b.add(b.mul(round_.index, number(turns)), number(turn)), turn)
    with for_range(b, count, start=b.mul(rounds, number(turns))) as rest:
        add(rest.index, 0)
    for v, column in enumerate(columns):
        total = b.load(at(b, target, column, vector), align=size)
        for turn in range(turns):
            total = b.fadd(total, b.load(sums[turn][v]))
        b.store(total, at(b, target, column, vector), align=size)


def _add_filter(vectors: int) -> Any:
    """Return the loop that adds a piece of a filter to the pixels of the windows of its entries."""

    @intrinsic
    def add_at(typing: Any, x: Any, places: Any, gradients: Any, runs: Any, last: Any, weights: Any, step: Any) -> Any:
        """Add gradients[i] * weights[r * step + t] to x[places[i] + runs[r] + t]; the last vector has `last` lanes."""

        def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
            pixels, begins, values, offsets, w = (_data(context, b, signature, args, i) for i in (0, 1, 2, 3, 5))
            mask = first_lanes(b, args[4], vector_of(pixels.type.pointee)[0])
            with for_range(b, _length(context, b, signature, args, 2)) as entry:
                window = b.gep(pixels, [b.load(b.gep(begins, [entry.index]))])
                gradient = b.load(b.gep(values, [entry.index]))
                with for_range(b, _length(context, b, signature, args, 3)) as run:
                    target = b.gep(window, [b.load(b.gep(offsets, [run.index]))])
                    _add_products(b, vectors, target, b.gep(w, [b.mul(run.index, args[6])]), gradient, mask)
            return context.get_dummy_value()

        return types.void(x, places, gradients, runs, types.int64, weights, types.int64), generate

    return add_at


def _add_products(b: ir.IRBuilder, vectors: int, target: Any, weights: Any, gradient: Any, mask: Any) -> None:
    vector, lanes, size = vector_of(target.type.pointee)
    repeated = repeat(b, gradient, vector)
    for v in range(vectors):
        pixels, weight = (at(b, begin, number(v * lanes), vector) for begin in (target, weights))
        is_last = v == vectors - 1
        old = load_lanes(b, pixels, mask) if is_last else b.load(pixels, align=size)
        new = multiply_add(b, b.load(weight, align=size), repeated, old)
        if is_last:
            store_lanes(b, new, pixels, mask)
        else:
            b.store(new, pixels, align=size)


def _data(context: Any, b: ir.IRBuilder, signature: Any, args: Any, i: int) -> Any:
    """Return the pointer to the first element of argument `i`, an array."""
    return context.make_array(signature.args[i])(context, b, args[i]).data


def _length(context: Any, b: ir.IRBuilder, signature: Any, args: Any, i: int) -> Any:
    """Return the number of elements of argument `i`, an array."""
    return b.extract_value(context.make_array(signature.args[i])(context, b, args[i]).shape, 0)


_SUM_12, _SUM_6, _SUM_4, _SUM_3, _SUM_2, _SUM_1 = (_sum_windows(vectors) for vectors in PIECES)
_ADD_12, _ADD_6, _ADD_4, _ADD_3, _ADD_2, _ADD_1 = (_add_filter(vectors) for vectors in PIECES)


@loop
def _piece(vectors):
    """Return how many of so many vectors to process together."""
    for piece in PIECES:
        if piece <= vectors:
            return piece
    return 1


@loop
def sum_windows(x, places, gradients, runs, length, sums, step):
    """Add the windows of a filter, each times its gradient, to its sums."""
    lanes = VECTOR // x.itemsize
    for r in range(len(runs)):
        done = 0
        while done < length:
            piece = _piece((step - done) // lanes)
            last = min(lanes, length - done - (piece - 1) * lanes)
            pixels, target = x[runs[r] + done :], sums[r * step + done :]
            if piece == 12:
                _SUM_12(pixels, places, gradients, last, target)
            elif piece == 6:
                _SUM_6(pixels, places, gradients, last, target)
            elif piece == 4:
                _SUM_4(pixels, places, gradients, last, target)
            elif piece == 3:
                _SUM_3(pixels, places, gradients, last, target)
            elif piece == 2:
                _SUM_2(pixels, places, gradients, last, target)
            else:
                _SUM_1(pixels, places, gradients, last, target)
            done += piece * lanes


@loop
def add_filter(x, places, gradients, runs, length, weights, step):
    """Add a filter, times the gradient of each entry, to the windows."""
    lanes, done = VECTOR // x.itemsize, 0
    while done < length:
        piece = _piece((step - done) // lanes)
        last = min(lanes, length - done - (piece - 1) * lanes)
        pixels, row = x[done:], weights[done:]
        if piece == 12:
            _ADD_12(pixels, places, gradients, runs, last, row, step)
        elif piece == 6:
            _ADD_6(pixels, places, gradients, runs, last, row, step)
        elif piece == 4:
            _ADD_4(pixels, places, gradients, runs, last, row, step)
        elif piece == 3:
            _ADD_3(pixels, places, gradients, runs, last, row, step)
        elif piece == 2:
            _ADD_2(pixels, places, gradients, runs, last, row, step)
        else:
            _ADD_1(pixels, places, gradients, runs, last, row, step)
        done += piece * lanes
