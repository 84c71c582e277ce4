"""Optimizers and schedules against their recurrences, written out, and against PyTorch."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from minicnn import optim, schedules, tree

RNG = np.random.default_rng(0)
PARAMS = {
    "dense": {"kernel": RNG.standard_normal((3, 2)), "bias": RNG.standard_normal(2)},
    "scale": RNG.standard_normal(4),
}
GRADS = [tree.map_leaves(lambda w: RNG.standard_normal(w.shape), PARAMS) for _ in range(10)]


def train(optimizer, params=PARAMS):
    state = optimizer.init(params)
    for grads in GRADS:
        params, state = optimizer.update(grads, state, params)
    return params


def by_hand(step, decay, rate=0.1):
    """Apply step(memory, g, t) -> move to each leaf, in plain Python."""

    def run(path, w):
        memory = {}
        for t, grads in enumerate(GRADS, 1):
            g = dict(tree.items(grads))[path]
            w = w - rate * (step(memory, g, t) + (decay * w if w.ndim > 1 else 0))
        return w

    return {path: run(path, w) for path, w in tree.items(PARAMS)}


def momentum(memory, g, t):
    memory["v"] = 0.9 * memory.get("v", 0) + g
    return memory["v"]


def nesterov(memory, g, t):
    return g + 0.9 * momentum(memory, g, t)


def adam(memory, g, t):
    memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * g
    memory["s"] = 0.95 * memory.get("s", 0) + 0.05 * g**2
    return (memory["m"] / (1 - 0.8**t)) / (np.sqrt(memory["s"] / (1 - 0.95**t)) + 1e-7)


@pytest.mark.parametrize(
    ("optimizer", "step", "decay"),
    [
        (optim.SGD(0.1), lambda memory, g, t: g, 0),
        (optim.SGD(0.1, weight_decay=0.3), lambda memory, g, t: g, 0.3),
        (optim.SGD(0.1, momentum=0.9), momentum, 0),
        (optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.2), nesterov, 0.2),
        (optim.Adam(0.1, beta_1=0.8, beta_2=0.95), adam, 0),
        (optim.AdamW(0.1, beta_1=0.8, beta_2=0.95, weight_decay=0.3), adam, 0.3),
    ],
)
def test_ten_steps_follow_the_recurrence(optimizer, step, decay):
    expected = by_hand(step, decay)
    for path, w in tree.items(train(optimizer)):
        np.testing.assert_allclose(w, expected[path], rtol=1e-12)


def test_against_torch():
    torch = pytest.importorskip("torch")
    pairs = [
        (optim.SGD(0.1, momentum=0.9), lambda w: torch.optim.SGD(w, 0.1, momentum=0.9)),
        (optim.SGD(0.1, momentum=0.9, nesterov=True), lambda w: torch.optim.SGD(w, 0.1, momentum=0.9, nesterov=True)),
        (optim.Adam(0.1, epsilon=1e-8), lambda w: torch.optim.Adam(w, 0.1, eps=1e-8)),
    ]
    for ours, theirs in pairs:
        leaves = [torch.tensor(w, requires_grad=True) for w in tree.leaves(PARAMS)]
        optimizer = theirs(leaves)
        for grads in GRADS:
            for w, g in zip(leaves, tree.leaves(grads), strict=True):
                w.grad = torch.tensor(g)
            optimizer.step()
        for w, expected in zip(tree.leaves(train(ours)), leaves, strict=True):
            np.testing.assert_allclose(w, expected.detach().numpy(), rtol=1e-9)


def test_nothing_is_written_to():
    before = tree.map_leaves(np.copy, PARAMS)
    train(optim.Adam(0.1, weight_decay=0.1, global_clipnorm=0.5))
    train(optim.SGD(0.1, momentum=0.9, nesterov=True))
    for old, new in zip(tree.leaves(before), tree.leaves(PARAMS), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("optimizer", [optim.SGD(0.1, momentum=0.5), optim.Adam(0.1, weight_decay=0.1)])
def test_float32_stays(optimizer):
    params = tree.map_leaves(lambda w: w.astype(np.float32), PARAMS)
    state, grads = optimizer.init(params), params
    for _ in range(2):
        params, state = optimizer.update(grads, state, params)
    assert {w.dtype for w in tree.leaves(params)} == {np.dtype(np.float32)}


def test_clipping_keeps_the_direction_and_limits_the_norm():
    grads = GRADS[0]
    flat = np.concatenate([g.ravel() for g in tree.leaves(grads)])
    assert optim.global_norm(grads) == pytest.approx(np.linalg.norm(flat))
    clipped = optim.clip_by_global_norm(grads, 0.5)
    assert optim.global_norm(clipped) == pytest.approx(0.5)
    np.testing.assert_allclose(
        np.concatenate([g.ravel() for g in tree.leaves(clipped)]) * np.linalg.norm(flat) / 0.5, flat
    )
    assert optim.clip_by_global_norm(grads, 1e9) is grads


def test_clipping_is_part_of_the_step():
    one = optim.SGD(1.0, global_clipnorm=0.5)
    moved, _ = one.update(GRADS[0], one.init(PARAMS), PARAMS)
    change = tree.map_leaves(np.subtract, PARAMS, moved)
    assert optim.global_norm(change) == pytest.approx(0.5)


def test_a_schedule_is_asked_at_each_step():
    steps = []

    class Rates:
        def __call__(self, step):
            steps.append(step)
            return 0.1 * (step + 1)

    sgd = optim.SGD(Rates())
    w, state = np.array([0.0]), sgd.init(np.array([0.0]))
    for _ in range(3):
        w, state = sgd.update(np.array([1.0]), state, w)
    assert steps == [0, 1, 2]
    np.testing.assert_allclose(w, [-0.6])


def test_cosine_begins_at_its_rate_and_ends_at_its_final():
    cosine = schedules.Cosine(1.0, steps=100, final=0.1)
    assert (cosine(0), cosine(100), cosine(250)) == pytest.approx((1.0, 0.1, 0.1))
    assert cosine(50) == pytest.approx(0.55)
    assert all(cosine(i) > cosine(i + 1) for i in range(100))


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 1.0])
def test_one_cycle_rises_to_its_peak_and_falls_to_zero(warmup):
    rates = [schedules.OneCycle(2.0, steps=40, warmup=warmup)(i) for i in range(41)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(2.0)
    assert rates[0] > 0
    assert all(a <= b for a, b in itertools.pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in itertools.pairwise(rates[top:]))
    assert warmup == 1.0 or rates[-1] == pytest.approx(0.0)


def test_step_falls_by_its_factor():
    assert [schedules.Step(1.0, 3, 0.1)(i) for i in (0, 2, 3, 6)] == pytest.approx([1, 1, 0.1, 0.01])
    assert schedules.Constant(0.3)(10**6) == 0.3


def test_an_open_length_is_filled_in_once():
    assert schedules.over(schedules.OneCycle(1.0), 70) == schedules.OneCycle(1.0, steps=70)
    fixed = schedules.Cosine(1.0, steps=5)
    assert schedules.over(fixed, 70) is fixed
    assert optim.over(optim.SGD(schedules.Cosine(1.0)), 9).learning_rate.steps == 9
    with pytest.raises(ValueError, match="does not know how long to last"):
        schedules.Cosine(1.0)(0)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: optim.SGD(-1.0), ValueError, "learning_rate=-1.0"),
        (lambda: optim.SGD("fast"), TypeError, "learning_rate='fast'"),
        (lambda: optim.SGD(math.nan), ValueError, "learning_rate=nan"),
        (lambda: optim.SGD(0.1, momentum=1.0), ValueError, "momentum=1.0"),
        (lambda: optim.SGD(0.1, nesterov=True), ValueError, "momentum=0.9"),
        (lambda: optim.SGD(0.1, weight_decay=-1), ValueError, "weight_decay=-1"),
        (lambda: optim.SGD(0.1, global_clipnorm="1"), TypeError, "global_clipnorm='1'"),
        (lambda: optim.Adam(0.1, beta_1=1.5), ValueError, "beta_1=1.5"),
        (lambda: optim.Adam(0.1, beta_2=-0.1), ValueError, "beta_2=-0.1"),
        (lambda: optim.Adam(0.1, epsilon=-1), ValueError, "epsilon=-1"),
        (lambda: optim.AdamW(True), TypeError, "learning_rate=True"),
        (lambda: schedules.Constant(-0.1), ValueError, "rate=-0.1"),
        (lambda: schedules.Step(0.1, every=0), ValueError, "every=0"),
        (lambda: schedules.Cosine(0.1, steps=0), ValueError, "steps=0"),
        (lambda: schedules.Cosine("a"), TypeError, "rate='a'"),
        (lambda: schedules.OneCycle(0.1, warmup=1.5), ValueError, "warmup=1.5"),
        (lambda: schedules.OneCycle(math.inf), ValueError, "peak=inf"),
    ],
)
def test_wrong_arguments(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def test_values_can_be_changed_and_compared():
    assert replace(optim.Adam(0.1), weight_decay=0.2) == optim.AdamW(0.1, weight_decay=0.2)
