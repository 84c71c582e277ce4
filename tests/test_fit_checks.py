"""What fit, evaluate and predict refuse before any work, and what they do with callbacks, NaN and NumPy's numbers."""

import math
import sys

import numpy as np
import pytest
from wrong import check_refused

from minicnn import data, layers, models, ops, optim, schedules, train, trees

DIGITS = data.load("digits", seed=0)
FEW = DIGITS.train[:64]
NET = models.small_cnn("max", filters=(4, 4), strides=(1, 2))
NORMED = models.small_cnn("max", filters=(4, 4), strides=(1, 2), batch_norm=True)
SGD = optim.SGD(0.05, momentum=0.9)
PARAMS = NET.init(np.random.default_rng(0), (8, 8, 1))


def fit(net=NET, split=FEW, **changes):
    return train.fit(net, split, **{"optimizer": SGD, "epochs": 2, "batch_size": 16, **changes})


def bytes_of(params):
    return b"".join(w.tobytes() for w in trees.leaves(params))


def dtypes(params):
    return {w.dtype for w in trees.leaves(params)}


# --- numbers of NumPy's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda n: optim.SGD(n(0.1)), lambda n: optim.Adam(n(0.01), global_clipnorm=n(0.5))])
def test_numpy_numbers_train_to_the_same_bytes_in_float32(make):
    ours = fit(NORMED, optimizer=make(np.float64), label_smoothing=np.float64(0.1), epochs=np.int64(2))
    expected = fit(NORMED, optimizer=make(float), label_smoothing=0.1)
    assert dtypes(ours.params) == {np.dtype(np.float32)}
    assert bytes_of(ours.params) == bytes_of(expected.params)
    assert {type(value) for row in ours.history.rows for value in row.values()} == {int, float}


def test_an_augmentation_in_float64_leaves_float32_training():
    seen = []

    class Watched(layers.Flatten):
        def __call__(self, params, x, rng=None):
            seen.append(x.dtype)
            return super().__call__(params, x, rng)

    net = layers.Sequential([Watched(), layers.Dense(10)])
    fit(net, augment=lambda images, rng: images + rng.normal(size=images.shape))
    assert set(seen) == {np.dtype(np.float32)}


class Signs:
    """An optimizer of one's own: no step counter, and a rate of NumPy's."""

    learning_rate = np.float64(0.01)

    def init(self, params):
        return None

    def update(self, grads, state, params):
        return trees.map_leaves(lambda w, g: w - np.float32(0.01) * np.sign(g), params, grads), state


def test_an_optimizer_of_ones_own_needs_no_step_in_its_state():
    history = fit(optimizer=Signs()).history
    assert history["learning_rate"] == [0.01, 0.01]
    assert type(history["learning_rate"][0]) is float


# --- callbacks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "epochs"), [(True, 1), (np.True_, 1), (None, 3), (False, 3), (np.False_, 3)], ids=repr
)
def test_training_ends_on_true_alone(answer, epochs):
    assert len(fit(callbacks=[lambda moment: answer], epochs=3).history) == epochs


@pytest.mark.parametrize("answer", ["net.npz", 0, 1, 0.0, [], np.array(True), math.nan], ids=repr)
def test_any_other_answer_is_an_error_that_names_it_and_the_callback(answer):
    def saves(moment):
        return answer

    with pytest.raises(TypeError) as caught:
        fit(callbacks=[saves])
    assert all(word in str(caught.value) for word in ("callback", "saves", repr(answer), "True, False or None"))


def test_the_callbacks_after_a_wrong_one_are_called_before_the_error(tmp_path):
    called = []
    with pytest.raises(TypeError, match="PosixPath"):
        fit(callbacks=[lambda moment: train.save(tmp_path / "net.npz", moment.params), called.append])
    assert len(called) == 1
    assert bytes_of(train.load(tmp_path / "net.npz")) == bytes_of(called[0].params)


# --- columns, and which row is best -------------------------------------------------------------------------------

NAN = math.nan
BEST = [
    ("valid_loss", [NAN, 0.5, 0.7], 1),
    ("valid_loss", [0.5, NAN, 0.4, 0.4], 2),
    ("valid_accuracy", [NAN, 0.5, 0.7, NAN], 2),
    ("valid_accuracy", [0.5, 0.5, NAN], 0),
    ("valid_loss", [NAN, math.inf, NAN], 1),
    ("valid_accuracy", [NAN, -math.inf], 1),
    ("valid_loss", [NAN, NAN], 0),
]


@pytest.mark.parametrize(("monitor", "values", "best"), BEST)
def test_nan_is_never_best_while_there_is_a_number(monitor, values, best):
    history = train.History([{"epoch": i, monitor: value} for i, value in enumerate(values, 1)])
    assert history.best(monitor)["epoch"] == best + 1
    kept, moments = train.BestWeights(monitor), train.History()
    for row in history.rows:
        moments.rows.append(row)
        kept(train.Moment(row["epoch"], moments))
    assert (kept.params, kept.row) == (best + 1, history.rows[best])


def test_early_stopping_goes_on_after_a_first_epoch_of_nan():
    history, stopped = train.History(), []
    for epoch, loss in enumerate([NAN, 0.9, 0.8, NAN, NAN], 1):
        history.rows.append({"epoch": epoch, "valid_loss": loss})
        stopped.append(train.EarlyStopping(2)(train.Moment({}, history)))
    assert stopped == [False, False, False, False, True]


def test_a_training_of_nothing_but_nan_ends_and_leaves_its_first_epoch(tmp_path):
    history, stopped = train.History(), []
    kept, log = train.BestWeights("valid_loss"), train.CSVLog(tmp_path / "log.csv")
    for epoch in (1, 2, 3):
        history.rows.append({"epoch": epoch, "valid_loss": NAN})
        moment = train.Moment(epoch, history)
        kept(moment)
        log(moment)
        stopped.append(train.EarlyStopping(2)(moment))
    assert stopped == [False, False, True]
    assert kept.params == kept.row["epoch"] == 1
    assert math.isnan(kept.row["valid_loss"])
    assert (tmp_path / "log.csv").read_text() == "epoch,valid_loss\n1,nan\n2,nan\n3,nan\n"


def test_a_history_says_which_columns_it_has():
    history = train.History([{"epoch": 1, "valid_loss": 1.0}, {"epoch": 2, "valid_loss": 1.0, "f1": 0.5}])
    for ask in (history.__getitem__, history.best):
        with pytest.raises(ValueError, match=r"epoch, valid_loss, f1, got 'val_loss'. Did you mean 'valid_loss'\?"):
            ask("val_loss")
        with pytest.raises(ValueError, match="got 'f1'"):
            ask("f1")
    with pytest.raises(ValueError, match="at least one epoch"):
        train.History().best("loss")


def test_a_column_that_appears_later_is_logged_with_an_empty_place_before(tmp_path):
    def adds(moment):
        if len(moment.history) == 2:
            moment.history.rows[-1]["f1"] = 0.5

    fit(callbacks=[adds, train.CSVLog(tmp_path / "log.csv")])
    head, first, second = (tmp_path / "log.csv").read_text().splitlines()
    assert (head.split(",")[-1], first.split(",")[-1], second.split(",")[-1]) == ("f1", "", "0.5")


# --- after the steps ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("net", [NET, NORMED], ids=["plain", "batch normalisation"])
def test_a_last_step_that_overflows_the_parameters_is_an_error(net):
    huge = optim.SGD(schedules.Step(1e-3, every=7, factor=1e50))  # 1e-3, and 1e47 at the last of eight steps
    with pytest.raises(FloatingPointError, match=r"params/.*/(kernel|bias|gamma|beta) .*epoch 2.*learning rate"):
        fit(net, optimizer=huge, augment=lambda images, rng: images * np.float32(100))


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_an_average_square_that_overflows_is_an_error_and_no_step_of_zero():
    net = layers.Sequential([layers.Flatten(), layers.Dense(10)])
    images = FEW.images * np.float32(1e24)
    with pytest.raises(FloatingPointError, match=r"square/dense/kernel.*epoch 1"):
        fit(net, data.Split(images, FEW.labels), optimizer=optim.Adam(1e-30), epochs=3)


def test_an_augmentation_that_makes_nan_is_named():
    def warp(images, rng):
        return np.where(images == images.max(), np.float32(np.nan), images)

    with pytest.raises(
        ValueError, match=r"augment returned at epoch 1, step 1.*must be finite, got [1-9]\d* NaN and 0 inf"
    ):
        fit(augment=warp)


@pytest.mark.parametrize("result", [None, "images", np.zeros((3, 8, 8, 1), np.float32), np.zeros((16, 8, 8, 1), int)])
def test_an_augmentation_must_return_as_many_images_in_floats(result):
    with pytest.raises(TypeError, match="augment must return a float array of 16 images"):
        fit(augment=lambda images, rng: result)


# --- images that are not finite -----------------------------------------------------------------------------------


def spoiled(**values):
    images = FEW.images.copy()
    for place, value in values.items():
        images[int(place[1:]), 2, 3, 0] = value
    return data.Split(images, FEW.labels)


HUGE = data.Split(np.full((4, 8, 8, 1), 3e38, np.float32), FEW.labels[:4])


def test_finite_images_whose_sum_overflows_are_finite():
    net = layers.Sequential([layers.MaxPooling2D(8), layers.Flatten(), layers.Dense(10)])
    params = trees.map_leaves(lambda w: w * 0, net.init(RNG, (8, 8, 1)))
    assert len(fit(net, HUGE, optimizer=optim.SGD(0.0), epochs=1, params=params).history) == 1


RNG = np.random.default_rng(0)


def test_predict_passes_nan_through_to_the_logits_of_its_image_alone():
    logits = train.predict(NET, PARAMS, spoiled(_5=np.nan).images)
    assert np.isnan(logits[5]).any()
    assert np.isfinite(np.delete(logits, 5, axis=0)).all()


def test_evaluate_of_parameters_that_are_not_finite_gives_a_loss_that_is_not():
    broken = trees.map_leaves(lambda w: w * np.float32(np.nan), PARAMS)
    assert math.isnan(train.evaluate(NET, broken, FEW).loss)


# --- wrong arguments, before any work -----------------------------------------------------------------------------


def ends_with(*last):
    return layers.Sequential([layers.Flatten(), layers.Dense(10), *last])


class Own(layers.Softmax):
    pass


SOFT = layers.Classifier(layers.Flatten(), layers.Sequential([layers.Dense(10), layers.Softmax()]))
BYTES = (FEW.images * 255).astype(np.uint8)
WATCH = type("WATCH", (), {"monitor": "val_accuracy", "__call__": lambda self, moment: None})
COLUMNS = "epoch, learning_rate, loss, accuracy, seconds, valid_loss, valid_accuracy"
STEP = (PARAMS, SGD.init(PARAMS), FEW.images, FEW.labels)
take_step = train.train_step  # the real one, which the test below replaces
WRONG = [
    (lambda: take_step(None, SGD, *STEP, rng=RNG), TypeError, ["train_step: net", "None", "Sequential"]),
    (lambda: take_step(NET, optim.SGD, *STEP, rng=RNG), TypeError, ["train_step: optimizer", "class SGD itself"]),
    (lambda: take_step(NET, "sgd", *STEP, rng=RNG), TypeError, ["train_step: optimizer", "'sgd'"]),
    (lambda: train.History([{"epoch": 1}]).best(None), ValueError, ["the column", "epoch", "None"]),
    (lambda: train.History([{"epoch": 1}])[{}], ValueError, ["the column", "epoch", "{}"]),
    (lambda: fit(callbacks=[train.EarlyStopping(2, monitor="val_loss")], valid=FEW), ValueError,
     ["EarlyStopping: monitor", COLUMNS, "'val_loss'", "Did you mean 'valid_loss'?"]),
    (lambda: fit(callbacks=[train.BestWeights("val_acc")], valid=FEW), ValueError,
     ["BestWeights: monitor", COLUMNS, "Did you mean 'valid_accuracy'?"]),
    (lambda: fit(callbacks=[WATCH()], valid=FEW), ValueError, ["WATCH: monitor", "Did you mean 'valid_accuracy'?"]),
    (lambda: fit(callbacks=[train.BestWeights("acc")]), ValueError, ["BestWeights", "Did you mean 'accuracy'?"]),
    (lambda: fit(callbacks=[train.BestWeights()]), ValueError, ["BestWeights", "'valid_accuracy'", "valid="]),
    (lambda: train.EarlyStopping(2, monitor=None), TypeError, ["EarlyStopping", "monitor", "None"]),
    (lambda: train.BestWeights(3), TypeError, ["BestWeights", "monitor", "3"]),
    (lambda: fit(callbacks=train.EarlyStopping(2)), TypeError, ["callbacks", "EarlyStopping(patience=2", "[...]"]),
    (lambda: fit(callbacks=print), TypeError, ["callbacks", "print", "[...]"]),
    (lambda: fit(callbacks=None), TypeError, ["callbacks", "None", "[]"]),
    (lambda: fit(callbacks=(print for _ in "a")), TypeError, ["callbacks", "list"]),
    (lambda: fit(callbacks="log"), TypeError, ["callbacks", "'log'"]),
    (lambda: fit(callbacks=[train.BestWeights]), TypeError, ["class BestWeights itself", "EarlyStopping(3)"]),
    (lambda: fit(optimizer=optim.Adam), TypeError, ["optimizer", "class Adam itself", "optim.Adam(1e-3)"]),
    (lambda: fit(optimizer=optim.AdamW), TypeError, ["optimizer", "function AdamW itself", "optim.AdamW(1e-3)"]),
    (lambda: fit(optimizer=1e-3), TypeError, ["optimizer", "0.001", "optim.Adam(1e-3)"]),
    (lambda: fit(augment="shift"), TypeError, ["augment", "'shift'", "data.Augmentation"]),
    (lambda: fit(augment=data.Augmentation), TypeError, ["augment", "class Augmentation itself", "shift=1"]),
    (lambda: fit(progress="False"), TypeError, ["progress", "'False'"]),
    (lambda: fit(ends_with(layers.Softmax())), ValueError, ["fit: net", "Softmax()", "logits", "ops.softmax"]),
    (lambda: fit(ends_with(layers.Sigmoid())), ValueError, ["fit: net", "Sigmoid()", "logits"]),
    (lambda: fit(ends_with(Own())), ValueError, ["fit: net", "Own()"]),
    (lambda: fit(ends_with(layers.Softmax(), layers.Dropout(0.5), layers.Flatten())), ValueError, ["Softmax()"]),
    (lambda: fit(SOFT), ValueError, ["fit: net", "Softmax()"]),
    (lambda: train.evaluate(SOFT, {"head": PARAMS}, FEW), ValueError, ["evaluate: net", "Softmax()"]),
    (lambda: fit(split=spoiled(_17=np.nan, _30=np.nan, _18=np.inf)), ValueError,
     ["fit: train.images", "2 NaN and 1 infinite", "image 17"]),
    (lambda: fit(split=spoiled(_9=-np.inf)), ValueError, ["train.images", "0 NaN and 1 infinite", "image 9"]),
    (lambda: fit(split=spoiled(_9=-np.inf, _4=np.inf)), ValueError, ["0 NaN and 2 infinite", "image 4"]),
    (lambda: fit(valid=spoiled(_3=np.nan)), ValueError, ["fit: valid.images", "1 NaN", "image 3"]),
    (lambda: fit(params=trees.map_leaves(lambda w: w * np.nan, PARAMS)), ValueError,
     ["fit: params/trunk/conv2d/kernel", "36 NaN"]),
    (lambda: train.evaluate(NET, PARAMS, spoiled(_3=np.nan)), ValueError, ["evaluate: split.images", "image 3"]),
    (lambda: train.evaluate(NET, PARAMS, FEW, batch_size=0), ValueError, ["evaluate: batch_size=0"]),
    (lambda: train.evaluate(NET, PARAMS, FEW, batch_size=8.0), TypeError, ["evaluate: batch_size=8.0"]),
    (lambda: train.predict(NET, PARAMS, FEW.images, batch_size=0), ValueError, ["predict: batch_size=0"]),
    (lambda: train.predict(NET, PARAMS, FEW.images, batch_size=-5), ValueError, ["predict: batch_size=-5"]),
    (lambda: train.predict(NET, PARAMS, BYTES), TypeError, ["predict: images", "uint8", "/ 255"]),
    (lambda: train.predict(NET, PARAMS, FEW.images.tolist()), TypeError, ["predict: images", "list"]),
    (lambda: train.predict(NET, PARAMS, FEW), TypeError, ["predict: images", "Split"]),
    (lambda: train.predict(NET, PARAMS, np.float32(1) * np.ones(3)), ValueError, ["predict: images", "(3,)"]),
    (lambda: train.predict(print, PARAMS, FEW.images), TypeError, ["predict: net", "print"]),
    (lambda: train.calibrate(NORMED, {}, BYTES), TypeError, ["calibrate: images", "uint8"]),
    (lambda: train.calibrate(NORMED, {}, FEW.images, most=0), ValueError, ["calibrate: most=0"]),
    (lambda: train.calibrate(NORMED, NORMED.init(RNG, (8, 8, 1)), FEW.images[:0]), ValueError, ["calibrate", "none"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=range(len(WRONG)))
def test_wrong_arguments_are_refused_before_any_work(call, kind, words, monkeypatch):
    check_refused(call, kind, words, monkeypatch)


@pytest.mark.parametrize(
    "net",
    [
        ends_with(layers.Softmax(), layers.Dense(10)),
        ends_with(layers.Tanh()),
        layers.Sequential([layers.Flatten(), layers.Dense(10), layers.Residual(layers.Softmax())]),
        layers.Classifier(layers.Sequential([layers.Flatten(), layers.Softmax()]), layers.Dense(10)),
    ],
)
def test_a_softmax_inside_a_net_is_not_a_mistake(net):
    assert len(fit(net, epochs=1).history) == 1


def test_probabilities_are_softmax_of_what_predict_gives():
    logits = train.predict(NET, PARAMS, FEW.images)
    np.testing.assert_allclose(ops.softmax(logits).sum(axis=1), 1, rtol=1e-6)


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"History\.plot needs matplotlib.*pip install matplotlib"):
        train.History([{"epoch": 1, "loss": 0.5}]).plot()


def test_a_number_too_long_to_print_is_refused_in_plain_words():
    with pytest.raises(TypeError, match="predict: net must be a layer such as Sequential, got an int of thousands"):
        train.predict(10**5000, PARAMS, FEW.images)
