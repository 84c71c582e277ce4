"""Results in a notebook, and the progress bar there, on terminals and where there is no stderr."""

import io
import pickle
import sys
import types
import warnings

import numpy as np
import pytest

from minicnn import Tensor, data, layers, models, notebook, optim, study, train

DIGITS = data.load("digits", seed=0)
NET = models.small_cnn("max", filters=(4, 4), strides=(1, 2))
LEFT = ' style="text-align:left"'


def fit(**changes):
    how = {"optimizer": optim.SGD(0.05), "epochs": 2, "batch_size": 16, **changes}
    return train.fit(NET, DIGITS.train[:64], valid=DIGITS.valid, **how)


@pytest.fixture
def kernel(monkeypatch):
    """Make this process look like a notebook's kernel, without ipywidgets."""
    shell = type("Shell", (type("ZMQInteractiveShell", (), {}),), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)


# --- short words for results --------------------------------------------------------------------------------------


def test_results_are_shown_in_a_line_and_not_by_their_weights():
    seen = []
    result = fit(callbacks=[seen.append])
    for value in (result, result.history, train.evaluate(NET, result.params, DIGITS.test), seen[0]):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 200
        assert "array" not in repr(value)
        assert "accuracy=" in repr(value)
    assert repr(result).startswith("Result(358 parameters, History(2 epochs; last: loss=")  # 40 + 148 + 170
    assert repr(train.History()) == "History(0 epochs)"
    assert repr(train.Result({}, train.History(), True)) == "Result(0 parameters, interrupted, History(0 epochs))"
    assert repr(train.BestWeights("loss")) == "BestWeights(monitor='loss')"


def test_moving_statistics_are_not_parameters():
    net = models.small_cnn("max", filters=(4,), strides=(1,), batch_norm=True)
    params = net.init(np.random.default_rng(0), (8, 8, 1))
    assert repr(train.Result(params, train.History())).startswith("Result(694 parameters")  # 36 + 2 * 4 + 650


def test_a_notebook_gets_a_table_of_the_epochs():
    result = fit()
    for shown in (result._repr_html_(), result.history._repr_html_()):
        assert shown.count("<tr>") == 3
        assert "<th>valid_accuracy</th>" in shown
        assert f"<td>{result.history['valid_accuracy'][-1]:.2%}</td>" in shown
    found = train.evaluate(NET, result.params, DIGITS.test)
    assert f"<td>{found.accuracy:.2%}</td>" in found._repr_html_()
    assert "<td>359</td>" in found._repr_html_()


def test_long_histories_are_cut_in_the_middle_and_odd_ones_shown():
    rows = [{"epoch": i, "loss": 1 / i} for i in range(1, 201)]
    shown = train.History(rows)._repr_html_()
    assert shown.count("<tr>") == 1 + 30 + 1
    assert all(f"<td>{i}</td>" in shown for i in (1, 15, 186, 200))
    assert "<td>16</td>" not in shown
    assert f"<td{LEFT}></td>" in train.History([{"epoch": 1}, {"epoch": 2, "f1": None}])._repr_html_()
    assert "epoch" in train.History()._repr_html_()


def test_html_is_escaped():
    shown = train.History([{"epoch": 1, "<script>alert(1)</script>": "<b>&"}])._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;&amp;" in shown


NESTED = layers.Sequential([
    layers.Residual(layers.Conv2D(1, 3, padding="same"), layers.Conv2D(1, 1)),
    layers.Concat([layers.MaxPooling2D(2), layers.Sequential([layers.AveragePooling2D(2)])]), layers.Flatten(),
])  # fmt: skip


def test_a_net_is_shown_as_a_table_of_its_layers():
    found = NESTED._repr_html_()
    paths = ["residual/body", "residual/shortcut", "concat/max_pooling2d", "concat/sequential/average_pooling2d"]
    assert all(f"<tr><td{LEFT}>{path}</td>" in found for path in [*paths, "flatten"])
    assert found.count("<tr>") == 1 + 5
    assert found.count(LEFT) == 2 * (1 + 5)  # a notebook aligns what has no style at the right
    assert "kernel_size=3, padding=&#x27;same&#x27;" in found


def test_a_dataset_is_shown_by_its_counts():
    assert repr(DIGITS) == "Dataset('digits': train 1,258, valid 180, test 359 images of 8x8x1, 10 classes)"
    found = DIGITS._repr_html_()
    counts = [np.count_nonzero(part.labels == 7) for part in (DIGITS.train, DIGITS.valid, DIGITS.test)]
    assert f"<tr><td>7</td>{''.join(f'<td>{n}</td>' for n in counts)}</tr>" in found
    assert "<tr><td>all</td><td>1,258</td><td>180</td><td>359</td></tr>" in found
    many = data.Dataset("own", *[data.Split(np.zeros((400, 2, 2, 1)), np.arange(400) % 200)] * 3, ("<b>",) * 200)
    assert many._repr_html_().count("<tr>") == 1 + 30 + 1 + 1
    assert "<b>" not in many._repr_html_()


@pytest.mark.parametrize("shape", [(100, 100), (2, 4, 4, 3), (1, 28, 28, 1), (3, 1, 1, 1, 1, 1, 7), (0, 3), (10**6,)])
def test_a_large_tensor_is_described_in_few_lines(shape):
    value = Tensor(np.ones(shape, np.float32)) * 2.0
    assert len(repr(value)) < 400
    assert repr(value).count("\n") <= 8
    assert "made from 1" in repr(value)
    assert repr(Tensor(np.ones((2, 4, 4, 3), np.float32))) == "Tensor(2x4x4x3 float32)"


def test_studies_are_shown_in_a_line_and_a_table(tmp_path):
    arms = {"<narrow>": models.mlp((4,)), "wide": models.mlp((8,))}
    own = study.Study(
        arms, control="wide", data=DIGITS, recipe=study.Recipe(optim.Adam(1e-2), epochs=1), replicates=study.Resplits(3)
    )
    assert (
        repr(own) == "Study('study': 2 arms, control 'wide', Resplits(n=3, test=0.2, valid=0.1, first=0, tuning=0.0))"
    )
    plan, results = own.plan(), own.run(tmp_path, progress=False)
    compared = results.compare()
    assert repr(plan).startswith("Plan(2 arms, 0 of 6 trials done, ")
    assert repr(compared).startswith("Comparison(1 contrasts: 1 ")
    assert repr(compared.contrasts[0]).startswith("Contrast('<narrow>' - 'wide' = ")
    assert "percentage points" in plan._repr_html_()
    for value in (own, plan, results, compared, *compared.contrasts):
        assert len(repr(value)) < 150
        assert "\n" not in repr(value)
    for value in (own, plan, results, compared):
        found = value._repr_html_()
        assert found.startswith("<table>")
        assert f"<td{LEFT}>&lt;narrow&gt;</td>" in found
        assert "<narrow>" not in found


# --- figures ------------------------------------------------------------------------------------------------------


def test_a_plot_shows_itself_and_stays_a_figure(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = fit().history.plot(tmp_path / "curve.svg")
    assert isinstance(figure, Figure)
    picture = figure._repr_png_()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(picture[16:20], "big") == 900  # pixels across, from the file's head
    assert pickle.loads(pickle.dumps(figure))._repr_png_() == picture  # noqa: S301 - our own bytes
    assert notebook.shown(figure) is figure


# --- the bar ------------------------------------------------------------------------------------------------------


class Plain:
    """A stream that can only write."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("progress", [None, True, False])
@pytest.mark.parametrize("stream", [None, "plain", "closed"])
def test_fit_works_without_a_proper_stderr(stream, progress, monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", {None: None, "plain": Plain(), "closed": closed}[stream])
    assert len(fit(progress=progress).history) == 2


@pytest.mark.parametrize(("stream", "progress", "drawn"), [
    (Terminal, None, True), (Terminal, False, False), (io.StringIO, None, False), (io.StringIO, True, True),
])  # fmt: skip
def test_the_bar_is_drawn_on_terminals_or_when_asked(stream, progress, drawn, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    fit(progress=progress)
    assert ("epoch 2/2" in sys.stderr.getvalue()) == drawn


def test_a_kernel_without_ipywidgets_gets_a_bar_of_text_and_no_warning(kernel, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # not a terminal
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit()
    assert "epoch 2/2" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    fit(progress=False)
    assert sys.stderr.getvalue() == ""


def test_a_kernel_without_ipywidgets_gets_one_output_that_is_replaced(kernel, monkeypatch):
    seen = []

    def publish(data, *, transient, update):
        seen.append((transient["display_id"], update, data["text/plain"]))

    shell = sys.modules["IPython"].get_ipython()
    monkeypatch.setattr(type(shell), "display_pub", types.SimpleNamespace(publish=publish), raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    fit()
    assert len({place for place, *_ in seen}) == 1
    assert [update for _, update, _ in seen] == [False] + [True] * (len(seen) - 1)
    assert seen[0][2].strip().startswith("0%")
    assert "epoch 2/2: 100%" in seen[-1][2]
    assert not any("\n" in text or "\r" in text for *_, text in seen)
    assert sys.stderr.getvalue() == ""


def test_a_kernel_with_ipywidgets_gets_the_widget(kernel, monkeypatch):
    made = []
    widget = types.SimpleNamespace(tqdm=lambda **how: made.append(how) or Bar())
    monkeypatch.setitem(sys.modules, "ipywidgets", types.ModuleType("ipywidgets"))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", widget)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    fit()
    assert [how["total"] for how in made] == [128]
    assert sys.stderr.getvalue() == ""


class Bar:
    disable = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ignore(self, *_, **__):
        pass

    update = set_description = set_postfix = ignore


@pytest.mark.parametrize("ipython", [
    types.SimpleNamespace(),
    types.SimpleNamespace(get_ipython=lambda: None),
    types.SimpleNamespace(get_ipython=type("TerminalInteractiveShell", (), {})),
])  # fmt: skip
def test_ipython_in_a_terminal_or_half_imported_is_not_a_notebook(ipython, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not notebook.in_notebook()


def test_the_table_of_a_study_has_the_layers_that_differ_and_not_whole_nets():
    base = models.small_cnn("max", filters=(4,), strides=(1,))
    arms = {"max": base, "average": models.small_cnn("average", filters=(4,), strides=(1,))}
    how = {"data": DIGITS, "recipe": study.Recipe(optim.Adam(1e-2), epochs=1), "replicates": study.Resplits(3)}
    found = study.Study(arms, control="max", **how)._repr_html_()
    assert f"<tr><td{LEFT}>max</td><td{LEFT}></td><td{LEFT}>MaxPooling2D()</td></tr>" in found
    assert f"<tr><td{LEFT}>average</td><td{LEFT}>max</td><td{LEFT}>AveragePooling2D()</td></tr>" in found
    deep = layers.Sequential([*[layers.Dense(64), layers.ReLU()] * 20, layers.Flatten(), layers.Dense(10)])
    long = study.Study({"max": base, "deep": deep}, control="max", **how)._repr_html_()
    assert max(map(len, long.partition("<tbody>")[2].split("</td>"))) < 160
    alone = study.Study({"max": base}, control="max", **how)._repr_html_()
    assert "MaxPooling2D(), Flatten(), Dense(units=10)</td>" in alone
