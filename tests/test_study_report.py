import base64
import html
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from minicnn.environment import environment
from minicnn.study.inference import Interval, Row, summarize
from minicnn.study.ledger import Run
from minicnn.study.report.html import write_report
from minicnn.study.report.sentences import findings, headline
from minicnn.study.report.tables import caution, cells, footnote, format_table, header, markdown_table

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from minicnn.study.report import figures
from minicnn.study.report.label_layout import apart

COSTS = {  # parameters, multiply-adds
    "max": (19_466, 312_448),
    "flatten": (78_026, 298_112),
    "average": (19_466, 312_448),
    "global-max": (5_130, 305_280),
    "global-average": (5_130, 305_280),
    "global-average-conv": (4_810, 330_000),
    "global-max-average": (5_450, 305_600),
    "mlp": (20_490, 20_352),
}


def curve(arm, seed, epochs):
    error = np.random.default_rng([seed, len(arm)]).uniform(0.01, 0.03)
    rows = ((epoch, min(0.9, error + 0.5 * math.exp(-epoch / 3))) for epoch in range(1, epochs + 1))
    return tuple(
        {
            "epoch": epoch,
            "loss": 0.1,
            "accuracy": 1 - e,
            "valid_loss": 0.1,
            "valid_accuracy": 1 - e,
            "seconds": 0.4 * epoch,
        }
        for epoch, e in rows
    )


def study(arms=tuple(COSTS), seeds=10, epochs=8):
    runs = []
    for place, arm in enumerate(arms):
        parameters, multiply_adds = COSTS.get(arm, (100, 1000))
        for seed in range(seeds):
            accuracy = 0.98 - 0.002 * place + np.random.default_rng([seed, place]).normal(0, 0.003)
            rows = curve(arm, seed, epochs)
            runs.append(Run(arm, seed, accuracy, parameters, multiply_adds, 0.412, epochs, 0.08, 0.97, rows))
    return runs


def row(low, high, verdict, *, arm="average", holm_p=0.01, n=10):
    difference = Interval((low + high) / 2, low, high, n)
    accuracy = Interval(0.98, 0.975, 0.985, n)
    return Row(arm, n, 1, 1, 0.4, accuracy, 0.98, 0.01, difference, verdict, holm_p, "max", 0.005, None)


# --- tables


def test_cells_by_hand():
    accuracies = {"max": (0.90, 0.92), "average": (0.92, 0.96)}
    runs = [
        Run(arm, seed, value, 1_234_567, 89_012, 1.2345, 5, 0.1, 0.9)
        for arm, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    control, average = summarize(runs, "max")
    # t(0.975; 1) = 12.7062: the accuracies' sd / sqrt(2) are 0.01 and 0.02, that of the differences 0.01;
    # p = 1 - 2 atan(3) / pi, the Cauchy distribution's
    assert cells(control) == ("max", "1,234,567", "89,012", "91.00 ± 12.71", "", "control", "", "1.23")
    assert cells(average) == (
        "average",
        "1,234,567",
        "89,012",
        "94.00 ± 25.41",
        "+3.00 [-9.71, +15.71]",
        "undecided",
        f"{1 - 2 * math.atan(3) / math.pi:.3f}",
        "1.23",
    )


def test_a_table_is_aligned_and_fits_a_terminal():
    first, second, rule, *lines = (
        format_table(summarize(study(), "max", test_share=1 / 3)).split("\n\n")[0].splitlines()
    )
    assert {len(line) for line in (first, second, rule, *lines)} == {len(first)}
    assert len(first) <= 120
    assert [line.split()[0] for line in lines] == list(COSTS)
    assert set(rule) == {"-"}


def test_the_footnote_says_what_the_intervals_are():
    corrected = footnote(summarize(study(), "max", test_share=0.25))
    for words in (
        "95 %",
        "10 seeds",
        "paired by seed",
        "n_test / n_train = 0.25",
        "±0.50 percentage points",
        "7 comparisons",
    ):
        assert words in corrected
    assert "independent" in footnote(summarize(study(), "max"))
    assert "no interval" in footnote(summarize(study(seeds=1), "max"))
    assert "paired" not in footnote(summarize(study(), control="none"))


def test_a_markdown_table_has_as_many_cells_in_each_line():
    rows = summarize(study(arms=("max", "a|b")), "max")
    lines = markdown_table(rows).split("\n\n")[0].splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(header(rows)) + 1}
    assert lines[1].startswith("| --- | ---: |")


def test_a_table_names_the_arms_whose_interval_excludes_zero_but_whose_p_does_not():
    doubtful = row(-0.011, -0.006, "undecided", arm="average", holm_p=0.052)
    clear = row(-0.011, -0.006, "worse", arm="other", holm_p=0.01)
    (note,) = format_table([doubtful, clear]).split("\n\n")[1:-1]
    words = " ".join(note.split())
    assert "after adjustment for 2 comparisons p is at least 0.05" in words
    assert words.endswith("chance is not excluded: average (p = 0.052).")
    assert "chance is not excluded" in markdown_table([doubtful, clear])
    assert caution([clear]) == ""


def test_tables_of_one_seed_and_of_nothing_are_honest():
    assert "nan" not in format_table(summarize(study(seeds=1), "max"))
    assert "98.00 ± n/a" in format_table(summarize([Run("max", 0, 0.98, 1, 1, 0.1, 1, 0.1, 0.9)], "max"))
    assert "No runs." in format_table(())


# --- sentences


@pytest.mark.parametrize(
    ("low", "high", "verdict", "p", "words"),
    [
        (0.006, 0.010, "better", 0.01, "average is better than max by 0.80 percentage points [0.60, 1.00]."),
        (-0.030, -0.020, "worse", 0.01, "average is worse than max by 2.50 percentage points [2.00, 3.00]."),
        (
            -0.002,
            0.004,
            "equivalent",
            0.5,
            "average is equivalent to max: +0.10 percentage points [-0.20, +0.40] lies within ±0.50.",
        ),
        (
            -0.010,
            0.004,
            "undecided",
            0.5,
            "average compared with max is undecided: -0.30 percentage points [-1.00, +0.40].",
        ),
        (
            -0.011,
            -0.001,
            "undecided",
            0.08,
            "average compared with max is undecided: below by 0.60 percentage points [0.10, 1.10], which may or may "
            "not be more than 0.50. After adjustment for 2 comparisons, a difference of 0 is not excluded (p = 0.080).",
        ),
        (
            -0.011,
            -0.006,
            "undecided",
            0.052,
            "average compared with max is undecided: -0.85 percentage points [-1.10, -0.60]. After adjustment for 2 "
            "comparisons, a difference of 0 is not excluded (p = 0.052).",
        ),
    ],
)
def test_a_finding_claims_what_its_interval_shows(low, high, verdict, p, words):
    compared = row(low, high, verdict, holm_p=p)
    assert findings([compared, compared]) == (words, words)


def test_one_seed_decides_nothing():
    (finding,) = findings([row(math.nan, math.nan, "undecided", holm_p=math.nan, n=1)])
    assert "undecided: one seed gives no interval" in finding


def test_equal_differences_are_undecided_and_the_sentence_says_why():
    runs = [
        Run(arm, seed, accuracy + 0.01 * seed, 1, 1, 0.1, 1, 0.1, 0.9, curve(arm, seed, 2))
        for arm, accuracy in (("max", 0.90), ("average", 0.93), ("flat", 0.9 + 1e-12))
        for seed in range(3)
    ]
    rows = summarize(runs, "max")
    average, flat = findings(rows)
    assert average == (
        "average compared with max is undecided: the differences of its 3 seeds are equal or vary by less than can be "
        "measured, so there is no interval (+3.00 percentage points)."
    )
    assert "flat compared with max is undecided" in flat
    assert "(+0.00 percentage points)" in flat
    table = format_table(rows)
    assert "< 0.001" not in table
    assert "± 0.00" not in table
    assert "+3.00 [n/a]" in table
    assert headline(rows) == "2 arms compared with max over 3 seeds: 2 undecided."
    for figure in drawn(runs).values():
        assert figures.image(figure, "svg")


def test_two_seeds_are_too_few_and_the_sentence_says_so():
    (finding,) = findings([row(0.006, 0.010, "undecided", n=2)])
    assert finding == (
        "average compared with max is undecided: +0.80 percentage points [+0.60, +1.00], but a verdict requires "
        "at least 3 seeds."
    )


def test_the_headline_counts_the_verdicts():
    rows = [row(0.006, 0.01, "better"), row(-0.1, 0.1, "undecided"), row(-0.2, 0.1, "undecided")]
    assert headline(rows) == "3 arms compared with max over 10 seeds: 1 better, 2 undecided."
    assert "no verdict" in headline(summarize(study(), control="none"))


# --- figures


def drawn(runs):
    rows = summarize(runs, "max")
    return {
        "differences": figures.differences(rows, runs),
        "accuracy_against_cost": figures.accuracy_against_cost(rows),
        "learning_curves": figures.learning_curves(runs, "max"),
    }


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_each_figure_names_each_arm():
    figures = drawn(study())
    assert words(figures["learning_curves"].axes[0]) == list(COSTS)
    for axes in figures["accuracy_against_cost"].axes:
        assert words(axes) == list(COSTS)
    ticks = [label.get_text() for label in figures["differences"].axes[0].get_yticklabels()]
    assert set(ticks) == set(COSTS) - {"max"}


def test_names_do_not_cover_each_other_and_stay_in_the_picture():
    for name, figure in drawn(study()).items():
        figure.draw_without_rendering()
        boxes = [matplotlib.text.Text.get_window_extent(text) for axes in figure.axes for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), name
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes), name


def test_an_arm_has_the_same_colour_in_figures_of_some_arms():
    whole = figures.palette(COSTS, "max")
    assert len(set(whole.values())) == len(COSTS)
    runs = study(arms=("mlp", "max"), seeds=3)
    rows = summarize(runs, "max")
    drawings = (
        figures.learning_curves(runs, "max", whole),
        figures.accuracy_against_cost(rows, whole),
        figures.differences(rows, runs, whole),
    )
    for figure in drawings:
        assert whole["mlp"] in {line.get_color() for axes in figure.axes for line in axes.lines}


def test_names_of_lines_stay_beside_the_axes():
    figure = figures.learning_curves(study(epochs=20), "max")
    figure.draw_without_rendering()
    box = figure.axes[0].get_window_extent()
    assert all(
        box.y0 - 1 <= text.get_position()[1] * box.height + box.y0 <= box.y1 + 1 for text in figure.axes[0].texts
    )


def test_a_line_is_the_mean_over_seeds_up_to_the_shortest():
    runs = [
        Run("max", seed, 0.9, 1, 1, 0.1, epochs, 0.1, 0.9, curve("max", seed, epochs))
        for seed, epochs in enumerate((3, 5))
    ]
    (line,) = figures.learning_curves(runs, "max").axes[0].lines
    errors = [[100 * (1 - row["valid_accuracy"]) for row in run.curve[:3]] for run in runs]
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata() == pytest.approx(np.mean(errors, axis=0))


def test_the_differences_are_drawn_where_they_are():
    runs = study(arms=("max", "average"), seeds=4)
    axes = figures.differences(summarize(runs, "max"), runs).axes[0]
    accuracy = {(run.arm, run.seed): run.test_accuracy for run in runs}
    expected = sorted(100 * (accuracy["average", seed] - accuracy["max", seed]) for seed in range(4))
    dots = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert dots == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 1), (2, 3)])
def test_small_studies_are_drawn_without_a_warning(seeds, epochs):
    for figure in drawn(study(arms=("max", "average"), seeds=seeds, epochs=epochs)).values():
        assert figures.image(figure, "png")


def test_an_error_of_zero_is_drawn():
    perfect = tuple({**row, "valid_accuracy": 1.0} for row in curve("max", 0, 3))
    assert figures.image(figures.learning_curves([Run("max", 0, 1, 1, 1, 0.1, 3, 0.1, 1, perfect)], "max"), "png")


def test_what_cannot_be_drawn_is_refused():
    runs = study(arms=("max",))
    with pytest.raises(ValueError, match="differences: rows must compare an arm with a control, got none"):
        figures.differences(summarize(runs, "max"), runs)
    with pytest.raises(ValueError, match="learning_curves: each run must have a curve, got none for max"):
        figures.learning_curves([Run("max", 0, 0.9, 1, 1, 0.1, 3, 0.1, 0.9)], "max")


def test_a_picture_is_saved_twice_the_same_without_a_date(tmp_path):
    runs = study(seeds=3)
    first = figures.save(figures.learning_curves(runs, "max"), tmp_path / "first")
    again = figures.save(figures.learning_curves(runs, "max"), tmp_path / "again")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert [path.suffix for path in first] == [".png", ".svg"]
    assert "<dc:date>" not in first[1].read_text()
    # a PNG's width stands in bytes 16 to 20
    assert int.from_bytes(first[0].read_bytes()[16:20], "big") == 1800


NAMES = (
    *("max", "$x_1^2$", r"$\frac{a}{b}$", r"$\nonsense$", "$one", r"\$two\$", "a_b^c", r"\alpha\n", "{#%&~}"),
    *("<b>&amp;</b>", "'\"quoted\"'", "=1+1", "-5", "two\nlines", "NUL\0ESC\x1b[31m", "../up/..\\x", "été"),
)


def written(figure):
    """The texts of a picture with the number of glyphs that are drawn for each, from its SVG.

    In typeset mathematics "$", "_" and "^" have no glyphs.
    """
    _, *parts = re.split(r"<!-- (.*) -->", figures.image(figure, "svg").decode())
    return [
        (html.unescape(text), drawn.count('<use xlink:href="#DejaVu'))
        for text, drawn in zip(parts[::2], parts[1::2], strict=True)
    ]


def test_names_are_drawn_as_they_are():
    runs = study(arms=NAMES, seeds=3)
    shown = [name.replace("\n", "\\n").replace("\0", "\\x00").replace("\x1b", "\\x1b") for name in NAMES]
    for picture, figure in drawn(runs).items():
        texts = written(figure)
        there = shown if picture != "differences" else shown[1:]
        assert not [name for name in there if (name, len(name)) not in texts], picture
    control = summarize(runs, control="$x_1^2$")
    title = "Test accuracy minus that of $x_1^2$, paired by seed"
    assert (title, len(title)) in written(figures.differences(control, runs))


def test_names_are_written_as_they_are(tmp_path):
    runs = study(arms=NAMES, seeds=3)
    rows = summarize(runs, control="$x_1^2$")
    shown = [name.replace("\n", "\\n").replace("\0", "\\x00").replace("\x1b", "\\x1b") for name in NAMES]
    page = Page(report(tmp_path / "report.html", runs, rows=rows))
    assert not [name for name in shown if page.text.count(name) != 1 + 3], "the table and three runs"
    sentences = " ".join(page.text)
    for name in (*shown[:1], *shown[2:]):
        assert f"{name} compared with $x_1^2$ is " in sentences or f"{name} is " in sentences
    lines = format_table(rows).split("\n\n")[0].splitlines()
    assert [line.split("  ")[0] for line in lines[3:]] == shown
    assert len({len(line) for line in lines}) == 1


def test_names_are_no_markup_in_markdown():
    runs = study(arms=NAMES, seeds=3)
    lines = markdown_table(summarize(runs, control="$x_1^2$")).split("\n\n")[0].splitlines()
    assert len(lines) == 2 + len(NAMES)
    # CommonMark: a backslash before ASCII punctuation stands for the character itself
    names = [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", line.split(" | ")[0].removeprefix("| ")) for line in lines[2:]]
    assert names[:13] == list(NAMES[:13])
    bare = [re.sub(r"\\.", "", line.split(" | ")[0].removeprefix("| ")) for line in lines[2:]]
    assert not [name for name in bare if set(name) & set("\\`*_{}[]<>$|~&#")]


def test_pictures_display_themselves():
    for figure in drawn(study(arms=("max", "average"), seeds=3)).values():
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_drawing_leaves_the_reader_s_settings_alone():
    before = dict(matplotlib.rcParams)
    drawn(study(arms=("max", "average"), seeds=2))
    assert dict(matplotlib.rcParams) == before


def test_apart_keeps_order_distance_and_what_is_apart_already():
    values = np.random.default_rng(0).uniform(0, 5, size=12)
    moved = apart(values, gap=0.7)
    order = np.argsort(values)
    assert (np.diff(moved[order]) >= 0.7 - 1e-9).all()
    assert moved.mean() == pytest.approx(values.mean())
    assert apart([5, 1, 9], gap=2).tolist() == [5, 1, 9]
    assert apart([1.0, 1.0, 1.0], gap=2, low=0.0, high=9.0).tolist() == [0, 2, 4]
    assert apart([8.0, 8.5], gap=2, low=0.0, high=9.0).tolist() == [7, 9]


# --- the page


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in {"src", "href", "data", "action", "srcset"}]
        if tag == "img":
            assert dict(attributes)["alt"]

    def handle_data(self, data):
        self.text.append(data)


def report(path, runs, **changes):
    options = {
        "title": "Heads",
        "question": "Which head?",
        "rows": summarize(runs, "max"),
        "runs": runs,
        "settings": {"optimizer": "Adam(0.001)"},
        "figures": {},
        "command": "make compare",
    }
    return write_report(path, **{**options, **changes}).read_text(encoding="utf-8")


def test_a_page_holds_everything_and_asks_for_nothing(tmp_path):
    runs = study(seeds=3)
    text = report(tmp_path / "report.html", runs, figures=drawn(runs), notes=["One machine."])
    page, words = Page(text), " ".join(Page(text).text)
    for part in ("Which head?", *COSTS, "Adam(0.001)", "make compare", "One machine.", "24 runs", np.__version__):
        assert part in words
    assert headline(summarize(runs, "max")) in words
    assert len(page.links) == page.tags.count("img") == 3
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert base64.b64decode(page.links[0].partition(",")[2]).startswith(b"<?xml")
    # a row of the summary each, a row a run, and two headers
    assert page.tags.count("tr") == len(COSTS) + len(runs) + 2


def test_what_people_wrote_is_never_markup(tmp_path):
    evil = "<script>alert('1')</script>"
    text = report(
        tmp_path / "report.html",
        study(arms=("max", evil), seeds=2),
        title=evil,
        question=evil,
        settings={evil: evil},
        notes=[evil],
        command=evil,
        machine={evil: evil},
        figures={f'"{evil}': drawn(study(arms=("max", "average"), seeds=2))["differences"]},
    )
    assert "<script" not in text
    assert evil in "".join(Page(text).text)


def test_a_page_is_the_same_for_the_same_study(tmp_path):
    runs = study(arms=("max", "average"), seeds=2)
    pages = [report(tmp_path / name, runs, figures=drawn(runs), machine={}) for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_names_keep_their_hyphens_and_numbers_get_a_minus(tmp_path):
    text = report(tmp_path / "report.html", study(seeds=3))
    assert "global-max-average" in text
    assert "\N{MINUS SIGN}0." in text


def test_the_environment_is_known():
    known = environment()
    assert known["python"].endswith(sys.version.split()[0])
    assert int(known["cores"]) >= 1
    assert all(known.values())


def test_drawing_libraries_wait_until_they_are_used():
    heavy = "matplotlib", "jinja2", "statsmodels", "scipy"
    code = f"import sys, minicnn.study.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist"])
def test_the_readme_shows_the_published_tables(dataset):
    root = Path(__file__).parent.parent
    table = (root / "experiments" / "results" / f"pooling_heads-{dataset}" / "table.txt").read_text()
    assert table in (root / "README.md").read_text()
