"""Window arithmetic against the published formulas' worked numbers, and against counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wrong import says

from minicnn.geometry import Axis, check_padding, integer, pair, windows
from minicnn.ops.pooling_variants.adaptive import adaptive_windows
from minicnn.validation import ShapeError


def axis(n, k, s, d=1, padding="valid", **how):
    return windows("max_pool2d", (n, n), k, s, padding, d, pooling=True, **how).rows


@pytest.mark.parametrize(
    ("n", "k", "s", "d", "out", "pads"),
    [
        (28, 3, 2, 1, 14, (0, 1)),
        (28, 5, 1, 1, 28, (2, 2)),
        (28, 2, 1, 1, 28, (0, 1)),
        (8, 2, 2, 1, 4, (0, 0)),
        (7, 2, 2, 1, 4, (0, 1)),
        (8, 3, 3, 1, 3, (0, 1)),
        (10, 3, 1, 2, 10, (2, 2)),
        (10, 2, 1, 3, 10, (1, 2)),
        (5, 1, 3, 1, 2, (0, 0)),
        (1, 3, 2, 1, 1, (1, 1)),
    ],
)
def test_same_sizes_and_pads(n, k, s, d, out, pads):
    found = axis(n, k, s, d, "same")
    assert (found.out, (found.before, found.after)) == (out, pads)


@pytest.mark.parametrize(
    ("n", "k", "s", "p", "floor", "ceil"),
    [
        (9, 4, 4, 2, 3, 3),
        (2, 3, 3, 1, 1, 1),
        (10, 1, 2, 0, 5, 5),
        (5, 2, 2, 0, 2, 3),
        (6, 3, 3, 1, 2, 3),
        (4, 3, 2, 1, 2, 3),
        (8, 3, 4, 0, 2, 2),
    ],
)
def test_ceil_mode_sizes(n, k, s, p, floor, ceil):
    assert axis(n, k, s, padding=p).out == floor
    assert axis(n, k, s, padding=p, ceil_mode=True).out == ceil


sizes = st.integers(1, 12)


@given(n=sizes, k=st.integers(1, 5), s=st.integers(1, 4), d=st.integers(1, 3))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_same_keeps_what_it_promises(n, k, s, d):
    found = axis(n, k, s, d, "same")
    assert found.out == -(-n // s)
    assert found.after - found.before in (0, 1)
    assert found.overhang == 0
    if d == 1:
        assert min(found.real_elements(include_pad=False)) >= 1
    if s == 1:
        assert found.before + found.after == found.span - 1


@given(n=sizes, k=st.integers(1, 5), s=st.integers(1, 4), d=st.integers(1, 3), data=st.data())
@settings(derandomize=True, deadline=None, max_examples=500)
def test_sizes_are_those_of_counting(n, k, s, d, data):
    """A window counts if it fits the padded input. In ceil mode less than a stride of it may hang over at the end,
    if it begins in the input or its leading pad."""
    span = (k - 1) * d + 1
    before, after = (data.draw(st.integers(0, span - 1)) for _ in range(2))
    ceil = data.draw(st.booleans())
    hanging = [(i, i + span - before - n - after) for i in range(0, n + before + after, s)]
    fits = [i for i, over in hanging if over <= 0 or (ceil and over < s and i < n + before)]
    if not fits:
        with pytest.raises(ShapeError, match="does not fit"):
            axis(n, k, s, d, ((before, after), (before, after)), ceil_mode=ceil)
        return
    found = axis(n, k, s, d, ((before, after), (before, after)), ceil_mode=ceil)
    assert found.out == len(fits)
    elements = [[i - before + t * d for t in range(k)] for i in fits]
    assert found.real_elements(include_pad=False) == [sum(0 <= c < n for c in row) for row in elements]
    assert found.real_elements(include_pad=True) == [sum(-before <= c < n + after for c in row) for row in elements]
    assert found.overhang == max(0, elements[-1][-1] + 1 - n - after)
    assert found.unread == tuple(sorted({*range(n)}.difference(*elements)))


def test_a_stride_over_the_window_leaves_cells_unread():
    found = axis(5, 1, 3, padding="same")
    assert [i * 3 - found.before for i in range(found.out)] == [0, 3]
    assert found.unread == (1, 2, 4)


def test_rows_and_columns_are_apart():
    w = windows("conv2d", (8, 5), (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2))
    assert w.out == ((8 + 1 - 3) // 2 + 1, (5 + 2 - 3) // 1 + 1)
    assert (w.strides, w.dilation, w.pads) == ((2, 1), (1, 2), ((1, 0), (0, 2)))


def test_pads_of_ceil_mode_hold_the_overhang():
    assert windows("max_pool2d", (5, 6), 2, 2, ceil_mode=True).pads == ((0, 1), (0, 0))


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("valid", ((0, 0), (0, 0))),
        ("same", None),
        (2, ((2, 2), (2, 2))),
        (np.int64(2), ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
    ],
)
def test_ways_to_write_padding(padding, expected):
    assert check_padding("conv2d", padding) == expected


def test_formulas_have_their_numbers():
    assert Axis(9, 4, 4, 1, 2, 2, 3).formula("floor") == "floor((9 + 2 + 2 - 4) / 4) + 1 = 3"
    assert Axis(9, 4, 4, 1, 0, 0, 2).formula("floor") == "floor((9 - 4) / 4) + 1 = 2"
    assert Axis(28, 3, 2, 1, 0, 1, 14).formula("same") == "ceil(28 / 2) = 14"
    assert Axis(5, 2, 2, 1, 0, 0, 3).formula("ceil") == "ceil((5 - 2) / 2) + 1 = 3"
    less = "= 4, less one that would start past the input = 3"
    assert Axis(9, 4, 4, 1, 2, 2, 3).formula("ceil") == f"ceil((9 + 2 + 2 - 4) / 4) + 1 {less}"
    assert Axis(5, 1, 1, 1, 2, 0, 7).formula("floor") == "5 + 2 + 0 = 7"


@pytest.mark.parametrize(
    ("call", "kind", "fragments"),
    [
        (
            lambda: windows("max_pool2d", (1, 1), 2, 2, pooling=True),
            ShapeError,
            ["max_pool2d", "2x2 window", "1x1 input", "floor((1 - 2) / 2) + 1 = 0 rows", 'padding="same"', "pool_size"],
        ),
        (
            lambda: windows("conv2d", (9, 3), 3, 1, dilation=2),
            ShapeError,
            ["conv2d", "spans 5x5", "9x3", "= -1 columns", "kernel_size"],
        ),
        (
            lambda: windows("conv2d", (2, 2), 5, 1, 1),
            ShapeError,
            ["5x5 window", "2x2 input with its padding", "floor((2 + 1 + 1 - 5) / 1) + 1 = 0"],
        ),
        (lambda: windows("max_pool2d", (0, 4), 2, 2), ShapeError, ["0x4", "no rows"]),
        (lambda: windows("max_pool2d", (4, 0), 2, 2), ShapeError, ["4x0", "no columns"]),
        (
            lambda: windows("max_pool2d", (4, 4), 2, 2, 2, pooling=True),
            ShapeError,
            ["max_pool2d", "got (2, 2)", "extent 2", "at most 1"],
        ),
        (lambda: windows("max_pool2d", (4, 4), 2, 0), ValueError, ["max_pool2d", "strides=0", "at least 1"]),
        (lambda: windows("max_pool2d", (4, 4), (2, 0), 1), ValueError, ["pool_size=(2, 0)", "at least 1"]),
        (lambda: windows("conv2d", (4, 4), 2, 1, dilation=-1), ValueError, ["conv2d", "dilation_rate=-1"]),
        (lambda: windows("conv2d", (4, 4), 2.0, 1), TypeError, ["conv2d", "kernel_size=2.0", "integer"]),
        (lambda: windows("conv2d", (4, 4), True, 1), TypeError, ["kernel_size=True"]),
        (lambda: windows("conv2d", (4, 4), (1, 2, 3), 1), ValueError, ["(1, 2, 3)", "length 3", "pair"]),
        (lambda: check_padding("conv2d", "SAME"), ValueError, ["conv2d", "'SAME'", "'same'"]),
        (lambda: check_padding("conv2d", -1), ValueError, ["padding=-1", "at least 0"]),
        (lambda: check_padding("conv2d", (1, 2, 3)), ValueError, ["(1, 2, 3)", "length 3", "top, bottom"]),
        (lambda: check_padding("conv2d", ((1, 2), (1,))), TypeError, ["((1, 2), (1,))"]),
        (lambda: check_padding("conv2d", 0.5), TypeError, ["padding=0.5"]),
        (lambda: check_padding("conv2d", None), TypeError, ["padding=None"]),
        (lambda: pair("dense", "units", "2"), TypeError, ["dense", "units='2'"]),
        (lambda: integer("conv2d", "groups", 0), ValueError, ["groups=0", "at least 1"]),
    ],
)
def test_what_does_not_fit_is_said_with_its_numbers(call, kind, fragments):
    with pytest.raises(kind) as caught:
        call()
    for fragment in fragments:
        assert says(str(caught.value), fragment), str(caught.value)


def test_an_adaptive_pooling_has_its_largest_window_and_its_mean_stride():
    w = adaptive_windows((5, 8), (2, 3))
    assert (w.out, w.strides, w.dilation, w.pads) == ((2, 3), (2, 2), (1, 1), ((0, 0), (0, 0)))
    assert (w.rows.k, w.cols.k, w.rounding) == (3, 4, "adaptive")
    assert w.rows.unread == w.cols.unread == ()
    assert w.rows.formula(w.rounding) == "from floor(i * 5 / 2) up to ceil((i + 1) * 5 / 2) for i = 0 .. 1"
    assert adaptive_windows((2, 2), (5, 5)).strides == (1, 1)


@pytest.mark.parametrize(
    ("padding", "said"),
    [
        (0, "2x2 input: "),
        (((0, 0), (0, 1)), "2x2 input with its padding: "),
        (((1, 0), (0, 0)), "input with its padding: "),
    ],
)
def test_pads_are_spoken_of_where_there_are_any(padding, said):
    with pytest.raises(ShapeError) as caught:
        windows("conv2d", (2, 2), 9, 1, padding)
    assert said in str(caught.value)


def test_dilation_is_spoken_of_where_there_is_any():
    for dilation, said in ((1, "a 2x2 window does"), (2, "a 2x2 window (it spans 3x3) does")):
        with pytest.raises(ShapeError) as caught:
            windows("conv2d", (1, 1), 2, 1, dilation=dilation)
        assert said in str(caught.value)
