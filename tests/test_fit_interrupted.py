"""Ctrl-C during fit, at any moment: what comes back is calibrated, finite, and as usable as after an epoch."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from minicnn import data, models, ops, optim, train, trees

DIGITS = data.load("digits", seed=0)
FEW = DIGITS.train[:512]
NET = models.small_cnn("max", filters=(8, 16), strides=(1, 2), batch_norm=True)
ADAM = optim.Adam(1e-2)
HOW = {"optimizer": ADAM, "epochs": 2, "batch_size": 32, "seed": 3}  # 16 steps per epoch


def at_call(number, what=None):
    """Return a function that raises KeyboardInterrupt at its call of this number, and else does `what`."""
    calls = iter(range(1, 10**6))

    def call(*args, **kwargs):
        if next(calls) == number:
            raise KeyboardInterrupt
        return what(*args, **kwargs) if what else args[0]

    return call


def by_hand(steps):
    """Return the parameters after so many of fit's steps, not calibrated."""
    first, order, noise, _ = (np.random.default_rng(s) for s in np.random.SeedSequence(HOW["seed"]).spawn(4))
    params = NET.init(first, (8, 8, 1))
    state, done = ADAM.init(params), 0
    while True:
        for images, labels in data.batches(FEW, HOW["batch_size"], rng=order):
            if done == steps:
                return params
            params, state, *_ = train.train_step(NET, ADAM, params, state, images, labels, rng=noise)
            done += 1


def learned(params):
    return {path: w.tobytes() for path, w in trees.items(params) if "moving_" not in path}


def check_statistics(params):
    """Compare the first normalisation's statistics with those of its input, in float64, over the images of fit."""
    trunk = params["trunk"]
    maps = ops.conv2d(FEW.images.astype(np.float64), trunk["conv2d"]["kernel"].astype(np.float64), padding="same")
    first = trunk["batch_normalization"]
    np.testing.assert_allclose(first["moving_mean"], maps.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(first["moving_variance"], maps.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("step", [1, 2, 9, 16, 17, 30])
def test_parameters_are_those_of_the_last_step_and_calibrated(step):
    result = train.fit(NET, FEW, augment=at_call(step), **HOW)
    assert result.interrupted
    assert len(result.history) == (step - 1) // 16
    assert learned(result.params) == learned(by_hand(step - 1))
    check_statistics(result.params)
    calibrated = train.calibrate(NET, by_hand(step - 1), FEW.images)
    ours, expected = (train.evaluate(NET, params, DIGITS.test) for params in (result.params, calibrated))
    assert (ours.loss, ours.accuracy) == (expected.loss, expected.accuracy)


def test_the_first_epoch_interrupted_near_its_end_is_worth_what_it_learned():
    result = train.fit(NET, DIGITS.train, augment=at_call(30), **HOW)
    assert len(result.history) == 0
    ours = train.evaluate(NET, result.params, DIGITS.test).accuracy
    by_batch = NET(result.params, DIGITS.test.images, rng=np.random.default_rng(0))  # with the batch's own statistics
    assert ours == pytest.approx((by_batch.argmax(axis=1) == DIGITS.test.labels).mean(), abs=0.05)
    assert ours > 0.7


@pytest.mark.parametrize(("place", "call", "epochs"), [("calibrate", 1, 0), ("calibrate", 2, 1), ("evaluate", 1, 0)])
def test_interrupts_between_epochs_leave_a_calibrated_net(place, call, epochs, monkeypatch):
    monkeypatch.setattr(train.loop, place, at_call(call, getattr(train.loop, place)))
    result = train.fit(NET, FEW, valid=DIGITS.valid, **HOW)
    assert (result.interrupted, len(result.history)) == (True, epochs)
    assert learned(result.params) == learned(by_hand(16 * (epochs + 1)))
    check_statistics(result.params)


def test_an_interrupt_in_a_callback_keeps_its_epoch():
    seen = []
    result = train.fit(NET, FEW, callbacks=[at_call(2, seen.append)], **HOW)
    assert (result.interrupted, result.history["epoch"]) == (True, [1, 2])
    assert len(seen) == 1
    assert learned(result.params) == learned(by_hand(32))
    check_statistics(result.params)


def test_a_second_interrupt_while_calibrating_is_raised(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.loop, "calibrate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.fit(NET, FEW, augment=at_call(5), **HOW)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_parameters_that_overflowed_just_before_the_interrupt_are_an_error():
    with pytest.raises(FloatingPointError, match="epoch 1"):
        train.fit(NET, FEW, augment=at_call(2), **{**HOW, "optimizer": optim.SGD(lambda step: 1e200)})


PROGRAM = """
import json, sys
import numpy as np
from minicnn import data, models, optim, train, trees

digits = data.load("digits", seed=0)
net = models.small_cnn("max", filters=(8, 16), strides=(1, 2), batch_norm=True)
steps = []

def tell(images, rng):
    steps.append(1)
    if len(steps) == 30:
        print("ready", flush=True)
    return images

result = train.fit(net, digits.train, optimizer=optim.Adam(1e-2), epochs=10**6, batch_size=32, augment=tell)
again = train.calibrate(net, result.params, digits.train.images)
same = all(np.array_equal(a, b) for a, b in zip(trees.leaves(result.params), trees.leaves(again), strict=True))
accuracy = train.evaluate(net, result.params, digits.test).accuracy
print(json.dumps([result.interrupted, same, len(result.history), len(steps), accuracy]))
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to another process there")
def test_a_signal_from_another_process_ends_with_a_calibrated_net():
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        shown, _ = child.communicate(timeout=120)
    finally:
        child.kill()
    interrupted, same, epochs, steps, accuracy = json.loads(shown)
    assert (interrupted, same) == (True, True)
    per_epoch = math.ceil(len(DIGITS.train) / 32)
    assert epochs in {(steps - 1) // per_epoch, steps // per_epoch}
    assert accuracy > 0.7
