"""The report of a study says what the intervals show; names are text, pictures are whole, nothing is asked for."""

import base64
import contextlib
import dataclasses
import html
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest
from study_fixtures import curve, filled, heads_study, ledger, reported, small_cnn

from minicnn import study, train
from minicnn.environment import environment
from minicnn.study import trial
from minicnn.study.report import build, tables
from minicnn.study.report.words import Outcome, aligned, finding, headline, markdown
from minicnn.study.statistics import Comparison, Contrast, Interval, compare

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from minicnn.study.report import curves, forest, pictures, style
from minicnn.study.report import figures as report_figures
from minicnn.study.report.label_layout import apart

ARMS = (
    *("max", "flatten", "average", "global-max", "global-average"),
    *("global-average-conv", "global-max-average", "mlp"),
)
NAMES = (
    *("max", "$x_1^2$", r"$\frac{a}{b}$", r"$\nonsense$", "$one", r"\$two\$", "a_b^c", r"\alpha\n", "{#%&~}"),
    *("<b>&amp;</b>", "'\"quoted\"'", "=1+1", "-5", "two\nlines", "NUL\0ESC\x1b[31m", "../up/..\\x", "été"),
)
SHOWN = [name.replace("\n", "\\n").replace("\0", "\\x00").replace("\x1b", "\\x1b") for name in NAMES]
CLEAN = Outcome("accuracy", "", "clean accuracy")
# what a figure must name: the control has no difference from itself
WITH_CONTROL = ("under_shift", "learning", "tuning", "class_maps")
WITHOUT_CONTROL = ("differences", "confusions")


def tried(results):
    return {arm: {0.003: [0.5, 0.6], 0.01: [0.1 + 0.05 * i], 0.03: [0.2]} for i, arm in enumerate(results.arms)}


def drawn(results, grid=None):
    return {name: figure for name, (figure, _) in made(results, grid).items()}


def made(results, grid=None):
    wanted = tables.outcomes(results)
    return report_figures.figures(results, tables.comparisons(results, wanted), wanted, grid or {})


@contextlib.contextmanager
def drawn_before(figures):
    """Let a report use figures that have been drawn; drawing takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_figures, "figures", lambda *_: figures)
        yield


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("heads"), ARMS)


@pytest.fixture(scope="module")
def captioned(results):
    return made(results, tried(results))


@pytest.fixture(scope="module")
def figures(captioned):
    return {name: figure for name, (figure, _) in captioned.items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("small"), ("max", "average"))


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A study whose arms have names that are markup somewhere."""
    return reported(tmp_path_factory.mktemp("names"), NAMES, control="$x_1^2$")


@pytest.fixture(scope="module")
def page(results, captioned):
    question, notes = "Which head?", ["One machine."]
    with drawn_before(captioned):
        path = study.write_report(results, title="Heads", question=question, notes=notes, tried=tried(results))
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page_of_names(named):
    return study.write_report(named, tried=tried(named)).read_text(encoding="utf-8")


def contrast(low, high, verdict, *, arm="average", n=10, why="", needed=None, mean=None):
    mean = (low + high) / 2 if mean is None else mean
    share = Interval(0.5, 0.2, 0.8, n)
    rest = {"sd": 0.01, "sign_flip_p": 0.1, "pooled": (math.nan, math.nan), "better_share": share, "differences": {}}
    return Contrast(arm, "max", n, mean=mean, low=low, high=high, verdict=verdict, why=why, needed=needed, **rest)


def comparison(*contrasts):
    return Comparison(contrasts, 2.5, 0.95, 0.005, "max-t", 10)


# --- tables


def test_cells_by_hand(tmp_path):
    found = filled(tmp_path, {"max": {0: 0.90, 1: 0.92}, "average": {0: 0.92, 1: 0.96}})
    wanted = tables.outcomes(found)
    control, average = tables.summary_table(found, tables.comparisons(found, wanted)).rows
    sizes = tables.sizes_table(found).rows
    # t(0.975; 1) = 12.7062, and the standard error of the differences 0.02 and 0.04 is 0.01.
    # Dense layers of 36 inputs with 2 and 3 outputs: 36 * 2 + 2 and 36 * 3 + 3 parameters
    assert control == ("max", "91.00", "2", "", "control", "")
    assert average[:-1] == ("average", "94.00", "2", "+3.00 [-9.71, +15.71]", "undecided")
    assert sizes == (("max", "74", "72"), ("average", "111", "108"))


def test_a_table_is_aligned_and_fits_a_terminal(results):
    wanted = [dataclasses.replace(o, title=o.measure) for o in tables.outcomes(results)]
    table = tables.terminal_table(results, tables.comparisons(results, wanted))
    lines = aligned(table.header, table.rows).splitlines()
    first, rule, *rows = lines
    assert [line.split()[0] for line in rows] == list(ARMS)
    assert set(rule) == {"-"}
    assert max(map(len, lines)) == len(rule) <= 120
    ends = [match.end() for match in re.finditer(r"\S+( \S+)*", first)]
    compared = [line for line in rows if "control" not in line]
    assert all([m.end() for m in re.finditer(r"\S+( \S+)*", line)][1:] == ends[1:] for line in compared)


def test_a_markdown_table_has_as_many_cells_in_each_line():
    lines = markdown(("arm", "n"), [("max", "1"), ("a|b", "2")]).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}
    assert lines[1].startswith("| --- | ---: |")


def test_a_summary_has_two_outcomes_beside_each_other_and_the_others_below(tmp_path):
    found = filled(tmp_path, {"max": {0: 0.90, 1: 0.92}, "average": {0: 0.92, 1: 0.96}})
    (clean,) = tables.outcomes(found)
    wanted = [dataclasses.replace(clean, title=f"outcome {i}") for i in range(3)]
    made = build._summaries(found, tables.comparisons(found, wanted))
    assert [[name for name in table.header if name.startswith("outcome")] for table in made] == [
        ["outcome 0, %", "outcome 1, %"],
        ["outcome 2, %"],
    ]


def test_a_method_that_gives_no_value_has_no_column(tmp_path, results):
    independent = tables.sensitivity(results, tables.comparisons(results, tables.outcomes(results)))
    assert "p, sign flips" in independent.header
    one = filled(tmp_path, {"max": {0: 0.98}, "average": {0: 0.97}})
    table = tables.sensitivity(one, tables.comparisons(one, tables.outcomes(one)))
    assert "Dunnett, equal variances" not in table.header
    assert all(len(row) == len(table.header) and "n/a" not in row[2:] for row in table.rows)


def test_tables_of_one_seed_and_of_nothing_are_honest(tmp_path):
    one = filled(tmp_path / "one", {"max": {0: 0.98}, "average": {0: 0.97}})
    compared = tables.comparisons(one, tables.outcomes(one))
    text = str(tables.summary_table(one, compared)) + str(tables.sensitivity(one, compared))
    assert "nan" not in text
    assert "-1.00 [n/a]" in text
    assert tables.summary_table(one, compared).rows[1][-1] == "3 or more"
    none = filled(tmp_path / "none", {"max": {0: 0.98}, "average": {}})
    assert tables.comparisons(none, tables.outcomes(none)) == {}
    assert "n/a" in tables.summary_table(none, {}).rows[1]


def test_a_column_says_which_learning_rates_were_chosen_where_they_differ(tmp_path, results):
    table = tables.sizes_table(results)
    assert "learning rate" not in table.header  # the same for all
    results.description["arms"]["max"]["rate"], before = 0.25, results.description["arms"]["max"]["rate"]
    table = tables.sizes_table(results)
    results.description["arms"]["max"]["rate"] = before
    assert table.rows[0][table.header.index("learning rate")] == "0.25"


# --- sentences


@pytest.mark.parametrize(
    ("low", "high", "verdict", "why", "words"),
    [
        (
            *(0.006, 0.010, "better", ""),
            "average is better than max by clean accuracy: +0.80 [+0.60, +1.00] percentage points.",
        ),
        (
            *(-0.030, -0.020, "worse", ""),
            "average is worse than max by clean accuracy: -2.50 [-3.00, -2.00] percentage points.",
        ),
        (
            *(-0.002, 0.004, "equivalent", ""),
            "average is equivalent to max by clean accuracy: +0.10 [-0.20, +0.40] percentage points lies within ±0.50 "
            "percentage points.",
        ),
        (
            *(-0.010, 0.004, "undecided", "With this mean and spread, 20 replicates would do."),
            "average against max is undecided by clean accuracy: -0.30 [-1.00, +0.40] percentage points. With this "
            "mean and spread, 20 replicates would do.",
        ),
    ],
)
def test_a_finding_claims_what_its_interval_shows(low, high, verdict, why, words):
    assert finding(contrast(low, high, verdict, why=why), CLEAN, 0.005) == words


def test_one_seed_decides_nothing():
    (found,) = compare({"max": {0: 0.9}, "average": {0: 0.99}}, "max", rope=0.005).contrasts
    words = finding(found, CLEAN, 0.005)
    assert words.startswith("average against max is undecided by clean accuracy: +9.00 [n/a] percentage points.")
    assert "One replicate has no interval" in words


def test_equal_differences_are_undecided_and_the_sentence_says_why(tmp_path):
    def accuracy(place, replicate):
        return (0.90, 0.93, 0.9 + 1e-12)[place] + 0.01 * replicate

    equal = reported(tmp_path, ("max", "average", "flat"), accuracy=accuracy)
    (first, *_), compared = tables.outcomes(equal), tables.comparisons(equal, tables.outcomes(equal))
    average, flat = (finding(c, first, 0.005) for c in compared[first].contrasts)
    assert "average against max is undecided" in average
    assert "+3.00 [n/a] percentage points. The differences vary by less than the resolution" in average
    assert "flat against max is undecided by clean accuracy: +0.00 [n/a]" in flat
    assert headline(compared[first], first) == "By clean accuracy, 0 of 2 arms are decided."
    assert build.decidable(equal, first, compared[first]) == "" or "nan" not in build.decidable(
        equal, first, compared[first]
    )
    for figure in drawn(equal).values():
        assert style.image(figure, "svg")


def test_two_seeds_are_too_few_and_the_table_says_so():
    values = {"max": {0: 0.9, 1: 0.9}, "average": {0: 0.95, 1: 0.951}}
    (found,) = compare(values, "max", rope=0.005, confidence=0.5).contrasts
    assert found.low > 0.005
    assert finding(found, CLEAN, 0.005).startswith("average against max is undecided")


def test_the_headline_counts_the_verdicts():
    rows = [contrast(0.006, 0.01, "better"), *[contrast(-0.1, 0.1, "undecided", why="Why.")] * 2]
    assert headline(comparison(*rows), CLEAN) == "By clean accuracy, 1 of 3 arms is decided: 1 better."


def test_what_is_decided_comes_first():
    rows = [contrast(-0.1, 0.1, "undecided", why="Why."), contrast(0.006, 0.01, "better", arm="flatten")]
    shift = Outcome("shift", "mean", "shift")
    said = build.answers({CLEAN: comparison(rows[0]), shift: comparison(*rows)})
    assert [head.split(",")[0] for head, _ in said] == ["By shift", "By clean accuracy"]
    assert [words.split()[0] for words in said[0][1]] == ["flatten", "average"]


def test_the_report_says_how_small_a_difference_the_study_decides(results):
    wanted = tables.outcomes(results)
    said = build.decidable(results, wanted[0], tables.comparisons(results, wanted)[wanted[0]])
    assert re.search(r"3 replicates decide a difference in clean accuracy of \d+\.\d\d percentage points", said)


# --- figures


def words(figure):
    """Return the words of a figure by where they stand."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    inside = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, *axes.get_yticklabels())]
    left = [axes.get_title(loc="left") for axes in figure.axes]
    return [*legends, *inside, *left]


@pytest.mark.parametrize("name", WITH_CONTROL + WITHOUT_CONTROL)
def test_each_figure_names_each_arm(figures, name):
    there = [word.split("\n")[0] for word in words(figures[name])]
    expected = ARMS if name in WITH_CONTROL else ARMS[1:]
    assert {arm: there.count(arm) for arm in expected} == dict.fromkeys(expected, 1)


def test_names_do_not_cover_each_other_and_stay_in_the_picture(figures):
    for name, figure in figures.items():
        figure.draw_without_rendering()
        texts = [text for axes in figure.axes for text in axes.texts]
        texts += [text for legend in figure.legends for text in legend.get_texts()]
        boxes = [matplotlib.text.Text.get_window_extent(text) for text in texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), name
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes), name
        titles = [axes._left_title.get_window_extent() for axes in figure.axes if axes.get_title(loc="left")]
        assert not any(a.overlaps(b) for a, b in combinations(titles, 2)), name


def test_an_arm_has_the_same_colour_in_all_figures(figures):
    whole = style.palette(ARMS, "max")
    assert len(set(whole.values())) == len(ARMS)
    for name in ("under_shift", "tuning"):
        by_name = {text.get_text(): text.get_color() for text in figures[name].axes[0].texts}
        assert by_name == whole, name
    (legend,) = figures["learning"].legends
    lines = {
        text.get_text(): line.get_color() for text, line in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert lines == whole
    assert set(list(whole.values())[1:]) <= {line.get_color() for line in figures["differences"].axes[0].lines}


def test_an_arm_keeps_its_colour_in_a_figure_of_some_arms(results):
    whole, some = style.palette(ARMS, "max"), results.values("accuracy")
    found = compare({arm: some[arm] for arm in ("max", "mlp")}, "max", rope=0.005)
    figure = forest.forest({"clean": found}, whole)
    assert whole["mlp"] in {line.get_color() for line in figure.axes[0].lines}
    assert whole["flatten"] not in {line.get_color() for line in figure.axes[0].lines}


@pytest.mark.parametrize("name", ["under_shift", "tuning"])
def test_names_of_lines_stay_beside_the_axes(figures, name):
    figure = figures[name]
    figure.draw_without_rendering()
    axes = figure.axes[0]
    box = axes.get_window_extent()
    for text in axes.texts:
        assert box.y0 - 1 <= text.get_position()[1] * box.height + box.y0 <= box.y1 + 1


def test_a_line_is_the_mean_over_seeds_up_to_the_shortest():
    runs = [curve([0.5, 0.6, 0.7]), curve([0.7, 0.9, 0.9, 0.95, 0.99])]
    figure = curves.learning({"max": runs}, {"max": "#222222"}, steps_per_epoch=10)
    for panel in figure.axes[:2]:
        (line,) = panel.lines
        assert line.get_xdata().tolist() == [10, 20, 30]
        assert line.get_ydata() == pytest.approx([40, 25, 20])


def test_accuracy_under_a_change_is_drawn_where_it_is(results, figures):
    lines = {line.get_color(): line for line in figures["under_shift"].axes[0].lines}
    for arm, colour in style.palette(ARMS, "max").items():
        expected = [100 * np.mean(list(results.values("shift", f"{m} px")[arm].values())) for m in (0, 1, 2)]
        assert lines[colour].get_xdata().tolist() == [0, 1, 2]
        assert lines[colour].get_ydata() == pytest.approx(expected)


def test_the_differences_are_drawn_where_they_are(results, figures):
    axes, accuracy = figures["differences"].axes[0], results.values("accuracy")
    for arm, colour in list(style.palette(ARMS, "max").items())[1:]:
        expected = sorted(100 * (accuracy[arm][seed] - accuracy["max"][seed]) for seed in range(3))
        mine = [line for line in axes.lines if line.get_color() == colour and line.get_marker() == "o"]
        assert sorted(line.get_xdata()[0] for line in mine) == pytest.approx(expected, abs=0.005)


def test_an_arm_that_fails_badly_does_not_flatten_the_others():
    rng = np.random.default_rng(0)
    values = {arm: dict(enumerate(0.9 + rng.normal(0, 0.003, 4))) for arm in ("max", "average", "flatten")}
    values["broken"] = dict(enumerate(0.1 + rng.normal(0, 0.003, 4)))
    figure = forest.forest({"clean": compare(values, "max", rope=0.005)})
    low, high = figure.axes[0].get_xlim()
    assert -10 < low < high < 10
    assert "\N{MINUS SIGN}80." in "".join(words(figure))


def test_a_bar_that_goes_on_beyond_its_panel_says_so():
    rng = np.random.default_rng(0)
    values = {arm: dict(enumerate(0.9 + rng.normal(0, 0.001, 3))) for arm in ("max", "average")}
    values["wild"] = {0: 0.4, 1: 0.9, 2: 1.4}
    panel = forest.forest({"clean": compare(values, "max", rope=0.005)}).axes[0]
    arrows = sorted((line.get_xdata()[0], line.get_marker()) for line in panel.lines if line.get_marker() in "<>")
    assert arrows == [(panel.get_xlim()[0], "<"), (panel.get_xlim()[1], ">")]


@pytest.mark.parametrize("arms", [2, 3])
def test_pictures_of_confusions_stand_in_the_middle(arms):
    rng, names = np.random.default_rng(0), [f"arm {i}" for i in range(1, arms)]
    figure = pictures.confusion_differences({name: rng.normal(size=(10, 10)) for name in names}, control="arm 0")
    boxes = [axes.get_tightbbox(figure.canvas.get_renderer()) for axes in figure.axes if axes.get_visible()]
    left, right = min(box.x0 for box in boxes), figure.bbox.x1 - max(box.x1 for box in boxes)
    assert left == pytest.approx(right, abs=0.1 * figure.bbox.x1)


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 1), (2, 3)])
def test_small_studies_are_drawn_without_a_warning(tmp_path, seeds, epochs):
    small = reported(tmp_path, ("max", "average"), seeds=seeds, epochs=epochs)
    page = study.write_report(small).read_text(encoding="utf-8")
    assert "nan" not in " ".join(Page(page).text).replace("\n", " ").split()


def test_an_error_of_zero_is_drawn():
    figure = curves.learning({"max": [curve([1.0, 1.0, 1.0])]}, {"max": "#222222"}, steps_per_epoch=1)
    assert style.image(figure, "png")


def test_a_rate_at_which_training_diverged_is_drawn():
    grid = {"max": {0.01: [0.5], 0.1: [math.nan]}, "average": {0.01: [0.4], 0.1: [0.3]}}
    colours = style.palette(grid, "max")
    assert style.image(curves.tuning(grid, {"max": 0.01, "average": 0.1}, colours, ylabel="loss"), "png")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="forest: comparisons must have at least one entry, got none"):
        forest.forest({})


def test_two_crossed_factors_have_a_picture_of_their_interaction(tmp_path):
    arms = {
        f"{trunk}, {head}": study.Arm(small_cnn(head, filters=len(trunk)), factors={"trunk": trunk, "head": head})
        for trunk in ("strided", "max2")
        for head in ("max", "flatten")
    }
    figure = drawn(reported(tmp_path, arms))["interaction"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["strided", "max2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["max", "flatten"]


def test_a_picture_is_saved_twice_the_same_without_a_date(tmp_path):
    runs, colours = {"max": [curve([0.5, 0.7])], "average": [curve([0.6, 0.8])]}, style.palette(ARMS, "max")
    first, again = (
        style.save(curves.learning(runs, colours, steps_per_epoch=9), tmp_path / name) for name in ("first", "again")
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert [path.suffix for path in first] == [".png", ".svg"]
    assert "<dc:date>" not in first[1].read_text()
    # a PNG's width stands in bytes 16 to 20
    assert int.from_bytes(first[0].read_bytes()[16:20], "big") == 1800


def written(svg):
    """The texts of a picture with the number of glyphs that are drawn for each, from its SVG.

    In typeset mathematics "$", "_" and "^" have no glyphs.
    """
    _, *parts = re.split(r"<!-- (.*) -->", svg)
    return [
        (html.unescape(text), drawn.count('<use xlink:href="#DejaVu'))
        for text, drawn in zip(parts[::2], parts[1::2], strict=True)
    ]


@pytest.mark.parametrize("picture", WITH_CONTROL + WITHOUT_CONTROL)
def test_names_are_drawn_as_they_are(named, page_of_names, picture):
    texts = written((named.path / f"{picture}.svg").read_text(encoding="utf-8"))
    there = SHOWN[:1] + SHOWN[2:] if picture in WITHOUT_CONTROL else SHOWN
    there = there[:9] if picture == "class_maps" else there
    assert not [name for name in there if (name, len(name)) not in texts]
    if picture == "differences":
        assert ("minus $x_1^2$", len("minus $x_1^2$")) in texts


def test_pictures_display_themselves(figures):
    for figure in figures.values():
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_drawing_leaves_the_reader_s_settings_alone(small):
    before = dict(matplotlib.rcParams)
    drawn(small, tried(small))
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


def test_a_page_holds_everything_and_asks_for_nothing(results, page):
    found, said = Page(page), " ".join(Page(page).text)
    for part in (
        "Heads",
        "Which head?",
        *ARMS,
        "Adam(learning_rate=0.01, beta_1=0.9",
        "One machine.",
        "Seeds(n=3",
        np.__version__,
    ):
        assert part in said
    wanted = tables.outcomes(results)
    for outcome, compared in tables.comparisons(results, wanted).items():
        assert headline(compared, outcome) in said
    assert len(found.links) == found.tags.count("img") == 7
    assert all(link.startswith("data:image/svg+xml;base64,") for link in found.links)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert "url(" not in page
    assert "@import" not in page
    assert base64.b64decode(found.links[0].partition(",")[2]).startswith(b"<?xml")
    summary = page[page.index("<h2>Summary") :].partition("</table>")[0]
    assert summary.count("<tr") == len(ARMS) + 1


def test_a_page_begins_with_the_answers_and_one_picture(page):
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads[:4] == ["Answers", "Picture", "Summary", "Figures"] or heads[1:4] == ["Picture", "Summary", "Figures"]
    assert re.findall(r'alt="(.*?)"', page)[0] == "Accuracy under shift; the tables have the numbers"


def test_a_page_fits_a_phone_the_night_and_paper(page):
    for rule in ('name="viewport"', "prefers-color-scheme: dark", "@media print", "max-width: 30rem"):
        assert rule in page


OVERFLOWS = """() => [...document.querySelectorAll('.wide')].filter(box => box.scrollWidth > box.clientWidth)
    .map(box => box.firstElementChild.tagName)"""


@pytest.mark.parametrize(("width", "boxes"), [(1200, set()), (390, {"IMG"})])
def test_tables_fit_a_page_and_a_phone(page, results, chromium, width, boxes):
    opened = chromium.new_page(viewport={"width": width, "height": 900})
    opened.goto(f"file://{results.path / 'report.html'}")
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    # on a phone a picture may be moved in its box: it would be too small to be read
    assert set(opened.evaluate(OVERFLOWS)) == boxes
    opened.close()


def test_no_column_of_a_wide_table_is_cut_off_on_paper(page):
    on_paper = page.partition("@media print")[2].partition("</style>")[0]
    assert "th, td { padding: .25rem .2rem; white-space: normal; }" in on_paper


def test_the_same_in_markdown_with_its_pictures_and_tables_as_files(results, page):
    text = (results.path / "report.md").read_text(encoding="utf-8")
    linked = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(linked) == 7
    for name in linked:
        assert (results.path / name).read_bytes().startswith(b"\x89PNG")
        assert (results.path / name).with_suffix(".svg").is_file()
    assert all(arm in text for arm in ARMS)
    assert (results.path / "results.csv").read_text().count("\n") == 1 + len(list(results.rows()))
    assert (results.path / "tuning.csv").read_text().startswith("arm,learning_rate,seed,criterion\nmax,0.003,0,0.5\n")


def test_names_are_written_as_they_are(named, page_of_names):
    found = Page(page_of_names)
    # in the first column of the summary, of the sizes, of the other measures, and in the list of arms
    counts = {name: found.text.count(name) for name in SHOWN}
    assert not {name: count for name, count in counts.items() if count != 4}
    sentences = " ".join(found.text)
    for name in (*SHOWN[:1], *SHOWN[2:]):
        assert f"{name} against $x_1^2$ is undecided" in sentences or f"{name} is " in sentences
    table = tables.terminal_table(named, {})
    lines = aligned(table.header, table.rows).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == SHOWN
    assert len({len(line) for line in lines[1:]}) == 1


def test_names_are_not_markup_in_markdown(named, page_of_names):
    text = (named.path / "report.md").read_text(encoding="utf-8")
    lines = next(part for part in text.split("\n\n") if part.startswith("| arm |")).splitlines()
    assert len(lines) == 2 + len(NAMES)
    # CommonMark: a backslash before ASCII punctuation stands for the character itself
    names = [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", line.split(" | ")[0].removeprefix("| ")) for line in lines[2:]]
    assert names == SHOWN
    bare = [re.sub(r"\\.", "", line.split(" | ")[0].removeprefix("| ")) for line in lines[2:]]
    assert not [name for name in bare if set(name) & set("\\`*_{}[]<>$|~&#")]


def test_what_people_wrote_is_never_markup(tmp_path):
    evil = "<script>alert('1')</script>"
    arms = {"max": None, evil: study.Arm(small_cnn(), about=evil, factors={evil: evil})}
    made = reported(tmp_path, arms, seeds=2, name=evil)
    made.description.update(command=f"python {evil}", warnings=[evil], environment={evil: evil})
    text = study.write_report(made, title=evil, question=evil, notes=[evil], names={"accuracy": evil}).read_text()
    assert "<script" not in text
    assert evil in "".join(Page(text).text)
    prose = re.sub(r"```sh.*?```", "", (tmp_path / "report.md").read_text(), flags=re.DOTALL)
    assert "<script" not in re.sub(r"\\.", "", prose)


def test_a_page_is_the_same_for_the_same_study_and_made_from_the_ledger_alone(small, monkeypatch):
    monkeypatch.setattr(train, "fit", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr("minicnn.data.load", lambda *_, **__: pytest.fail("loaded"))
    first = study.write_report(small).read_bytes()
    for file in (*small.path.glob("*.png"), *small.path.glob("report.*")):
        file.unlink()
    assert study.write_report(study.open_results(small.path)).read_bytes() == first
    assert b"Where the score of class" in first


def weights(planned):
    return planned.net.init(np.random.default_rng(0), (6, 6, 1))


def test_trials_that_are_missing_or_have_failed_are_said(tmp_path):
    def outcome(planned):
        if planned.replicate == 2:
            return None
        if (planned.arm, planned.replicate) == ("average", 1):
            return trial.Outcome(planned.id, error="Traceback ...\nFloatingPointError: <the loss> became NaN")
        right = {"predictions": planned.source(0).test.labels}
        return trial.Outcome(
            planned.id, values=[("test", "accuracy", "", 0.9)], per_image=right, params=weights(planned)
        )

    study.write_report(ledger(tmp_path, heads_study(("max", "average")), outcome))
    said = " ".join(Page((tmp_path / "report.html").read_text()).text)
    assert "average, seed 1: FloatingPointError: <the loss> became NaN" in said
    assert "2 trials have not been run" in said


def test_names_keep_their_hyphens_and_numbers_get_a_minus(page):
    assert "global-max-average" in page
    assert "\N{MINUS SIGN}0." in page


def test_the_environment_is_known():
    known = environment()
    assert known["python"].endswith(sys.version.split()[0])
    assert int(known["cores"]) >= 1
    assert all(known.values())


def test_drawing_libraries_wait_until_they_are_used():
    heavy = "matplotlib", "jinja2", "statsmodels", "scipy", "sklearn", "pandas", "joblib", "distributed"
    code = f"import sys, minicnn.study.report.build; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
