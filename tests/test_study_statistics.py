"""Means, intervals and verdicts by hand; what a study's results compare; tables as files."""

import csv
import io
import json
import math
import sqlite3

import numpy as np
import pytest
from scipy import stats
from study_fixtures import filled

from minicnn.study import KFold, Resplits, Seeds, open_results
from minicnn.study.statistics import Interval, compare, mean_interval, pooled, verdict
from minicnn.study.statistics.intervals import differences_by_seed
from minicnn.study.tables import csv_text

A = {0: 0.981, 1: 0.975, 2: 0.990, 3: 0.969, 4: 0.984}
B = {0: 0.978, 1: 0.976, 2: 0.981, 3: 0.962, 4: 0.979}


def overlapping(share):
    """The factor of Nadeau and Bengio."""
    return lambda n: 1 / n + share


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
    plain, corrected = mean_interval(values), mean_interval(values, factor=overlapping(0.25))
    # (1/10 + 1/4) / (1/10) = 3.5
    assert corrected.half / plain.half == pytest.approx(math.sqrt(3.5))
    assert corrected.mean == plain.mean


def test_the_corrected_interval_agrees_with_baycomp():
    baycomp = pytest.importorskip("baycomp")
    differences = np.random.default_rng(1).normal(0.3, 1, size=10)
    # one run of cross-validation with n folds has n_test / n_train = 1 / (n - 1)
    left, right = baycomp.CorrelatedTTest.probs(differences, np.zeros(10), rope=0, runs=1)
    interval = mean_interval(differences, factor=overlapping(1 / 9), confidence=1 - 2 * min(left, right))
    assert interval.mean > 0
    assert interval.low == pytest.approx(0, abs=1e-9)  # where p is the error of the interval, its end is zero


def test_a_paired_difference_agrees_with_scipy():
    low, high = stats.ttest_rel(list(A.values()), list(B.values())).confidence_interval()
    interval = mean_interval(list(differences_by_seed(A, B).values()))
    assert (interval.low, interval.high, interval.n) == (pytest.approx(low), pytest.approx(high), 5)


def test_pairs_are_found_by_seed_and_not_by_order():
    shuffled = {seed: B[seed] for seed in (3, 0, 4, 2, 1)}
    assert differences_by_seed(A, shuffled) == differences_by_seed(A, B)
    (one,), (two,) = (compare({"a": A, "b": b}, "b", rope=0.01).contrasts for b in (B, shuffled))
    assert one == two


def test_only_common_seeds_are_paired():
    values = {"a": {0: 0.5, 1: 0.75, 7: 0.0}, "b": {1: 0.25, 0: 0.25, 9: 1.0}}
    assert differences_by_seed(values["a"], values["b"]) == {0: 0.25, 1: 0.5}
    assert compare(values, "b", rope=0.01).contrasts[0].differences == {0: 0.25, 1: 0.5}


def test_no_common_seed_is_refused_with_the_seeds():
    with pytest.raises(ValueError, match=r"a has \[0, 1\], b has \[2\]"):
        differences_by_seed({0: 0.5, 1: 0.5}, {2: 0.5})


def test_one_value_has_no_interval():
    interval = mean_interval([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("share", [0.0, 0.25])
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
def test_values_that_do_not_vary_have_no_interval(values, share):
    interval = mean_interval(values, factor=overlapping(share))
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


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("shake", [0, 1e-12])
def test_equal_differences_are_undecided_and_still_count_as_comparisons(seeds, shake):
    control = {seed: 0.9 + 0.01 * seed for seed in range(seeds)}
    better = {seed: value + 0.05 + shake * seed for seed, value in control.items()}
    other = {seed: value + (0.01 if seed % 2 else 0.03) for seed, value in control.items()}
    equal, varied = compare({"max": control, "equal": better, "varied": other}, "max", rope=0.005).contrasts
    assert equal.verdict == "undecided"
    assert equal.mean == pytest.approx(0.05)
    assert math.isnan(equal.low)
    assert math.isnan(equal.high)
    (alone,) = compare({"max": control, "varied": other}, "max", rope=0.005).contrasts
    assert varied.high - varied.low > alone.high - alone.low


def test_differences_within_an_image_of_the_test_set_are_undecided(tmp_path):
    control = dict.fromkeys(range(4), 0.9)
    nearly = {seed: 0.95 + (seed == 0) / 1000 for seed in range(4)}
    for images, expected in ((100_000, "better"), (1000, "undecided")):
        results = filled(tmp_path / str(images), {"max": control, "average": nearly}, test=images)
        assert results.compare("accuracy").contrasts[0].verdict == expected


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([], {}, "got 0 values"),
        ([0.1, math.nan], {}, "got 2 values of which 1 are not finite"),
        ([0.1, 0.2], {"factor": lambda n: 0.1}, r"factor\(2\) must be a finite number of at least 0.4999999995"),
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
    # four standard errors of a fraction of 0.95 in 1000
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


@pytest.mark.parametrize(("replicates", "confidence"), [(2, 0.9999), (3, 0.99999)])
def test_dunnett_s_quantile_at_levels_below_the_error_of_the_integral(replicates, confidence):
    """Between the quantile of one contrast and Bonferroni's of two, with 1 % for the error of the integral."""
    values = {
        arm: {i: at + 0.01 * i * i for i in range(replicates)} for arm, at in zip("abc", (0.1, 0.4, 0.5), strict=True)
    }
    assert len(compare(values, "a", rope=0.01, confidence=confidence).contrasts) == 2
    (low, high), _ = pooled.dunnett(values, [("b", "a"), ("c", "a")], confidence).values()
    degrees = 3 * (replicates - 1)
    standard_error = math.sqrt(np.var([0.01 * i * i for i in range(replicates)], ddof=1) * 2 / replicates)
    least, most = stats.t.isf([(1 - confidence) / 2, (1 - confidence) / 4], degrees)
    assert 0.99 * least <= (high - low) / 2 / standard_error <= 1.01 * most
    assert (high + low) / 2 == pytest.approx(0.3)


# --- what a study compares


def test_a_comparison_has_one_contrast_per_arm_with_its_control(tmp_path):
    results = filled(tmp_path, {"max": B, "average": A}, rope=0.001)
    (average,) = results.compare("accuracy").contrasts
    expected = stats.ttest_rel(list(A.values()), list(B.values())).confidence_interval()
    assert (average.arm, average.control, average.n) == ("average", "max", 5)
    assert (average.low, average.high) == pytest.approx(tuple(expected))
    assert average.sd == pytest.approx(np.std([A[seed] - B[seed] for seed in A], ddof=1))
    assert results.values("accuracy") == {"max": B, "average": A}


def test_each_comparison_widens_the_intervals_of_all(tmp_path):
    lower = {seed: value - 0.5 + 0.001 * (seed % 2) for seed, value in A.items()}
    alone = filled(tmp_path / "two", {"max": B, "average": A}).compare("accuracy").contrasts[0]
    average, flatten = (
        filled(tmp_path / "three", {"max": B, "average": A, "flatten": lower}).compare("accuracy").contrasts
    )
    assert average.low < alone.low < alone.high < average.high
    assert average.mean == alone.mean
    assert flatten.verdict == "worse"


def test_no_arm_is_better_or_worse_among_many_only_because_it_is_so_alone():
    seeds, rng = range(5), np.random.default_rng(0)
    control = dict.fromkeys(seeds, 0.9)
    lower = dict(zip(seeds, (0.894, 0.889, 0.887, 0.894, 0.891), strict=True))
    others = {f"n{i}": dict(enumerate(0.9 + rng.normal(0, 0.01, 5))) for i in range(40)}
    (alone,) = compare({"max": control, "lower": lower}, "max", rope=0.001).contrasts
    among = compare({"max": control, "lower": lower} | others, "max", rope=0.001).contrasts[0]
    assert alone.differences == among.differences
    assert (alone.verdict, among.verdict) == ("worse", "undecided")


@pytest.mark.parametrize(
    ("replicates", "ratio"),
    [
        (Seeds(5), 1),
        (Resplits(5), math.sqrt(5 * (1 / 5 + 0.25))),  # n_test / n_train of the ledger below
        (KFold(5), math.sqrt(5 * (1 / 5 + 1 / 4))),
    ],
    ids=["Seeds", "Resplits", "KFold"],
)
def test_the_replicates_know_how_wide_an_interval_is(tmp_path, replicates, ratio):
    results = filled(tmp_path, {"max": B, "average": A}, replicates=replicates, train=100_000, test=25_000)
    (contrast,) = results.compare("accuracy").contrasts
    plain = stats.ttest_rel(list(A.values()), list(B.values())).confidence_interval()
    assert contrast.high - contrast.low == pytest.approx(ratio * (plain.high - plain.low))


def test_an_unknown_measure_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"must be one of test accuracy.*, got test acuracy"):
        filled(tmp_path, {"max": A, "average": B}).values("acuracy")


# --- files


def table_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_come_back_from_a_file_to_the_last_bit(tmp_path):
    accuracies = {0: 0.1 + 0.2, 1: float(np.float32(1) / np.float32(3)), 2: 5e-324}
    results = filled(tmp_path, {"max, 2x2": accuracies, '"é"': dict.fromkeys(range(3), 1 / 3)})
    rows = [row for row in table_of(results.to_csv(tmp_path / "rows.csv")) if row["measure"] == "accuracy"]
    found = {(row["arm"], int(row["replicate"])): float(row["value"]) for row in rows if row["split"] == "test"}
    assert found == {("max, 2x2", r): v for r, v in accuracies.items()} | {('"é"', r): 1 / 3 for r in range(3)}
    assert not list(tmp_path.glob(".*"))
    lines = results.to_json_lines(tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == list(results.rows())


def test_numpy_numbers_keep_every_bit_in_a_table():
    third = np.float32(1) / np.float32(3)
    text = csv_text(("seed", "value", "seconds"), [(np.int64(3), third, np.float64(0.1))])
    _, (seed, value, seconds) = csv.reader(io.StringIO(text))
    # 11184811 / 2**25 is the float32 nearest to 1/3
    assert (seed, float(value), seconds) == ("3", 11184811 / 2**25, "0.1")


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
    path = tmp_path / "rows.csv"
    path.write_text(csv_text(("arm", "seed", "value"), [(name, -7, -0.5) for name in NASTY]), encoding="utf-8")
    # an independent reader, which sees what a spreadsheet sees
    cells = pandas.read_csv(path, dtype=str, keep_default_na=False, engine="python")["arm"]
    assert [cell.removeprefix("'") if cell[:1] == "'" else cell for cell in cells] == NASTY
    assert not [cell for cell in cells if cell[:1] and cell[0] in "=+-@\t\r\n\uff1d"]
    numbers = pandas.read_csv(path, engine="python")
    assert set(numbers["value"]) == {-0.5}
    assert set(numbers["seed"]) == {-7}


def test_names_of_arms_and_levels_of_factors_are_guarded_in_the_exported_table(tmp_path):
    evil = '=HYPERLINK("http://x")'
    results = filled(tmp_path, {"max": A, evil: B}, factors={evil: {"@how": "+1+1"}})
    rows = table_of(results.to_csv(tmp_path / "rows.csv"))
    (row,) = [r for r in rows if (r["arm"], r["seed"], r["split"]) == (f"'{evil}", "0", "test")]
    assert row["factor_@how"] == "'+1+1"
    assert next(row for row in results.rows() if row["arm"] == evil)["factor_@how"] == "+1+1"


def test_the_columns_are_in_their_order(tmp_path):
    results = filled(tmp_path, {"max": {0: 0.5}, "average": {0: 0.75}}, factors={"max": {"head": "max"}})
    assert results.to_csv(tmp_path / "rows.csv").read_text(encoding="utf-8") == (
        "study,arm,factor_head,replicate,seed,split,measure,condition,value\n"
        "study,max,max,0,0,test,accuracy,,0.5\n"
        "study,average,,0,0,test,accuracy,,0.75\n"
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"SQLite format 3\0" + b"x" * 200_000, b"arm\n" * 50_000])
def test_what_is_not_a_ledger_is_refused_with_the_path(tmp_path, content):
    (tmp_path / "study.sqlite").write_bytes(content)
    with pytest.raises(ValueError, match=r"folder of a study that has begun|undamaged ledger") as caught:
        open_results(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_ledger_of_another_format_is_refused_with_both_formats(tmp_path):
    filled(tmp_path, {"max": A, "average": B})
    connection = sqlite3.connect(tmp_path / "study.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.commit()
    connection.close()
    with pytest.raises(ValueError, match=r"must be a ledger of format 2, got format 7\. Use another folder"):
        open_results(tmp_path)
