"""Pictures of one image in a net: what they show is what the ops compute, and they can be read."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import activations, layers, models, ops, show, train, value_and_grad

pytest.importorskip("matplotlib")
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.text import Text

from minicnn.show import subject
from minicnn.show.pooling import flow_through
from minicnn.show.windows import taps

L = layers
RNG = np.random.default_rng(0)
DISTINCT = (RNG.permutation(64).reshape(8, 8, 1) / 64 + 0.01).astype(np.float64)
IMAGE = DISTINCT.astype(np.float32)
NET = L.Sequential([
    L.Conv2D(3, 3, padding="same"), L.ReLU(), L.MaxPooling2D(2),
    L.Conv2D(5, 3, padding=1, strides=2), L.AveragePooling2D(2), L.Flatten(), L.Dense(4),
])  # fmt: skip
PARAMS = NET.init(np.random.default_rng(1), (8, 8, 1))
POOLINGS = [
    L.MaxPooling2D(2), L.MaxPooling2D(3, strides=2, padding="same"), L.MaxPooling2D(3, strides=2, ceil_mode=True),
    L.MaxPooling2D(2, dilation_rate=2, strides=1), L.AveragePooling2D(3, strides=2, padding="same"),
    L.AveragePooling2D(3, strides=3, padding=1, ceil_mode=True, count_include_pad=True), L.LpPooling2D(2, p=3.0),
    L.GlobalMaxPooling2D(), L.GlobalAveragePooling2D(keepdims=True), L.AdaptiveAveragePooling2D(3),
    L.AdaptiveMaxPooling2D((3, 5)), L.BlurPooling2D(), L.GeMPooling2D(2), L.GlobalGeMPooling2D(),
    L.LogMeanExpPooling2D(2, r=3.0), L.GlobalLogMeanExpPooling2D(), L.SoftPooling2D(2), L.GlobalSoftPooling2D(),
    L.MaxAveragePooling2D(2), L.StochasticPooling2D(2), L.GlobalLpPooling2D(),
]  # fmt: skip


def params_of(layer):
    return {name: leaf.astype(np.float64) for name, leaf in layer.init(np.random.default_rng(0), (8, 8, 1)).items()}


def flow_of(layer, channel=0, arriving=None):
    call = subject.calls("test", layer, params_of(layer), DISTINCT)["layer"]
    return flow_through(call, channel, arriving)


# --- what a pooling keeps, and where its gradient goes ------------------------------------------------------------


def test_every_pooling_is_in_the_table():
    names = {name for name in L.__all__ if name.endswith("Pooling2D")}
    assert {type(layer).__name__ for layer in POOLINGS} == names


@pytest.mark.parametrize("layer", POOLINGS, ids=repr)
def test_the_gradient_of_the_input_is_the_quotient_of_differences(layer):
    y = layer(params_of(layer), DISTINCT[None])
    arriving = np.random.default_rng(2).normal(size=y.shape)
    flow = flow_of(layer, arriving=arriving)
    step, ones, back = 1e-5, np.zeros((8, 8)), np.zeros((8, 8))
    for row, col in np.ndindex(8, 8):
        change = np.zeros_like(DISTINCT)
        change[row, col] = step
        more, less = (layer(params_of(layer), (DISTINCT + sign * change)[None]) for sign in (1, -1))
        ones[row, col] = (more - less).sum() / (2 * step)
        back[row, col] = ((more - less) * arriving).sum() / (2 * step)
    assert_allclose(flow.weights, ones, atol=1e-6)
    assert_allclose(flow.passed, back, atol=1e-6)
    assert_array_equal(flow.y.ravel(), y.ravel())
    assert_array_equal(flow.x, DISTINCT[..., 0])


def rings(axes):
    return {(round(c.center[1]), round(c.center[0])): c.radius for c in axes.patches if isinstance(c, Circle)}


def crosses(axes):
    return {(int(y), int(x)) for line in axes.lines for x, y in zip(*line.get_data(), strict=True)}


def test_max_has_a_ring_at_the_argmax_of_each_window_and_a_cross_elsewhere():
    figure = show.pooling(L.MaxPooling2D(2), {}, IMAGE)
    largest = set()
    for row, col in np.ndindex(4, 4):
        places = [(2 * row + i, 2 * col + j) for i, j in np.ndindex(2, 2)]
        largest.add(max(places, key=lambda at: IMAGE[at][0]))
    assert set(rings(figure.axes[0])) == largest
    assert crosses(figure.axes[0]) == set(np.ndindex(8, 8)) - largest
    assert "16 of 64 elements" in figure.axes[0].get_xlabel()


def test_the_area_of_a_ring_is_the_weight():
    one = rings(show.pooling(L.MaxPooling2D(2), {}, IMAGE).axes[0])
    quarter = rings(show.pooling(L.AveragePooling2D(2), {}, IMAGE).axes[0])
    assert set(quarter) == set(np.ndindex(8, 8))
    assert_allclose([*quarter.values()], [max(one.values()) / 2] * 64)


def test_with_a_label_the_gradient_is_that_of_the_loss():
    found = subject.calls("test", NET, PARAMS, IMAGE)
    rest = L.Sequential(NET.layers[3:])
    params = {"conv2d": PARAMS["conv2d_1"], "dense": PARAMS["dense"]}
    pooled = activations(NET, PARAMS, IMAGE[None])["max_pooling2d"]
    loss = value_and_grad(lambda y: ops.cross_entropy(rest(params, y), np.array([2])))
    expected = loss(pooled)[1]
    figure = show.pooling(NET, PARAMS, IMAGE, channel=1, label=2)
    titles = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert_allclose(titles["gradient of the result"].images[0].get_array(), expected[0, ..., 1], rtol=1e-5)
    flow = flow_through(found["max_pooling2d"], 1, expected)
    assert_allclose(titles["gradient of the input"].images[0].get_array(), flow.passed, rtol=1e-5)
    assert_allclose(flow.passed.sum(), expected[0, ..., 1].sum(), rtol=1e-5)  # a maximum passes on all of it


def numbers(axes):
    return np.array([float(text.get_text().replace("\N{MINUS SIGN}", "-")) for text in axes.texts])


@pytest.mark.parametrize(("factor", "unit"), [(1e-5, "\N{MINUS SIGN}6"), (3e-7, "\N{MINUS SIGN}8"), (5e5, "4")])
def test_tiny_and_huge_values_are_written_as_integers_of_a_power_of_ten(factor, unit):
    values = np.linspace(-1, 1, 9).reshape(3, 3, 1)
    axes = show.image(factor * values).axes[0]
    assert axes.get_xlabel() == f"in units of 1e{unit}"
    power = float(axes.get_xlabel().removeprefix("in units of ").replace("\N{MINUS SIGN}", "-"))
    assert_allclose(numbers(axes), np.round(factor * values.ravel() / power), atol=1e-9)
    assert all(len(text.get_text()) <= 3 for text in axes.texts)


def test_a_gradient_lies_below_what_it_is_the_gradient_of():
    figure = show.pooling(NET, PARAMS, IMAGE, channel=1, label=2)
    figure.draw_without_rendering()
    titles = {axes.get_title(loc="left"): axes.get_position() for axes in figure.axes}
    for above, below in (("input, channel 1", "gradient of the input"), ("result", "gradient of the result")):
        assert titles[above].y0 > titles[below].y1
        assert abs(titles[above].x0 - titles[below].x0) < 0.03
    assert titles["gradient of the input"].x1 < titles["gradient of the result"].x0


def test_a_pooling_of_ones_input_that_is_used_elsewhere_too_gets_its_own_gradient_alone():
    net = L.Sequential([L.Concat([L.MaxPooling2D(2), L.AveragePooling2D(2)]), L.Flatten(), L.Dense(3)])
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    figure = show.pooling(net, params, IMAGE, "concat/max_pooling2d")
    assert len(rings(figure.axes[0])) == 16


def test_poolings_are_compared_row_by_row():
    figure = show.compare_poolings({"largest": L.MaxPooling2D(2), "mean": L.AveragePooling2D(2)}, IMAGE)
    named = [axes for axes in figure.axes if axes.get_ylabel()]
    assert [axes.get_ylabel() for axes in named] == ["largest", "mean"]
    assert [len(rings(axes)) for axes in named] == [16, 64]


# --- windows ------------------------------------------------------------------------------------------------------

SETTINGS = [
    {"padding": "same"}, {"padding": "same", "strides": 2}, {"padding": ((1, 0), (0, 2)), "strides": (2, 3)},
    {"dilation_rate": 2}, {"dilation_rate": (1, 3), "padding": 2},
]  # fmt: skip


@pytest.mark.parametrize("how", SETTINGS, ids=repr)
def test_the_elements_of_each_window_are_those_that_the_op_adds_up(how):
    layer = L.Conv2D(1, (3, 2), use_bias=False, **how)
    summed = ops.conv2d(DISTINCT[None], np.ones((3, 2, 1, 1)), **layer.options)[0, ..., 0]
    lie = layer.windows((8, 8, 1))
    rows, cols = taps(lie.rows, lie.rounding), taps(lie.cols, lie.rounding)
    assert (len(rows), len(cols)) == summed.shape
    for p, q in np.ndindex(summed.shape):
        inside = [(r, c) for r in rows[p] for c in cols[q] if 0 <= r < 8 and 0 <= c < 8]
        assert_allclose(sum(DISTINCT[at][0] for at in inside), summed[p, q])


def hatches(figure):
    return {patch.get_hatch() for axes in figure.axes for patch in axes.patches} - {None}


@pytest.mark.parametrize(("layer", "marks"), [
    (L.MaxPooling2D(2), set()),
    (L.MaxPooling2D(3, strides=2, padding="same"), {"////"}),
    (L.MaxPooling2D(3, strides=2, ceil_mode=True), {".."}),
    (L.AveragePooling2D(3, strides=2, padding=1, ceil_mode=True), {"////", ".."}),
    (L.AdaptiveMaxPooling2D(3), set()),
])  # fmt: skip
def test_padding_is_hatched_and_overhang_dotted(layer, marks):
    figure = show.windows(layer, {}, IMAGE)
    assert hatches(figure) == marks
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert ("padding" in words.replace("past the padding", "")) == ("////" in marks)
    assert ("past the padding" in words) == (".." in marks)


def test_each_window_has_a_panel_with_its_result():
    figure = show.windows(NET, PARAMS, IMAGE, "max_pooling2d", channel=1, output=1, most=3)
    pooled = activations(NET, PARAMS, IMAGE[None])["max_pooling2d"][0, ..., 1]
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [f"({p}, {q}): {pooled[p, q]:.3g}" for p in (0, 1, 3) for q in (0, 1, 3)]
    assert "the first 2 and the last" in figure.get_suptitle()


# --- maps, filters, scores ----------------------------------------------------------------------------------------


def maps(figure):
    return {axes.get_title(loc="left"): axes.images[0].get_array() for axes in figure.axes if axes.images}


def test_feature_maps_are_the_channels_on_one_scale():
    figure = show.feature_maps(NET, PARAMS, IMAGE, "conv2d")
    found = maps(figure)
    for number in range(3):
        assert_array_equal(found[str(number)], activations(NET, PARAMS, IMAGE[None])["conv2d"][0, ..., number])
    assert len({axes.images[0].get_clim() for axes in figure.axes[1:4]}) == 1
    assert list(maps(show.feature_maps(NET, PARAMS, IMAGE, "conv2d", most=2))) == ["image", "0", "1"]
    assert show.feature_maps(NET, PARAMS, IMAGE).get_suptitle().startswith("average_pooling2d: 5 feature maps of 1x1")


def test_an_image_has_its_numbers():
    figure = show.image(16 * np.eye(4, dtype=np.float32)[..., None], title="a $ title")
    assert [text.get_text() for text in figure.axes[0].texts[:5]] == ["16", "0", "0", "0", "0"]
    assert figure.get_suptitle() == "a $ title"
    assert not show.image(RNG.random((28, 28, 2)), channel=1).axes[0].texts
    with pytest.raises(ValueError, match="channel must be an integer up to 0, got 1"):
        show.image(IMAGE, channel=1)


def test_a_map_of_zeros_says_so():
    params = {**PARAMS, "conv2d": {"kernel": PARAMS["conv2d"]["kernel"] * 0, "bias": np.array([0, 1, 0], np.float32)}}
    assert list(maps(show.feature_maps(NET, params, IMAGE, "relu"))) == ["image", "0: all 0", "1", "2: all 0"]


def test_filters_are_the_kernel_with_its_numbers():
    figure = show.filters(NET, PARAMS, IMAGE, "conv2d_1", channel=2)
    assert_array_equal(maps(figure)["4"], PARAMS["conv2d_1"]["kernel"][:, :, 2, 4])
    assert all(len(axes.texts) == 9 for axes in figure.axes if axes.images)


def test_scores_are_probabilities_in_words_and_bars():
    figure = show.scores(NET, PARAMS, IMAGE, classes=["a", "b", "c", "d_$"], label=3)
    logits = train.predict(NET, PARAMS, IMAGE[None])[0]
    bars = [patch.get_width() for patch in figure.axes[1].patches]
    assert_allclose(bars, np.exp(logits) / np.exp(logits).sum(), rtol=1e-5)
    words = [text.get_text() for text in figure.axes[1].texts]
    assert "predicted" in words[logits.argmax()]
    assert "true" in words[3]


# --- figures ------------------------------------------------------------------------------------------------------


def figures():
    yield show.feature_maps(NET, PARAMS, IMAGE)
    lenet, large = models.lenet5(), RNG.random((28, 28, 1), np.float32)
    yield show.feature_maps(lenet, lenet.init(RNG, (28, 28, 1)), large)
    yield show.image(-16 * IMAGE)
    yield show.filters(NET, PARAMS, IMAGE)
    yield show.scores(NET, PARAMS, IMAGE, label=0)
    yield show.windows(NET, PARAMS, IMAGE)
    yield show.windows(L.MaxPooling2D(3, strides=3, padding=1, ceil_mode=True), {}, IMAGE)
    yield show.pooling(NET, PARAMS, IMAGE, label=1)
    yield show.pooling(L.MaxPooling2D(2), {}, np.tile(IMAGE, (4, 4, 1)))
    yield show.compare_poolings({"max": L.MaxPooling2D(2), "average": L.AveragePooling2D(2)}, IMAGE)


def test_no_text_is_cut_off_or_too_small_to_read():
    for figure in figures():
        figure.draw_without_rendering()
        width, height = figure.bbox.size
        ticks = {text for axes in figure.axes for text in (*axes.get_xticklabels(), *axes.get_yticklabels())}
        for text in figure.findobj(lambda a: isinstance(a, Text) and a.get_text()):
            if text in ticks and text.axes not in figure.axes[:1]:  # those beyond the limits of a scale are not drawn
                continue
            box = text.get_window_extent()
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            assert inside, (figure.get_suptitle(), text.get_text())
            assert text.get_fontsize() >= 5, (figure.get_suptitle(), text.get_text())


def test_a_figure_displays_itself_and_the_users_style_does_not_matter():
    figure = show.pooling(L.MaxPooling2D(2), {}, IMAGE)
    assert isinstance(figure, Figure)
    picture = figure._repr_png_()
    assert picture.startswith(b"\x89PNG")
    with rc_context({"font.size": 30, "axes.grid": True, "image.cmap": "jet", "text.usetex": True}):
        again = show.pooling(L.MaxPooling2D(2), {}, IMAGE)
    assert again._repr_png_() == picture


def test_pyplot_has_no_part_in_it():
    program = (
        "import sys, numpy as np; from minicnn import show, layers; "
        "show.pooling(layers.MaxPooling2D(2), {}, np.ones((4, 4, 1), np.float32))._repr_png_(); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(ImportError, match="pip install"):
        show.pooling(L.MaxPooling2D(2), {}, IMAGE)


def test_odd_images_are_drawn():
    nan = np.where(IMAGE > 0.9, np.nan, IMAGE)
    for image in (nan, -IMAGE, 1e6 * IMAGE, 1e-6 * IMAGE, 0 * IMAGE, IMAGE[:2, :2]):
        show.pooling(L.MaxPooling2D(2), {}, image)._repr_png_()
    colour = RNG.random((6, 6, 3), np.float32)
    net = L.Sequential([L.Conv2D(2, 3), L.ReLU()])
    assert show.feature_maps(net, net.init(RNG, (6, 6, 3)), colour).axes[0].images[0].get_array().shape == (6, 6, 3)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: show.pooling(NET, PARAMS, IMAGE, "conv2d"),
     "layer must be the path of a pooling, one of max_pooling2d, average_pooling2d, got 'conv2d'"),
    (lambda: show.feature_maps(NET, PARAMS, IMAGE, "conv2d_2"), "got 'conv2d_2'. Did you mean 'conv2d_1'"),
    (lambda: show.feature_maps(NET, PARAMS, IMAGE, 3), "layer must be the path of a layer that returns a map"),
    (lambda: show.windows(L.ReLU(), {}, IMAGE), "which has none, got None"),
    (lambda: show.filters(L.MaxPooling2D(2), {}, IMAGE), "layer must be the path of a convolution"),
    (lambda: show.pooling(NET, PARAMS, IMAGE[None]), r"image must be an array of shape \(H, W, C\).*images\[0\]"),
    (lambda: show.pooling(NET, PARAMS, IMAGE[..., 0]), r"got shape \(8, 8\). .*image\[..., None\]"),
    (lambda: show.pooling(NET, PARAMS, None), "image must be an array"),
    (lambda: show.pooling(NET, {}, IMAGE), "params must contain"),
    (lambda: show.pooling(NET, PARAMS, IMAGE, channel=3), "channel must be an integer up to 2, got 3"),
    (lambda: show.windows(NET, PARAMS, IMAGE, most=0), "most must be an integer of at least 1, got 0"),
    (lambda: show.windows(NET, PARAMS, IMAGE, output=3), "output must be an integer up to 2"),
    (lambda: show.pooling(NET, PARAMS, IMAGE, label=4), "label must be an integer up to 3, got 4"),
    (lambda: show.pooling(L.MaxPooling2D(2), {}, IMAGE, label=0), "label must be left out"),
    (lambda: show.scores(L.MaxPooling2D(2), {}, IMAGE), r"net must return logits \(N, classes\)"),
    (lambda: show.scores(NET, PARAMS, IMAGE, classes="ab"), "classes must be 4 names"),
    (lambda: show.compare_poolings([L.MaxPooling2D(2)], IMAGE), "poolings must be a dict of layers by name"),
    (lambda: show.compare_poolings({"max": 3}, IMAGE), "net must be a layer, got 3"),
    (lambda: show.compare_poolings({"max": L.MaxPooling2D(2)}, [1]), "image must be an array"),
    (lambda: show.poolings, "poolings"),
    (lambda: show.pooling(NET, PARAMS, IMAGE, lable=4), "Did you mean 'label'"),
])  # fmt: skip
def test_what_does_not_fit_is_told(call, words):
    with pytest.raises((TypeError, ValueError, AttributeError), match=words):
        call()
