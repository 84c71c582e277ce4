"""What a study is told about its arms before it trains them."""

import numpy as np
import pytest

from minicnn import layers, models, trees, trunks
from minicnn.layers import initializers
from minicnn.study import checks
from minicnn.study.matching import match
from minicnn.study.same_function import same_function
from minicnn.study.structure import logits_layers

L = layers
SHAPE = (12, 12, 3)
GLOROT = initializers.glorot_uniform
TALL = (14, 10, 2)


def small(head, **more):
    return models.small_cnn(head, classes=4, **more)


def chain(*inside):
    return L.Sequential([L.Conv2D(6, 3, padding="same"), *inside])


def ends(*inside):
    return chain(L.ReLU(), *inside, L.Flatten(), L.Dense(4))


CONV = L.Conv2D(4, 1, kernel_initializer=GLOROT)
GAP, DENSE = L.GlobalAveragePooling2D(), L.Dense(4)
SAME = {
    "a net and itself": (small("max"), small("max")),
    "a 1x1 convolution before and behind the global average": (small("global-average"), small("global-average-conv")),
    "with the same initializer": (chain(GAP, DENSE), chain(CONV, GAP)),
    "a 1x1 convolution before and behind an average of windows": (
        chain(L.AveragePooling2D(2), CONV, L.Flatten(), DENSE),
        chain(CONV, L.AveragePooling2D(2), L.Flatten(), DENSE),
    ),
    "maximum before and behind a ReLU": (
        ends(L.MaxPooling2D(2)),
        chain(L.MaxPooling2D(2), L.ReLU(), L.Flatten(), DENSE),
    ),
    "global and a window over the map": (chain(GAP, DENSE), chain(L.AveragePooling2D(TALL[:2]), L.Flatten(), DENSE)),
    "dense and a convolution over the map": (chain(L.Flatten(), DENSE), chain(L.Conv2D(4, TALL[:2]), L.Flatten())),
}
DIFFERENT = {
    "maximum and average": (ends(L.MaxPooling2D(2)), ends(L.AveragePooling2D(2))),
    "global maximum and average": (small("global-max"), small("global-average")),
    "average with and without the padding counted": (
        ends(L.AveragePooling2D(3, padding=1)),
        ends(L.AveragePooling2D(3, padding=1, count_include_pad=True)),
    ),
    "average before and behind a ReLU": (
        ends(L.AveragePooling2D(2)),
        chain(L.AveragePooling2D(2), L.ReLU(), L.Flatten(), DENSE),
    ),
    "maximum with a 1x1 convolution before and behind it": (
        chain(L.GlobalMaxPooling2D(), DENSE),
        chain(L.Conv2D(4, 1), L.GlobalMaxPooling2D()),
    ),
    "with and without dropout": (ends(), ends(L.Dropout(0.5))),
    "other initial weights": (chain(GAP, DENSE), chain(GAP, L.Dense(4, kernel_initializer="he_normal"))),
    "other ties": (ends(L.MaxPooling2D(2)), ends(L.MaxPooling2D(2, ties="split"))),
    "other widths": (models.mlp((5,), 4), models.mlp((6,), 4)),
}


@pytest.mark.parametrize("name", SAME)
def test_one_function_under_two_names_is_found(name):
    one, two = SAME[name]
    assert same_function(one, two, TALL)
    assert same_function(two, one, TALL)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_functions_are_not_taken_for_one(name):
    one, two = DIFFERENT[name]
    assert not same_function(one, two, TALL)
    assert not same_function(two, one, TALL)


def test_nets_that_differ_clearly_need_no_kernels_for_float64(monkeypatch):
    """Their compilation would take as long as a quarter of the first study."""
    answers = same_function.__globals__["_answers"]
    monkeypatch.setitem(same_function.__globals__, "_answers", lambda *_: pytest.fail("in float64"))
    one, two = small("max"), small("average")
    assert not same_function(one, two, SHAPE)
    monkeypatch.setitem(same_function.__globals__, "_answers", answers)
    assert same_function(one, one, SHAPE)


def test_all_heads_but_the_declared_pair_are_different_functions():
    nets = {name: models.small_cnn(name, **trunks.covering(SHAPE), batch_norm=True) for name in models.HEADS}
    (found,) = checks.same_functions(nets, SHAPE)
    assert found.arms == ("global-average", "global-average-conv")
    assert found.refused
    assert "Arm(net, same_as='global-average')" in str(found)
    assert checks.same_functions(nets, SHAPE, same_as={"global-average-conv": "global-average"}) == ()


def test_all_trunks_are_different_functions():
    nets = {name: models.pooled_cnn(name, filters=(4, 4), stages=1, classes=4) for name in trunks.TRUNK_MAKERS}
    assert checks.same_functions(nets, SHAPE) == ()


def test_a_declaration_reaches_through_a_third_and_must_name_an_arm_and_be_found():
    nets = {"a": small("global-average"), "b": small("global-average"), "c": small("global-average-conv")}
    assert checks.same_functions(nets, SHAPE, same_as={"b": "a", "c": "b"}) == ()
    assert checks.same_functions(nets, SHAPE, same_as={"a": "b", "b": "a", "c": "a"}) == ()
    (wrong,) = checks.same_functions({"max": small("max"), "mlp": models.mlp((3,), 4)}, SHAPE, same_as={"mlp": "max"})
    assert not wrong.refused
    assert "which differ" in str(wrong)
    (unknown,) = checks.same_functions({"max": small("max")}, SHAPE, same_as={"max": "maxx"})
    assert unknown.refused
    assert "got 'maxx'. Did you mean 'max'?" in str(unknown)


@pytest.mark.parametrize("size", [(28, 28, 1), (12, 12, 3)])
@pytest.mark.parametrize("head", models.HEADS)
def test_the_covering_trunk_leaves_nothing_out_with_any_head(head, size):
    assert checks.unread({head: models.small_cnn(head, **trunks.covering(size))}, size) == ()


def test_a_pooling_that_leaves_out_a_part_of_its_map_is_found_and_can_be_declared():
    """The map is 7x7: 2x2 windows read 6x6 of it."""
    trunk = {"filters": (4, 4), "strides": (2, 2)}
    nets = {
        name: models.small_cnn(name, **trunk) for name in ("max", "flatten", "average", "global-max", "max-average")
    }
    found = checks.unread(nets, (28, 28, 1))
    assert [finding.arms for finding in found] == [("max",), ("average",), ("max-average",)]
    assert str(found[0]) == (
        "Study: arm 'max' must read its whole map, got 13 of 7x7 positions that head/max_pooling2d does not read. "
        'Use padding="same" there, or Arm(net, reads_all=False) if that is meant.'
    )
    assert [f.arms for f in checks.unread(nets, (28, 28, 1), partial={"max", "average"})] == [("max-average",)]
    same = L.Sequential([*nets["max"].trunk.layers, L.MaxPooling2D(2, padding="same"), L.Flatten(), L.Dense(10)])
    assert checks.unread({"same": same}, (28, 28, 1)) == ()


@pytest.mark.parametrize(
    ("layer", "unread"),
    [
        (L.AveragePooling2D(2), 0),
        (L.MaxPooling2D(3), 14 * 10 - 12 * 9),
        (L.MaxPooling2D(2, strides=3), 14 * 10 - 10 * 6),
        (L.LpPooling2D(3, strides=2), 14 * 10 - 13 * 9),
        (L.AdaptiveAveragePooling2D(3), 0),
        (L.BlurPooling2D(3), 0),
        (L.MaxPooling2D(2, dilation_rate=2, strides=4), 14 * 10 - 6 * 4),
    ],
)
def test_positions_that_are_not_read_are_counted(layer, unread):
    net = L.Sequential([L.Conv2D(2, 1), layer, L.GlobalAveragePooling2D(), L.Dense(4)])
    found = checks.unread({"arm": net}, TALL)
    assert [f"got {unread} of 14x10" in str(f) for f in found] == [True] * bool(unread)


def test_pixels_that_no_convolution_reads_are_found():
    strided = L.Sequential([L.Conv2D(2, 3, strides=2), L.Flatten(), L.Dense(4)])
    (found,) = checks.unread({"arm": strided}, SHAPE)
    assert f"image, got {144 - 121} of 12x12 pixels that no window reads" in str(found)
    assert checks.unread({"arm": L.Sequential([L.Cropping2D(1), L.Flatten(), L.Dense(4)])}, SHAPE)
    assert checks.unread({"mlp": models.mlp((3,), 4)}, SHAPE) == ()


def test_logits_layers_are_those_that_no_other_follows():
    two = L.Sequential([L.Conv2D(3, 1), L.Concat([L.Sequential([L.Flatten(), L.Dense(1)]), chain(GAP, L.Dense(3))])])
    assert logits_layers(two) == [L.Dense(1), L.Dense(3)]
    assert logits_layers(models.small_cnn("global-average-conv"))[0].filters == 10
    assert logits_layers(L.Flatten()) == []


def test_logits_layers_that_begin_differently_are_found():
    he = chain(GAP, L.Dense(4, kernel_initializer="he_normal"))
    nets = {"glorot": chain(GAP, DENSE), "conv": chain(CONV, GAP), "mlp": models.mlp((3,), 4)}
    assert checks.initializers(nets) == ()
    (found,) = checks.initializers({**nets, "he": he})
    assert found.refused
    assert "glorot_uniform and zeros in 'glorot', 'conv', 'mlp'; he_normal and zeros in 'he'" in str(found)


def test_all_heads_begin_in_the_same_way():
    nets = {name: models.small_cnn(name) for name in models.HEADS}
    assert checks.initializers(nets) == ()
    kinds = {repr(layer.kernel_initializer) for net in nets.values() for layer in logits_layers(net)}
    assert kinds == {"glorot_uniform"}


def test_unequal_sizes_are_a_warning_unless_matched():
    nets = {"max": small("max"), "average": small("average"), "flatten": small("flatten")}
    (found,) = checks.unequal_sizes(nets, SHAPE, control="max")
    assert found.arms == ("flatten", "max")
    assert not found.refused
    here, there = (checks.sizes(nets, SHAPE)[name].parameters for name in ("flatten", "max"))
    assert f"'flatten' {here:,} parameters ({here / there - 1:+.0%})" in str(found)
    matched = match(nets["flatten"], to=nets["max"], input_shape=SHAPE)
    assert checks.unequal_sizes({**nets, "flatten": matched}, SHAPE, control="max")  # multiply-adds differ now
    assert checks.unequal_sizes({**nets, "flatten": matched}, SHAPE, control="max", twins={"flatten": "max"}) == ()
    wide = {**nets, "twin": match(nets["max"], to=nets["flatten"], input_shape=SHAPE)}
    assert checks.unequal_sizes(wide, SHAPE, control="max", twins={"twin": "flatten"}) == ()


def test_sizes_are_those_of_the_arrays():
    net = small("max", batch_norm=True)
    leaves = trees.items(net.init(np.random.default_rng(0), SHAPE))
    counted = sum(leaf.size for path, leaf in leaves if "moving" not in path)
    assert checks.sizes({"net": net}, SHAPE)["net"].parameters == counted


def test_arms_that_do_not_fit_the_data_are_found_and_not_looked_at_further():
    nets = {"five": models.small_cnn("max", classes=5), "deep": small("max", strides=(8, 8, 1)), "good": small("max")}
    found = checks.check(nets, SHAPE, 4)
    assert [(f.kind, f.arms, f.refused) for f in found] == [("fit", ("five",), True), ("fit", ("deep",), True)]
    assert "one logit for each of 4 classes, got shape (5,)" in str(found[0])
    assert "max_pooling2d" in str(found[1])
    assert checks.check({"five": nets["five"]}, SHAPE, 4)[0].kind == "fit"


def test_what_is_refused_is_raised_at_once_and_warnings_are_not():
    nets = {"max": small("max"), "again": small("max"), "flatten": small("flatten")}
    found = checks.check(nets, SHAPE, 4, control="max")
    assert {f.kind for f in found} == {"function", "size"}
    with pytest.raises(ValueError, match=r"^Study: arms must pass the checks before training") as caught:
        checks.refuse(found)
    assert str(caught.value).count("\n") == 1
    assert "'max' and 'again'" in str(caught.value)
    checks.refuse(checks.check(nets, SHAPE, 4, same_as={"again": "max"}))
