"""Joined arrays hold the leaves of a tree, and an optimizer's step on them has the bits of one on the tree."""

import numpy as np
import pytest
import tables

from minicnn import optim, trees
from minicnn.train.joined import SMALL, Joined, Layout, can_join

SHAPES = {"large": (SMALL + 1,), "kernel": (3, 3, 2, 4), "bias": (4,), "exponent": (), "none": (0, 3), "dense": (5, 2)}
OPTIMIZERS = {
    "Adam": optim.Adam(1e-2),
    "AdamW": optim.AdamW(1e-2, weight_decay=0.1),
    "Adam, clipped": optim.Adam(1e-2, global_clipnorm=0.5),
    "SGD": optim.SGD(0.1),
    "momentum": optim.SGD(0.1, momentum=0.9, nesterov=True),
    "all of SGD": optim.SGD(0.1, momentum=0.9, weight_decay=0.1, global_clipnorm=0.5),
}


def tree(seed, dtype=np.float32, order="C"):
    rng = np.random.default_rng(seed)
    made = {name: np.asarray(rng.normal(size=shape), dtype, order=order) for name, shape in SHAPES.items()}
    return {"first": {"large": made.pop("large")}, "rest": [made, (made["bias"] + 1,)]}


def same(a, b):
    return trees.flatten(a)[1] == trees.flatten(b)[1] and all(
        (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
        for x, y in zip(trees.leaves(a), trees.leaves(b), strict=True)
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_tree_comes_back_as_it_was(name, order):
    params = tree(0, order=order)
    layout = Layout(params, OPTIMIZERS[name])
    assert same(layout.tree(layout.join(trees.leaves(params))), params)


@pytest.mark.parametrize("implementation", tables.IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_on_joined_arrays_have_the_bits_of_steps_on_the_tree(name, dtype, implementation, monkeypatch):
    tables.use(monkeypatch, implementation)
    optimizer, params = OPTIMIZERS[name], tree(0, dtype)
    state, layout = optimizer.init(params), Layout(params, optimizer)

    def join(t):
        return layout.join(trees.leaves(t))

    joined, joined_state = join(params), {k: v if k == "step" else join(v) for k, v in state.items()}
    for step in range(3):
        grads = tree(step + 1, dtype)
        params, state = optimizer.update(grads, state, params)
        joined, joined_state = optimizer.update(join(grads), joined_state, joined)
    assert same(layout.tree(joined), params)
    assert all(k == "step" or same(layout.tree(joined_state[k]), v) for k, v in state.items())
    assert joined_state["step"] == state["step"] == 3


@pytest.mark.parametrize(
    ("name", "count"), [("Adam", 2), ("AdamW", 3), ("Adam, clipped", 7), ("SGD", 2), ("all of SGD", 7)]
)
def test_small_arrays_are_joined_unless_decay_or_the_norm_tells_them_apart(name, count):
    params = tree(0)
    joined = Layout(params, OPTIMIZERS[name]).join(trees.leaves(params))
    assert type(joined) is Joined
    assert len(joined) == count
    assert sum(a.size for a in joined) == sum(leaf.size for leaf in trees.leaves(params))
    assert joined[0] is params["first"]["large"]


def test_gradients_of_a_wider_type_are_rounded_to_that_of_the_parameters():
    params, grads = tree(0), tree(1, np.float64)
    layout = Layout(params, optim.Adam())
    expected = trees.map_leaves(lambda g: g.astype(np.float32), grads)
    assert same(layout.tree(layout.join(trees.leaves(grads))), expected)


def test_only_arrays_of_one_type_and_like_shapes_can_be_joined():
    params, state = tree(0), optim.Adam().init(tree(0))
    assert can_join(params, state)
    assert can_join(params, {"step": np.array(3)})
    assert not can_join({}, {"step": 0})
    assert not can_join({**params, "b": np.zeros(2)}, {"step": 0})  # of float64
    assert not can_join({"a": 1.0}, {"step": 0})
    assert not can_join({"a": np.zeros(2, np.int64)}, {"step": 0})
    assert not can_join({"a": np.ma.zeros(2)}, {"step": 0})
    assert not can_join(params, {"step": 0, "velocity": tree(0, np.float64)})
    two = {"a": np.zeros(2), "b": np.zeros(2)}
    assert can_join(two, {"step": 0, "velocity": dict(two)})
    assert not can_join(two, {"step": 0, "velocity": {**two, "b": np.zeros(3)}})
    assert not can_join(two, {"step": 0, "velocity": dict(reversed(two.items()))})
