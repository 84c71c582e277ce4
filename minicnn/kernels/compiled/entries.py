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
    def add_up(
        typing: Any, x: Any, begin: Any, places: Any, gradients: Any, count: Any, last: Any, sums: Any, write: Any
    ) -> Any:
        """Add gradients[i] * x[begin + places[i] + t] to sums[write + t]; the last vector has `last` lanes."""

        def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
            pixels, begins, values, target = (_data(context, b, signature, args, i) for i in (0, 2, 3, 6))
            pixels, target = b.gep(pixels, [args[1]]), b.gep(target, [args[7]])
            _write_sums(b, vectors, pixels, begins, values, args[4], args[5], target)
            return context.get_dummy_value()

        i = types.int64
        return types.void(x, i, places, gradients, i, i, sums, i), generate

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
    def add_at(
        typing: Any,
        x: Any,
        begin: Any,
        places: Any,
        gradients: Any,
        count: Any,
        runs: Any,
        last: Any,
        weights: Any,
        read: Any,
        step: Any,
    ) -> Any:
        """Add gradients[i] * weights[read + r * step + t] to x[begin + places[i] + runs[r] + t].

        The last vector has `last` lanes.
        """

        def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
            pixels, begins, values, offsets, w = (_data(context, b, signature, args, i) for i in (0, 2, 3, 5, 7))
            pixels, w = b.gep(pixels, [args[1]]), b.gep(w, [args[8]])
            mask = first_lanes(b, args[6], vector_of(pixels.type.pointee)[0])
            with for_range(b, args[4]) as entry:
                window = b.gep(pixels, [b.load(b.gep(begins, [entry.index]))])
                gradient = b.load(b.gep(values, [entry.index]))
                with for_range(b, b.extract_value(context.make_array(runs)(context, b, args[5]).shape, 0)) as run:
                    target = b.gep(window, [b.load(b.gep(offsets, [run.index]))])
                    _add_products(b, vectors, target, b.gep(w, [b.mul(run.index, args[9])]), gradient, mask)
            return context.get_dummy_value()

        i = types.int64
        return types.void(x, i, places, gradients, i, runs, i, weights, i, i), generate

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


_SUM_12, _SUM_6, _SUM_4, _SUM_3, _SUM_2, _SUM_1 = (_sum_windows(vectors) for vectors in PIECES)
_ADD_12, _ADD_6, _ADD_4, _ADD_3, _ADD_2, _ADD_1 = (_add_filter(vectors) for vectors in PIECES)


@loop
def _piece(vectors):
    """Return how many of so many vectors to process together."""
    for piece in PIECES:
        if piece <= vectors:
            return piece
    return 1


# Offsets instead of slices of arrays, which count references: where few pools have a gradient, 5 % less time.
@loop
def sum_windows(x, channel, places, gradients, count, runs, length, sums, offset, step):
    """Add the windows of a filter's `count` entries, each times its gradient, to its sums, from `offset` on."""
    lanes = VECTOR // x.itemsize
    for r in range(len(runs)):
        done = 0
        while done < length:
            piece = _piece((step - done) // lanes)
            last = min(lanes, length - done - (piece - 1) * lanes)
            begin, write = channel + runs[r] + done, offset + r * step + done
            if piece == 12:
                _SUM_12(x, begin, places, gradients, count, last, sums, write)
            elif piece == 6:
                _SUM_6(x, begin, places, gradients, count, last, sums, write)
            elif piece == 4:
                _SUM_4(x, begin, places, gradients, count, last, sums, write)
            elif piece == 3:
                _SUM_3(x, begin, places, gradients, count, last, sums, write)
            elif piece == 2:
                _SUM_2(x, begin, places, gradients, count, last, sums, write)
            else:
                _SUM_1(x, begin, places, gradients, count, last, sums, write)
            done += piece * lanes


@loop
def add_filter(x, channel, places, gradients, count, runs, length, weights, offset, step):
    """Add a filter, its weights from `offset` on, times the gradient of each of its `count` entries, to the windows."""
    lanes, done = VECTOR // x.itemsize, 0
    while done < length:
        piece = _piece((step - done) // lanes)
        last = min(lanes, length - done - (piece - 1) * lanes)
        begin, read = channel + done, offset + done
        if piece == 12:
            _ADD_12(x, begin, places, gradients, count, runs, last, weights, read, step)
        elif piece == 6:
            _ADD_6(x, begin, places, gradients, count, runs, last, weights, read, step)
        elif piece == 4:
            _ADD_4(x, begin, places, gradients, count, runs, last, weights, read, step)
        elif piece == 3:
            _ADD_3(x, begin, places, gradients, count, runs, last, weights, read, step)
        elif piece == 2:
            _ADD_2(x, begin, places, gradients, count, runs, last, weights, read, step)
        else:
            _ADD_1(x, begin, places, gradients, count, runs, last, weights, read, step)
        done += piece * lanes
