"""An array without axes is the number that it holds, wherever a number can be given; booleans are not numbers."""

import numpy as np
import pytest

from minicnn import data, layers, models, ops, optim, schedules, train, validation
from minicnn.layers import initializers

IMAGES = np.linspace(0, 1, 2 * 6 * 6 * 2).reshape(2, 6, 6, 2)
SPLIT = data.Split(IMAGES, np.array([0, 1]))


def sizes(batch_size):
    return [len(images) for images, _ in data.batches(SPLIT, batch_size)]


def losses(epochs, batch_size, seed):
    net = layers.Sequential([layers.Flatten(), layers.Dense(2)])
    result = train.fit(net, SPLIT, optimizer=optim.SGD(0.1), epochs=epochs, batch_size=batch_size, seed=seed)
    return result.history["loss"]


CALLS = {  # arguments that are real numbers, arguments that are integers, the call
    "SGD": (["learning_rate", "momentum", "weight_decay", "global_clipnorm"], [], optim.SGD),
    "Adam": (["learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay", "global_clipnorm"], [], optim.Adam),
    "AdamW": (["learning_rate", "weight_decay"], [], optim.AdamW),
    "clip": (["limit"], [], lambda limit: optim.clip_by_global_norm({"w": np.ones(3)}, limit)["w"].tolist()),
    "Constant": (["rate"], [], schedules.Constant),
    "Step": (["rate", "factor"], ["every"], lambda rate=0.5, factor=0.5, every=2: schedules.Step(rate, every, factor)),
    "Cosine": (["rate", "final"], ["steps"], lambda rate=0.5, final=0.0, steps=9: schedules.Cosine(rate, steps, final)),
    "OneCycle": (["peak", "warmup"], ["steps"],
                 lambda peak=0.5, warmup=0.2, steps=9: schedules.OneCycle(peak, steps, warmup)),
    "at a step": ([], ["step"], schedules.Cosine(1.0, 9)),
    "Augmentation": (["shift", "rotate", "elastic", "elastic_sigma"], [], data.Augmentation),
    "load": (["valid", "test"], ["seed"], lambda **a: data.load("digits", **a).train.labels.tolist()),
    "batches": ([], ["batch_size"], sizes),
    "fit": ([], ["epochs", "batch_size", "seed"],
            lambda epochs=1, batch_size=1, seed=0: losses(epochs, batch_size, seed)),
    "EarlyStopping": ([], ["patience"], train.EarlyStopping),
    "Conv2D": ([], ["filters", "kernel_size", "strides", "padding", "dilation_rate", "groups"],
               lambda filters=4, kernel_size=3, **a: layers.Conv2D(filters, kernel_size, **a)),
    "MaxPooling2D": ([], ["pool_size", "strides", "padding"],
                     lambda pool_size=3, **a: layers.MaxPooling2D(pool_size, **a)),
    "LpPooling2D": (["p"], [], lambda p: layers.LpPooling2D(2, p=p)),
    "Dropout": (["rate"], [], layers.Dropout),
    "LeakyReLU": (["negative_slope"], [], layers.LeakyReLU),
    "ELU": (["alpha"], [], layers.ELU),
    "BatchNormalization": (["epsilon"], [], layers.BatchNormalization),
    "Dense": ([], ["units"], layers.Dense),
    "leaky_relu": (["negative_slope"], [], lambda negative_slope: ops.leaky_relu(-IMAGES, negative_slope).tolist()),
    "lenet5": ([], ["classes"], models.lenet5),
    "normal": (["scale"], [], lambda scale: initializers.Initializer("normal", scale)),
}  # fmt: skip
CASES = [
    (call, name, kind)
    for call, (reals, integers, _) in CALLS.items()
    for names, kind in ((reals, float), (integers, int))
    for name in names
]


@pytest.mark.parametrize(("call", "name", "kind"), CASES, ids=[f"{call} {name}" for call, name, _ in CASES])
def test_an_array_without_axes_is_its_number(call, name, kind):
    function, value = CALLS[call][2], 0.25 if kind is float else 2
    if name == "p":
        value = 3.0
    expected = function(**{name: value})
    assert function(**{name: np.array(value)}) == expected
    assert repr(function(**{name: np.array(value)})) == repr(expected)
    for wrong in (np.array([value]), np.array(True), np.array("0.5")):
        if not (name in {"kernel_size", "strides", "padding", "dilation_rate", "pool_size"} and wrong.ndim):
            with pytest.raises((TypeError, ValueError), match=f"{name}.* must be"):
                function(**{name: wrong})


@pytest.mark.parametrize("value", [np.array(0.5), np.array(0.5, np.float32), np.array(0.5, object), np.array(3)])
def test_real_gives_pythons_number(value):
    found = validation.real("op", "x", value)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize(
    "value", [np.array(True), np.array(True, object), np.array(1j), np.array([0.5]), np.array("1")]
)
def test_other_arrays_are_not_numbers(value):
    for check in (validation.real, validation.number, validation.integer):
        with pytest.raises(TypeError, match="op: x must be a"):
            check("op", "x", value)
