"""CNNClassifier is a scikit-learn classifier: the whole suite of estimator checks, and what its users do."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tables import use

from minicnn import CNNClassifier, data, layers, models, optim, schedules

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
# Each of them learns the suite's data in a few steps: there are 55 checks, some of which fit ten times.
ESTIMATORS = [
    CNNClassifier(epochs=3, learning_rate=1e-2, random_state=0),
    CNNClassifier("global-average", filters=(8,), epochs=5, learning_rate=3e-2, early_stopping=True, random_state=0),
    CNNClassifier(filters=(8,), scale="none", optimizer=optim.SGD(0.02, momentum=0.9), epochs=5, random_state=0),
]


@parametrize_with_checks(ESTIMATORS)
def test_the_suite_of_scikit_learn(estimator, check):
    check(estimator)


@parametrize_with_checks(ESTIMATORS)
def test_the_suite_of_scikit_learn_with_the_numpy_kernels(estimator, check, monkeypatch):
    use(monkeypatch, "numpy_blocked")
    check(estimator)


@pytest.mark.parametrize("scale", ["standard", "none"])
def test_an_onnx_file_gives_the_probabilities_of_rows_as_they_are(scale, tmp_path):
    onnxruntime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    names = np.array([f"digit {y}" for y in Y[:400]])
    classifier = CNNClassifier("gem", epochs=2, scale=scale, random_state=0).fit(X[:400], names)
    path = classifier.to_onnx(tmp_path / "digits.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": X[800:].reshape(-1, 8, 8, 1)})
    np.testing.assert_allclose(found, classifier.predict_proba(X[800:]), rtol=1e-4, atol=1e-6)
    assert (classifier.classes_[found.argmax(axis=1)] == classifier.predict(X[800:])).all()


def test_a_wrong_keyword_is_explained():
    with pytest.raises(TypeError, match=r"CNNClassifier: 'learning_rat' is not an argument. Did you mean 'learning_ra"):
        CNNClassifier(learning_rat=0.1)


@pytest.fixture(scope="module")
def fitted():
    return CNNClassifier("global-max", epochs=4, random_state=0).fit(X[:800], Y[:800])


def test_it_learns_the_digits(fitted):
    assert fitted.score(X[800:], Y[800:]) > 0.85
    assert fitted.image_shape_ == (8, 8, 1)
    assert len(fitted.loss_curve_) == fitted.n_iter_ == len(fitted.history_) == 4
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


@pytest.mark.parametrize("name", ["compiled", "numpy_blocked", "reference"])
def test_a_row_has_the_same_bits_alone_and_among_others(fitted, name, monkeypatch):
    use(monkeypatch, name)
    rows = X[800:1000]
    together = fitted.predict_proba(rows)
    for i in (0, 1, 63, 64, 65, 199):
        assert (fitted.predict_proba(rows[i : i + 1])[0] == together[i]).all()
    order = np.random.default_rng(0).permutation(len(rows))
    assert (fitted.predict_proba(rows[order]) == together[order]).all()


def test_rows_and_images_give_the_same():
    shapes = [(64,), (8, 8), (8, 8, 1)]
    found = [
        CNNClassifier("global-max", filters=(8, 8), epochs=2, random_state=0)
        .fit(X[:200].reshape(-1, *shape), Y[:200])
        .predict_proba(X[800:].reshape(-1, *shape))
        for shape in shapes
    ]
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_names_as_classes_and_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:300], columns=[f"pixel {i}" for i in range(64)])
    names = np.array(["even", "odd"])[Y[:300] % 2]
    classifier = CNNClassifier(epochs=3, random_state=0).fit(frame, names)
    assert list(classifier.classes_) == ["even", "odd"]
    assert set(classifier.predict(frame)) == {"even", "odd"}
    assert list(classifier.feature_names_in_) == list(frame.columns)


def test_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(MinMaxScaler(), CNNClassifier(epochs=2, filters=(8,), random_state=0))
    assert cross_val_score(pipeline, X[:400], Y[:400], cv=2).mean() > 0.3
    grid = GridSearchCV(
        CNNClassifier(epochs=1, filters=(4,), random_state=0),
        {"head": ["max", "global-average"], "learning_rate": [1e-3, 2e-2]},
        cv=2,
    ).fit(X[:200], Y[:200])
    assert set(grid.best_params_) == {"head", "learning_rate"}
    assert len(grid.cv_results_["params"]) == 4


def test_partial_fit_goes_on_where_it_was():
    classifier = CNNClassifier(epochs=1, random_state=0)
    classifier.partial_fit(X[:200], Y[:200], classes=range(10))
    first = classifier.loss_curve_[0]
    for _ in range(5):
        classifier.partial_fit(X[:200], Y[:200])
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 6
    assert classifier.loss_curve_[-1] < first / 2
    assert classifier.score(X[:200], Y[:200]) > 0.8
    with pytest.raises(ValueError, match="y must contain only classes of the first call"):
        classifier.partial_fit(X[:2], [10, 11])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        classifier.partial_fit(X[:2], Y[:2], classes=[0, 1])


def test_warm_start_continues():
    cold = CNNClassifier(epochs=2, random_state=0).fit(X[:300], Y[:300])
    warm = CNNClassifier(epochs=2, warm_start=True, random_state=0).fit(X[:300], Y[:300])
    assert warm.loss_curve_ == cold.loss_curve_
    assert warm.fit(X[:300], Y[:300]).loss_curve_[0] < cold.loss_curve_[0] / 2
    assert cold.fit(X[:300], Y[:300]).loss_curve_[0] == cold.fit(X[:300], Y[:300]).loss_curve_[0]


def test_early_stopping_keeps_the_best_epoch():
    classifier = CNNClassifier(
        epochs=40, early_stopping=True, n_iter_no_change=2, validation_fraction=0.3, learning_rate=2e-2, random_state=0
    ).fit(X[:400], Y[:400])
    assert classifier.n_iter_ < 40
    best = int(np.argmin(classifier.history_["valid_loss"]))
    assert classifier.n_iter_ - 1 - best == 2
    assert len(classifier.validation_scores_) == classifier.n_iter_


def test_clone_and_pickle(fitted):
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301, the test's own bytes
    assert (again.predict_proba(X[:50]) == fitted.predict_proba(X[:50])).all()
    assert not hasattr(clone(fitted), "params_")
    assert clone(fitted).get_params() == fitted.get_params()


def test_a_net_of_ones_own_and_an_augmentation():
    net = layers.Sequential([layers.Conv2D(4, 3), layers.ReLU(), layers.Flatten(), layers.Dense(10)])
    classifier = CNNClassifier(
        net=net,
        epochs=2,
        augment=data.Augmentation(shift=0.5),
        optimizer=optim.Adam(schedules.OneCycle(2e-2)),
        random_state=0,
    ).fit(X[:200], Y[:200])
    assert classifier.net_ == net


@pytest.mark.parametrize(
    ("arguments", "rows", "message"),
    [
        ({"head": "maxx"}, X, "Did you mean 'max'"),
        ({"epochs": 0}, X, "epochs must be an integer of at least 1"),
        ({"batch_size": 2.5}, X, "batch_size must be an integer"),
        ({"scale": "minmax"}, X, "scale must be 'standard' or 'none'"),
        ({"learning_rate": -1}, X, "learning_rate must be"),
        ({"image_shape": (4, 4)}, X, r"image_shape must have as many elements as a row of X, 64, got \(4, 4, 1\)"),
        ({"image_shape": (8.0, 8)}, X, r"image_shape must be made of integers of at least 1, got \(8.0, 8\)"),
        ({"image_shape": (-8, -8)}, X, r"image_shape must be made of integers of at least 1, got \(-8, -8\)"),
        ({"image_shape": (64,)}, X, r"image_shape must be \(H, W\) or \(H, W, C\), got \(64,\)"),
        ({"image_shape": "8x8"}, X, "image_shape must be"),
        ({"filters": 8}, X, "filters must be a tuple with a number per convolution, got 8"),
        ({"strides": 2}, X, "strides must be a tuple with a number per convolution, got 2"),
        ({"net": "lenet5"}, X, "net must be a layer such as Sequential, got 'lenet5'"),
        ({"early_stopping": "no"}, X, "early_stopping must be True or False, got 'no'"),
        ({"n_iter_no_change": 0, "early_stopping": True}, X, "CNNClassifier: n_iter_no_change must be an integer"),
        ({"net": models.mlp(classes=3)}, X, "net must return one score per class, 10"),
        ({}, X.reshape(-1, 8, 4, 2, 1), "X must have 2, 3 or 4 axes"),
        ({"validation_fraction": 2, "early_stopping": True}, X, "validation_fraction must be"),
        ({"head": "max"}, X[:, :5], "pool"),
    ],
)  # fmt: skip
def test_wrong_arguments_say_so_before_training(arguments, rows, message):
    with pytest.raises((ValueError, TypeError), match=message):
        CNNClassifier(**arguments).fit(rows, Y)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"scale": "minmax"}, {"filters": (4, -1)}])
def test_a_fit_that_is_refused_changes_nothing(wrong):
    classifier = CNNClassifier(epochs=1, filters=(4,), random_state=0).fit(X[:100], Y[:100])
    before = classifier.predict_proba(X[:100])
    with pytest.raises((ValueError, TypeError)):
        classifier.set_params(**wrong).fit(X[:100], Y[:100] % 3)
    assert (classifier.predict_proba(X[:100]) == before).all()
    assert list(classifier.classes_) == list(range(10))


def test_a_first_call_that_is_refused_leaves_the_next_one_the_first():
    classifier = CNNClassifier(filters=(4,), random_state=0)
    with pytest.raises(ValueError, match="y must contain only classes of the first call"):
        classifier.partial_fit(X[:100], Y[:100], classes=[1, 2])
    assert classifier.partial_fit(X[:100], Y[:100], classes=range(10)).n_iter_ == 1


def test_shapes_as_arrays():
    how = {"filters": np.array([4, 4]), "strides": np.array([1, 2]), "image_shape": np.array([4, 16])}
    assert CNNClassifier(epochs=1, random_state=0, **how).fit(X[:50], Y[:50]).image_shape_ == (4, 16, 1)


def test_predicting_other_images_is_refused(fitted):
    with pytest.raises(ValueError, match="X has 63 features"):
        fitted.predict(X[:, :63])
    with pytest.raises(ValueError, match=r"X must hold images of shape \(8, 8, 1\), as in fit"):
        CNNClassifier(epochs=1).fit(X[:50].reshape(-1, 8, 8), Y[:50]).predict(X[:2].reshape(-1, 8, 4, 2))
