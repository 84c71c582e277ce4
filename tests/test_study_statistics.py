import math

import numpy as np
import pytest
from scipy import stats

from minicnn.study.inference import (
    SIGNIFICANCE,
    Interval,
    holm,
    may_be_chance,
    mean_interval,
    p_value,
    paired_difference,
    summarize,
    verdict,
)
from minicnn.study.ledger import Run, by_arm, read_csv, write_csv, write_curves_csv

A = {0: 0.981, 1: 0.975, 2: 0.990, 3: 0.969, 4: 0.984}
B = {0: 0.978, 1: 0.976, 2: 0.981, 3: 0.962, 4: 0.979}


def run(arm, seed, accuracy, parameters=1000, multiply_adds=50_000, seconds=0.5, curve=()):
    return Run(arm, seed, accuracy, parameters, multiply_adds, seconds, 3, 0.1, 0.97, curve)


def study(**accuracies):
    return [run(arm, seed, value) for arm, values in accuracies.items() for seed, value in values.items()]


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
    plain, corrected = mean_interval(values), mean_interval(values, test_share=0.25)
    # (1/10 + 1/4) / (1/10) = 3.5
    assert corrected.half / plain.half == pytest.approx(math.sqrt(3.5))
    assert corrected.mean == plain.mean


def test_the_corrected_p_agrees_with_baycomp():
    baycomp = pytest.importorskip("baycomp")
    differences = np.random.default_rng(1).normal(0.3, 1, size=10)
    # one run of cross-validation with n folds has n_test / n_train = 1 / (n - 1)
    left, right = baycomp.CorrelatedTTest.probs(differences, np.zeros(10), rope=0, runs=1)
    assert p_value(differences, test_share=1 / 9) == pytest.approx(2 * min(left, right))


def test_a_paired_difference_agrees_with_scipy():
    expected = stats.ttest_rel(list(A.values()), list(B.values()))
    low, high = expected.confidence_interval()
    interval = paired_difference(A, B)
    assert (interval.low, interval.high, interval.n) == (pytest.approx(low), pytest.approx(high), 5)
    assert p_value([A[seed] - B[seed] for seed in A]) == pytest.approx(expected.pvalue)


def test_pairs_are_found_by_seed_and_not_by_order():
    shuffled = {seed: B[seed] for seed in (3, 0, 4, 2, 1)}
    assert paired_difference(A, shuffled) == paired_difference(A, B)


def test_only_common_seeds_are_paired():
    assert paired_difference({0: 0.5, 1: 0.75, 7: 0.0}, {1: 0.25, 0: 0.25, 9: 1.0}) == mean_interval([0.25, 0.5])


def test_no_common_seed_is_refused_with_the_seeds():
    with pytest.raises(ValueError, match=r"a has \[0, 1\], b has \[2\]"):
        paired_difference({0: 0.5, 1: 0.5}, {2: 0.5})


def test_one_value_has_no_interval():
    interval = mean_interval([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert math.isnan(p_value([0.5]))


@pytest.mark.parametrize("share", [None, 0.25])
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
def test_values_that_do_not_vary_have_no_interval_and_no_p(values, share):
    interval = mean_interval(values, test_share=share)
    assert interval.mean == pytest.approx(values[0], abs=1e-11)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert math.isnan(p_value(values, test_share=share))
    assert verdict(interval, rope=0.005) == "undecided"


def test_values_that_vary_by_less_than_the_resolution_have_no_interval():
    image = 1 / 10_000
    nearly, enough = [0.01, 0.01, 0.01 + image], [0.01, 0.01 + image, 0.01 + 2 * image]
    # standard deviations of image / sqrt(3) and of one image
    assert math.isnan(mean_interval(nearly, resolution=image).low)
    assert math.isnan(p_value(nearly, resolution=image))
    assert mean_interval(enough, resolution=0.999 * image) == mean_interval(enough)
    assert p_value(enough, resolution=0.999 * image) == p_value(enough) < 0.001


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.02), (-0.02, -0.01), (-0.001, 0.001)])
def test_two_seeds_give_no_verdict(low, high):
    assert verdict(Interval((low + high) / 2, low, high, 2), rope=0.005) == "undecided"
    assert verdict(Interval((low + high) / 2, low, high, 3), rope=0.005) != "undecided"


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("shake", [0, 1e-12])
def test_equal_differences_are_undecided_and_still_count_as_comparisons(seeds, shake):
    control = {seed: 0.9 + 0.01 * seed for seed in range(seeds)}
    better = {seed: value + 0.05 + shake * seed for seed, value in control.items()}
    other = {seed: value + (0.01 if seed % 2 else 0.03) for seed, value in control.items()}
    _, equal, varied = summarize(study(max=control, equal=better, varied=other), "max")
    assert equal.verdict == "undecided"
    assert equal.difference.mean == pytest.approx(0.05)
    assert math.isnan(equal.difference.half)
    assert math.isnan(equal.holm_p)
    p = stats.ttest_1samp([0.01 if seed % 2 else 0.03 for seed in range(seeds)], 0).pvalue
    assert varied.holm_p == pytest.approx(min(1, 2 * p))


def test_differences_within_an_image_of_the_test_set_are_undecided():
    control = dict.fromkeys(range(4), 0.9)
    nearly = {seed: 0.95 + (seed == 0) / 1000 for seed in range(4)}
    runs = study(max=control, average=nearly)
    assert summarize(runs, "max", test_images=100_000)[1].verdict == "better"
    assert summarize(runs, "max", test_images=1000)[1].verdict == "undecided"
    assert math.isnan(summarize(runs, "max", test_images=1000)[1].holm_p)
    with pytest.raises(ValueError, match="test_images must be 1 or more, got 0"):
        summarize(runs, "max", test_images=0)


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([], {}, "got 0 values"),
        ([0.1, math.nan], {}, "got 2 values of which 1 are not finite"),
        ([0.1, 0.2], {"test_share": 0.0}, "test_share must be above 0, got 0.0"),
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


def test_holm_by_hand():
    # smallest first: 4 * 0.005, 3 * 0.01, 2 * 0.03, 1 * 0.04 and never less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == ()
    first, unknown, last = holm([0.01, math.nan, 0.03])
    assert (first, last) == (pytest.approx(0.02), pytest.approx(0.03))
    assert math.isnan(unknown)


# --- the summary


def test_a_summary_has_one_row_per_arm_and_compares_with_the_control():
    average, most = summarize(study(average=A, max=B), "max", rope=0.001)
    expected = stats.ttest_rel(list(A.values()), list(B.values()))
    assert (average.arm, most.arm) == ("average", "max")
    assert average.accuracy == mean_interval(list(A.values()))
    assert average.median == 0.981
    assert average.sd == pytest.approx(np.std(list(A.values()), ddof=1))
    assert average.difference == paired_difference(A, B)
    assert average.holm_p == pytest.approx(expected.pvalue)
    assert (most.difference, most.verdict, most.holm_p) == (None, None, None)


def test_each_comparison_counts_for_holm():
    rows = summarize(study(max=B, average=A, flatten={seed: value - 0.5 for seed, value in A.items()}), "max")
    p = stats.ttest_rel(list(A.values()), list(B.values())).pvalue
    by_name = {row.arm: row for row in rows}
    # the other p is far smaller, so this one is the last of two and stays
    assert by_name["average"].holm_p == pytest.approx(p)
    assert by_name["flatten"].verdict == "worse"


def test_no_arm_is_better_or_worse_unless_its_adjusted_p_says_so_too():
    seeds = range(5)
    control = dict.fromkeys(seeds, 0.9)
    lower = dict(zip(seeds, (0.894, 0.889, 0.887, 0.894, 0.891), strict=True))
    others = {f"n{i}": {seed: 0.91 if seed % 2 else 0.892 for seed in seeds} for i in range(40)}
    alone = summarize(study(max=control, lower=lower), "max", rope=0.001)[1]
    among = summarize(study(max=control, lower=lower, **others), "max", rope=0.001)[1]
    assert alone.difference == among.difference
    assert (alone.verdict, among.verdict) == ("worse", "undecided")
    assert alone.holm_p < SIGNIFICANCE <= among.holm_p
    assert (may_be_chance(alone), may_be_chance(among)) == (False, True)


def test_a_correction_reaches_accuracies_and_differences():
    plain, corrected = summarize(study(a=A, max=B), "max")[0], summarize(study(a=A, max=B), "max", test_share=0.2)[0]
    # (1/5 + 1/5) / (1/5) = 2
    assert corrected.accuracy.half == pytest.approx(math.sqrt(2) * plain.accuracy.half)
    assert corrected.difference.half == pytest.approx(math.sqrt(2) * plain.difference.half)
    assert corrected.holm_p > plain.holm_p


def test_without_its_control_a_study_still_has_accuracies():
    rows = summarize(study(a=A, b=B), control="max")
    assert [(row.n, row.difference, row.verdict) for row in rows] == [(5, None, None)] * 2


def test_seconds_are_the_median_over_seeds():
    runs = [run("max", seed, 0.9, seconds=seconds) for seed, seconds in enumerate((0.5, 0.7, 60.0))]
    assert summarize(runs, "max")[0].seconds_per_epoch == 0.7


def test_runs_of_different_networks_are_refused():
    with pytest.raises(ValueError, match=r"parameters of an arm must be equal in all runs, got \[1000, 2000\] for max"):
        summarize([run("max", 0, 0.9), run("max", 1, 0.9, parameters=2000)], "max")


def test_a_seed_twice_is_refused():
    with pytest.raises(ValueError, match="by_arm: the seeds of an arm must differ, got two runs of max with seed 3"):
        by_arm([run("max", 3, 0.9), run("average", 3, 0.9), run("max", 3, 0.8)])


def test_an_arm_without_a_common_seed_is_named():
    with pytest.raises(ValueError, match="average - max: the arms must have a seed in common"):
        summarize([run("max", 0, 0.9), run("average", 1, 0.9)], "max")


# --- files


def test_runs_come_back_from_a_file_to_the_last_bit(tmp_path):
    runs = [run("max, 2x2", 0, 0.1 + 0.2), run('"é"', 12, np.float64(1 / 3), multiply_adds=2**40)]
    write_csv(tmp_path / "runs.csv", runs)
    assert read_csv(tmp_path / "runs.csv") == tuple(runs)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_numpy_numbers_keep_every_bit_in_a_file(tmp_path):
    third = np.float32(1) / np.float32(3)
    write_csv(tmp_path / "runs.csv", [run("max", np.int64(3), third, seconds=np.float64(0.1))])
    (again,) = read_csv(tmp_path / "runs.csv")
    # 11184811 / 2**25 is the float32 nearest to 1/3
    assert (again.seed, again.test_accuracy, again.seconds_per_epoch) == (3, 11184811 / 2**25, 0.1)


NASTY = [
    *("=1+1", "+1", "-1", "-0.5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "'", "''", "'quoted'"),
    *(
        "a,b",
        'a"b',
        '"',
        "a\nb",
        "a\rb",
        "a\r\nb",
        "a;=1",
        "",
        " ",
        " =1",
        "a\\b",
        "$x_1^2$",
        "<b>&amp;</b>",
        "\0",
        "é",
    ),
]


def test_names_come_back_from_a_file_and_none_is_a_formula(tmp_path):
    pandas = pytest.importorskip("pandas")
    runs = [run(name, seed, 0.5) for seed, name in enumerate(NASTY)]
    write_csv(tmp_path / "runs.csv", runs)
    assert read_csv(tmp_path / "runs.csv") == tuple(runs)
    curve = ({"epoch": 1, "loss": -0.5, "accuracy": 0, "valid_loss": 0, "valid_accuracy": 0, "seconds": 0},)
    write_curves_csv(tmp_path / "curves.csv", [run(name, -7, 0.5, curve=curve) for name in NASTY])
    for file in ("runs.csv", "curves.csv"):
        # an independent reader, which sees what a spreadsheet sees
        cells = pandas.read_csv(tmp_path / file, dtype=str, keep_default_na=False, engine="python")["arm"]
        assert [cell.removeprefix("'") if cell[:1] == "'" else cell for cell in cells] == NASTY
        assert not [cell for cell in cells if cell[:1] and cell[0] in "=+-@\t\r\n\uff1d"]
    numbers = pandas.read_csv(tmp_path / "curves.csv", engine="python")
    assert set(numbers["loss"]) == {-0.5}
    assert set(numbers["seed"]) == {-7}


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b'arm,seed\n"max,0', b"\0", b"arm\n" + b"x" * 200_000, b""])
def test_what_is_no_table_is_refused_with_the_path(tmp_path, content):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"runs\.csv"):
        read_csv(path)
    write_csv(path, [run("max", 0, 0.5)])
    path.write_bytes(path.read_bytes() + content)
    if content:
        with pytest.raises(ValueError, match=r"runs\.csv"):
            read_csv(path)


def test_the_columns_are_in_their_order(tmp_path):
    write_csv(tmp_path / "runs.csv", [run("max", 0, 0.5)])
    assert (tmp_path / "runs.csv").read_text() == (
        "arm,seed,test_accuracy,parameters,multiply_adds,seconds_per_epoch,epochs,test_loss,valid_accuracy\n"
        "max,0,0.5,1000,50000,0.5,3,0.1,0.97\n"
    )


def test_files_with_a_column_head_are_read(tmp_path):
    path, runs = tmp_path / "runs.csv", [run("max", 0, 0.5), run("=1", 1, 0.25)]
    write_csv(path, runs)
    path.write_text(path.read_text().replace("arm,", "head,", 1))
    assert read_csv(path) == tuple(runs)
    both = path.read_text().replace("head,", "arm,", 1).replace("accuracy\n", "accuracy,head\n")
    path.write_text(both.replace("0.97\n", "0.97,x\n"))
    assert read_csv(path) == tuple(runs)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("test_accuracy", "accuracy", "no column test_accuracy"),
        ("0.5,1000", "half,1000", "line 2: test_accuracy must be of type float, got 'half'"),
        ("max,0,", "max,0.5,", "line 2: seed must be of type int, got '0.5'"),
        (",0.97", "", "line 2: valid_accuracy must be of type float, got None"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path, before, after, words):
    path = tmp_path / "runs.csv"
    write_csv(path, [run("max", 0, 0.5)])
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ValueError, match=words):
        read_csv(path)


def test_curves_are_written_in_long_form(tmp_path):
    row = {"epoch": 1, "loss": 2.5, "accuracy": 0.25, "valid_loss": 2.0, "valid_accuracy": 0.5, "seconds": 0.75}
    curve = (row, {**row, "epoch": 2, "learning_rate": 0.1})
    write_curves_csv(tmp_path / "curves.csv", [run("max", 3, 0.5, curve=curve)])
    assert (tmp_path / "curves.csv").read_text() == (
        "arm,seed,epoch,loss,accuracy,valid_loss,valid_accuracy,seconds\n"
        "max,3,1,2.5,0.25,2.0,0.5,0.75\n"
        "max,3,2,2.5,0.25,2.0,0.5,0.75\n"
    )
    with pytest.raises(ValueError, match=r"got no valid_loss, valid_accuracy, seconds \(max, seed 3\)"):
        write_curves_csv(tmp_path / "no.csv", [run("max", 3, 0.5, curve=({"epoch": 1, "loss": 1, "accuracy": 0},))])
