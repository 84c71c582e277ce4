"""Results in a notebook, and the progress bar there, on terminals and where there is no stderr."""

import io
import pickle
import sys
import types
import warnings

import numpy as np
import pytest

from minicnn import data, models, notebook, optim, train

DIGITS = data.load("digits", seed=0)
NET = models.small_cnn("max", filters=(4, 4), strides=(1, 2))


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


def test_moving_statistics_are_no_parameters():
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
    assert "<td></td>" in train.History([{"epoch": 1}, {"epoch": 2, "f1": None}])._repr_html_()
    assert "epoch" in train.History()._repr_html_()


def test_html_is_escaped():
    shown = train.History([{"epoch": 1, "<script>alert(1)</script>": "<b>&"}])._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;&amp;" in shown


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
def test_ipython_in_a_terminal_or_half_imported_is_no_notebook(ipython, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not notebook.in_notebook()
