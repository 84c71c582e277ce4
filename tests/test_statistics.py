"""The statistics of a study against simulation, hand-written formulas and other implementations."""

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from experiments import familywise_error
from minicnn.study.statistics import (
    Interval,
    all_pairs,
    compare,
    correlated_t,
    critical_value,
    factor_effects,
    maxt,
    mean_interval,
    new_images,
    power,
    replicates_needed,
    sign_flip_p,
    simultaneous,
    smallest_difference,
    trend_p,
)
from minicnn.study.statistics.contrast import single_level
from minicnn.study.statistics.intervals import standard_error

RESULTS = Path(__file__).parents[1] / "experiments/results/pooling_heads-fashion-mnist/results.csv"


def normal_values(n, arms=3, seed=0, sd=1.0):
    rng = np.random.default_rng(seed)
    return {f"arm {i}": dict(enumerate(rng.normal(i, sd, n))) for i in range(arms)}


def by_arm(comparison):
    return {contrast.arm: contrast for contrast in comparison.contrasts}


@pytest.fixture(scope="module")
def fashion():
    """Test accuracies in percent: arm -> seed -> accuracy."""
    values = {}
    with RESULTS.open() as file:
        for row in csv.DictReader(file):
            values.setdefault(row["arm"], {})[int(row["seed"])] = 100 * float(row["test_accuracy"])
    return values


@pytest.fixture(scope="module")
def fashion_heads(fashion):
    return compare(fashion, "max", rope=0.1)


# --- Fashion-MNIST, five seeds: recomputed with pandas, SciPy and statsmodels by others

# intervals with Bonferroni's critical value, and with 4.10, to two decimals
PUBLISHED = {
    "flatten": ((-0.01, 1.00), (0.09, 0.90)),
    "global-max": ((-1.13, -0.07), (-1.03, -0.17)),
    "global-max-average": (None, (-1.12, 0.09)),
}


def ends(contrast, critical):
    half = critical * contrast.sd / math.sqrt(contrast.n)
    return contrast.mean - half, contrast.mean + half


@pytest.mark.parametrize("arm", PUBLISHED)
def test_means_and_spreads_give_the_published_intervals(fashion_heads, arm):
    contrast = by_arm(fashion_heads)[arm]
    bonferroni, multivariate = PUBLISHED[arm]
    assert ends(contrast, 4.10) == pytest.approx(multivariate, abs=0.0051)
    if bonferroni:
        assert ends(contrast, stats.t.ppf(1 - 0.05 / 14, 4)) == pytest.approx(bonferroni, abs=0.0051)


def test_the_published_critical_value_is_the_multivariate_t_s_and_is_too_small(fashion_heads):
    correlation = np.corrcoef([list(c.differences.values()) for c in fashion_heads.contrasts])
    # seven contrasts of five seeds: SciPy's cdf needs a matrix that is not singular
    published = stats.multivariate_t(shape=correlation + 1e-6 * np.eye(7), df=4)
    inside = published.cdf(np.full(7, 4.10), lower_limit=np.full(7, -4.10), random_state=0)
    assert inside == pytest.approx(0.95, abs=0.002)
    assert 4.6 < fashion_heads.critical <= stats.t.ppf(1 - 0.05 / 14, 4)


def test_verdicts_follow_from_the_interval_and_the_region_alone(fashion_heads):
    verdicts = {arm: contrast.verdict for arm, contrast in by_arm(fashion_heads).items()}
    assert [arm for arm, word in verdicts.items() if word == "worse"] == [
        "global-average",
        "global-average-conv",
        "mlp",
    ]
    assert set(verdicts.values()) == {"worse", "undecided"}
    for contrast in fashion_heads.contrasts:
        assert (contrast.low, contrast.high) == pytest.approx(ends(contrast, fashion_heads.critical))
        assert (contrast.verdict == "worse") == (contrast.high < -0.1)
        assert bool(contrast.why) == (contrast.verdict == "undecided")


@pytest.mark.parametrize(
    ("arms", "n", "critical"),
    [(1, 6, 2.23), (2, 5, 2.50), (4, 3, 2.89), (4, 5, 2.65), (9, 3, 2.95)],
)
def test_dunnett_s_critical_values_are_those_of_his_table(arms, n, critical):
    # Dunnett, "New tables for multiple comparisons with a control", 1964, two-sided, 5 %; degrees (arms + 1) (n - 1)
    values = normal_values(n, arms=arms + 1)
    samples = np.array([list(of.values()) for of in values.values()])
    error = math.sqrt(samples.var(axis=1, ddof=1).mean() * 2 / n)
    for contrast in compare(values, "arm 0", rope=0.1).contrasts:
        assert contrast.pooled[1] - contrast.mean == pytest.approx(critical * error, abs=0.006 * error)


def test_dunnett_s_intervals_are_the_published_ones(fashion_heads):
    found = by_arm(fashion_heads)
    assert found["flatten"].pooled == pytest.approx((0.17, 0.82), abs=0.0051)
    assert found["global-max-average"].pooled == pytest.approx((-0.84, -0.19), abs=0.0051)


def test_holm_on_tests_against_the_edge_gives_the_published_p_values(fashion_heads):
    found = by_arm(fashion_heads)
    t = {arm: (abs(c.mean) - 0.1) / c.sd * math.sqrt(c.n) for arm, c in found.items()}
    _, holm, *_ = multipletests([2 * stats.t.sf(x, 4) for x in t.values()], method="holm")
    adjusted = dict(zip(t, holm, strict=True))
    published = {"flatten": 0.0496, "average": 0.14, "global-max": 0.035, "global-max-average": 0.099}
    assert {arm: adjusted[arm] for arm in published} == pytest.approx(published, rel=0.03)


def test_the_smallest_sign_flip_p_of_five_seeds_is_a_sixteenth(fashion_heads):
    assert min(contrast.sign_flip_p for contrast in fashion_heads.contrasts) == 0.0625


# --- the critical value


@pytest.mark.parametrize("n", [3, 5, 10])
def test_independent_contrasts_have_sidak_s_critical_value(n):
    found = np.quantile(maxt._largest_t(np.eye(7), n), 0.95)
    # the draws leave an error of 0.15 percentage points in the level: three of them
    low, high = (stats.t.ppf((1 + level ** (1 / 7)) / 2, n - 1) for level in (0.9455, 0.9545))
    assert low < found < high


def test_equal_contrasts_have_student_s_critical_value():
    found = np.quantile(maxt._largest_t(np.ones((7, 7)), 5), 0.95)
    assert stats.t.ppf(0.97275, 4) < found < stats.t.ppf(0.97725, 4)


def test_a_shared_control_has_the_critical_value_of_a_simulation_of_arms():
    rng = np.random.default_rng(1)
    arms = rng.normal(size=(40_000, 6, 5))
    differences = arms[:, :, 1:] - arms[:, :, :1]
    t = differences.mean(axis=1) / differences.std(axis=1, ddof=1) * math.sqrt(6)
    peaks = maxt._largest_t(np.full((4, 4), 0.5) + np.eye(4) / 2, 6)
    assert np.quantile(peaks, 0.95) == pytest.approx(np.quantile(np.abs(t).max(axis=1), 0.95), rel=0.03)


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("contrasts", [1, 2, 9])
def test_the_critical_value_lies_between_student_s_and_bonferroni_s(n, contrasts):
    found = critical_value(np.random.default_rng(n).normal(size=(n, contrasts)))
    assert stats.t.ppf(0.975, n - 1) <= found * (1 + 1e-12)
    assert found <= stats.t.ppf(1 - 0.025 / contrasts, n - 1) * (1 + 1e-12)


def test_contrasts_that_vary_together_get_narrower_intervals():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 6))
    together = rng.normal(size=(20, 1)) + 0.05 * noise
    assert critical_value(together) < critical_value(noise) - 0.3
    assert critical_value(together) == pytest.approx(stats.t.ppf(0.975, 19), rel=0.25)


def test_the_same_data_give_the_same_intervals():
    values = normal_values(6)
    again = {arm: dict(reversed(replicates.items())) for arm, replicates in values.items()}
    assert compare(values, "arm 0", rope=0.1) == compare(again, "arm 0", rope=0.1)


@pytest.mark.parametrize(("n", "shared"), [(5, 0.0), (10, 0.25)])
def test_the_familywise_error_at_the_edge_is_at_most_six_percent(monkeypatch, n, shared):
    monkeypatch.setattr(maxt, "DRAWS", 2000)
    count = familywise_error.false_verdicts(familywise_error.Case("seeds", n, shared=shared), studies=200)
    # 5 % with a standard error of 1.5; experiments/familywise_error.py has the figures of more studies
    assert count["region 0.1"] <= count["any region"] <= 0.06 * 200 + 4
    assert count["any region"] > 0.02 * 200


def test_the_experiment_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(maxt, "DRAWS", 500)
    assert familywise_error.main(["--studies", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(familywise_error.CASES)
    assert len({line.count("|") for line in lines[1:]}) == 1


# --- contrasts


def test_one_contrast_has_student_s_interval():
    values = normal_values(7, arms=2)
    (contrast,) = compare(values, "arm 0", rope=0.1).contrasts
    expected = stats.ttest_rel(list(values["arm 1"].values()), list(values["arm 0"].values()))
    assert (contrast.low, contrast.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_each_arm_may_have_a_control_of_its_own():
    values = normal_values(6, arms=4)
    found = compare(values, {"arm 1": "arm 0", "arm 3": "arm 2"}, rope=0.1)
    assert [(c.arm, c.control) for c in found.contrasts] == [("arm 1", "arm 0"), ("arm 3", "arm 2")]
    assert found.contrasts[1].differences == {r: values["arm 3"][r] - values["arm 2"][r] for r in range(6)}
    # two controls: each has half of the error
    expected = stats.dunnett(
        list(values["arm 3"].values()), control=list(values["arm 2"].values()), random_state=0
    ).confidence_interval(0.975)
    assert found.contrasts[1].pooled == pytest.approx((expected.low[0], expected.high[0]), rel=1e-3)


def test_missing_replicates_leave_common_ones_and_bonferroni_s_intervals():
    values = normal_values(6)
    del values["arm 2"][5], values["arm 2"][1]
    found = compare(values, "arm 0", rope=0.1)
    assert (found.rule, found.n, found.degrees) == ("Bonferroni", 4, 3)
    assert [contrast.n for contrast in found.contrasts] == [6, 4]
    for contrast in found.contrasts:
        assert contrast.differences.keys() == values[contrast.arm].keys()
        assert (contrast.low, contrast.high) == pytest.approx(ends(contrast, stats.t.ppf(0.9875, contrast.n - 1)))
    assert found.critical == pytest.approx(stats.t.ppf(0.9875, 3))


def test_an_arm_without_a_common_replicate_is_undecided_and_counted():
    values = normal_values(4) | {"late": {9: 1.0}, "empty": {}, "one": {0: 5.0}}
    found = compare(values, "arm 0", rope=0.1)
    last = found.contrasts[-3:]
    assert [(c.arm, c.n, c.verdict, c.needed) for c in last] == [
        ("late", 0, "undecided", None),
        ("empty", 0, "undecided", None),
        ("one", 1, "undecided", None),
    ]
    assert [c.why.split()[0] for c in last] == ["Arm", "Arm", "One"]
    assert found.critical == pytest.approx(stats.t.ppf(1 - 0.025 / 5, 3))


@pytest.mark.parametrize("shake", [0.0, 1e-12])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_equal_differences_never_make_certainty(n, shake):
    control = dict(enumerate(np.random.default_rng(0).normal(size=n)))
    values = {"control": control, "other": {r: x + r % 2 for r, x in control.items()}}
    values["equal"] = {r: x + 50 + shake * r for r, x in control.items()}
    contrast = by_arm(compare(values, "control", rope=0.1))["equal"]
    assert contrast.verdict == "undecided"
    assert contrast.mean == pytest.approx(50)
    assert math.isnan(contrast.low)
    assert math.isnan(contrast.high)
    assert contrast.needed is None
    assert "resolution" in contrast.why
    assert contrast.sign_flip_p >= 2 / 2**n


def test_differences_below_one_test_image_have_no_interval():
    control = {0: 0.90, 1: 0.91, 2: 0.90}
    nearly = {0: 0.95, 1: 0.96, 2: 0.9501}  # standard deviation 0.00006
    values = {"control": control, "arm": nearly}
    assert compare(values, "control", rope=0.005).contrasts[0].verdict == "better"
    assert compare(values, "control", rope=0.005, resolution=1e-4).contrasts[0].verdict == "undecided"


def test_two_replicates_are_undecided_however_far_apart():
    (contrast,) = compare({"a": {0: 0.0, 1: 0.01}, "b": {0: 9.0, 1: 9.0}}, "a", rope=0.1).contrasts
    assert contrast.low > 0.1
    assert contrast.verdict == "undecided"
    assert contrast.needed == 3


def test_a_lower_loss_is_better():
    values = {"a": {0: 0.5, 1: 0.6, 2: 0.55}, "b": {0: 0.1, 1: 0.21, 2: 0.15}}
    higher, lower = (compare(values, "a", rope=0.01, lower_is_better=flag).contrasts[0] for flag in (False, True))
    assert (higher.verdict, lower.verdict) == ("worse", "better")
    assert (higher.low, higher.high, higher.mean) == (lower.low, lower.high, lower.mean)
    assert (higher.better_share.mean, lower.better_share.mean) == (0, 1)


def test_equivalent_lies_inside_the_region():
    values = normal_values(12, arms=2)
    values["arm 1"] = {r: x + 0.01 * (-1) ** r for r, x in values["arm 0"].items()}
    assert compare(values, "arm 0", rope=0.1).contrasts[0].verdict == "equivalent"
    assert compare(values, "arm 0", rope=0.005).contrasts[0].verdict == "undecided"


def test_correlated_replicates_widen_the_interval_and_have_no_pooled_one():
    values = normal_values(8)
    plain, wider = (
        compare(values, "arm 0", rope=0.1, factor=factor) for factor in (lambda n: 1 / n, lambda n: 1 / n + 0.25)
    )
    for a, b in zip(plain.contrasts, wider.contrasts, strict=True):
        assert (b.high - b.low) / (a.high - a.low) == pytest.approx(math.sqrt((1 / 8 + 0.25) * 8))
        assert all(map(math.isfinite, a.pooled))
        assert all(map(math.isnan, b.pooled))


def test_p_a_above_b_has_wilson_s_interval():
    values = {
        "a": {r: 0.5 + r / 10_000 for r in range(10)},
        "b": {r: 0.4 + 0.1 * min(r, 2) + r / 1000 for r in range(10)},
    }
    share = compare(values, "a", rope=0.0).contrasts[0].better_share
    # 0.4, 0.501, 0.602 ...: nine of ten; z = 1.959964
    z, p, n = 1.959964, 0.9, 10
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (share.mean, share.n) == (0.9, 10)
    assert (share.low, share.high) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_all_pairs_hold_together_and_have_tukey_s_intervals():
    values = normal_values(6, arms=4)
    found = all_pairs(values, rope=0.1)
    assert len(found.contrasts) == 6
    assert found.critical > compare(values, "arm 0", rope=0.1).critical
    # half width of Tukey's interval: q(0.95; 4, 20) / sqrt(2) standard errors of a difference, q = 3.958293
    samples = np.array([list(of.values()) for of in values.values()])
    half = 3.958293 / math.sqrt(2) * math.sqrt(samples.var(axis=1, ddof=1).mean() * 2 / 6)
    contrast = found.contrasts[0]
    assert contrast.pooled == pytest.approx((contrast.mean - half, contrast.mean + half), abs=1e-3)


def test_the_confidence_of_one_interval_is_that_of_its_critical_value():
    found = compare(normal_values(6, arms=5), "arm 0", rope=0.1)
    contrast = found.contrasts[0]
    alone = mean_interval(list(contrast.differences.values()), confidence=found.single_confidence)
    assert (alone.low, alone.high) == pytest.approx((contrast.low, contrast.high))


VALUES = {"a": {0: 0.1, 1: 0.2}, "b": {0: 0.3, 1: 0.2}}
WRONG = {
    "an unknown control": (lambda: compare(VALUES, "A", rope=0.1), "control must be a, b, got 'A'"),
    "an unknown control of one arm": (lambda: compare(VALUES, {"a": "c"}, rope=0.1), "got 'c'"),
    "an unknown arm": (lambda: compare(VALUES, {"c": "a"}, rope=0.1), "got 'c'"),
    "itself as control": (lambda: compare(VALUES, {"a": "a"}, rope=0.1), "another arm, got 'a'"),
    "a control alone": (lambda: compare({"a": {0: 1.0}}, "a", rope=0.1), "another arm, got 'a'"),
    "no pairs": (lambda: all_pairs({"a": {0: 1.0}}, rope=0.1), "arms to compare, got 1"),
    "nothing": (lambda: compare({}, {}, rope=0.1), "arms to compare, got 0"),
    "a negative region": (lambda: compare(VALUES, "a", rope=-0.1), "rope must be"),
    "NaN": (lambda: compare(VALUES | {"b": {0: math.nan, 1: 1.0}}, "a", rope=0.1), "value of b in replicate 0 must"),
    "a confidence in percent": (lambda: compare(VALUES, "a", rope=0.1, confidence=95), "between 0 and 1, got 95"),
    "a factor below 1/n": (lambda: compare(VALUES, "a", rope=0.1, factor=lambda n: 0.1), r"factor\(2\) must be"),
    "images of other shapes": (lambda: new_images(np.ones((2, 3)), np.ones((2, 4))), r"got \(2, 3\) and \(2, 4\)"),
    "images with NaN": (lambda: new_images(np.full((2, 3), np.nan), np.ones((2, 3))), "must be finite"),
    "one seed": (lambda: new_images(np.ones((1, 3)), np.ones((1, 3))), "both at least 2"),
    "a standard deviation of 0": (lambda: power(0.1, 0.0, 5), "sd must be"),
    "a trend of two arms": (lambda: trend_p(VALUES), "3 or more arms"),
    "pairs that are missing": (
        lambda: factor_effects({(t, h): {0: 1.0, 1: 2.0} for t, h in ("ax", "ay", "bx", "cx")}),
        "4 pairs of 3 and 2",
    ),
    "no values": (lambda: mean_interval([]), "mean_interval: values must be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_says_what_would_fit(case):
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_factor_that_is_a_number_is_refused():
    with pytest.raises(TypeError, match=r"factor must be a function of n, got 0\.2"):
        compare(VALUES, "a", rope=0.1, factor=0.2)


# --- sign flips


def sign_flip_by_loops(differences):
    n = len(differences)

    def t(signs):
        flipped = differences * np.array(signs)[:, None]
        return np.abs(flipped.mean(axis=0) / flipped.std(axis=0, ddof=1)) * math.sqrt(n)

    observed = t([1] * n)
    peaks = [t(signs).max() for signs in itertools.product((1, -1), repeat=n)]
    return [np.mean([peak >= x - 1e-9 for peak in peaks]) for x in observed]


@pytest.mark.parametrize("n", [3, 5, 7])
def test_sign_flips_are_those_of_loops(n):
    differences = np.random.default_rng(n).normal([0, 1, 0.5], 1, (n, 3))
    assert sign_flip_p(differences).tolist() == sign_flip_by_loops(differences)


def test_the_smallest_sign_flip_p_agrees_with_scipy():
    differences = np.random.default_rng(0).normal([0, 0.7], 1, (8, 2))

    def largest_t(x, axis):
        return np.abs(x.mean(axis) / x.std(axis, ddof=1)).max(axis=-1)

    found = stats.permutation_test(
        (differences.T,), largest_t, permutation_type="samples", vectorized=True, axis=-1, alternative="greater"
    )
    assert sign_flip_p(differences).min() == pytest.approx(found.pvalue)


def test_many_replicates_are_flipped_at_random_and_alike_each_time():
    differences = np.random.default_rng(0).normal([0.0, 0.5], 1, (40, 2))
    found = sign_flip_p(differences)
    assert found.tolist() == sign_flip_p(differences).tolist()
    # for one contrast the p-value of the t-test is near
    expected = stats.ttest_1samp(differences[:, 1], 0).pvalue
    assert sign_flip_p(differences[:, 1:])[0] == pytest.approx(expected, abs=0.01)


def test_missing_replicates_are_left_out_of_the_flips():
    column = np.random.default_rng(3).normal(0.5, 1, 6)
    with_gap = np.append(column, np.nan)[:, None]
    assert sign_flip_p(with_gap).tolist() == sign_flip_p(column[:, None]).tolist()


def test_differences_of_zero_are_not_evidence():
    assert sign_flip_p(np.zeros((5, 2))).tolist() == [1, 1]


# --- power


@pytest.mark.parametrize(
    ("sd", "expected"),
    [
        (0.49, ((191, 304), (33, 52), (10, 16))),
        (0.225, ((42, 67), (9, 14), (4, 7))),
        (0.145, ((19, 30), (5, 8), (3, 5))),
        (0.10, ((10, 17), (4, 6), (3, 4))),
        (0.065, ((6, 9), (3, 5), (3, 4))),
    ],
)
def test_replicates_needed_for_0_1_and_0_25_and_0_5_points(sd, expected):
    for difference, numbers in zip((0.1, 0.25, 0.5), expected, strict=True):
        assert tuple(replicates_needed(difference, sd, level=level) for level in (0.05, 0.05 / 7)) == numbers


@pytest.mark.parametrize(("sd", "expected"), [(0.10, 13), (0.15, 26), (0.20, 44), (0.25, 68)])
def test_replicates_needed_for_equivalence(sd, expected):
    assert replicates_needed(0.0, sd, rope=0.1) == expected
    rng, draws = np.random.default_rng(0), 200_000

    def share(n):
        half = stats.t.ppf(0.975, n - 1) * sd * np.sqrt(rng.chisquare(n - 1, draws) / (n - 1) / n)
        return (np.abs(rng.normal(0, sd / math.sqrt(n), draws)) + half <= 0.1).mean()

    assert share(expected - 1) < 0.8 + 0.003
    assert share(expected) > 0.8 - 0.003


def test_overlapping_splits_never_resolve_what_is_below_their_floor():
    def factor(n):
        return 1 / n + 359 / 1258

    for sd in (0.34, 0.67, 0.98):
        assert replicates_needed(0.5, sd, factor=factor) is None
    assert replicates_needed(0.5, 0.33, factor=factor) > 100


def test_power_agrees_with_statsmodels():
    smp = pytest.importorskip("statsmodels.stats.power")
    expected = smp.TTestPower().power(0.3 / 0.4, 9, 0.05 / 7 / 2, alternative="larger")
    assert power(0.3, 0.4, 9, level=0.05 / 7) == pytest.approx(expected)
    assert power(-0.4, 0.4, 9, rope=0.1, level=0.05 / 7) == pytest.approx(expected)


@pytest.mark.parametrize(("difference", "rope"), [(0.3, 0.1), (0.0, 0.4), (0.1, 0.4), (-0.2, 0.5)])
@pytest.mark.parametrize("shared", [0.0, 0.1])
def test_power_is_the_share_of_simulated_studies_with_the_right_verdict(difference, rope, shared):
    rng, n, sd = np.random.default_rng(0), 8, 0.3
    x = difference + sd * (rng.normal(size=(40_000, n)) + math.sqrt(shared) * rng.normal(size=(40_000, 1)))
    half = stats.t.ppf(0.99, n - 1) * x.std(axis=1, ddof=1) * math.sqrt(1 / n + shared)
    low, high = x.mean(axis=1) - half, x.mean(axis=1) + half
    right = low > rope if difference > rope else (low >= -rope) & (high <= rope)
    found = power(difference, sd, n, rope=rope, level=0.02, factor=lambda n: 1 / n + shared)
    assert found == pytest.approx(right.mean(), abs=0.01)


def test_on_the_edge_no_number_of_replicates_would_do():
    assert power(0.1, 0.2, 1000, rope=0.1) == 0
    assert replicates_needed(0.1, 0.2, rope=0.1) is None


@pytest.mark.parametrize(("difference", "rope"), [(0.3, 0.0), (0.3, 0.2), (0.05, 0.3)])
def test_one_replicate_fewer_would_not_do(difference, rope):
    needed = replicates_needed(difference, 0.4, rope=rope)
    assert power(difference, 0.4, needed, rope=rope) >= 0.8 > power(difference, 0.4, needed - 1, rope=rope)


@pytest.mark.parametrize("factor", [lambda n: 1 / n, lambda n: 1 / n + 0.25])
def test_the_smallest_difference_has_the_power(factor):
    found = smallest_difference(0.4, 6, rope=0.1, level=0.01, factor=factor)
    assert found > 0.1
    assert power(found, 0.4, 6, rope=0.1, level=0.01, factor=factor) == pytest.approx(0.8)


def test_with_the_replicates_needed_four_of_five_studies_decide():
    values = normal_values(5, arms=4, seed=1)
    found = compare(values, "arm 0", rope=0.1)
    contrast = by_arm(found)["arm 2"]
    assert contrast.verdict == "undecided"
    assert contrast.needed > contrast.n
    assert str(contrast.needed) in contrast.why
    rng, level = np.random.default_rng(0), single_level(found.critical, 5)
    x = rng.normal(contrast.mean, contrast.sd, (20_000, contrast.needed))
    half = stats.t.isf(level / 2, contrast.needed - 1) * x.std(axis=1, ddof=1) / math.sqrt(contrast.needed)
    share = (x.mean(axis=1) - half > 0.1).mean()
    assert 0.79 < share < 0.87


def test_undecided_for_ever_says_why():
    values = {"a": dict.fromkeys(range(6), 0.0), "b": {r: 0.1 + (-1) ** r for r in range(6)}}
    edge = compare(values, "a", rope=0.1).contrasts[0]
    correlated = compare(values, "a", rope=0.2, factor=lambda n: 1 / n + 0.25).contrasts[0]
    assert (edge.needed, correlated.needed) == (None, None)
    assert "edge" in edge.why
    assert "correlated" in correlated.why


# --- new images


def two_way_by_loops(d):
    seeds, images = len(d), len(d[0])
    grand = sum(map(sum, d)) / (seeds * images)
    row = [sum(r) / images for r in d]
    column = [sum(d[s][i] for s in range(seeds)) / seeds for i in range(images)]
    ms_seed = images * sum((r - grand) ** 2 for r in row) / (seeds - 1)
    ms_image = seeds * sum((c - grand) ** 2 for c in column) / (images - 1)
    rest = sum((d[s][i] - row[s] - column[i] + grand) ** 2 for s in range(seeds) for i in range(images))
    return grand, ms_seed, ms_image, rest / ((seeds - 1) * (images - 1))


def test_new_images_have_the_mean_squares_of_loops():
    rng = np.random.default_rng(0)
    d = rng.normal(size=(4, 1)) + rng.normal(size=(1, 30)) + 0.3 * rng.normal(size=(4, 30))
    found = new_images(d, np.zeros_like(d))
    grand, ms_seed, ms_image, ms_rest = two_way_by_loops(d.tolist())
    variance = ms_seed + ms_image - ms_rest
    degrees = variance**2 / (ms_seed**2 / 3 + ms_image**2 / 29 + ms_rest**2 / 87)
    assert found.mean == pytest.approx(grand)
    assert (found.seed, found.image) == pytest.approx(((ms_seed - ms_rest) / 30, (ms_image - ms_rest) / 4))
    assert (found.rest, found.degrees, found.n) == pytest.approx((ms_rest, degrees, 4))
    assert found.half == pytest.approx(stats.t.ppf(0.975, degrees) * math.sqrt(variance / 120))


@pytest.mark.parametrize(("seed_sd", "image_sd"), [(0.3, 1.0), (0.0, 1.0), (0.3, 0.0), (0.0, 0.0)])
def test_new_images_are_covered(seed_sd, image_sd):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        d = seed_sd * rng.normal(size=(6, 1)) + image_sd * rng.normal(size=(1, 60)) + rng.normal(size=(6, 60))
        found = new_images(d, np.zeros_like(d))
        hits += found.low < 0 < found.high
    # 95 % with a standard error of 0.7; without components the formula errs to wide intervals
    assert hits >= 930
    assert seed_sd * image_sd == 0 or hits <= 975


def test_the_interval_for_new_images_is_wider_than_that_for_these():
    rng = np.random.default_rng(0)
    right = rng.random((5, 400)) < 0.9
    other = right ^ (rng.random((5, 400)) < 0.05) ^ (rng.random(400) < 0.05)
    found = new_images(other, right)
    here = mean_interval((other.mean(axis=1) - right.mean(axis=1)).tolist())
    assert found.mean == pytest.approx(here.mean)
    assert found.image > 0
    error_here = standard_error("test", (other.mean(axis=1) - right.mean(axis=1)).tolist(), lambda n: 1 / n, 1e-9)
    assert found.half / stats.t.ppf(0.975, found.degrees) >= error_here * (1 - 1e-9)


def test_equal_predictions_have_no_interval_for_new_images():
    found = new_images(np.ones((3, 10)), np.ones((3, 10)))
    assert found.mean == 0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


# --- correlated replicates, factors, trends


def test_the_bayesian_test_is_baycomp_s_for_repeated_cross_validation():
    baycomp = pytest.importorskip("baycomp")
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.90, 0.01, 30), rng.normal(0.91, 0.01, 30)
    found = correlated_t((b - a).tolist(), rope=0.005, factor=lambda n: 1 / n + 1 / 9)
    assert found == pytest.approx(baycomp.two_on_single(a, b, 0.005, runs=3))
    assert sum(found) == pytest.approx(1)
    no_region = correlated_t((b - a).tolist(), rope=0.0, factor=lambda n: 1 / n + 1 / 9)
    left, right = baycomp.two_on_single(a, b, 0, runs=3)
    assert no_region == pytest.approx((left, 0, right))


def test_equal_differences_have_no_posterior():
    assert all(map(math.isnan, correlated_t([0.1] * 10, rope=0.0, factor=lambda n: 1 / n)))


def test_a_trend_has_page_s_exact_p():
    rows = np.array([[1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]])
    ranks, weights = list(itertools.permutations(range(1, 5))), np.arange(1, 5)
    observed = (rows * weights).sum()
    sums = [np.dot(a, weights) + np.dot(b, weights) for a in ranks for b in ranks]
    expected = np.mean([total >= observed for total in sums])
    values = {f"stride {i}": {0: rows[0, i], 1: rows[1, i], 7 + i: 0.0} for i in range(4)}
    assert trend_p(values) == pytest.approx(expected)


def test_effects_of_two_factors_are_squares_of_paired_t():
    pytest.importorskip("statsmodels")
    rng = np.random.default_rng(0)
    cells = {(t, h): rng.normal(0.3 * (h == "x"), 1, 6) for t in "ab" for h in "xy"}
    trunk, head, both = factor_effects({pair: dict(enumerate(v)) for pair, v in cells.items()}, ("trunk", "head"))
    contrasts = {
        trunk: cells["a", "x"] + cells["a", "y"] - cells["b", "x"] - cells["b", "y"],
        head: cells["a", "x"] + cells["b", "x"] - cells["a", "y"] - cells["b", "y"],
        both: cells["a", "x"] + cells["b", "y"] - cells["a", "y"] - cells["b", "x"],
    }
    for effect, contrast in contrasts.items():
        t = stats.ttest_1samp(contrast, 0)
        assert (effect.f, effect.p) == pytest.approx((t.statistic**2, t.pvalue))
        assert (effect.degrees, effect.rest_degrees) == (1, 5)


def test_simultaneous_intervals_of_one_column_are_student_s():
    column = np.random.default_rng(0).normal(size=(9, 1))
    (interval,) = simultaneous(column).intervals
    expected = mean_interval(column[:, 0].tolist())
    assert isinstance(interval, Interval)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("n", "contrasts"), [(30, 9), (20, 4)])
def test_critical_values_of_many_replicates_are_those_of_drawn_replicates(n, contrasts):
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(contrasts, contrasts))
    found = np.quantile(maxt._t_many(n, mixed), [0.5, 0.9, 0.95])
    drawn = rng.normal(size=(40_000, n, contrasts)) @ mixed
    peaks = np.abs(np.sqrt(n) * drawn.mean(axis=1) / drawn.std(axis=1, ddof=1)).max(axis=1)
    # three standard errors of the share below a quantile, of both simulations together
    for level, value in zip([0.5, 0.9, 0.95], found, strict=True):
        assert abs((peaks <= value).mean() - level) < 3 * math.sqrt(level * (1 - level) * (1 / 20_000 + 1 / 40_000))
