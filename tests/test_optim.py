"""Optimizers and schedules against their recurrences, written out, and against PyTorch."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from wrong import says

from minicnn import optim, schedules, trees
from minicnn import train as train_package

RNG = np.random.default_rng(0)
PARAMS = {
    "dense": {"kernel": RNG.standard_normal((3, 2)), "bias": RNG.standard_normal(2)},
    "scale": RNG.standard_normal(4),
}
GRADS = [trees.map_leaves(lambda w: RNG.standard_normal(w.shape), PARAMS) for _ in range(10)]


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
            g = dict(trees.items(grads))[path]
            w = w - rate * (step(memory, g, t) + (decay * w if w.ndim > 1 else 0))
        return w

    return {path: run(path, w) for path, w in trees.items(PARAMS)}


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
    for path, w in trees.items(train(optimizer)):
        np.testing.assert_allclose(w, expected[path], rtol=1e-12)


def test_against_torch():
    torch = pytest.importorskip("torch")
    pairs = [
        (optim.SGD(0.1, momentum=0.9), lambda w: torch.optim.SGD(w, 0.1, momentum=0.9)),
        (optim.SGD(0.1, momentum=0.9, nesterov=True), lambda w: torch.optim.SGD(w, 0.1, momentum=0.9, nesterov=True)),
        (optim.Adam(0.1, epsilon=1e-8), lambda w: torch.optim.Adam(w, 0.1, eps=1e-8)),
    ]
    for ours, theirs in pairs:
        leaves = [torch.tensor(w, requires_grad=True) for w in trees.leaves(PARAMS)]
        optimizer = theirs(leaves)
        for grads in GRADS:
            for w, g in zip(leaves, trees.leaves(grads), strict=True):
                w.grad = torch.tensor(g)
            optimizer.step()
        for w, expected in zip(trees.leaves(train(ours)), leaves, strict=True):
            np.testing.assert_allclose(w, expected.detach().numpy(), rtol=1e-9)


def test_nothing_is_written_to():
    before = trees.map_leaves(np.copy, PARAMS)
    train(optim.Adam(0.1, weight_decay=0.1, global_clipnorm=0.5))
    train(optim.SGD(0.1, momentum=0.9, nesterov=True))
    for old, new in zip(trees.leaves(before), trees.leaves(PARAMS), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("optimizer", [optim.SGD(0.1, momentum=0.5), optim.Adam(0.1, weight_decay=0.1)])
def test_float32_stays(optimizer):
    params = trees.map_leaves(lambda w: w.astype(np.float32), PARAMS)
    state, grads = optimizer.init(params), params
    for _ in range(2):
        params, state = optimizer.update(grads, state, params)
    assert {w.dtype for w in trees.leaves(params)} == {np.dtype(np.float32)}


def test_clipping_keeps_the_direction_and_limits_the_norm():
    grads = GRADS[0]
    flat = np.concatenate([g.ravel() for g in trees.leaves(grads)])
    assert optim.global_norm(grads) == pytest.approx(np.linalg.norm(flat))
    clipped = optim.clip_by_global_norm(grads, 0.5)
    assert optim.global_norm(clipped) == pytest.approx(0.5)
    np.testing.assert_allclose(
        np.concatenate([g.ravel() for g in trees.leaves(clipped)]) * np.linalg.norm(flat) / 0.5, flat
    )
    assert optim.clip_by_global_norm(grads, 1e9) is grads


def test_clipping_is_part_of_the_step():
    one = optim.SGD(1.0, global_clipnorm=0.5)
    moved, _ = one.update(GRADS[0], one.init(PARAMS), PARAMS)
    change = trees.map_leaves(np.subtract, PARAMS, moved)
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
    with pytest.raises(ValueError, match="steps must be set"):
        schedules.Cosine(1.0)(0)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: optim.SGD(-1.0), ValueError, "learning_rate must be .*got -1.0"),
        (lambda: optim.SGD("fast"), TypeError, "learning_rate must be .*got 'fast'"),
        (lambda: optim.SGD(math.nan), ValueError, "learning_rate must be .*got nan"),
        (lambda: optim.SGD(0.1, momentum=1.0), ValueError, "momentum must be .*got 1.0"),
        (lambda: optim.SGD(0.1, nesterov=True), ValueError, "momentum=0.9"),
        (lambda: optim.SGD(0.1, weight_decay=-1), ValueError, "weight_decay must be .*got -1"),
        (lambda: optim.SGD(0.1, global_clipnorm="1"), TypeError, "global_clipnorm must be .*got '1'"),
        (lambda: optim.Adam(0.1, beta_1=1.5), ValueError, "beta_1 must be .*got 1.5"),
        (lambda: optim.Adam(0.1, beta_2=-0.1), ValueError, "beta_2 must be .*got -0.1"),
        (lambda: optim.Adam(0.1, epsilon=-1), ValueError, "epsilon must be .*got -1"),
        (lambda: optim.AdamW(True), TypeError, "learning_rate must be .*got True"),
        (lambda: schedules.Constant(-0.1), ValueError, "rate must be .*got -0.1"),
        (lambda: schedules.Step(0.1, every=0), ValueError, "every must be .*got 0"),
        (lambda: schedules.Cosine(0.1, steps=0), ValueError, "steps must be .*got 0"),
        (lambda: schedules.Cosine("a"), TypeError, "rate must be .*got 'a'"),
        (lambda: schedules.OneCycle(0.1, warmup=1.5), ValueError, "warmup must be .*got 1.5"),
        (lambda: schedules.OneCycle(math.inf), ValueError, "peak must be .*got inf"),
    ],
)
def test_wrong_arguments(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def test_values_can_be_changed_and_compared():
    assert replace(optim.Adam(0.1), weight_decay=0.2) == optim.AdamW(0.1, weight_decay=0.2)


# Every number that an optimizer or a schedule takes, made by `n` from values that each float type holds exactly.
RECORDS = [
    lambda n: optim.SGD(n(0.5)),
    lambda n: optim.SGD(0.1, momentum=n(0.5)),
    lambda n: optim.SGD(0.1, momentum=n(0.5), nesterov=np.bool_(True)),
    lambda n: optim.SGD(0.1, weight_decay=n(0.5)),
    lambda n: optim.SGD(0.1, global_clipnorm=n(0.5)),
    lambda n: optim.Adam(n(0.5)),
    lambda n: optim.Adam(0.1, beta_1=n(0.5)),
    lambda n: optim.Adam(0.1, beta_2=n(0.5)),
    lambda n: optim.Adam(0.1, epsilon=n(0.5)),
    lambda n: optim.Adam(0.1, weight_decay=n(0.5)),
    lambda n: optim.Adam(0.1, global_clipnorm=n(0.5)),
    lambda n: optim.AdamW(n(0.5), weight_decay=n(0.25)),
    lambda n: optim.SGD(schedules.Constant(n(0.5))),
    lambda n: optim.SGD(schedules.Step(n(0.5), every=2, factor=n(0.25))),
    lambda n: optim.SGD(schedules.Cosine(n(0.5), steps=5, final=n(0.25))),
    lambda n: optim.SGD(schedules.OneCycle(n(0.5), steps=5, warmup=n(0.25))),
]


def three_steps(optimizer):
    params = trees.map_leaves(np.float32, PARAMS)
    state = optimizer.init(params)
    for grads in GRADS[:3]:
        params, state = optimizer.update(trees.map_leaves(np.float32, grads), state, params)
    return trees.leaves([params, {name: part for name, part in state.items() if name != "step"}])


@pytest.mark.parametrize("number", [np.float64, np.float32, np.float16, np.longdouble])
@pytest.mark.parametrize("make", RECORDS, ids=range(len(RECORDS)))
def test_numpy_numbers_are_pythons_numbers(make, number):
    ours, expected = make(number), make(float)
    assert (ours, repr(ours)) == (expected, repr(expected))
    for a, b in zip(three_steps(ours), three_steps(expected), strict=True):
        assert (a.dtype, a.tobytes()) == (np.dtype(np.float32), b.tobytes())


@pytest.mark.parametrize("number", [np.float64, lambda value: np.array(value, np.float64), lambda v: np.where(v, v, 0)])
def test_a_schedule_of_ones_own_may_return_numpy_numbers(number):
    ours = three_steps(optim.SGD(lambda step: number(0.1 * (step + 1)), momentum=0.9))
    expected = three_steps(optim.SGD(lambda step: 0.1 * (step + 1), momentum=0.9))
    assert [(a.dtype, a.tobytes()) for a in ours] == [(np.dtype(np.float32), b.tobytes()) for b in expected]
    assert type(optim.rate_at(lambda step: number(0.5), 0)) is float


def test_numpy_integers_in_schedules_are_pythons_integers():
    pairs = [
        (schedules.Step(0.1, np.int64(3)), schedules.Step(0.1, 3)),
        (schedules.Cosine(0.1, np.int32(7)), schedules.Cosine(0.1, 7)),
        (schedules.OneCycle(0.1, np.uint8(9)), schedules.OneCycle(0.1, 9)),
    ]
    for ours, expected in pairs:
        assert (ours, repr(ours)) == (expected, repr(expected))
        assert type(ours(np.int64(2))) is float
        assert ours(np.int64(2)) == expected(2)


def test_steps_of_any_size_are_fine():
    assert schedules.Cosine(0.1, steps=10, final=0.05)(10**400) == pytest.approx(0.05)
    assert schedules.OneCycle(0.1, steps=10)(10**400) == 0.0
    assert schedules.Step(0.1, every=10)(10**400) == 0.0


def test_a_schedule_that_grows_beyond_floats_is_infinite_and_refused():
    assert schedules.Step(1.0, every=1, factor=10.0)(400) == math.inf
    with pytest.raises(ValueError, match=r"learning_rate\(step=400\) must be .*got inf"):
        optim.rate_at(schedules.Step(1.0, every=1, factor=10.0), 400)


@pytest.mark.parametrize("rate", ["0.1", None, np.ones(1), math.nan, -0.1])
def test_a_schedule_that_returns_no_rate_is_named_with_its_step(rate):
    with pytest.raises((TypeError, ValueError), match=r"learning_rate\(step=7\) must be"):
        optim.rate_at(lambda step: rate, 7)


OPTIMIZERS = [optim.SGD(0.1), optim.SGD(0.1, momentum=0.9), optim.Adam(0.1, weight_decay=0.1)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "momentum", "Adam"])
def test_a_state_from_a_file_goes_on_to_the_bit(optimizer, tmp_path):
    params = trees.map_leaves(np.float32, PARAMS)
    grads = [trees.map_leaves(np.float32, g) for g in GRADS]
    params, state = optimizer.update(grads[0], optimizer.init(params), params)
    again = train_package.load(train_package.save(tmp_path / "state.npz", state))
    expected, there = optimizer.update(grads[1], state, params)
    ours, here = optimizer.update(grads[1], again, params)
    assert (here["step"], type(here["step"])) == (there["step"], int) == (2, int)
    assert list(here) == list(there) == list(state)
    for a, b in zip(trees.leaves([ours, here]), trees.leaves([expected, there]), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "momentum", "Adam"])
@pytest.mark.parametrize("step", [np.int64(1), np.array(1), np.array(1, np.int32)])
def test_float64_gradients_and_state_leave_float32_parameters(optimizer, step):
    params = trees.map_leaves(np.float32, PARAMS)
    state = {**trees.map_leaves(np.float64, optimizer.init(params)), "step": step}
    params, state = optimizer.update(GRADS[0], state, params)
    slots = [part for name, part in state.items() if name != "step"]
    assert {w.dtype for w in trees.leaves([params, slots])} == {np.dtype(np.float32)}
    assert state["step"] == 2


def test_the_state_has_no_empty_part_and_no_shared_array():
    assert optim.SGD(0.1).init(PARAMS) == {"step": 0}
    leaves = [w for w in trees.leaves(optim.Adam(0.1).init(PARAMS)) if isinstance(w, np.ndarray)]
    assert len({id(w) for w in leaves}) == len(leaves) == 6


WRONG_KERNEL = {**PARAMS, "dense": {**PARAMS["dense"], "kernel": np.ones((1, 2))}}
INTEGERS = {**PARAMS, "scale": np.ones(4, int)}
ADAM, MOMENTUM = optim.Adam(0.1), optim.SGD(0.1, momentum=0.9)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ADAM.update(WRONG_KERNEL, ADAM.init(PARAMS), PARAMS), ValueError, ["gradients/dense/kernel"]),
        (lambda: ADAM.update(GRADS[0], ADAM.init(WRONG_KERNEL), PARAMS), ValueError, ["mean/dense/kernel", "(1, 2)"]),
        (lambda: MOMENTUM.update(GRADS[0], MOMENTUM.init(WRONG_KERNEL), PARAMS), ValueError, ["velocity/dense/kernel"]),
        (lambda: ADAM.update(GRADS[0], MOMENTUM.init(PARAMS), PARAMS), ValueError, ["step, mean, square", "velocity"]),
        (lambda: MOMENTUM.update(GRADS[0], {"step": 0}, PARAMS), ValueError, ["step, velocity", "got step"]),
        (lambda: OPTIMIZERS[0].update(GRADS[0], MOMENTUM.init(PARAMS), PARAMS), ValueError, ["SGD", "velocity"]),
        (lambda: ADAM.update(GRADS[0], {}, PARAMS), ValueError, ["got nothing", "init"]),
        (lambda: ADAM.update(GRADS[0], None, PARAMS), TypeError, ["state must be a dict", "NoneType"]),
        (lambda: ADAM.update(GRADS[0], {**ADAM.init(PARAMS), "step": 1.5}, PARAMS), TypeError, ["step", "1.5"]),
        (lambda: ADAM.update(GRADS[0], {**ADAM.init(PARAMS), "step": -1}, PARAMS), ValueError, ["step", "-1"]),
        (lambda: ADAM.update(INTEGERS, ADAM.init(PARAMS), PARAMS), TypeError, ["gradients/scale", "int64"]),
        (lambda: ADAM.update({"dense": 1}, ADAM.init(PARAMS), PARAMS), ValueError, ["Adam", "gradients", "scale"]),
        (lambda: optim.SGD(0.1).update(INTEGERS, {"step": 0}, INTEGERS), TypeError, ["SGD", "params/scale", "int64"]),
        (lambda: optim.SGD(0.1).update({"w": np.ones(())}, {"step": 0}, {"w": 1.0}), TypeError, ["params/w", "float"]),
        (lambda: ADAM.init(INTEGERS), TypeError, ["Adam.init", "params/scale", "int64"]),
        (lambda: MOMENTUM.init({"w": "abc"}), TypeError, ["SGD.init", "params/w", "str"]),
        (lambda: optim.global_norm({"a": {"b": None}}), TypeError, ["grads/a/b", "NoneType"]),
        (lambda: optim.clip_by_global_norm(GRADS[0], -1.0), ValueError, ["limit=-1.0"]),
        (lambda: optim.clip_by_global_norm(GRADS[0], "1"), TypeError, ["limit='1'"]),
        (lambda: optim.global_norm({"a": [range(3)]}), TypeError, ["grads/a/0", "range"]),
        (lambda: optim.over(0.1, 10), TypeError, ["over: optimizer", "float"]),
        (lambda: schedules.Cosine(0.1, 10)(0.5), TypeError, ["Cosine", "step=0.5"]),
        (lambda: schedules.OneCycle(0.1, 10)("a"), TypeError, ["OneCycle", "step='a'"]),
        (lambda: schedules.Step(0.1, 10)(-1), ValueError, ["Step", "step=-1"]),
        (lambda: optim.SGD(schedules.Cosine), TypeError, ["learning_rate", "class Cosine", "Cosine(0.1)"]),
        (lambda: optim.SGD(0.1, momentum=0.9, nesterov="False"), TypeError, ["nesterov", "'False'"]),
        (lambda: schedules.Step(0.1, every=2.5), TypeError, ["every=2.5"]),
        (lambda: schedules.Cosine(0.1, steps=True), TypeError, ["steps=True"]),
        (lambda: optim.Adam(0.1, epsilon=0), ValueError, ["epsilon=0", "1e-7"]),
        (lambda: optim.Adam(0.1, epsilon=1e-50), ValueError, ["epsilon=1e-50", "float32"]),
    ],
)  # fmt: skip
def test_what_does_not_belong_to_the_parameters_is_named(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    assert all(says(str(caught.value), word) for word in words), str(caught.value)


@pytest.mark.parametrize("epsilon", [1e-7, 1e-30, 1e-45])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_zero_gradient_gives_a_zero_step(dtype, epsilon):
    adam, params = optim.Adam(0.1, epsilon=epsilon), {"w": np.array([1.0, -2.0], dtype)}
    grads = {"w": np.zeros(2, dtype)}
    moved, state = adam.update(grads, adam.init(params), params)
    np.testing.assert_array_equal(moved["w"], params["w"])
    np.testing.assert_array_equal(state["square"]["w"], 0)


SIZES = [
    (np.float32, [3e30, -4e30, 1e29]),
    (np.float32, [2e38, 2e38, 2e38, 2e38, -3e38]),
    (np.float32, [3e-30, 4e-30]),
    (np.float32, [1e-42, 1e-44]),
    (np.float64, [3e200, 4e200, 1.0]),
    (np.float64, [1e-200, 2e-200]),
    (np.float64, [1.7e308, 1.7e308]),
    (np.float32, [0.0, 0.0]),
]


@pytest.mark.parametrize(("dtype", "values"), SIZES, ids=range(len(SIZES)))
def test_norms_of_any_size_are_right_and_clipped_steps_too(dtype, values):
    grads = {"a": np.array(values[:1], dtype), "b": [np.array(values[1:], dtype).reshape(1, -1)]}
    exact = [Fraction(float(g)) for g in [*grads["a"], *grads["b"][0][0]]]
    largest = max(map(abs, exact)) or 1  # by which all are divided, so that the root is one of a float near 1
    root = math.sqrt(sum((g / largest) ** 2 for g in exact))
    within = root * float(largest)
    assert optim.global_norm(grads) == pytest.approx(within, rel=1e-12)
    clipped = optim.clip_by_global_norm(grads, 0.0 if within < 1 else 0.5)
    for ours, g in zip(np.concatenate([clipped["a"], *clipped["b"][0]]), exact, strict=True):
        expected = 0.0 if within < 1 else 0.5 / root * float(g / largest)
        assert ours.dtype == dtype
        assert float(ours) == pytest.approx(expected, rel=1e-6, abs=0)


def test_a_gradient_beyond_float32_squares_moves_the_parameters_by_its_direction():
    sgd, start = optim.SGD(1.0, global_clipnorm=1.0), {"w": np.zeros(2, np.float32)}
    moved, _ = sgd.update({"w": np.array([3e25, -4e25], np.float32)}, sgd.init(start), start)
    np.testing.assert_allclose(moved["w"], [-0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradients_that_are_not_finite_clip_to_nan_everywhere(bad):
    grads = {"a": np.array([1.0, bad], np.float32), "b": np.array([2.0], np.float32)}
    assert not math.isfinite(optim.global_norm(grads))
    assert all(np.isnan(g).all() for g in trees.leaves(optim.clip_by_global_norm(grads, 1.0)))


def test_a_numpy_limit_keeps_float32():
    grads = trees.map_leaves(np.float32, GRADS[0])
    ours, expected = (optim.clip_by_global_norm(grads, limit) for limit in (np.float64(0.1), 0.1))
    for a, b in zip(trees.leaves(ours), trees.leaves(expected), strict=True):
        assert (a.dtype, a.tobytes()) == (np.dtype(np.float32), b.tobytes())


def test_an_optimizer_without_an_open_schedule_is_left_as_it_is():
    optimizer = optim.SGD(lambda step: 0.1)
    assert optim.over(optimizer, 10) is optimizer
