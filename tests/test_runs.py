"""A run in a folder: resumed to the same bytes, never mixed with another, never half there."""

import json

import numpy as np
import pytest

from minicnn import data, models, runs, train, trees
from minicnn.files import FileFormatError, only_writer

NET = models.mlp((8,))


def begin(folder, **changes):
    return runs.train_run(folder, **{"net": NET, "dataset": "digits", "epochs": 3, "progress": False, **changes})


def test_a_folder_has_net_parameters_history_and_environment(tmp_path):
    done = begin(tmp_path / "run", shift=0.5)
    assert runs.open_run(done.folder).settings == done.settings
    net, params = train.load_net(done.folder / "net.npz")
    assert net == NET
    assert [(p, a.tobytes()) for p, a in trees.items(params)] == [(p, a.tobytes()) for p, a in trees.items(done.params)]
    assert (done.folder / "history.csv").read_text().count("\n") == 4
    assert json.loads((done.folder / "environment.json").read_text())["numpy"] == np.__version__


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    whole = begin(tmp_path / "whole")
    real = train.CSVLog.__call__

    def interrupted(self, moment):
        real(self, moment)
        if moment.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.CSVLog, "__call__", interrupted)
        assert begin(tmp_path / "run") is None
    with pytest.raises(FileFormatError, match="its training is not complete"):
        runs.open_run(tmp_path / "run")
    assert begin(tmp_path / "run") is not None
    assert (tmp_path / "run" / "net.npz").read_bytes() == (whole.folder / "net.npz").read_bytes()


def test_a_complete_run_is_returned_at_once(tmp_path, monkeypatch):
    before = begin(tmp_path)
    monkeypatch.setattr(train.loop, "_step", lambda *_: pytest.fail("trained"))
    assert np.array_equal(begin(tmp_path).evaluate().predictions, before.evaluate().predictions)


@pytest.mark.parametrize("change", [{"epochs": 2}, {"seed": 1}, {"net": models.mlp((9,))}, {"learning_rate": 0.1}])
def test_another_run_in_the_same_folder_is_refused_and_changes_nothing(tmp_path, change):
    begin(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"folder must be new or hold a run of the same settings, got .* with "):
        begin(tmp_path, **change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_other_programs_are_not_overwritten(tmp_path):
    (tmp_path / "history.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"folder must not hold other files of these names, got .*history.csv"):
        begin(tmp_path)
    assert (tmp_path / "history.csv").read_text() == "mine"


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with only_writer(tmp_path), pytest.raises(BlockingIOError):
        begin(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"dict": {"format": "minicnn run 2"}}', "null", '{"dict": {"net": 3}}', "nan", '"' + "x" * 1000],
)
def test_a_damaged_description_is_named(tmp_path, text):
    begin(tmp_path)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"run.json (is damaged|is not of the format)"):
        runs.open_run(tmp_path)


def test_a_damaged_net_is_named(tmp_path):
    begin(tmp_path)
    content = (tmp_path / "net.npz").read_bytes()
    (tmp_path / "net.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"net\.npz"):
        runs.open_run(tmp_path)


def test_a_folder_of_pictures_is_a_data_set(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(30):
            pixels = np.clip(level + rng.integers(-30, 30, (6, 7)), 0, 255).astype(np.uint8)
            pillow.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    done = runs.train_run(tmp_path / "run", "mlp", str(tmp_path / "pictures"), epochs=30, progress=False)
    assert done.classes == ("dark", "light")
    assert done.input_shape == (6, 7, 1)
    assert done.evaluate().accuracy == 1
    image = done.prepare(tmp_path / "pictures" / "light" / "0.png")
    assert not image.inverted
    assert done.predict([image.image]).argmax() == 1


def test_names_of_nets():
    assert runs.named_net("small_cnn:gem") == models.small_cnn("gem", classes=10)
    assert runs.named_net("pooled_cnn:strided:flatten", classes=3) == models.pooled_cnn("strided", "flatten", classes=3)
    for name in runs.NETS:
        assert runs.named_net(name) == getattr(models, name)(classes=10)
    for wrong in ("small_cnn:", "small_cnn:max:max", "", ":"):
        with pytest.raises(ValueError, match="must be"):
            runs.named_net(wrong)
    with pytest.raises(TypeError, match="net must be a string"):
        runs.named_net(3)


def test_a_set_that_is_unknown_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"dataset must be one of digits.*got 'minst'. Did you mean 'mnist'\?"):
        runs.train_run(tmp_path, "mlp", "minst")
    assert data.SOURCES["usps"].side == 16
