"""Measures against formulas written out image by image, scikit-learn, and loops over SciPy's ndimage."""

import math
from dataclasses import replace

import numpy as np
import pytest

from minicnn import data, layers, models, train
from minicnn.study import measures, predictions, robustness, transforms

ndimage = pytest.importorskip("scipy.ndimage")
metrics = pytest.importorskip("sklearn.metrics")

CLASSES = 4


def images(n=7, h=6, w=9, c=2, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random((n, h, w, c)).astype(dtype)


def dataset(n=60, h=6, w=9, c=2, dtype=np.float32):
    part = data.Split(images(n, h, w, c, dtype=dtype), np.random.default_rng(1).integers(0, CLASSES, n))
    return data.Dataset("random", part, part[:0], part, tuple("abcd"))


NET = models.mlp((8,), CLASSES)


def weights(shape, seed=0):
    params = NET.init(np.random.default_rng(seed), shape)
    params["dense_1"]["kernel"] *= 4  # confident, and often wrong
    return params


def softmax(row):
    powers = [math.exp(v - max(row)) for v in row]
    return [p / sum(powers) for p in powers]


def chances(parts, params):
    return [softmax(row) for row in train.predict(NET, params, parts.test.images).tolist()]


@pytest.fixture(params=[60, 44], ids=["60 images", "44 images"])
def case(request):
    parts = dataset(request.param)
    return parts, weights(parts.test.images.shape[1:])


def test_accuracy_nll_and_brier_are_those_of_each_image(case):
    parts, params = case
    rows, labels = chances(parts, params), parts.test.labels.tolist()
    right = [row.index(max(row)) == label for row, label in zip(rows, labels, strict=True)]
    np.testing.assert_array_equal(measures.accuracy(NET, params, parts), right)
    by_hand = [-math.log(row[label]) for row, label in zip(rows, labels, strict=True)]
    np.testing.assert_allclose(measures.nll(NET, params, parts), by_hand, rtol=1e-9)
    by_hand = [sum((p - (k == label)) ** 2 for k, p in enumerate(row)) for row, label in zip(rows, labels, strict=True)]
    np.testing.assert_allclose(measures.brier(NET, params, parts), by_hand, rtol=1e-9)


def test_means_are_those_of_scikit_learn_and_of_evaluate(case):
    parts, params = case
    rows, names = np.array(chances(parts, params)), range(CLASSES)
    loss = metrics.log_loss(parts.test.labels, rows, labels=names)
    assert measures.nll(NET, params, parts).mean() == pytest.approx(loss, rel=1e-9)
    whole = metrics.brier_score_loss(parts.test.labels, rows, labels=names, scale_by_half=False)
    assert measures.brier(NET, params, parts).mean() == pytest.approx(whole, rel=1e-9)
    tested = train.evaluate(NET, params, parts.test)
    assert measures.accuracy(NET, params, parts).mean() == tested.accuracy
    assert measures.nll(NET, params, parts).mean() == pytest.approx(tested.loss, rel=1e-5)


def test_the_calibration_error_is_that_of_bins_filled_by_hand(case):
    parts, params = case
    rows = zip(chances(parts, params), parts.test.labels.tolist(), strict=True)
    ordered = sorted((max(row), row.index(max(row)) == label) for row, label in rows)
    small, more = divmod(len(ordered), 15)
    gaps = []
    for i in range(15):
        part = [ordered.pop(0) for _ in range(small + (i < more))]
        gaps.append(len(part) * abs(sum(c for c, _ in part) / len(part) - sum(r for _, r in part) / len(part)))
    assert measures.ece(NET, params, parts) == pytest.approx(sum(gaps) / len(parts.test), rel=1e-9)


def test_the_calibration_error_agrees_with_scikit_learn_where_bins_are_equal():
    from sklearn.calibration import calibration_curve

    parts = dataset(60)
    params = weights(parts.test.images.shape[1:])
    confidence = [max(row) for row in chances(parts, params)]
    true, predicted = calibration_curve(
        measures.accuracy(NET, params, parts), confidence, n_bins=15, strategy="quantile"
    )
    assert measures.ece(NET, params, parts) == pytest.approx(np.abs(true - predicted).mean(), rel=1e-6)


def test_a_net_that_knows_its_accuracy_is_calibrated_and_a_certain_one_is_not():
    """Logits that do not depend on the image: confidence 1/4 or almost 1, and a fourth of the labels are 0."""
    labels = np.arange(60) % CLASSES
    part = data.Split(images(60), labels)
    parts = data.Dataset("quarters", part, part, part, tuple("abcd"))
    params = {k: {n: np.zeros_like(w) for n, w in v.items()} for k, v in weights(part.images.shape[1:]).items()}
    # In each bin of four images one is of class 0.
    assert measures.ece(NET, params, parts) == pytest.approx(0, abs=1e-12)
    params["dense_1"]["bias"][:] = [50, 0, 0, 0]
    assert measures.ece(NET, params, parts) == pytest.approx(0.75, abs=1e-9)
    assert measures.brier(NET, params, parts).tolist() == pytest.approx([0, 2, 2, 2] * 15, abs=1e-9)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_temperature_undoes_a_factor_of_the_logits(factor):
    """Labels are drawn from the probabilities of the logits: these are calibrated, and `factor` times them are not."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((20_000, CLASSES)) * 2
    powers = np.exp(scores)
    labels = (rng.random((20_000, 1)) > (powers / powers.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    assert measures.temperature(factor * scores, labels) == pytest.approx(factor, rel=0.03)


def test_tempered_measures_are_those_of_divided_logits(case):
    parts, params = case
    parts = replace(
        parts, valid=data.Split(images(50, 6, 9, seed=5), np.random.default_rng(5).integers(0, CLASSES, 50))
    )
    t = measures.temperature(train.predict(NET, params, parts.valid.images), parts.valid.labels)
    assert t > 1  # the labels are random and the net is certain
    cooled = {**params, "dense_1": {name: leaf / t for name, leaf in params["dense_1"].items()}}
    for name in ("nll", "brier", "ece"):
        by_hand = getattr(measures, name)(NET, cooled, parts)
        np.testing.assert_allclose(measures.Tempered(name)(NET, params, parts), by_hand, rtol=1e-4, atol=1e-6)
    losses = [measures.nll(NET, p, replace(parts, test=parts.valid)).mean() for p in (cooled, params)]
    assert losses[0] < losses[1]


def test_the_temperature_of_a_net_that_is_always_right_is_bounded():
    # From about 1/40 downward its loss is too small for float64 to tell temperatures apart.
    assert 0.01 <= measures.temperature(np.eye(4), np.arange(4)) < 1 / 35


def by_image(change, x):
    return np.stack([np.stack([change(x[i, :, :, k]) for k in range(x.shape[3])], axis=-1) for i in range(len(x))])


def rotated(plane, degrees):
    return ndimage.rotate(plane, degrees, reshape=False, order=1, mode="grid-constant")


def scaled(plane, factor):
    """Bilinear interpolation in two loops; pixels outside are 0."""
    (h, w), out = plane.shape, np.zeros(plane.shape)
    framed = np.pad(plane.astype(float), 1)
    for r in range(h):
        for c in range(w):
            y, x = (r - (h - 1) / 2) / factor + (h - 1) / 2 + 1, (c - (w - 1) / 2) / factor + (w - 1) / 2 + 1
            if 0 <= y < h + 1 and 0 <= x < w + 1:
                i, j, dy, dx = int(y), int(x), y % 1, x % 1
                upper = framed[i, j] * (1 - dx) + framed[i, j + 1] * dx
                lower = framed[i + 1, j] * (1 - dx) + framed[i + 1, j + 1] * dx
                out[r, c] = upper * (1 - dy) + lower * dy
    return out


@pytest.mark.parametrize("size", [(6, 9), (7, 7), (1, 5)])
@pytest.mark.parametrize("degrees", [20, -33.5, 90, 180])
def test_rotation_is_that_of_each_image(size, degrees):
    x = images(3, *size)
    expected = by_image(lambda plane: rotated(plane, degrees), x)
    np.testing.assert_allclose(transforms.rotate(x, degrees), expected, atol=1e-5)


def test_a_right_angle_is_counterclockwise():
    x = images(3, 7, 7)
    np.testing.assert_allclose(transforms.rotate(x, 90), np.rot90(x, axes=(1, 2)), atol=1e-5)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_scale_is_that_of_each_image(factor):
    x = images(2, 6, 7)
    np.testing.assert_allclose(transforms.scale(x, factor), by_image(lambda p: scaled(p, factor), x), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_affine_map_of_all_images_is_scipy_s_of_each(dtype):
    x = images(40, 12, 9, 2, dtype=dtype)
    matrix = np.array([[0.9, 0.25], [-0.3, 1.1]])
    origin = np.array([5.5, 4]) - matrix @ np.array([5.5, 4])
    expected = by_image(lambda plane: ndimage.affine_transform(plane, matrix, origin, order=1, mode="grid-constant"), x)
    np.testing.assert_allclose(
        transforms._affine(x, matrix), expected, rtol=0, atol=1e-6 if dtype is np.float32 else 1e-13
    )


@pytest.mark.parametrize("change", [lambda x: transforms.rotate(x, 10), lambda x: transforms.scale(x, 1.1)])
def test_what_is_not_a_number_stays_in_its_image(change):
    x = images(3, 6, 6)
    x[1] = np.nan
    assert np.isnan(change(x)).any(axis=(1, 2, 3)).tolist() == [False, True, False]


def test_blur_is_that_of_each_image_and_keeps_the_sum_of_what_is_far_from_the_border():
    x = np.zeros((2, 21, 21, 1), np.float32)
    x[0, 10, 10], x[1, 9, 12] = 1, 2
    blurred = transforms.blur(x, 1.5)
    expected = by_image(lambda plane: ndimage.gaussian_filter(plane, 1.5, mode="constant"), x)
    np.testing.assert_allclose(blurred, expected, atol=1e-6)
    np.testing.assert_allclose(blurred.sum(axis=(1, 2, 3)), [1, 2], rtol=1e-4)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (-2, 3), (5, -8), (6, 0), (-20, 20)])
def test_a_shift_is_that_of_each_image(down, right):
    x = images()
    expected = by_image(lambda plane: ndimage.shift(plane, (down, right), order=0), x)
    np.testing.assert_array_equal(transforms.shift(x, down, right), expected)


def test_contrast_and_inversion_by_hand():
    x = images(2)
    np.testing.assert_allclose(transforms.contrast(x, 0.5).mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(transforms.contrast(x, 0.5).std(axis=(1, 2, 3)), x.std(axis=(1, 2, 3)) / 2, rtol=1e-5)
    for before, after in zip(x, transforms.invert(x), strict=True):
        np.testing.assert_allclose(after, before.max() + before.min() - before, rtol=1e-6)
        assert (before.argmin(), before.argmax()) == (after.argmax(), after.argmin())


def test_noise_has_its_standard_deviation_and_comes_from_the_seed():
    x = np.zeros((50, 20, 20, 1), np.float32)
    first, again = (transforms.noise(x, 0.2, np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert first.std() == pytest.approx(0.2, rel=0.02)
    assert abs(first.mean()) < 4 * 0.2 / math.sqrt(first.size)


CHANGES = [
    lambda x: transforms.shift(x, 1, -1),
    lambda x: transforms.rotate(x, 20),
    lambda x: transforms.scale(x, 0.8),
    lambda x: transforms.noise(x, 0.1, np.random.default_rng(0)),
    lambda x: transforms.blur(x, 1.0),
    lambda x: transforms.contrast(x, 0.5),
    transforms.invert,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 3])
def test_changes_keep_shape_and_dtype_and_leave_their_argument_alone(change, dtype, n):
    x = images(n, dtype=dtype)
    before = x.copy()
    x.setflags(write=False)
    y = change(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(y[:2], change(x[:2]), atol=1e-6)


def test_padded_pads_all_parts():
    parts = dataset(10)
    wide = transforms.padded(parts, 3)
    for name in ("train", "valid", "test"):
        before, after = getattr(parts, name), getattr(wide, name)
        assert after.images.shape[1:] == (12, 15, 2)
        np.testing.assert_array_equal(after.images[:, 3:-3, 3:-3], before.images)
        assert after.images.sum(dtype=float) == pytest.approx(before.images.sum(dtype=float), rel=1e-6)
        np.testing.assert_array_equal(after.labels, before.labels)
    assert wide.name != parts.name


UNDER = [
    (robustness.Shifted((0, 1, 2)), ["0 px", "1 px", "2 px"]),
    (robustness.Rotated((0, 15)), ["0 degrees", "15 degrees"]),
    (robustness.Scaled((0.8, 1.0, 1.2)), ["x0.8", "x1", "x1.2"]),
    (robustness.Noisy((0, 0.3)), ["sd 0", "sd 0.3"]),
    (robustness.Blurred((0, 1.0)), ["0 px", "1 px"]),
    (robustness.Contrast((1.0, 0.5, -1.0)), ["x1", "x0.5", "inverted"]),
]


def versions_by_hand(measure, x, amount):
    if isinstance(measure, robustness.Shifted):
        steps = [(d, r) for d in (-1, 0, 1) for r in (-1, 0, 1) if d or r]
        return [by_image(lambda p, s=s: ndimage.shift(p, np.multiply(s, amount), order=0), x) for s in steps]
    if isinstance(measure, robustness.Rotated):
        return [by_image(lambda p, a=a: rotated(p, a), x) for a in (amount, -amount)]
    if isinstance(measure, robustness.Scaled):
        return [by_image(lambda p: scaled(p, amount), x)]
    if isinstance(measure, robustness.Noisy):
        return [x + amount * np.random.default_rng(0).standard_normal(x.shape, np.float32)]
    if isinstance(measure, robustness.Blurred):
        return [by_image(lambda p: ndimage.gaussian_filter(p, amount, mode="constant"), x)]
    return [transforms.invert(x) if amount < 0 else transforms.contrast(x, amount)]


@pytest.mark.parametrize(("measure", "names"), UNDER, ids=lambda v: type(v).__name__)
def test_accuracy_under_a_change_is_that_of_each_image_in_each_version(measure, names, monkeypatch):
    monkeypatch.setattr(robustness, "CHUNK", 17)
    parts = transforms.padded(dataset(40), 2)
    params, x, labels = weights((10, 13, 2)), parts.test.images, parts.test.labels
    found = measure(NET, params, parts)
    assert list(found) == [*names, "mean"]
    clean = measures.accuracy(NET, params, parts)
    changed = []
    for name, amount in zip(names, measure.amounts(), strict=True):
        if amount == measure.unchanged:
            np.testing.assert_array_equal(found[name], clean)
            continue
        versions = versions_by_hand(measure, x, amount)
        right = np.mean([NET(params, v.astype(np.float32)).argmax(axis=1) == labels for v in versions], axis=0)
        np.testing.assert_allclose(found[name], right, atol=1e-7)
        changed.append(right)
    np.testing.assert_allclose(found["mean"], np.mean(changed, axis=0), atol=1e-6)
    assert {v.dtype for v in found.values()} == {np.dtype(np.float32)}
    shares = replace(measure, consistency=True)(NET, params, parts)
    assert list(shares) == list(found)
    for name, share in shares.items():
        assert share == pytest.approx(found[name][clean == 1].mean(), rel=1e-6)
    assert shares[names[measure.amounts().index(measure.unchanged)]] == 1


def test_the_first_images_are_the_whole_s(monkeypatch):
    parts = transforms.padded(dataset(30), 1)
    params = weights((8, 11, 2))
    whole, first = (robustness.Shifted((0, 1), first=n)(NET, params, parts) for n in (None, 12))
    for name in whole:
        np.testing.assert_array_equal(whole[name][:12], first[name])


def test_a_global_maximum_is_consistent_under_shifts_and_a_flat_head_is_not():
    """A pixelwise convolution and a global maximum see the same image wherever it is."""
    parts = transforms.padded(dataset(80, 4, 4, 1), 3)
    body = [layers.Conv2D(6, 1), layers.ReLU()]
    steady = layers.Sequential([*body, layers.GlobalMaxPooling2D(), layers.Dense(CLASSES)])
    flat = layers.Sequential([*body, layers.Flatten(), layers.Dense(CLASSES)])
    measure = robustness.Shifted((0, 1, 3), consistency=True)
    shares = {
        name: measure(net, net.init(np.random.default_rng(0), (10, 10, 1)), parts)
        for name, net in (("steady", steady), ("flat", flat))
    }
    assert set(shares["steady"].values()) == {1.0}
    assert shares["flat"]["3 px"] < 1


def test_nothing_right_has_no_consistency():
    parts = transforms.padded(dataset(20), 1)
    params = weights((8, 11, 2))
    wrong = (measures.accuracy(NET, params, parts) == 0).nonzero()[0]
    only = replace(parts, test=parts.test[wrong])
    assert all(math.isnan(v) for v in robustness.Shifted((0, 1), consistency=True)(NET, params, only).values())


def test_a_shift_that_cuts_something_off_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(train, "predict", lambda *_, **__: pytest.fail("computed"))
    wide = transforms.padded(dataset(9), 2)
    robustness.Shifted((1, 2)).check(wide)
    words = r"margin of zeros, 3 pixels wide, got images of random, padded by 2 .* study.padded\(dataset, 3\)"
    with pytest.raises(ValueError, match=words):
        robustness.Shifted((1, 3))(NET, weights((10, 13, 2)), wide)
    with pytest.raises(ValueError, match="margin of zeros, 4 pixels wide"):
        robustness.Shifted().check(data.load("digits"))


@pytest.fixture
def remembered():
    """Let measures share logits, as in a trial."""
    with predictions.remembered():
        yield


@pytest.mark.usefixtures("remembered")
def test_several_measures_apply_the_net_once_and_a_changed_net_again(monkeypatch):
    calls = []
    predict = train.predict
    monkeypatch.setattr(train, "predict", lambda *a, **k: calls.append(1) or predict(*a, **k))
    parts = dataset(20)
    params = weights((6, 9, 2))
    for measure in (measures.accuracy, measures.nll, measures.brier, measures.ece):
        measure(NET, params, parts)
    assert len(calls) == 1
    before = measures.nll(NET, params, parts)
    params["dense_1"]["bias"][0] += 1  # in place
    after = measures.nll(NET, params, parts)
    assert len(calls) == 2
    assert not np.array_equal(before, after)
    parts.test.images[0] += 1
    assert measures.nll(NET, params, parts)[0] != after[0]
    assert len(calls) == 3
    measures.nll(models.mlp((8,), CLASSES), params, parts)  # an equal net
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: robustness.Shifted(()), "Shifted: pixels must be a tuple of different numbers, got ()"),
        (lambda: robustness.Shifted((1, 1)), "different numbers, got (1, 1)"),
        (lambda: robustness.Shifted((0.5,)), "Shifted: pixels must be"),
        (lambda: robustness.Shifted((-1,)), "Shifted: pixels must be"),
        (lambda: robustness.Rotated(15), "Rotated: degrees must be a tuple of different numbers, got 15"),
        (lambda: robustness.Scaled((0,)), "Scaled: factors must be"),
        (lambda: robustness.Noisy((math.nan,)), "Noisy: sds must be a finite number"),
        (lambda: robustness.Noisy(seed=-1), "Noisy: seed must be"),
        (lambda: robustness.Blurred(first=0), "Blurred: first must be an integer of at least 1, got 0"),
        (lambda: robustness.Contrast(consistency="yes"), "Contrast: consistency must be True or False, got 'yes'"),
        (lambda: measures.Tempered("accuracy"), "Tempered: score must be one of nll, brier, ece, got 'accuracy'"),
        (lambda: measures.Tempered()(NET, {}, dataset(3)), "Tempered: dataset must have validation images, got none"),
        (lambda: transforms.padded(dataset(3), -1), "padded: pixels must be an integer of at least 0, got -1"),
        (lambda: transforms.padded("digits", 1), "padded: dataset must be a data.Dataset, got 'digits'"),
        (lambda: measures.accuracy(NET, {}, replace(dataset(3), test=dataset(3).valid)), "at least one image"),
    ],
)
def test_wrong_calls_say_what_would_fit(call, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert words in str(caught.value)
