"""The largest product of the windows of a pool with a matrix, with its bias and ReLU, before it leaves the registers.

A tile here is a dozen pools or fewer times a panel of filters: the sums of one window of each pool, taken as in `tile`
and with the same bits, and the maxima so far. Where windows have few taps, writing the sums and reading them again for
the maxima takes as long as the sums. Measured on a Zen 4 core, with pools of 2x2 and without argmax, relative to
`multiply_windows`: 0.80 of the time with 9 taps and 16 or 32 filters, 0.89 with 25 taps and 6 filters, which is 4 to 6
% of a whole net in inference; 1.03 with 144 taps and 32 filters.
"""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once, for_range
from numba.extending import intrinsic

from minicnn.kernels.compiled.loop import loop
from minicnn.kernels.compiled.tile import Taps, add_taps
from minicnn.kernels.compiled.vectors import at, number, repeat, vector_of

FEW = 64
"""The most taps of a window."""
POOLS = (12, 6, 4, 3)
"""Pools of a tile with one vector of filters, two, three, four: 12 sums and 12 maxima."""


def _tile(vectors: int) -> Any:
    """Return the loop of a tile with so many vectors of filters."""

    @intrinsic
    def maxima(
        typing: Any,
        x: Any,
        places: Any,
        first: Any,
        pools: Any,
        runs: Any,
        length: Any,
        panel: Any,
        start: Any,
        bias: Any,
        least: Any,
        target: Any,
    ) -> Any:
        """Write the maximum of each pool of a tile, from `first` on, plus its bias, or `least` where that is more.

        `pools` has the number of pools, n, and of the windows of one. Window e of pool r begins at
        x[places[e * n + r]]; its taps are in runs of this length, which begin `runs[i]` after that.
        """

        def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
            arrays = [context.make_array(signature.args[i])(context, b, args[i]) for i in (0, 1, 4, 6, 8, 10)]
            pixels, begins, offsets, weights, biases, results = (array.data for array in arrays)
            taps = offsets, b.extract_value(arrays[2].shape, 0), args[5], number(1), args[5]
            pools = tuple(b.extract_value(args[3], i) for i in range(2))
            found = _maxima(b, vectors, pixels, (begins, args[2], *pools), taps, b.gep(weights, [args[7]]))
            _write(b, found, biases, repeat(b, args[9], found[0][0].type), results, args[2])
            return context.get_dummy_value()

        integer = types.int64
        pair = types.UniTuple(integer, 2)
        return types.void(x, places, integer, pair, runs, integer, panel, integer, bias, x.dtype, target), generate

    return maxima


def _maxima(
    b: ir.IRBuilder, vectors: int, x: Any, pools: tuple[Any, Any, Any, Any], taps: Taps, panel: Any
) -> list[list[Any]]:
    """Return the vectors of maxima of each pool; NaN where one of its sums is."""
    vector, lanes, _ = vector_of(x.type.pointee)
    places, first, apart, elements = pools
    maxima = [[alloca_once(b, vector) for _ in range(vectors)] for _ in range(POOLS[vectors - 1])]
    for maximum in itertools.chain(*maxima):
        b.store(ir.Constant(vector, [float("-inf")] * lanes), maximum)
    with for_range(b, elements) as element:
        begin = b.add(first, b.mul(element.index, apart))
        positions = [b.load(b.gep(places, [b.add(begin, number(r))])) for r in range(len(maxima))]
        sums = add_taps(b, vectors, x, positions, taps, panel)
        for new, maximum in zip(itertools.chain(*sums), itertools.chain(*maxima), strict=True):
            larger = b.fcmp_ordered(">", new, b.load(maximum))
            b.store(b.select(b.or_(larger, b.fcmp_unordered("uno", new, new)), new, b.load(maximum)), maximum)
    return [[b.load(maximum) for maximum in row] for row in maxima]


def _write(b: ir.IRBuilder, found: list[list[Any]], bias: Any, least: Any, target: Any, first: Any) -> None:
    vector, lanes, size = vector_of(target.type.pointee)
    width = number(len(found[0]) * lanes)
    for r, row in enumerate(found):
        begin = b.gep(target, [b.mul(b.add(first, number(r)), width)])
        for v, maximum in enumerate(row):
            column = number(v * lanes)
            result = b.fadd(maximum, b.load(at(b, bias, column, vector), align=size))
            result = b.select(b.fcmp_unordered(">", result, least), result, least)  # NaN stays, and -0 becomes 0
            b.store(result, at(b, begin, column, vector), align=size)


_ONE, _TWO, _THREE, _FOUR = (_tile(vectors) for vectors in (1, 2, 3, 4))


@loop
def pool_windows(x, places, pools, runs, length, panel, start, vectors, bias, least, target):
    """Write the results of n pools, rows of `vectors` vectors: exactly n if they fill a tile, else those of a tile."""
    n = pools[0]
    if vectors == 4:
        for first in range(0, n, POOLS[3]):
            at = max(0, min(first, n - POOLS[3]))
            _FOUR(x, places, at, pools, runs, length, panel, start, bias, least, target)
    elif vectors == 3:
        for first in range(0, n, POOLS[2]):
            at = max(0, min(first, n - POOLS[2]))
            _THREE(x, places, at, pools, runs, length, panel, start, bias, least, target)
    elif vectors == 2:
        for first in range(0, n, POOLS[1]):
            at = max(0, min(first, n - POOLS[1]))
            _TWO(x, places, at, pools, runs, length, panel, start, bias, least, target)
    else:
        for first in range(0, n, POOLS[0]):
            at = max(0, min(first, n - POOLS[0]))
            _ONE(x, places, at, pools, runs, length, panel, start, bias, least, target)
