"""The claims of the lesson: rules of verdicts, counted numbers against arithmetic by hand, and small runs."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.claims import __main__ as command
from experiments.claims import judges, measures, nets, report, speed
from experiments.claims.claim import Effect, _effect, combined, counted, incomplete, judgement, ratio, word
from experiments.claims.lesson import CLAIMS
from minicnn import data, ops, optim
from minicnn.layers import AveragePooling2D, MaxPooling2D
from minicnn.study.opening import open_results
from minicnn.study.spec import Recipe
from minicnn.study.statistics import Interval, compare

DIGITS = nets.SETTINGS["digits"]


class Few(nets.Framed):
    """The first images of each part of digits: a class of its own, so that studies may tell it from digits."""

    def __call__(self, seed):
        whole = super().__call__(seed)
        return replace(whole, train=whole.train[:280], valid=whole.valid[:40], test=whole.test[:80])


TINY = replace(
    DIGITS,
    source=Few("digits"),
    recipe=Recipe(optim.Adam(1e-2), epochs=1),
    replicates=nets.Resplits(3),
    filters=(3, 4),
    within=0.1,
    tune=None,
    rounds=2,
)


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["supported", "supported"], "supported"),
        (["contradicted", "contradicted"], "contradicted"),
        (["supported", "contradicted"], "depends"),
        (["supported", "contradicted", "undecided"], "depends"),
        (["supported", "undecided"], "undecided"),
        (["contradicted", "undecided"], "undecided"),
        ([], "undecided"),
    ],
)
def test_the_verdict_of_a_claim_follows_from_those_of_its_effects(words, whole):
    assert combined(words) == whole


def test_a_difference_that_does_not_matter_contradicts_a_claim_of_more_and_supports_one_of_no_less():
    assert [word(w) for w in ("better", "worse", "equivalent", "undecided")] == [
        "supported", "contradicted", "contradicted", "undecided",
    ]  # fmt: skip
    assert [word(w, judges.SAYS_NO_LESS) for w in ("better", "worse", "equivalent", "undecided")] == [
        "supported", "contradicted", "supported", "undecided",
    ]  # fmt: skip


def contrast(arm, control):
    values = {"a": dict(enumerate(arm)), "b": dict(enumerate(control))}
    return compare(values, "b", rope=0.01).contrasts[0]


def test_a_claim_of_less_turns_the_effect_and_its_verdict():
    found = contrast([0.5, 0.52, 0.51, 0.5], [0.9, 0.9, 0.91, 0.92])
    assert found.verdict == "worse"
    plain = _effect(found, 1.0, "{arm} - {control}", less=False, supporting={"better"})
    turned = _effect(found, 1.0, "{arm} - {control}", less=True, supporting={"better"})
    assert (plain.what, plain.verdict, turned.what, turned.verdict) == ("a - b", "contradicted", "b - a", "supported")
    assert plain.mean == pytest.approx(-40)
    assert (turned.mean, turned.low, turned.high) == (-plain.mean, -plain.high, -plain.low)
    assert turned.low < turned.mean < turned.high


def test_an_undecided_effect_says_why():
    found = contrast([0.5, 0.6, 0.7], [0.6, 0.5, 0.7])
    effect = _effect(found, 1.0, "{arm}", less=False, supporting={"better"})
    assert effect.verdict == "undecided"
    assert effect.note == found.why != ""


def test_ratios_are_judged_by_their_logarithms():
    interval = Interval(math.log(2), math.log(1.5), math.log(2.5), 9)
    effect = ratio("time", interval, 1.05)
    assert (effect.mean, effect.low, effect.high) == pytest.approx((2, 1.5, 2.5))
    assert effect.verdict == "supported"
    assert ratio("time", Interval(0.0, -0.01, 0.01, 9), 1.05).verdict == "contradicted"
    assert ratio("time", Interval(0.1, -0.1, 0.3, 9), 1.05).verdict == "undecided"


def test_parameters_are_counted():
    found = judges.judge_parameters(DIGITS)
    # by hand: a 3x3 kernel and a bias for 16 filters; 144 pixels to 144 * 16; 784 to 128 to 10
    plain = 101_770
    # layer by layer; keras_mnist is the 34,826 of its documentation, small_cnn as below
    lenet = 156 + 2416 + 48_120 + 10_164 + 850
    assert [e.mean for e in found.effects] == pytest.approx(
        [160 / 334_080, 34_826 / plain, lenet / plain, 29_738 / plain]
    )
    assert found.verdict == "contradicted"
    assert "12,730" in found.sentence  # 784*16 + 16 + 16*10 + 10: the other side of the coin


def test_multiply_adds_are_counted_and_times_are_used_as_measured(monkeypatch):
    interval = Interval(math.log(3), math.log(2.9), math.log(3.1), 5)
    monkeypatch.setattr(speed, "compared", lambda *_: {"training": interval, "prediction": interval})
    found = judges.judge_cost(DIGITS)
    # 5x5 convolutions of 1 -> 16 channels on 12x12 and 16 -> 32 on 6x6, or on 12x12 without pooling; 32 x 10 logits
    pooled = 144 * 25 * 16 + 36 * 25 * 16 * 32 + 320
    full = 144 * 25 * 16 + 144 * 25 * 16 * 32 + 320
    assert found.effects[0].mean == pytest.approx(full / pooled)
    assert [e.mean for e in found.effects[1:]] == pytest.approx([3, 3])
    assert found.verdict == "supported"


def test_ratios_of_times_are_those_of_the_clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(speed.time, "process_time", lambda: now[0])
    drift = iter(range(1, 1000))  # the machine becomes slower and slower

    def passing(seconds):
        now[0] += seconds * (1 + 0.001 * next(drift))

    found = speed.log_ratios(lambda: passing(3.0), lambda: passing(1.0), rounds=6)
    assert math.exp(found.mean) == pytest.approx(3, rel=0.002)
    assert found.n == 6


@pytest.mark.parametrize(("pool", "kept"), [(AveragePooling2D(2), 0.75), (MaxPooling2D(2), 0.0)])
def test_a_background_arrives_in_windows_with_a_stroke_by_its_share_of_pixels(pool, kept):
    images = np.zeros((1, 4, 4, 1), np.float32)
    images[0, 0, 0] = 1  # one window has one bright pixel, the other three have none and do not count
    assert measures.background_kept(pool, images, 0.2) == pytest.approx([kept], abs=1e-6)
    assert measures.background_kept(pool, np.zeros_like(images), 0.2) == pytest.approx([0])


@pytest.mark.parametrize(("pool", "kept"), [(AveragePooling2D(2), 0.5), (MaxPooling2D(2), 0.7012)])
def test_noise_on_an_empty_image_is_kept_as_its_order_statistics_say(pool, kept):
    # the standard deviation of the mean and of the maximum of four standard normal numbers
    empty = np.zeros((1, 400, 400, 1), np.float32)
    assert measures.noise_kept(pool, empty, 0.2) == pytest.approx([kept], rel=0.01)


def test_peaks_are_shares_over_active_channels():
    maps = np.zeros((2, 2, 2, 2), np.float32)
    maps[0, 0, 0] = (4, 0)
    pooled = maps.mean(axis=(1, 2), keepdims=True)
    assert measures.peak_kept(pooled, maps).tolist() == [0.25, 1.0]


def test_the_first_maps_are_those_of_the_nets_own_convolution():
    net = DIGITS.pooled("max2")
    params = net.init(np.random.default_rng(0), (12, 12, 1))
    images = np.random.default_rng(1).random((3, 12, 12, 1), np.float32)
    first = params["trunk"]["conv2d"]
    wanted = np.maximum(ops.conv2d(images, first["kernel"], first["bias"], padding="same"), 0)
    np.testing.assert_allclose(measures.first_maps(net, params, images), wanted, atol=1e-6)


def test_a_bright_background_leaves_strokes_as_they_are():
    images = np.array([0.0, 0.1, 0.9], np.float32).reshape(1, 1, 3, 1)
    (changed,) = measures.BrightBackground().versions(images, 0.2, np.random.default_rng(0))
    assert changed.ravel() == pytest.approx([0.2, 0.2, 0.9])
    assert changed.dtype == np.float32


@pytest.mark.parametrize("down", [-1, 0, 1])
@pytest.mark.parametrize("across", [-1, 0, 1])
def test_moved_images_touch_the_border_and_lose_nothing(down, across):
    images = nets.Framed("digits")(0).test.images[:20]
    moved = measures.moved_to(images, down, across)
    for before, after in zip(images, moved, strict=True):
        for axis, to in ((0, down), (1, across)):
            here, there = (np.flatnonzero(image.any(axis=(1 - axis, 2))) for image in (before, after))
            assert there[-1] - there[0] == here[-1] - here[0]
            room = there[0], 11 - there[-1]
            assert {-1: room[0] == 0, 0: 0 <= room[1] - room[0] <= 1, 1: room[1] == 0}[to]
        assert np.sort(before, axis=None).tolist() == np.sort(after, axis=None).tolist()


def test_the_first_claim_compares_nets_of_one_learning_rate():
    study = CLAIMS[0].study(DIGITS)
    assert study.controls() == {"max (0.01)": "average (0.01)", "max (0.03)": "average (0.03)"}
    assert study.tune is None
    for name, arm in study.arms.items():
        assert arm.recipe.optimizer.learning_rate.peak == arm.factors["rate"]
        assert f"{arm.factors['rate']:g}" in name


def test_the_nets_of_the_cost_claim_differ_in_their_poolings_alone():
    pooled = DIGITS.pooled("max2", "global-average")
    kinds = [type(layer).__name__ for layer in nets.without_pooling(pooled).trunk.layers]
    assert kinds == ["Conv2D", "ReLU", "Conv2D", "ReLU"]
    with pytest.raises(TypeError, match="without_pooling: net must be"):
        nets.without_pooling(pooled.trunk)


@pytest.mark.parametrize("setting", nets.SETTINGS.values(), ids=nets.SETTINGS)
def test_every_study_passes_its_checks(setting, monkeypatch):
    """For MNIST without its files: images of its shape, with the margin that it has in the frame."""
    if setting.source.name == "mnist":
        rng = np.random.default_rng(0)
        images = np.zeros((400, 28, 28, 1), np.float32)
        images[:, 4:24, 4:24] = rng.random((400, 20, 20, 1))
        made = data.from_arrays(images, np.arange(400) % 10)
        monkeypatch.setattr(nets.data, "load", lambda name, seed: made)
    for claim in CLAIMS:
        if claim.study:
            claim.study(setting).check()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    out = tmp_path_factory.mktemp("claims")
    judged = {claim: command.judge(claim, TINY, out) for claim in CLAIMS}
    return out, judged


def test_every_claim_is_judged_by_a_run(ran):
    _, judged = ran
    assert [claim.number for claim in judged] == list(range(1, 9))
    for found in judged.values():
        assert found.effects
        assert found.verdict == combined([effect.verdict for effect in found.effects])
        for effect in found.effects:
            assert math.isnan(effect.low) or effect.low <= effect.mean <= effect.high
            assert "{" not in effect.what


def test_the_second_run_reads_the_ledger(ran, monkeypatch):
    out, judged = ran
    monkeypatch.setattr("minicnn.study.trial.train.fit", lambda *_, **__: pytest.fail("a trial was trained again"))
    for claim in (CLAIMS[0], CLAIMS[3]):
        assert repr(command.judge(claim, TINY, out)) == repr(judged[claim])  # as NaN equals nothing


def test_a_claim_whose_study_is_not_complete_is_undecided(ran):
    out, _ = ran
    results = open_results(out / "strides")
    found = incomplete(CLAIMS[3], replace(results, trials=results.trials[:-1], missing=1))
    assert (found.verdict, found.effects) == ("undecided", ())
    assert "8 of 9 trials" in found.sentence


def test_what_is_written(ran, tmp_path):
    _, judged = ran
    text = command.write(judged, "digits", TINY, tmp_path)
    assert all(claim.lesson in text for claim in CLAIMS)
    assert "No module" not in text
    rows = list(csv.DictReader((tmp_path / "claims.csv").read_text().splitlines()))
    assert len(rows) == sum(len(found.effects) for found in judged.values())
    assert {row["claim"] for row in rows} == {str(n) for n in range(1, 9)}
    pages = (tmp_path / "claims.md").read_text()
    assert all(f"## {claim.number}. {claim.lesson}" in pages for claim in CLAIMS)
    assert (tmp_path / "claims.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_takes_one_effect_and_effects_without_interval():
    bare = Effect("e", 0.4, math.nan, math.nan, 0.5, "points", "undecided", "why")
    for effect in (bare, counted("c", 3, 2)):
        report.picture({CLAIMS[0]: judgement([effect], "s")}, "t")
    with pytest.raises(ValueError, match="at least one effect"):
        report.picture({CLAIMS[0]: judgement([], "s")}, "t")
    assert report.amount(bare) == "+0.40 [no interval] points"


@pytest.mark.parametrize("words", [["--claims", "9"], ["--claims", ""], ["--jobs", "0"]])
def test_bad_options_end_with_status_2_before_anything_is_trained(words, tmp_path, capsys):
    assert command.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "claims: " in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.sqlite"))


def test_a_dry_run_trains_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(nets.SETTINGS, "digits", TINY)
    assert command.main(["--dry-run", "--claims", "2,4", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "9 trials, of which 0 are in the ledger" in printed
    assert not (tmp_path / "out").exists()


def test_the_command_runs_chosen_claims(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(nets.SETTINGS, "digits", TINY)
    assert command.main(["--claims", "8", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (
        "8  A CNN has more trainable numbers than a plain net.\n   CONTRADICTED (4 of 4 effects contradicted)"
        in printed
    )


def test_a_small_share_is_written_as_one_over_a_number():
    assert report.amount(counted("c", 160, 334_080)) == "x1/2,088"
    assert report.amount(counted("c", 3, 2)) == "x1.5"
