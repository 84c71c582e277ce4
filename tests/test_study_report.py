"""The report of a study: names as they are, no markup, nothing asked of the network, the same bytes twice."""

import base64
import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from minicnn import data, models, optim, study
from minicnn.environment import environment
from minicnn.study import engine
from minicnn.study.report import curves, figures, forest, page, pictures, style, tables, words
from minicnn.study.report.label_layout import apart
from minicnn.study.results import open_results
from minicnn.study.statistics import compare
from minicnn.study.store import writing
from minicnn.study.trial import Outcome

HEADS = ("max", "flatten", "average", "global-max", "global-average")
NAMES = (
    *("max", "$x_1^2$", r"$\frac{a}{b}$", r"$\nonsense$", "$one", r"\$two\$", "a_b^c", r"\alpha\n", "{#%&~}"),
    *("<b>&amp;</b>", "'\"quoted\"'", "=1+1", "-5", "two\nlines", "NUL\0ESC\x1b[31m", "../up/..\\x", "été"),
)
SHOWN = [name.replace("\n", "\\n").replace("\0", "\\x00").replace("\x1b", "\\x1b") for name in NAMES]
RNG = np.random.default_rng(0)
DATA = data.from_arrays(RNG.random((60, 8, 8, 1), np.float32), np.arange(60) % 3, test=0.3, name="noise")


def results(folder, arms=HEADS, seeds=4, epochs=3, control="max", accuracy=None, tune=False):
    """A ledger with made-up outcomes: what the report makes of them does not depend on training."""
    nets = {arm: models.small_cnn(arm if arm in models.HEADS else "max", filters=(4,), strides=(1,), classes=3)
            for arm in arms}  # fmt: skip
    chosen = study.Study(
        nets,
        control=control,
        data=DATA,
        recipe=study.Recipe(optim.Adam(1e-2), epochs=epochs, batch_size=8),
        replicates=study.Seeds(seeds),
        measures={"accuracy": study.accuracy, "shift": study.Shifted((0, 1)), "nll": study.nll},
        name="noise",
    )
    digests = engine.data_digests(chosen)
    with writing(folder) as store:
        trials = engine.test_trials(chosen, digests, {})
        # nets of equal heads would have equal ids: as in a study, each arm is trained
        trials = [engine.replace(trial, id=f"{i:032x}") for i, trial in enumerate(trials)]
        store.describe(engine.description(chosen, digests, {}, trials, [], []))
        store.keep_sample(DATA.test)
        for place, trial in enumerate(trials):
            store.record(trial, outcome(trial, place % len(nets), epochs, accuracy))
    return open_results(folder)


def outcome(trial, place, epochs, accuracy):
    rng = np.random.default_rng([trial.seed, place])
    value = 0.9 - 0.01 * place + rng.normal(0, 0.01) if accuracy is None else accuracy(trial)
    errors = [min(0.9, 0.02 + 0.5 / epoch) for epoch in range(1, epochs + 1)]
    curve = [
        {"epoch": epoch, "loss": e, "accuracy": 1 - e, "valid_loss": e, "valid_accuracy": 1 - e, "cpu_seconds": epoch}
        for epoch, e in enumerate(errors, 1)
    ]
    numbers = {("accuracy", ""): value, ("shift", "0 px"): value, ("shift", "1 px"): value / 2,
               ("shift", "mean"): value / 2, ("nll", ""): 1 - value}  # fmt: skip
    return Outcome(
        trial.id,
        values=[("test", measure, condition, number) for (measure, condition), number in numbers.items()],
        per_image={"predictions": np.asarray(rng.integers(0, 3, len(DATA.test)), np.uint8),
                   "accuracy|": np.asarray(rng.integers(0, 2, len(DATA.test)), np.uint8)},
        curve=curve,
        params=trial.net.init(np.random.default_rng(0), (8, 8, 1)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return results(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    return results(tmp_path_factory.mktemp("names"), arms=NAMES, seeds=3, control="$x_1^2$")


def compared(found):
    return tables.comparisons(found, tables.outcomes(found))


def drawn(found):
    made = figures.figures(found, compared(found), tables.outcomes(found), {})
    return {name: figure for name, (figure, _) in made.items()}


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


# --- words and tables


@pytest.mark.parametrize(
    ("values", "rope", "sentence"),
    [
        ((0.2, 0.21, 0.22), 0.05, "b is better than a by clean accuracy: +21.00 ["),
        ((-0.2, -0.21, -0.22), 0.05, "b is worse than a by clean accuracy: -21.00 ["),
        ((0.001, 0.0, -0.001), 0.05, "b is equivalent to a by clean accuracy: +0.00 ["),
        ((0.2, 0.0, -0.2), 0.05, "b against a is undecided by clean accuracy: +0.00 ["),
        ((0.2, 0.2, 0.2), 0.05, "b against a is undecided by clean accuracy: +20.00 [n/a] percentage points. The "),
        ((0.2, 0.21), 0.05, "b against a is undecided"),
        ((0.2,), 0.05, "One replicate has no interval"),
    ],
)
def test_a_finding_claims_what_its_interval_shows(values, rope, sentence):
    control = dict.fromkeys(range(len(values)), 0.5)
    arm = {i: 0.5 + value for i, value in enumerate(values)}
    comparison = compare({"a": control, "b": arm}, "a", rope=rope)
    assert sentence in words.finding(
        comparison.contrasts[0], words.Outcome("accuracy", "", "clean accuracy"), comparison.rope
    )


def test_a_table_is_aligned_and_fits_a_terminal(found):
    wanted = [words.Outcome(o.measure, o.condition, o.title, o.unit, short=o.measure) for o in tables.outcomes(found)]
    table = tables.terminal_table(found, tables.comparisons(found, wanted))
    lines = words.aligned(table.header, table.rows).splitlines()
    assert len(lines) == 2 + len(HEADS)
    assert max(map(len, lines)) <= 120
    assert len({len(line) for line in lines[2:] if "control" not in line}) == 1


def test_the_summary_has_the_means_by_hand(found):
    table = tables.summary_table(found, compared(found))
    column = table.header.index("clean accuracy, %")
    for name, row in zip(HEADS, table.rows, strict=True):
        values = found.values("accuracy")[name].values()
        assert row[column] == f"{100 * sum(values) / len(values):.2f}"


def test_names_are_no_markup_in_markdown(named):
    table = tables.summary_table(named, compared(named))
    lines = words.markdown(table.header, table.rows).splitlines()
    assert len(lines) == 2 + len(NAMES)
    # CommonMark: a backslash before ASCII punctuation stands for the character itself
    names = [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", line.split(" | ")[0].removeprefix("| ")) for line in lines[2:]]
    assert names == SHOWN
    bare = [re.sub(r"\\.", "", line.split(" | ")[0].removeprefix("| ")) for line in lines[2:]]
    assert not [name for name in bare if set(name) & set("\\`*_{}[]<>$|~&#")]


# --- figures


def written(figure):
    """The texts of a picture with the number of glyphs that are drawn for each, from its SVG.

    In typeset mathematics "$", "_" and "^" have no glyphs.
    """
    _, *parts = re.split(r"<!-- (.*) -->", style.image(figure, "svg").decode())
    return [
        (html.unescape(text), drawn.count('<use xlink:href="#DejaVu'))
        for text, drawn in zip(parts[::2], parts[1::2], strict=True)
    ]


def test_names_are_drawn_as_they_are(named):
    pictures_ = drawn(named)
    # the forest plot breaks its labels into lines, the maps have a caption below the name
    for picture in ("under_shift", "learning"):
        texts = written(pictures_[picture])
        assert not [name for name in SHOWN if (name, len(name)) not in texts], picture
    labels = [label.get_text() for label in pictures_["differences"].axes[0].get_yticklabels()]
    assert set(labels) == {f"{name}\nminus $x_1^2$" for name in SHOWN if name != "$x_1^2$"}


def test_names_of_lines_do_not_cover_each_other_and_stay_in_the_picture(found):
    figure = drawn(found)["under_shift"]
    figure.draw_without_rendering()
    boxes = [matplotlib.text.Text.get_window_extent(text) for axes in figure.axes for text in axes.texts]
    assert len(boxes) == len(HEADS)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_an_arm_has_the_same_colour_in_figures_of_some_arms():
    whole = style.palette(HEADS, "max")
    assert len(set(whole.values())) == len(HEADS)
    runs = [[{"accuracy": 0.5, "valid_accuracy": 0.5, "cpu_seconds": 1.0}]]
    figure = curves.learning({"average": runs}, whole, steps_per_epoch=1)
    assert whole["average"] in {line.get_color() for axes in figure.axes for line in axes.lines}


def test_a_line_is_the_mean_over_replicates_up_to_the_shortest():
    runs = [
        [{"accuracy": 1 - e, "valid_accuracy": 1 - e / 2, "cpu_seconds": 1.0} for e in errors]
        for errors in ((0.4, 0.2, 0.1), (0.6, 0.4, 0.3, 0.2, 0.1))
    ]
    axes = curves.learning({"max": runs}, {"max": "#000000"}, steps_per_epoch=7).axes
    assert axes[0].lines[0].get_xdata().tolist() == [7, 14, 21]
    assert axes[0].lines[0].get_ydata() == pytest.approx([50, 30, 20])
    assert axes[1].lines[0].get_ydata() == pytest.approx([25, 15, 10])


def test_the_differences_are_drawn_where_they_are(found):
    comparison = found.compare("accuracy")
    axes = forest.forest({"accuracy": comparison}).axes[0]
    expected = sorted(100 * d for contrast in comparison.contrasts for d in contrast.differences.values())
    dots = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert dots == pytest.approx(expected, abs=0.005)


def test_an_arm_that_fails_does_not_flatten_the_others():
    values = {"a": {}, "b": {}, "bad": {}}
    for i in range(4):
        values["a"][i], values["b"][i], values["bad"][i] = 0.9, 0.9 + 0.002 * i, 0.1 + 0.01 * i
    axes = forest.forest({"accuracy": compare(values, "a", rope=0.005)}).axes[0]
    assert axes.get_xlim()[1] < 5
    assert any("78.5" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 1), (2, 3)])
def test_small_studies_are_drawn_without_a_warning(tmp_path, seeds, epochs):
    small = results(tmp_path, arms=("max", "average"), seeds=seeds, epochs=epochs)
    for figure in drawn(small).values():
        assert style.image(figure, "png")


def test_an_error_of_zero_is_drawn():
    perfect = [[{"accuracy": 1.0, "valid_accuracy": 1.0, "cpu_seconds": 1.0}] * 3]
    assert style.image(curves.learning({"max": perfect}, {"max": "#000000"}, steps_per_epoch=1), "png")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="forest: comparisons must have at least one entry, got none"):
        forest.forest({})


def test_a_picture_is_saved_twice_the_same_without_a_date(found, tmp_path):
    first = style.save(drawn(found)["under_shift"], tmp_path / "first")
    again = style.save(drawn(found)["under_shift"], tmp_path / "again")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert [path.suffix for path in first] == [".png", ".svg"]
    assert "<dc:date>" not in first[1].read_text()
    # a PNG's width stands in bytes 16 to 20
    assert int.from_bytes(first[0].read_bytes()[16:20], "big") == 1800


def test_pictures_display_themselves(found):
    for figure in drawn(found).values():
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_drawing_leaves_the_reader_s_settings_alone(found):
    before = dict(matplotlib.rcParams)
    drawn(found)
    assert dict(matplotlib.rcParams) == before


def test_a_confusion_counts_by_true_class():
    assert pictures.confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2]), 3).tolist() == [
        [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1],
    ]  # fmt: skip


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


def test_a_page_holds_everything_and_asks_for_nothing(found):
    path = study.write_report(found, title="Heads", question="Which head?", notes=["One machine."])
    text = path.read_text(encoding="utf-8")
    parsed, said = Page(text), " ".join(Page(text).text)
    for part in ("Which head?", *HEADS, "One machine.", np.__version__, "Seeds(n=4, first=0)", "noise: 36 training"):
        assert part in said
    for outcome, comparison in compared(found).items():
        assert words.headline(comparison, outcome) in said
    assert len(parsed.links) == parsed.tags.count("img") == 6
    assert all(link.startswith("data:image/svg+xml;base64,") for link in parsed.links)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert base64.b64decode(parsed.links[0].partition(",")[2]).startswith(b"<?xml")
    assert (path.parent / "report.md").read_text().startswith("# Heads")


def test_what_people_wrote_is_never_markup(tmp_path):
    evil = "<script>alert('1')</script>"
    made = results(tmp_path, arms=("max", evil), seeds=2)
    made = engine.replace(made, description={**made.description, "command": evil, "environment": {evil: evil}})
    text = study.write_report(made, title=evil, question=evil, notes=[evil], names={"accuracy": evil}).read_text()
    assert "<script" not in text
    assert evil in "".join(Page(text).text)


def test_a_page_is_the_same_for_the_same_study(found):
    first = study.write_report(found, title="Heads").read_bytes()
    assert study.write_report(found, title="Heads").read_bytes() == first


def test_an_incomplete_study_says_so(tmp_path):
    made = results(tmp_path, arms=("max", "average"), seeds=2)
    missing = engine.replace(made, trials=made.trials[:3], missing=1)
    assert "1 trials have not been run" in study.write_report(missing).read_text()


def test_numbers_get_a_minus_and_names_keep_their_hyphens():
    assert (
        page.typeset("-0.50 [-1.00, +0.20] max-average") == "\N{MINUS SIGN}0.50 [\N{MINUS SIGN}1.00, +0.20] max-average"
    )


def test_the_environment_is_known():
    known = environment()
    assert known["python"].endswith(sys.version.split()[0])
    assert int(known["cores"]) >= 1
    assert all(known.values())


def test_drawing_libraries_wait_until_they_are_used():
    heavy = "matplotlib", "jinja2", "statsmodels", "scipy"
    code = f"import sys, minicnn.study.report.build; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
