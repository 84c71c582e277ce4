import math

import numpy as np
import pytest
from scipy import stats

from minicnn.study import KFold, Resplits, Seeds
from minicnn.study.statistics.intervals import Interval, differences_by_seed, independent, mean_interval, verdict

A = {0: 0.981, 1: 0.975, 2: 0.990, 3: 0.969, 4: 0.984}
B = {0: 0.978, 1: 0.976, 2: 0.981, 3: 0.962, 4: 0.979}


def paired(a, b):
    return mean_interval(list(differences_by_seed(a, b).values()))


# --- intervals


def test_an_interval_is_student_s_by_hand():
    # sd of 1..5 is sqrt(2.5), t(0.975; 4) = 2.776445: 2.776445 * sqrt(2.5 / 5) = 1.963243
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3
    assert interval.low == pytest.approx(3 - 1.963243, abs=1e-6)
    assert interval.high == pytest.approx(3 + 1.963243, abs=1e-6)
    assert interval.half == pytest.approx(1.963243, abs=1e-6)


def test_confidence_widens_by_the_quantile():
    # t(0.95; 4) = 2.131847
    assert mean_interval([1, 2, 3, 4, 5], confidence=0.9).half == pytest.approx(2.131847 * math.sqrt(0.5), abs=1e-6)


def test_overlapping_splits_widen_by_nadeau_and_bengio():
    values = np.random.default_rng(0).normal(size=10)
    plain, corrected = mean_interval(values), mean_interval(values, factor=Resplits(10).factor(100, 25))
    # (1/10 + 1/4) / (1/10) = 3.5
    assert corrected.half / plain.half == pytest.approx(math.sqrt(3.5))
    assert corrected.mean == plain.mean


def test_a_paired_difference_agrees_with_scipy():
    expected = stats.ttest_rel(list(A.values()), list(B.values()))
    low, high = expected.confidence_interval()
    interval = paired(A, B)
    assert (interval.low, interval.high, interval.n) == (pytest.approx(low), pytest.approx(high), 5)


def test_pairs_are_found_by_seed_and_not_by_order():
    shuffled = {seed: B[seed] for seed in (3, 0, 4, 2, 1)}
    assert paired(A, shuffled) == paired(A, B)


def test_only_common_seeds_are_paired():
    assert paired({0: 0.5, 1: 0.75, 7: 0.0}, {1: 0.25, 0: 0.25, 9: 1.0}) == mean_interval([0.25, 0.5])


def test_no_common_seed_is_refused_with_the_seeds():
    with pytest.raises(ValueError, match=r"a has \[0, 1\], b has \[2\]"):
        paired({0: 0.5, 1: 0.5}, {2: 0.5})


def test_one_value_has_no_interval():
    interval = mean_interval([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("factor", [independent, lambda n: 1 / n + 0.25], ids=["seeds", "splits"])
@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.1],
        [0.1, 0.1, 0.1],  # do not sum to 0.3 in floating point
        [0.0] * 10,
        [0.1, 0.1 + 1e-12],
        [0.1, 0.1 + 1e-12, 0.1 - 1e-12],
        [0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6, 0.6 - 0.5],
    ],
)
def test_values_that_do_not_vary_have_no_interval(values, factor):
    interval = mean_interval(values, factor=factor)
    assert interval.mean == pytest.approx(values[0], abs=1e-11)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert verdict(interval, rope=0.005) == "undecided"


def test_values_that_vary_by_less_than_the_resolution_have_no_interval():
    image = 1 / 10_000
    nearly, enough = [0.01, 0.01, 0.01 + image], [0.01, 0.01 + image, 0.01 + 2 * image]
    # standard deviations of image / sqrt(3) and of one image
    assert math.isnan(mean_interval(nearly, resolution=image).low)
    assert mean_interval(enough, resolution=0.999 * image) == mean_interval(enough)


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.02), (-0.02, -0.01), (-0.001, 0.001)])
def test_two_seeds_give_no_verdict(low, high):
    assert verdict(Interval((low + high) / 2, low, high, 2), rope=0.005) == "undecided"
    assert verdict(Interval((low + high) / 2, low, high, 3), rope=0.005) != "undecided"


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([], {}, "got 0 values"),
        ([0.1, math.nan], {}, "got 2 values of which 1 are not finite"),
        ([0.1, 0.2], {"factor": lambda n: 0.1}, r"factor\(2\) must be"),
        ([0.1, 0.2], {"confidence": 95}, "confidence must be between 0 and 1, got 95"),
    ],
)
def test_wrong_arguments_are_named(values, options, words):
    with pytest.raises(ValueError, match=words):
        mean_interval(values, **options)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    intervals = [mean_interval(rng.normal(1, 2, size=6)) for _ in range(1000)]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    # four standard errors of a share of 0.95 in 1000
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)


# --- verdicts


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.006, 0.020, "better"),
        (-0.020, -0.006, "worse"),
        (-0.004, 0.004, "equivalent"),
        (0.001, 0.004, "equivalent"),
        (-0.005, 0.005, "equivalent"),
        (0.005, 0.020, "undecided"),
        (0.004, 0.020, "undecided"),
        (-0.020, 0.020, "undecided"),
        (-0.020, -0.004, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_whole_interval_decides(low, high, expected):
    assert verdict(Interval((low + high) / 2, low, high, 10), rope=0.005) == expected


def test_without_a_region_only_the_sign_counts():
    assert verdict(Interval(0.2, 0.1, 0.3, 5)) == "better"
    assert verdict(Interval(0.0, 0.0, 0.0, 5)) == "equivalent"
    with pytest.raises(ValueError, match=r"rope must be at least 0, got -0\.1"):
        verdict(Interval(0.2, 0.1, 0.3, 5), rope=-0.1)


# --- what replicates say of their mean


def test_seeds_are_independent():
    assert [Seeds(7).factor(1000, 200)(n) for n in (1, 4, 10)] == [1, 0.25, 0.1]


def test_splits_of_digits_have_nadeau_and_bengio_s_factor():
    # a fifth for the test, a tenth for validation: 359 and 1258 of 1797 images
    assert Resplits(10).factor(1258, 359)(10) == pytest.approx(1 / 10 + 359 / 1258)


def test_folds_have_the_factor_of_baycomp():
    baycomp = pytest.importorskip("baycomp")
    differences = np.random.default_rng(1).normal(0.3, 1, size=30)
    folds = KFold(10, 3)
    interval = mean_interval(differences, factor=folds.factor(900, 100))
    # two one-sided probabilities of the correlated t-test give the two-sided p of the same t
    left, _, right = baycomp.CorrelatedTTest.probs(differences, np.zeros(30), rope=1e-12, runs=3)
    half = stats.t.ppf(0.975, 29) * differences.std(ddof=1) * math.sqrt(1 / 30 + 1 / 9)
    t = interval.mean / (half / stats.t.ppf(0.975, 29))
    assert interval.half == pytest.approx(half)
    assert 2 * stats.t.sf(abs(t), 29) == pytest.approx(2 * min(left, right), rel=1e-6)
