"""The execution plan of a Sequential: the same bits as its layers one by one, printed, and switched off."""

import os
import subprocess
import sys
import types
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

from minicnn import graph, kernels, layers, models, trees, value_and_grad
from minicnn.layers import fusion
from minicnn.validation import ShapeError

L = layers
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("pools", [[], [L.MaxPooling2D(2)], [L.MaxPooling2D((3, 3))]])
def test_the_shape_rule_of_a_fused_step_is_remembered(pools):
    """It is for plain arguments; a training step would otherwise check the same shapes each time."""
    (step,) = fusion.plan([("conv2d", L.Conv2D(4, 3)), ("relu", L.ReLU()), *[("pool", pool) for pool in pools]])
    conv, options = step.run.args
    assert {type(value) for value in options.values()} <= graph.PLAIN
    assert (conv, options["relu"]) == (L.Conv2D(4, 3), True)


def random_stack(rng, exact=False):
    """A convolution and what may follow it, in any order, some of it not to be fused; exact without rounded layers."""
    groups = int(rng.choice([1, 1, 2]))
    conv = L.Conv2D(
        int(rng.choice([2, 4, 6])),
        tuple(int(k) for k in rng.integers(1, 4, 2)),
        strides=int(rng.integers(1, 3)),
        padding=("valid", "same", 1, ((0, 2), (1, 0)))[rng.integers(4)],
        dilation_rate=int(rng.choice([1, 1, 2])),
        groups=groups,
        use_bias=bool(rng.integers(2)),
        padding_mode=str(rng.choice(["constant", "constant", "constant", "edge"])),
    )
    pools = [
        L.MaxPooling2D(2),
        L.MaxPooling2D(2),
        L.MaxPooling2D((1, 2)),
        L.MaxPooling2D(1),
        L.MaxPooling2D(2, strides=1),
        L.MaxPooling2D(3, strides=2, padding="same"),
        L.MaxPooling2D(2, ceil_mode=True),
        L.MaxPooling2D(2, ties="split"),
    ]
    others = [L.ReLU(), L.ReLU(), L.Dropout(0.5), L.LeakyReLU(0.25), L.ReLU() if exact else L.BatchNormalization()]
    tail = [pools[rng.integers(len(pools))] if rng.integers(2) else others[rng.integers(len(others))] for _ in range(4)]
    end = [L.GlobalMaxPooling2D()] if rng.integers(2) else []
    return L.Sequential([L.ReLU(), conv, *tail[:3], L.Conv2D(4, 1, groups=groups), *tail[3:], *end])


def images(rng, dtype):
    """Few different values, so that maxima tie and ReLU meets 0 and -0; NaN in one image of three stacks."""
    x = rng.integers(-2, 3, (4, 14, 13, 4)).astype(dtype) / 2
    x[0] = -0.0
    if not rng.integers(3):
        x[1, 5:7, 6] = np.nan
    return x


def results(net, params, x, run):
    y_seen = []

    def f(p):
        y = run(net, p["w"], p["x"], np.random.default_rng(5))
        y_seen.append(y)
        weights = np.random.default_rng(6).integers(-2, 3, y.shape).astype(x.dtype)
        return (y * weights).sum()

    value, grads = value_and_grad(f)({"w": params, "x": x})
    return [value, y_seen[0].data, *trees.leaves(grads)]


def layer_by_layer(net, params, x, rng):
    for name, layer in net.parts():
        x = layer(params.get(name, {}), x, rng)
    return x


def both_ways(seed, dtype, exact):
    rng = np.random.default_rng(seed)
    while True:
        net, x = random_stack(rng, exact), images(rng, dtype)
        try:
            params = net.init(np.random.default_rng(seed), x.shape[1:])
        except ShapeError:
            continue
        break
    params = trees.map_leaves(lambda w: (np.round(2 * w) if exact else w).astype(dtype), params)
    planned = results(net, params, x, lambda net, *given: net(*given))
    return planned, results(net, params, x, layer_by_layer)


every_stack = pytest.mark.parametrize("seed", range(110))
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@every_dtype
@every_stack
def test_the_plan_has_the_bits_of_the_layers(seed, dtype):
    """Forward and gradient, on integers so small that no sum is rounded: the same elements get the same gradients.

    The sign of a zero in a sum depends on the order of its terms and is not compared.
    """
    for a, b in zip(*both_ways(seed, dtype, exact=True), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@every_dtype
@every_stack
def test_rounded_sums_are_the_same_forward_and_within_rounding_backward(seed, dtype):
    """The fused kernels add up the terms of a weight's gradient in another order, that of the windows."""
    (value, y, *grads), (value_2, y_2, *grads_2) = both_ways(seed, dtype, exact=False)
    np.testing.assert_array_equal(value, value_2)
    np.testing.assert_array_equal(y, y_2)
    for a, b in zip(grads, grads_2, strict=True):
        largest = max(np.nanmax(np.abs(g), initial=0, where=~np.isnan(g)) for g in grads_2)
        np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(dtype).eps * largest)


def test_most_random_stacks_have_a_fused_step():
    plans = [fusion.plan(random_stack(np.random.default_rng(seed)).parts()) for seed in range(110)]
    fused = [step for steps in plans for step in steps if step.names[0].startswith("conv") and len(step.names) > 1]
    assert len(fused) > 80


STACK = L.Sequential([L.Conv2D(4, 3), L.ReLU(), L.MaxPooling2D(2), L.Flatten(), L.Dense(3)])


def ops_entered(environment):
    """Names of the ops that a forward pass enters, seen as a debugger sees them."""
    program = """
import sys, numpy as np
from minicnn import layers as L, ops
net = L.Sequential([L.Conv2D(4, 3), L.ReLU(), L.MaxPooling2D(2), L.Flatten(), L.Dense(3)])
params = net.init(np.random.default_rng(0), (8, 8, 1))
names = ("conv2d", "conv2d_pool", "relu", "max_pool2d")
wanted = {getattr(ops, name).__wrapped__.__code__: name for name in names}
entered = []
def note(frame, event, arg):
    if event == "call" and frame.f_code in wanted:
        entered.append(wanted[frame.f_code])
sys.setprofile(note)
y = net(params, np.ones((2, 8, 8, 1), np.float32))
sys.setprofile(None)
print(*entered, y.tobytes().hex())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip
    *names, value = done.stdout.split()
    return names, value


def test_with_fusion_off_a_breakpoint_in_each_op_is_hit():
    off, written = ops_entered({"MINICNN_FUSE": "0"})
    assert off == ["conv2d", "relu", "max_pool2d"]
    on, planned = ops_entered({"MINICNN_FUSE": "1"})
    if fusion.is_on():
        assert on == ["conv2d_pool"]
    assert planned == written


@pytest.fixture
def fuse(monkeypatch):
    def set_to(value):
        monkeypatch.setenv("MINICNN_FUSE", value)
        fusion.wanted.cache_clear()

    yield set_to
    monkeypatch.undo()
    fusion.wanted.cache_clear()


def test_another_value_of_the_setting_is_refused(fuse):
    fuse("off")
    params = STACK.init(np.random.default_rng(0), (8, 8, 1))
    with pytest.raises(ValueError, match=r"minicnn: MINICNN_FUSE must be 0 or 1, got 'off'. Set it to 0"):
        STACK(params, np.ones((1, 8, 8, 1)))


def test_kernels_that_cannot_fuse_run_the_layers_alone(monkeypatch):
    whole = kernels.implementation()
    plain = {name: value for name, value in vars(whole).items() if not name.startswith("conv2d_pool")}
    monkeypatch.setattr(kernels, "implementation", lambda: types.SimpleNamespace(**plain))
    assert [step.names for step in STACK.steps()] == [(name,) for name, _ in STACK.parts()]
    params = STACK.init(np.random.default_rng(0), (8, 8, 1))
    assert STACK(params, np.ones((2, 8, 8, 1), np.float32)).shape == (2, 3)


class OwnPooling(L.MaxPooling2D):
    """A pooling of a user, which may compute something else."""


REASONS = [
    ([L.Conv2D(3, 3), L.MaxPooling2D(3, strides=2)], "max_pooling2d: its strides differ from its pool_size"),
    ([L.Conv2D(3, 3), L.MaxPooling2D(2, ties="split")], "max_pooling2d: the fused kernel has ties='first' only"),
    ([L.Conv2D(3, 3), L.MaxPooling2D(2, dilation_rate=2)], "max_pooling2d: its windows are dilated"),
    ([L.Conv2D(3, 3), L.MaxPooling2D(16)], "max_pooling2d: its windows have more than 254 elements"),
    ([L.Conv2D(3, 3), OwnPooling(2)], "own_pooling: a subclass of MaxPooling2D may compute something else"),
    ([L.Conv2D(3, 3)], "conv2d: no layer follows"),
    ([L.Conv2D(3, 3), L.BatchNormalization()], "conv2d: batch_normalization cannot be fused with it"),
    ([L.Conv2D(3, 3, padding_mode="edge")], "conv2d: the fused kernel pads with zeros, not with padding_mode='edge'"),
    ([L.BatchNormalization(), L.ReLU()], "relu: only one ReLU and one max pooling directly after a Conv2D are fused"),
    (
        [L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(2)],
        "relu + max_pooling2d: max_pooling2d runs first: ReLU then has fewer elements, with the same result",
    ),
    (
        [L.Conv2D(3, 3), L.ReLU()],
        "conv2d + relu: one kernel: the output of the convolution is used while it is in cache",
    ),
]


@pytest.mark.skipif(not fusion.is_on(), reason="these kernels do not fuse")
@pytest.mark.parametrize(("stack", "line"), REASONS, ids=[line for _, line in REASONS])
def test_the_plan_says_why(stack, line):
    assert line in str(L.explain_execution(L.Sequential(stack))).splitlines()


def test_the_plan_is_printed_with_paths_and_with_what_switches_it_off(fuse):
    net = L.Classifier(L.Sequential([L.Residual(STACK), L.Concat([STACK, L.ReLU()])]), models.make_head("max"))
    fuse("1")
    shown = L.explain_execution(net)
    names = [" + ".join(names) for names, _ in shown.steps]
    if fusion.is_on():
        assert (
            "trunk/concat/sequential/conv2d + trunk/concat/sequential/relu + trunk/concat/sequential/max_pooling2d"
            in names
        )
        assert "MINICNN_FUSE=0" in str(shown).splitlines()[0]
    fuse("0")
    shown = L.explain_execution(net)
    assert all(len(names) == 1 for names, _ in shown.steps)
    assert [names[0] for names, _ in shown.steps[:2]] == ["trunk/residual/body/conv2d", "trunk/residual/body/relu"]
    assert str(shown).startswith(f"{kernels.name()} kernels; fusion is off: MINICNN_FUSE=0 switches fusion off")


def test_a_notebook_shows_the_plan_and_a_prompt_a_short_line():
    shown = L.explain_execution(models.lenet5())
    assert len(repr(shown)) < 100
    assert "Conv2D(" not in repr(shown)
    assert "".join(xml.etree.ElementTree.fromstring(shown._repr_html_()).itertext()) == str(shown)
    assert str(L.explain_execution(L.ReLU())).splitlines()[1] == "layer"
    with pytest.raises(TypeError, match="explain_execution: net must be a layer, got <class"):
        L.explain_execution(L.ReLU)
