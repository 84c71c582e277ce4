"""Training: it learns, it repeats to the byte, it ends cleanly, and it refuses before it works."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tables import use
from wrong import check_refused

from minicnn import data, layers, models, ops, optim, schedules, train, trees
from minicnn.files import atomic_write

DIGITS = data.load("digits", seed=0)
FEW = DIGITS.train[:64]
NET = models.small_cnn("max", filters=(4, 4), strides=(1, 2))
SGD = optim.SGD(0.05, momentum=0.9)


def fit(net=NET, split=FEW, **changes):
    return train.fit(net, split, **{"optimizer": SGD, "epochs": 2, "batch_size": 16, **changes})


def bytes_of(params):
    return b"".join(w.tobytes() for w in trees.leaves(params))


@pytest.mark.parametrize(
    "net", [models.lenet5(), models.keras_mnist(), NET], ids=["lenet5", "keras_mnist", "small_cnn"]
)
def test_fifty_steps_agree_between_the_kernels(net, monkeypatch):
    pytest.importorskip("numba")
    images = np.pad(DIGITS.train.images[:160], ((0, 0), (4, 4), (4, 4), (0, 0))).astype(np.float64)
    start = trees.map_leaves(np.float64, net.init(np.random.default_rng(0), (16, 16, 1)))

    def learned(kernels_name):
        use(monkeypatch, kernels_name)
        params, state, losses = start, SGD.init(start), []
        for step in range(50):
            batch = slice(step % 10 * 16, step % 10 * 16 + 16)
            rng = np.random.default_rng(step)
            args = (params, state, images[batch], DIGITS.train.labels[batch])
            params, state, loss, _ = train.train_step(net, SGD, *args, rng=rng)
            losses.append(loss)
        return params, losses

    specified, expected = learned("reference")
    assert expected[-1] < 0.7 * expected[0]
    for name in ("numpy_blocked", "compiled"):
        found, losses = learned(name)
        np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9)
        for a, b in zip(trees.leaves(found), trees.leaves(specified), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


def test_it_learns_32_images_by_heart():
    few = DIGITS.train[:32]
    result = fit(split=few, optimizer=optim.Adam(1e-2), epochs=60)
    assert train.evaluate(NET, result.params, few).accuracy == 1.0
    assert result.history["loss"][-1] < 0.05 < result.history["loss"][0]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    noisy = layers.Sequential([layers.Flatten(), layers.Dropout(0.2), layers.Dense(10)])
    how = {"augment": data.Augmentation(shift=1.0), "seed": 3}
    assert bytes_of(fit(noisy, **how).params) == bytes_of(fit(noisy, **how).params)
    assert bytes_of(fit(noisy, **how).params) != bytes_of(fit(noisy, **{**how, "seed": 4}).params)


def test_the_same_bytes_in_another_process():
    program = (
        "import sys, hashlib; sys.path.insert(0, 'tests'); import test_train as t;"
        "print(hashlib.sha256(t.bytes_of(t.fit().params)).hexdigest())"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 1


def test_arms_see_the_same_batches_and_start_with_the_same_trunk():
    seen = {}

    def watch(name):
        def augment(images, rng):
            seen.setdefault(name, []).append(images.copy())
            return images

        return augment

    for head in ("max", "global-average"):
        fit(models.small_cnn(head, filters=(4, 4), strides=(1, 2)), augment=watch(head), seed=5)
    for a, b in zip(seen["max"], seen["global-average"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_is_the_loss_its_gradient_and_the_optimizer():
    params = NET.init(np.random.default_rng(0), (8, 8, 1))
    state, rng = SGD.init(params), np.random.default_rng(0)
    moved, _, loss, right = train.train_step(NET, SGD, params, state, FEW.images, FEW.labels, rng=rng)
    logits = NET(params, FEW.images)
    assert loss == pytest.approx(float(ops.cross_entropy(logits, FEW.labels)))
    assert right == (logits.argmax(axis=1) == FEW.labels).sum()
    assert float(ops.cross_entropy(NET(moved, FEW.images), FEW.labels)) < loss


def test_the_history_has_a_row_an_epoch_with_validation():
    rows = fit(valid=DIGITS.valid, epochs=3).history
    assert rows["epoch"] == [1, 2, 3]
    assert set(rows.rows[0]) == {
        "epoch", "learning_rate", "loss", "accuracy", "seconds", "valid_loss", "valid_accuracy"
    }  # fmt: skip
    with pytest.raises(ValueError, match="'f1'"):
        rows["f1"]


def test_an_open_schedule_is_stretched_over_the_training():
    rates = fit(optimizer=optim.SGD(schedules.OneCycle(0.1, warmup=0.0)), epochs=4).history["learning_rate"]
    assert rates[0] == pytest.approx(schedules.OneCycle(0.1, steps=16, warmup=0.0)(3))
    assert rates[-1] == pytest.approx(schedules.OneCycle(0.1, steps=16, warmup=0.0)(15))


def test_evaluate_is_what_one_computes_by_hand_whatever_the_batches():
    params = NET.init(np.random.default_rng(0), (8, 8, 1))
    logits = NET(params, DIGITS.test.images).astype(np.float64)
    picked = logits[np.arange(len(logits)), DIGITS.test.labels]
    loss = (np.log(np.exp(logits).sum(axis=1)) - picked).mean()
    for size in (7, 100, 10**6):
        found = train.evaluate(NET, params, DIGITS.test, batch_size=size)
        assert found.loss == pytest.approx(loss, rel=1e-5)
        assert found.accuracy == (logits.argmax(axis=1) == DIGITS.test.labels).mean()
        np.testing.assert_array_equal(found.predictions, logits.argmax(axis=1))
    np.testing.assert_allclose(train.predict(NET, params, DIGITS.test.images, batch_size=9), logits, atol=1e-5)
    assert train.predict(NET, params, DIGITS.test.images[:0]).shape == (0, 10)


def test_early_stopping_waits_for_its_patience():
    losses = iter([1.0, 0.5, 0.7, 0.6, 0.4, 0.1])
    history = train.History()
    stopped = []
    for epoch in range(1, 7):
        history.rows.append({"epoch": epoch, "valid_loss": next(losses)})
        stopped.append(train.EarlyStopping(2)(train.Moment({}, history)))
    assert stopped == [False, False, False, True, False, False]
    ended = fit(valid=DIGITS.valid, epochs=50, optimizer=optim.SGD(0.0), callbacks=[train.EarlyStopping(3)])
    assert len(ended.history) == 4


def test_best_weights_are_those_of_the_best_epoch():
    best, kept = train.BestWeights(), []
    result = fit(valid=DIGITS.valid, epochs=6, callbacks=[best, lambda moment: kept.append(moment.params)])
    top = int(np.argmax(result.history["valid_accuracy"]))
    assert best.params is kept[top]
    assert best.row["epoch"] == top + 1
    assert train.evaluate(NET, best.params, DIGITS.valid).accuracy == max(result.history["valid_accuracy"])


def test_the_log_and_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    result = fit(valid=DIGITS.valid, callbacks=[train.CSVLog(tmp_path / "deep" / "log.csv")])
    head, *rows = (tmp_path / "deep" / "log.csv").read_text().splitlines()
    assert head.split(",")[0] == "epoch"
    assert [float(row.split(",")[2]) for row in rows] == result.history["loss"]
    figure = result.history.plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss", "accuracy"]


def test_ctrl_c_keeps_what_was_learned():
    steps = []

    def augment(images, rng):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return images

    result = fit(augment=augment, epochs=5)
    assert result.interrupted
    assert len(result.history) == 1
    assert bytes_of(result.params) != bytes_of(fit(epochs=1).params)
    train.evaluate(NET, result.params, DIGITS.test)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_loss_that_is_not_a_number_ends_with_epoch_step_and_rate():
    with pytest.raises(FloatingPointError, match=r"nan|inf") as caught:
        fit(optimizer=optim.SGD(1e30), epochs=3)
    assert all(word in str(caught.value) for word in ("epoch 1", "step 2", "1e+30"))


def test_the_bar_is_silent_off_a_terminal_and_shown_when_asked(capsys):
    fit()
    assert capsys.readouterr().err == ""
    fit(progress=True)
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("epoch 2/2", "loss=", "accuracy=", "images/s"))


def test_batch_normalisation_is_calibrated_before_it_is_validated():
    net = models.small_cnn("global-average", filters=(8, 8), strides=(1, 2), batch_norm=True)
    result = fit(net, DIGITS.train, valid=DIGITS.valid, optimizer=optim.Adam(1e-2), epochs=6, batch_size=64)
    assert result.history["valid_accuracy"][-1] > 0.8
    again = train.calibrate(net, result.params, DIGITS.train.images)
    assert bytes_of(again) == bytes_of(result.params)


def test_weight_decay_leaves_moving_statistics_and_scales_alone():
    net = models.small_cnn("max", filters=(4,), strides=(1,), batch_norm=True)
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    optimizer = optim.SGD(0.1, weight_decay=0.5)
    step = train.train_step(
        net, optimizer, params, optimizer.init(params), FEW.images, FEW.labels, rng=np.random.default_rng(0)
    )
    before, after = params["trunk"]["batch_normalization"], step[0]["trunk"]["batch_normalization"]
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(before[name], after[name])


def test_parameters_survive_the_disk_in_order_and_to_the_bit(tmp_path):
    params = NET.init(np.random.default_rng(0), (8, 8, 1))
    again = train.load(train.save(tmp_path / "net.npz", params))
    assert [path for path, _ in trees.items(again)] == [path for path, _ in trees.items(params)]
    assert bytes_of(again) == bytes_of(params)


def test_a_file_that_was_not_finished_is_not_there(tmp_path):
    def fails(file):
        file.write(b"half")
        raise OSError("disk full")

    (tmp_path / "net.npz").write_bytes(b"before")
    with pytest.raises(OSError, match="disk full"):
        atomic_write(tmp_path / "net.npz", fails)
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]
    assert (tmp_path / "net.npz").read_bytes() == b"before"


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", object=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        train.load(tmp_path / "bad.npz")


RELABELLED = data.Split(FEW.images, FEW.labels + 3)
COLOUR = data.Split(np.repeat(FEW.images, 3, axis=3), FEW.labels)
PARAMS = NET.init(np.random.default_rng(0), (8, 8, 1))
WRONG = [
    (lambda: fit(split=RELABELLED), ValueError, ["labels must be", "got 1", "10 classes"]),
    (lambda: fit(valid=RELABELLED), ValueError, ["10 classes"]),
    (lambda: fit(valid=COLOUR, params=PARAMS), ValueError, ["(8, 8, 3) in valid", "(8, 8, 1) in train"]),
    (lambda: fit(split=FEW[:0]), ValueError, ["no images"]),
    (lambda: fit(epochs=0), ValueError, ["epochs=0"]),
    (lambda: fit(epochs=1.5), TypeError, ["epochs=1.5"]),
    (lambda: fit(batch_size=0), ValueError, ["batch_size=0"]),
    (lambda: fit(batch_size=2.5), TypeError, ["batch_size=2.5"]),
    (lambda: fit(seed=-1), ValueError, ["seed=-1"]),
    (lambda: fit(seed="0"), TypeError, ["seed='0'"]),
    (lambda: fit(label_smoothing=1.0), ValueError, ["label_smoothing=1.0"]),
    (lambda: fit(callbacks=[3]), TypeError, ["3", "EarlyStopping"]),
    (lambda: fit(callbacks=[train.EarlyStopping(2)]), ValueError, ["valid_loss", "valid="]),
    (lambda: train.EarlyStopping(0), ValueError, ["patience=0"]),
    (lambda: fit(params={}), ValueError, ["params", "trunk"]),
    (lambda: fit(net=layers.Conv2D(10, 3)), ValueError, ["(6, 6, 10)", "Dense"]),
    (lambda: fit(net=lambda x: x), TypeError, ["function", "Sequential"]),
    (lambda: fit(split=(FEW.images, FEW.labels)), TypeError, ["tuple", "data.Split"]),
    (lambda: fit(optimizer="adam"), TypeError, ["'adam'", "optim.Adam"]),
    (lambda: train.evaluate(NET, {}, DIGITS.test), ValueError, ["params", "trunk"]),
    (lambda: train.evaluate(NET, PARAMS, DIGITS.test[:0]), ValueError, ["no images"]),
    (lambda: train.predict(NET, PARAMS, COLOUR.images), ValueError, ["params/trunk/conv2d/kernel"]),
    (lambda: train.predict(NET, PARAMS, FEW.images[0]), ValueError, ["axes", "x[None]"]),
    (lambda: train.save("never.npz", np.ones(3)), ValueError, ["without a name"]),
    (lambda: fit(net=models.keras_mnist()), ValueError, ["conv2d_1", "8 -> 6 -> 3"]),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG, ids=range(len(WRONG)))
def test_wrong_calls_are_refused_before_any_work(call, kind, words, monkeypatch):
    check_refused(call, kind, words, monkeypatch)
