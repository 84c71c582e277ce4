"""A prepared net gives what the net gives; how many images are predicted together does not change a bit."""

import numpy as np
import pytest
from test_fusion import images as awkward_images
from test_fusion import random_stack

from minicnn import data, kernels, layers, models, ops, train, trees
from minicnn.layers import fusion
from minicnn.layers.prepared import Predictor
from minicnn.validation import ShapeError

L = layers
compiled = pytest.mark.skipif(
    not (kernels.can_run_programs() and fusion.is_on()), reason="these kernels run no programs"
)

NETS = {
    "lenet5": (models.lenet5(), (28, 28, 1)),
    "keras_mnist": (models.keras_mnist(), (28, 28, 1)),
    "mlp": (models.mlp(), (10, 10, 3)),
    "normalised": (models.small_cnn("average", batch_norm=True), (9, 9, 2)),
    "groups": (L.Sequential([L.Conv2D(6, 3, groups=2), L.Conv2D(34, 2, groups=2, use_bias=False)]), (7, 6, 4)),
    "dilated": (L.Sequential([L.Conv2D(40, 3, dilation_rate=(2, 1), strides=(1, 2), padding="same")]), (7, 6, 3)),
    "copies in the padding": (L.Sequential([L.Conv2D(3, 3, padding="same", padding_mode="edge"), L.ReLU()]), (5, 5, 1)),
    "average pooling": (
        L.Sequential([
            L.AveragePooling2D(3, strides=2, padding="same"),
            L.AveragePooling2D(2, padding="same", count_include_pad=True),
            L.GlobalAveragePooling2D(keepdims=True),
        ]),
        (11, 9, 5),
    ),
    "one layer": (L.Dense(3), (7,)),
    "only Flatten": (L.Sequential([L.Flatten(), L.Dropout(0.5)]), (4, 3, 2)),
    "layers between programs": (
        L.Sequential([L.Concat([L.Conv2D(2, 2), L.Conv2D(1, 2)]), L.Flatten(), L.Tanh(), L.Flatten(), L.ReLU()]),
        (4, 3, 2),
    ),
    "branches": (models.small_cnn("global-max-average"), (8, 8, 1)),
    "a shortcut": (L.Sequential([L.Residual(L.Conv2D(2, 3, padding="same")), L.ReLU(), L.Flatten()]), (5, 5, 2)),
    **{f"head {head}": (models.small_cnn(head, filters=(4, 8), strides=(1, 2)), (8, 8, 1)) for head in models.HEADS},
}  # fmt: skip


def parameters(net, shape, seed=0):
    """Weights of a net with batch normalisation that has statistics, and with biases."""
    rng = np.random.default_rng(seed)
    params = net.init(rng, shape)
    return trees.map_leaves(lambda w: (w + rng.uniform(0.05, 0.2, w.shape)).astype(np.float32), params)


@pytest.mark.parametrize("name", NETS)
def test_the_results_are_those_of_float64(name):
    net, shape = NETS[name]
    params = parameters(net, shape)
    x = np.random.default_rng(1).standard_normal((30, *shape)).astype(np.float32)
    exact = net(trees.map_leaves(np.float64, params), np.float64(x))
    found = L.prepare(net, params, shape)(x)
    assert found.shape == exact.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=2e-5 * abs(exact).max())


@compiled
@pytest.mark.parametrize("name", NETS)
def test_an_image_alone_has_the_same_bits(name):
    net, shape = NETS[name]
    params = parameters(net, shape)
    predictor = L.prepare(net, params, shape)
    if not all(hasattr(part, "table") for part in predictor.parts):
        pytest.skip("it contains a layer that runs as in the net")
    x = np.random.default_rng(1).standard_normal((30, *shape)).astype(np.float32)
    together = predictor(x)
    for count in (1, 5, 13):
        parts = [predictor(x[first : first + count]) for first in range(0, len(x), count)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize("seed", range(60))
def test_random_stacks_with_ties_zeros_and_nan(seed):
    rng = np.random.default_rng(seed)
    while True:
        net, x = random_stack(rng), awkward_images(rng, np.float32)
        try:
            params = parameters(net, x.shape[1:], seed)
        except ShapeError:
            continue
        break
    np.testing.assert_allclose(L.prepare(net, params, x.shape[1:])(x), net(params, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_the_same_logits(value):
    net, shape = NETS["lenet5"]
    params = parameters(net, shape)
    x = np.random.default_rng(1).standard_normal((4, *shape)).astype(np.float32)
    x[1, 3, 4] = value
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isfinite(L.prepare(net, params, shape)(x)), np.isfinite(net(params, x)))


class Doubled(L.Conv2D):
    """A convolution of a user, which computes something else."""

    def __call__(self, params, x, rng=None):
        return 2 * super().__call__(params, x, rng)


def test_a_subclass_runs_its_own_code():
    shape = (5, 5, 2)
    for net in (Doubled(3, 2), L.Sequential([Doubled(3, 2), L.ReLU()])):
        params = parameters(net, shape)
        x = np.random.default_rng(1).standard_normal((3, *shape)).astype(np.float32)
        np.testing.assert_array_equal(L.prepare(net, params, shape)(x), net(params, x))


def test_long_sums_are_as_accurate_as_in_the_net():
    thirds = np.float32(1 / 3)
    net = L.Sequential([L.Dense(3, use_bias=False)])
    params = {"dense": {"kernel": np.full((50_000, 3), thirds)}}
    found = L.prepare(net, params, (50_000,))(np.ones((1, 50_000), np.float32))
    assert abs(found / (50_000 * float(thirds)) - 1).max() <= 1.2e-4
    pooling = L.Sequential([L.AveragePooling2D(200)])
    found = L.prepare(pooling, {}, (200, 200, 1))(np.full((1, 200, 200, 1), thirds))
    assert abs(found / float(thirds) - 1).max() <= 2e-5


def test_images_of_another_dtype_are_computed_in_it():
    net, shape = NETS["one layer"]
    params = parameters(net, shape)
    x = np.random.default_rng(1).standard_normal((3, *shape))
    np.testing.assert_array_equal(L.prepare(net, params, shape)(x), net(params, x))


def test_parameters_are_copied():
    net, shape = NETS["lenet5"]
    params = parameters(net, shape)
    x = np.ones((2, *shape), np.float32)
    predictor = L.prepare(net, params, shape)
    before = predictor(x)
    for leaf in trees.leaves(params):
        leaf[...] = 0
    np.testing.assert_array_equal(predictor(x), before)


def test_a_batch_may_be_empty_or_not_contiguous():
    net, shape = NETS["lenet5"]
    predictor = L.prepare(net, parameters(net, shape), shape)
    assert predictor(np.ones((0, *shape), np.float32)).shape == (0, 10)
    x = np.random.default_rng(1).standard_normal((6, *shape)).astype(np.float32)
    np.testing.assert_array_equal(predictor(x[::2, ::-1]), predictor(x[::2, ::-1].copy()))
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(predictor(read_only), predictor(x))


@pytest.mark.parametrize(
    ("images", "got"),
    [(np.ones((2, 27, 28, 1), np.float32), "(2, 27, 28, 1)"), (np.float32(1), "1.0"), ([[1.0]], "[[1.0]]")],
)
def test_images_of_another_shape_are_refused(images, got):
    net, shape = NETS["lenet5"]
    predictor = L.prepare(net, parameters(net, shape), shape)
    with pytest.raises(ValueError, match=r"Predictor: images must be an array of shape \(N, 28, 28, 1\), got") as error:
        predictor(images)
    assert got in str(error.value)


def test_parameters_that_do_not_fit_are_refused():
    net, shape = NETS["lenet5"]
    params = parameters(net, shape)
    del params["dense"]
    with pytest.raises(ValueError, match="params must contain"):
        L.prepare(net, params, shape)
    with pytest.raises(TypeError, match="net must be a layer"):
        L.prepare("lenet5", params, shape)


@compiled
def test_predict_and_evaluate_use_it(monkeypatch):
    net, shape = NETS["lenet5"]
    params = parameters(net, shape)
    x = np.random.default_rng(1).standard_normal((20, *shape)).astype(np.float32)
    together = train.predict(net, params, x)
    alone = np.concatenate([train.predict(net, params, x[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(alone, together)
    labels = together.argmax(axis=1)
    evaluation = train.evaluate(net, params, data.Split(x, labels))
    assert evaluation.accuracy == 1 and np.isclose(evaluation.loss, float(ops.cross_entropy(net(params, x), labels)))


def test_with_fusion_off_or_other_kernels_the_layers_run(monkeypatch):
    net, shape = NETS["lenet5"]
    params = parameters(net, shape)
    x = np.ones((2, *shape), np.float32)
    monkeypatch.setattr(fusion, "is_on", lambda: False)
    predictor = L.prepare(net, params, shape)
    assert isinstance(predictor, Predictor) and not hasattr(predictor.parts[0], "table")
    np.testing.assert_array_equal(predictor(x), net(params, x))
    assert repr(predictor) == f"Predictor({net!r}, (28, 28, 1))"


@compiled
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("seed", range(40))
def test_pools_of_windows_with_few_taps_have_the_bits_of_the_net(seed):
    """A prepared net takes the maxima before it writes the sums; training needs their argmax and takes them later."""
    rng = np.random.default_rng(seed)
    groups, c = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    filters, pool = groups * int(rng.choice([1, 6, 8, 16, 20, 24, 32, 40])), [(2, 2), (1, 2), (3, 2)][seed % 3]
    conv = L.Conv2D(filters, int(rng.integers(1, 4)), padding=["same", "valid"][seed % 2], groups=groups)
    net = L.Sequential([conv, *[L.ReLU()] * int(rng.integers(2)), L.MaxPooling2D(pool)])
    shape = (int(rng.integers(6, 20)), int(rng.integers(6, 20)), groups * c)
    params, x = parameters(net, shape, seed), rng.integers(-2, 3, (int(rng.integers(1, 6)), *shape)).astype(np.float32)
    x[rng.random(x.shape) < 0.01] = rng.choice([np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(L.prepare(net, params, shape)(x), net(params, x))


@compiled
@pytest.mark.filterwarnings("ignore:invalid value")
def test_pools_of_few_taps_with_an_infinite_bias_and_with_negative_zeros():
    net, rng = L.Sequential([L.Conv2D(8, 3), L.MaxPooling2D(2)]), np.random.default_rng(0)
    params, x = net.init(rng, (8, 8, 1)), rng.standard_normal((1, 8, 8, 1)).astype(np.float32)
    params["conv2d"]["kernel"][:], params["conv2d"]["bias"][:], x[0, 0, 0, 0] = 1, np.inf, -np.inf
    assert np.isnan(net(params, x)).any()
    np.testing.assert_array_equal(L.prepare(net, params, (8, 8, 1))(x), net(params, x))
    net, x = L.Sequential([L.Conv2D(8, 1), L.MaxPooling2D(2), L.ReLU()]), np.full((1, 8, 8, 1), 1e-30, np.float32)
    params = net.init(rng, (8, 8, 1))
    params["conv2d"]["kernel"][:], params["conv2d"]["bias"][:] = -1e-30, -0.0
    assert L.prepare(net, params, (8, 8, 1))(x).tobytes() == net(params, x).tobytes()
