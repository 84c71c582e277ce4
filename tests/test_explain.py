"""Formulas, padding, unread rows, receptive fields and coverage: against counting, and against gradients."""

import xml.etree.ElementTree

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from wrong import says

import minicnn
from minicnn import coverage, explain_shapes, grad, layers, models, trees
from minicnn.validation import ShapeError

L = layers


def text(net, shape):
    return str(explain_shapes(net, shape))


def test_the_explanation_of_a_net_that_people_know():
    """26 - 2 is even, 11 - 2 is not; 3, then + 1, then + 2 * 2, then + 1 * 2, then the 5 x 5 map 4 apart."""
    assert text(models.keras_mnist(), (28, 28, 1)).splitlines() == [
        "input: 28x28x1",
        "conv2d: 28x28x1 -> 26x26x32",
        "    rows and columns: floor((28 - 3) / 1) + 1 = 26; no padding; all are read",
        "    receptive field 3x3 pixels; stride so far 1",
        "relu: 26x26x32",
        "max_pooling2d: 26x26x32 -> 13x13x32",
        "    rows and columns: floor((26 - 2) / 2) + 1 = 13; no padding; all are read",
        "    receptive field 4x4 pixels; stride so far 2",
        "conv2d_1: 13x13x32 -> 11x11x64",
        "    rows and columns: floor((13 - 3) / 1) + 1 = 11; no padding; all are read",
        "    receptive field 8x8 pixels; stride so far 2",
        "relu_1: 11x11x64",
        "max_pooling2d_1: 11x11x64 -> 5x5x64",
        "    rows and columns: floor((11 - 2) / 2) + 1 = 5; no padding; never read: 10",
        "    receptive field 10x10 pixels; stride so far 4",
        "flatten: 5x5x64 -> 1600 = 5 * 5 * 64",
        "    receptive field 26x26 pixels",
        "dense: 1600 -> 10",
    ]


@pytest.mark.parametrize(
    ("layer", "shape", "line"),
    [
        (L.MaxPooling2D(1, strides=3, padding="same"), (5, 5, 1), "ceil(5 / 3) = 2; no padding; never read: 1, 2, 4"),
        (L.Conv2D(1, 3, strides=2, padding="same"), (28, 28, 1), "ceil(28 / 2) = 14; padding 0 before, 1 after; all"),
        (L.MaxPooling2D(2, ceil_mode=True), (5, 5, 1), "3; no padding, the last window extends past the input by 1;"),
        (L.MaxPooling2D(4, padding=2, ceil_mode=True), (9, 9, 1), "+ 2 + 2 - 4) / 4) + 1 = 4, less one that"),
        (L.AveragePooling2D(2, strides=4, dilation_rate=2), (8, 8, 1), "2 taps 2 apart span 3; floor((8 - 3) / 4)"),
        (L.AveragePooling2D(2, strides=4, dilation_rate=2), (8, 8, 1), "never read: 1, 3, 5, 7"),
        (L.MaxPooling2D(1, strides=2), (30, 30, 1), "never read: 1, 3, 5, 7, 9, 11, 13, 15 .. (15 in all)"),
        (L.ZeroPadding2D(((0, 0), (2, 1))), (5, 5, 1), "columns: 5 + 2 + 1 = 8; padding 2 before, 1 after; all"),
        (L.Padding2D(2), (5, 5, 1), "rows and columns: 5 + 2 + 2 = 9; padding 2 before, 2 after"),
        (L.Cropping2D(((1, 2), (0, 0))), (8, 5, 1), "rows: 8 - 1 - 2 = 5; no padding; never read: 0, 6, 7"),
        (L.BlurPooling2D(4), (8, 8, 1), "floor((8 + 1 + 2 - 4) / 2) + 1 = 4; padding 1 before, 2 after; all are read"),
        (L.AdaptiveMaxPooling2D((3, 1)), (7, 5, 1), "from floor(i * 7 / 3) up to ceil((i + 1) * 7 / 3)"),
        (L.GlobalMaxPooling2D(), (7, 5, 1), "columns: floor((5 - 5) / 1) + 1 = 1; no padding; all are read"),
        (L.Dense(3), (12,), "layer: 12 -> 3"),
        (L.ReLU(), (12,), "layer: 12"),
    ],
)  # fmt: skip
def test_each_layer_has_its_formula_with_its_numbers(layer, shape, line):
    assert line in text(layer, shape)


NETS = [
    L.Sequential([L.Conv2D(2, 3), L.ReLU(), L.AveragePooling2D(2), L.Conv2D(2, 2, strides=2)]),
    L.Sequential([L.Conv2D(2, (3, 2), padding="same", strides=(1, 2)), L.AveragePooling2D((2, 1), strides=3)]),
    L.Sequential([L.ZeroPadding2D(((2, 0), (1, 3))), L.Conv2D(1, 3, dilation_rate=2), L.Cropping2D(1)]),
    L.Sequential([L.Padding2D(2, mode="reflect"), L.Conv2D(1, 3, strides=3)]),
    L.Conv2D(1, 3, strides=3, padding="same", padding_mode="wrap"),
    L.Sequential([L.Padding2D(((0, 2), (1, 0)), mode="edge"), L.Conv2D(1, 2, dilation_rate=2)]),
    L.Sequential([L.AveragePooling2D(1, strides=3, padding="same"), L.Conv2D(1, 2)]),
    L.Sequential([L.AveragePooling2D(3, strides=2, padding=1, ceil_mode=True), L.BlurPooling2D(3)]),
    L.Sequential([L.AdaptiveAveragePooling2D((4, 7)), L.Conv2D(2, 2)]),
    L.Sequential([L.Conv2D(2, 3), L.AdaptiveAveragePooling2D(4)]),
    L.Residual(L.Sequential([L.Conv2D(1, 3, padding=((2, 0), (2, 0)))])),
    L.Residual(L.Conv2D(4, (1, 3), padding="same", strides=2), shortcut=L.Conv2D(4, 1, strides=2)),
    L.Sequential(
        [L.Concat([L.Conv2D(1, (1, 3), padding="same"), L.Conv2D(2, (3, 1), padding="same")]), L.Conv2D(1, 2)]
    ),
]
IMAGE = (9, 8, 1)


def dependence(net, shape):
    """Which places of the last map change with which pixel: gradients of a net whose weights are all positive."""
    params = trees.map_leaves(lambda w: np.abs(w.astype(np.float64)) + 1, net.init(np.random.default_rng(0), shape))
    p, q, _ = net.output_shape(shape)
    found = np.zeros((p, q, *shape[:2]), bool)
    for i, j in np.ndindex(p, q):
        g = grad(lambda x, i=i, j=j: net(params, x)[:, i, j].sum())(np.ones((1, *shape)))
        found[i, j] = g[0].sum(axis=-1) > 0
    return found


@pytest.mark.parametrize("net", NETS, ids=repr)
def test_coverage_counts_the_places_that_depend_on_a_pixel(net):
    counted = coverage(net, IMAGE)
    assert counted.shape == IMAGE[:2]
    assert counted.dtype.kind == "i"
    assert_array_equal(counted, dependence(net, IMAGE).sum(axis=(0, 1)))


@pytest.mark.parametrize("net", [net for net in NETS if "Adaptive" not in repr(net)], ids=repr)
def test_what_the_last_layer_sees_is_the_largest_dependence(net):
    """In an image so large that some place is far from every border."""
    shape = (30, 30, 1)
    found = dependence(net, shape)
    middle = tuple(n // 2 for n in found.shape[:2])
    steps = explain_shapes(net, shape).steps
    rows, cols = (np.flatnonzero(found[middle].any(axis=a)) for a in (1, 0))
    extent = (rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1)
    assert extent == (max(s.receptive_field[0] for s in steps), max(s.receptive_field[1] for s in steps))
    below = found[middle[0] + 1, middle[1]].any(axis=1)
    assert np.flatnonzero(below)[0] - rows[0] == max(s.stride[0] for s in steps)


def test_borders_that_no_window_reads_are_zero():
    counted = coverage(models.keras_mnist(), (28, 28, 1))
    assert (counted[26:] == 0).all()
    assert (counted[:, 26:] == 0).all()
    assert (counted[:26, :26] > 0).all()
    assert_array_equal(coverage(L.MaxPooling2D(1, strides=3, padding="same"), (1, 5, 1)), [[1, 0, 0, 1, 0]])


def test_one_layer_is_covered_by_its_windows():
    assert_array_equal(coverage(L.Conv2D(4, (1, 3), padding="same"), (1, 5, 2)), [[2, 3, 3, 3, 2]])
    assert_array_equal(coverage(L.MaxPooling2D((2, 3), strides=1), (2, 4, 1)), [[1, 2, 2, 1], [1, 2, 2, 1]])


ENDS = [
    [L.Flatten(), L.Dense(2)],
    [L.GlobalMaxPooling2D()],
    [L.GlobalGeMPooling2D(), L.Dense(3)],
    [L.Concat([L.GlobalMaxPooling2D(), L.GlobalAveragePooling2D()]), L.Dense(2)],
    [L.Concat([L.Sequential([L.Conv2D(1, 3), L.GlobalMaxPooling2D()]), L.GlobalAveragePooling2D()]), L.Dense(2)],
]


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_coverage_ends_before_what_sees_everything(end):
    trunk = [L.Conv2D(2, 3), L.BatchNormalization(), L.ReLU()]
    assert_array_equal(coverage(L.Sequential([*trunk, *end]), IMAGE), coverage(L.Conv2D(2, 3), IMAGE))
    split = L.Classifier(L.Sequential(trunk), L.Sequential(end))
    assert_array_equal(coverage(split, IMAGE), coverage(L.Conv2D(2, 3), IMAGE))


def test_a_net_without_windows_covers_each_pixel_once():
    assert_array_equal(coverage(models.mlp(), (3, 4, 1)), np.ones((3, 4)))


def test_steps_are_the_rows_of_the_summary():
    net = L.Sequential([L.Residual(L.Conv2D(3, 3, padding="same"), L.Conv2D(3, 1)), L.MaxPooling2D(2), L.Flatten()])
    steps, rows = explain_shapes(net, IMAGE).steps, L.summary(net, IMAGE).rows
    assert [s.name for s in steps] == ["residual/body", "residual/shortcut", "max_pooling2d", "flatten"]
    assert [(s.name, s.output_shape, s.receptive_field) for s in steps] == [
        (r.name, r.output_shape, r.receptive_field) for r in rows
    ]
    assert all(
        line in text(net, IMAGE) for line in ("residual/body: 9x8x1 -> 9x8x3", "flatten: 4x4x3 -> 48 = 4 * 4 * 3")
    )


def test_both_names_are_public():
    assert minicnn.explain_shapes is L.explain_shapes
    assert minicnn.coverage is L.coverage


POOLS = L.Sequential([L.Conv2D(4, 3, padding="same"), *[L.MaxPooling2D(2)] * 4])


@pytest.mark.parametrize("ask", [explain_shapes, coverage, L.summary])
def test_a_net_that_does_not_fit_says_so_in_the_same_words(ask):
    with pytest.raises(ShapeError) as caught:
        ask(POOLS, (8, 8, 1))
    assert str(caught.value) == (
        "max_pooling2d_3: a 2x2 window does not fit a 1x1 input: floor((1 - 2) / 2) + 1 = 0 rows. The input shrank "
        "8 -> 4 -> 2 -> 1 through max_pooling2d .. max_pooling2d_2. "
        'Use padding="same", a smaller pool_size, or drop this layer.'
    )


@pytest.mark.parametrize(
    ("net", "shape", "words"),
    [
        (
            L.Sequential([L.Conv2D(4, 3), L.MaxPooling2D(2), L.Conv2D(4, 5)]),
            (8, 8, 1),
            ["conv2d_1: ", "floor((3 - 5) / 1) + 1 = -1 rows", "shrank 8 -> 6 -> 3", "kernel_size <= 3", "drop this"],
        ),
        (
            L.Sequential([L.ZeroPadding2D(), L.Conv2D(4, 3, strides=2), L.MaxPooling2D((2, 6), dilation_rate=2)]),
            (8, 10, 1),
            ["(it spans 3x11)", "4x5 input", "columns", "went 8x10 -> 10x12 -> 4x5", "pool_size <= (2, 3)", '"same"'],
        ),
        (L.Conv2D(1, 9, padding=1), (4, 4, 1), ["4x4 input with its padding", "kernel_size <= 6"]),
        (L.Sequential([L.Flatten(), L.MaxPooling2D()]), (4, 4, 1), ["max_pooling2d: ", "(N, H, W, C)"]),
        (
            L.Sequential([L.Conv2D(2, 3), L.Dense(2)]),
            (5, 5, 1),
            ["dense: ", "(3, 3, 2)", "Flatten or a global pooling"],
        ),
    ],
)
def test_errors_have_place_formula_way_and_fixes(net, shape, words):
    with pytest.raises(ShapeError) as caught:
        explain_shapes(net, shape)
    assert all(says(str(caught.value), word) for word in words), str(caught.value)


@pytest.mark.parametrize(("size", "window"), [((3, 3), 5), ((4, 7), 9), ((1, 6), (1, 9))])
def test_the_size_that_an_error_names_fits_and_the_next_does_not(size, window):
    with pytest.raises(ShapeError, match="pool_size <= ") as caught:
        L.MaxPooling2D(window).output_shape((*size, 1))
    named = eval(str(caught.value).split("pool_size <= ")[1].split(", or")[0])  # noqa: S307 - our own words
    down, across = named if isinstance(named, tuple) else (named, named)
    assert L.MaxPooling2D((down, across)).output_shape((*size, 1)) == (1, 1, 1)
    for larger in ((down + 1, across), (down, across + 1)):
        with pytest.raises(ShapeError):
            L.MaxPooling2D(larger).output_shape((*size, 1))


def test_coverage_is_of_images():
    with pytest.raises(ShapeError, match="coverage"):
        coverage(L.Dense(3), (12,))


def test_what_a_notebook_shows_is_the_table_and_not_the_record():
    net = models.keras_mnist()
    for found in (layers.summary(net, (28, 28, 1)), explain_shapes(net, (28, 28, 1))):
        assert len(repr(found)) < 100 and "Conv2D(" not in repr(found)
        page = xml.etree.ElementTree.fromstring(found._repr_html_())
        assert "".join(page.itertext()).count("max_pooling2d_1") == 1
    page = xml.etree.ElementTree.fromstring(layers.summary(net, (28, 28, 1))._repr_html_())
    cells = [[cell.text or "" for cell in line] for line in page]
    assert cells[0] == ["layer", "output shape", "parameters", "multiply-adds", "receptive field"]
    assert cells[-1][2] == "34,826"  # 320 + 18,496 + 16,010, as Keras counts them
    assert len(cells) == len(net.layers) + 3
