"""A training whose steps are replayed ends with the bytes of one whose steps run as they are written."""

from dataclasses import dataclass

import numpy as np
import pytest
import tables
from test_fusion import random_stack
from test_layers import TABLE as LAYERS
from test_pool_variants import TABLE as VARIANTS

from minicnn import autograd, data, kernels, layers, models, ops, optim, train, trees
from minicnn.layers import fusion
from minicnn.train import replay

L = layers
FUSING = [name for name in tables.IMPLEMENTATIONS if name != "reference"]
SHAPE = (8, 8, 1)
NETS = {
    **{f"head {head}": models.small_cnn(head, filters=(4, 6), strides=(1, 2)) for head in models.HEADS},
    "lenet5": models.lenet5(), "mlp": models.mlp((7, 5)),
    "normalized": models.small_cnn("max", filters=(4, 6), strides=(1, 2), batch_norm=True),
    "dropout": L.Sequential([L.Conv2D(3, 3), L.Dropout(0.3), L.Flatten(), L.Dropout(0.2), L.Dense(10)]),
    "a shortcut": L.Sequential([L.Residual(L.Conv2D(2, 3, padding=1), L.Conv2D(2, 1)), L.Flatten(), L.Dense(10)]),
    "no bias": L.Sequential([L.Conv2D(3, 3, use_bias=False), L.MaxPooling2D(2), L.Flatten(), L.Dense(10)]),
    "one layer": L.Sequential([L.Flatten(), L.Dense(10)]),
}  # fmt: skip
SHAPES = {"lenet5": (28, 28, 1)}
GIVEN_THE_SIZE = {"head gem", "head log-mean-exp"}
OPTIMIZERS = {
    "Adam": optim.Adam(1e-2, weight_decay=0.1),
    "SGD": optim.SGD(0.01),
    "all of SGD": optim.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1, global_clipnorm=0.5),
}


def images(shape, count=22, classes=10, dtype=np.float32):
    rng = np.random.default_rng(0)
    return data.Split(rng.random((count, *shape)).astype(dtype), rng.integers(0, classes, count))


def fitted(net, split, optimizer=OPTIMIZERS["Adam"], **options):
    """Return what a training of three epochs ends with, two full batches and one of six images in each."""
    found = train.fit(net, split, optimizer=optimizer, epochs=3, batch_size=8, seed=1, progress=False, **options)
    rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in found.history.rows]
    return [leaf.tobytes() for leaf in trees.leaves(found.params)], repr(rows)


@pytest.fixture
def replayed(monkeypatch):
    """The number of steps that were replayed, in a list."""
    run, counts = replay.Program.run, [0]

    def counted(self, *args):
        counts[0] += 1
        return run(self, *args)

    monkeypatch.setattr(replay.Program, "run", counted)
    return counts


def as_written(net, split, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "_is_known", lambda *_: False)
        return fitted(net, split, **options)


@pytest.fixture(params=FUSING)
def fusing(request, monkeypatch):
    return tables.use(monkeypatch, request.param)


@pytest.mark.usefixtures("fusing")
@pytest.mark.parametrize("name", NETS)
def test_a_replayed_training_ends_with_the_same_bytes(name, replayed):
    split = images(SHAPES.get(name, SHAPE))
    expected = as_written(NETS[name], split)
    assert replayed == [0]
    assert fitted(NETS[name], split) == expected
    # two recordings of the first size of a batch, and of the other one a second only where an op is given the size
    assert replayed == [3 * 3 - 2 - (2 if name in GIVEN_THE_SIZE else 1)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_every_optimizer_smoothing_and_augmentation(name, replayed):
    split = images(SHAPE)
    options = {"optimizer": OPTIMIZERS[name], "label_smoothing": 0.1, "augment": data.Augmentation(shift=1)}
    options |= {"valid": split, "callbacks": [train.BestWeights(monitor="valid_loss")]}
    assert fitted(NETS["head max"], split, **options) == as_written(NETS["head max"], split, **options)
    assert replayed == [6 if fusion.is_on() else 0]


@pytest.mark.parametrize("layer", [*[row[:2] for row in LAYERS], *[(row[0], (9, 7, 3)) for row in VARIANTS]], ids=repr)
def test_after_every_layer(layer):
    layer, shape = layer
    before, shape = ([L.Flatten()], (2, 3, 2)) if len(shape) == 1 else ([], shape)
    net = L.Sequential([*before, layer, L.Flatten(), L.Dense(3)])
    split = images(shape, classes=3)
    assert fitted(net, split) == as_written(net, split)


@pytest.mark.parametrize("seed", range(10))
def test_random_stacks(seed):
    rng = np.random.default_rng(seed)
    net = L.Sequential([random_stack(rng), L.Flatten(), L.Dense(3)])
    shape = (14, 13, 4)
    split = images(shape, classes=3)
    assert fitted(net, split) == as_written(net, split)


def test_float64_and_float32_images_of_float64_parameters(replayed):
    net = NETS["head max"]
    split = images(SHAPE, dtype=np.float64)
    assert fitted(net, split) == as_written(net, split)
    start = trees.map_leaves(np.float64, net.init(np.random.default_rng(0), SHAPE))
    before = replayed[0]
    assert fitted(net, images(SHAPE), params=start) == as_written(net, images(SHAPE), params=start)
    assert replayed[0] == before  # what the engine converts is not replayed


@dataclass(frozen=True)
class Late(L.Layer):
    """Doubles its input after some steps, which no recording of the first ones knows."""

    calls: list
    steps: int = 5

    def output_shape(self, shape):
        return shape

    def __call__(self, params, x, rng=None):
        self.calls.append(rng)
        return x * 2.0 if len(self.calls) > self.steps else x * 1.0


def test_layers_of_the_user_s_are_not_replayed(replayed):
    calls = []
    fitted(L.Sequential([L.Flatten(), L.Dense(10), Late(calls)]), images(SHAPE))
    assert replayed == [0]
    assert len([rng for rng in calls if rng is not None]) == 9


class Noise(Late):
    """As if it were one of the library's: it draws another number in each step, and not an array."""

    def __call__(self, params, x, rng=None):
        return ops.leaky_relu(x, 0.1 if rng is None else rng.random())


def test_steps_that_differ_are_not_replayed(replayed, monkeypatch):
    monkeypatch.setattr(Noise, "__module__", "minicnn.layers.noise")
    net = L.Sequential([L.Flatten(), L.Dense(10), Noise([])])
    assert fitted(net, images(SHAPE)) == as_written(net, images(SHAPE))
    assert replayed == [0]


@pytest.mark.parametrize("how", ["reference", "MINICNN_FUSE=0"])
def test_with_fusion_off_no_step_is_replayed(how, replayed, monkeypatch):
    tables.use(monkeypatch, "reference" if how == "reference" else FUSING[0])
    if how != "reference":
        monkeypatch.setattr(fusion, "wanted", lambda: False)
    fitted(NETS["mlp"], images(SHAPE))
    assert replayed == [0]


@pytest.mark.parametrize("clipnorm", [None, 1e9], ids=["joined", "one array for each parameter"])
def test_gradients_share_no_memory_and_can_be_written(clipnorm, monkeypatch):
    tables.use(monkeypatch, FUSING[0])
    net, split = NETS["head global-max-average"], images(SHAPE)
    rng = np.random.default_rng(0)

    def loss(params, images, labels):
        logits = net(params, images, rng=rng)
        return ops.cross_entropy(logits, labels), logits

    params = net.init(rng, SHAPE)
    optimizer = optim.SGD(0.1, global_clipnorm=clipnorm)
    found = replay.gradients_of(loss, net, optimizer, SHAPE, params, optimizer.init(params))
    written = autograd.value_and_grad(loss, has_aux=True)
    for _ in range(4):
        joined, state = found.join(params, optimizer.init(params))
        (value, logits), grads = found(joined, split.images, split.labels)
        (value_, logits_), grads_ = written(params, split.images, split.labels)
        assert (value, type(value), logits.tobytes()) == (value_, type(value_), logits_.tobytes())
        found_grads = grads
        grads, _ = found.separate(grads, state)
        leaves = trees.leaves(grads)
        assert [g.tobytes() for g in leaves] == [g.tobytes() for g in trees.leaves(grads_)]
        both = [*leaves, *(found_grads if clipnorm else ())]
        assert all(g.flags.writeable for g in both)
        assert not any(np.shares_memory(g, h) for i, g in enumerate(found_grads) for h in found_grads[:i])
        assert not any(np.shares_memory(g, h) for i, g in enumerate(leaves) for h in leaves[:i])
        params = trees.map_leaves(lambda w, g: w - 0.1 * g, params, grads)


def test_the_kernels_of_an_op_are_called_in_every_step(monkeypatch, replayed):
    """So a breakpoint there, or a kernel set that is exchanged, has its effect."""
    tables.use(monkeypatch, FUSING[0])
    calls, real = [], kernels.conv2d_weight_grads
    monkeypatch.setitem(vars(kernels), "conv2d_weight_grads", lambda *a, **k: calls.append(a) or real(*a, **k))
    fitted(L.Sequential([L.Conv2D(2, 3), L.Tanh(), L.Flatten(), L.Dense(10)]), images(SHAPE))
    assert replayed == [6]
    assert len(calls) == 9 + 3  # a recording looks at the graph once more


BRANCHES = L.Sequential(
    [L.Concat([L.Conv2D(2, 1), L.Sequential([L.BatchNormalization(), L.ReLU()])]), L.Flatten(), L.Dense(10)]
)


@pytest.mark.parametrize("optimizer", [optim.SGD(0.1), optim.SGD(0.1, momentum=0.9), optim.Adam(1e-2)], ids=repr)
def test_parameters_may_have_another_order_than_the_net(optimizer):
    split, params = images(SHAPE), BRANCHES.init(np.random.default_rng(0), SHAPE)
    turned = {name: dict(reversed(below.items())) for name, below in reversed(params.items())}
    how = {"optimizer": optimizer, "epochs": 3, "batch_size": 8, "progress": False}
    first, second = (train.fit(BRANCHES, split, params=tree, **how).params for tree in (params, turned))
    assert list(second) == list(turned)
    assert list(second["concat"]) == list(turned["concat"])
    for path, leaf in trees.items(first):
        layer, name = path.rsplit("/", 1)
        place = second
        for key in layer.split("/"):
            place = place[key]
        assert place[name].tobytes() == leaf.tobytes(), path


def test_a_callback_may_change_the_order_of_the_parameters(replayed):
    def turn(moment):
        if moment.epoch == 1:
            moment.params["conv2d"] = moment.params.pop("conv2d")

    net, split = NETS["no bias"], images(SHAPE)
    plain, turned = fitted(net, split, OPTIMIZERS["SGD"]), fitted(net, split, OPTIMIZERS["SGD"], callbacks=[turn])
    assert sorted(plain[0]) == sorted(turned[0])
    assert replayed == [6]  # those of the first training: after the change steps run as they are written


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda w: w.astype(np.int64), TypeError, "params/dense/bias"),
        (lambda w: w[:-1], ValueError, "params/dense/bias|bias"),
        (lambda w: w[:, None], ValueError, "params/dense/bias|bias"),
    ],
    ids=["integers", "shorter", "another shape"],
)
def test_a_callback_that_breaks_a_parameter_is_noticed(change, error, message):
    def broken(moment):
        moment.params["dense"]["bias"] = change(moment.params["dense"]["bias"])

    with pytest.raises(error, match=message):
        fitted(NETS["no bias"], images(SHAPE), optim.SGD(0.01, momentum=0.9), callbacks=[broken])


def test_to_keep_a_small_parameter_does_not_keep_the_others():
    kept = []
    fitted(
        NETS["head max"], images(SHAPE), callbacks=[lambda moment: kept.append(moment.params["head"]["dense"]["bias"])]
    )
    assert [leaf.base for leaf in kept] == [None] * 3
