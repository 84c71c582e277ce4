"""A training that is stopped anywhere and started again ends with the bytes of one without a pause."""

import functools
import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tables import use

import minicnn
from minicnn import data, files, layers, optim, schedules, train, trees
from minicnn.train import loop, resume

RNG = np.random.default_rng(0)
TRAIN = data.Split(RNG.random((23, 8, 8, 1), dtype=np.float32), RNG.integers(0, 3, 23))
VALID = data.Split(RNG.random((10, 8, 8, 1), dtype=np.float32), RNG.integers(0, 3, 10))
NET = layers.Sequential([
    layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(),
    layers.Dropout(0.3), layers.Dense(3),
])  # fmt: skip
SHIFT = data.Augmentation(shift=1, rotate=5)
EPOCHS, BATCH, STEPS = 3, 8, 3
OPTIMIZERS = {
    "adam": optim.Adam(1e-2),
    "adam, one cycle, decay, clipping": optim.AdamW(schedules.OneCycle(1e-2), weight_decay=0.01),
    "momentum, cosine": optim.SGD(schedules.Cosine(0.05), momentum=0.9, nesterov=True, global_clipnorm=1.0),
    "sgd, a function": optim.SGD(lambda step: 0.1 / (1 + step)),
}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Nothing here depends on what a power failure leaves."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Interrupts:
    """Raise KeyboardInterrupt at a call of this number, counted over everything that it wraps."""

    def __init__(self, number=0):
        self.number, self.calls = number, 0

    def __call__(self, what):
        @functools.wraps(what)
        def call(*args, **kwargs):
            self.calls += 1
            if self.calls == self.number:
                raise KeyboardInterrupt
            return what(*args, **kwargs)

        return call


def run(optimizer=OPTIMIZERS["adam"], *, wrap=None, folder=None, **how):
    """Train with everything that has a state; return the result and the callbacks."""
    best = train.BestWeights("valid_loss")
    callbacks = [best, train.EarlyStopping(10)]
    if folder is not None:
        callbacks.append(train.CSVLog(folder / "history.csv"))
    # a function is compared by its code, so what interrupts it comes from outside
    HOOKS["before"] = (lambda: None) if wrap is None else wrap(lambda: None)
    if wrap is not None:
        callbacks = [callbacks[0], wrap(callbacks[1]), *callbacks[2:]]
    how = {"epochs": EPOCHS, "batch_size": BATCH, "seed": 4, "label_smoothing": 0.1, "valid": VALID, **how}
    result = train.fit(NET, TRAIN, optimizer=optimizer, augment=warp, callbacks=callbacks, **how)
    return result, best


HOOKS = {}


def warp(images, rng):
    HOOKS["before"]()
    return SHIFT(images, rng)


def content(result, best):
    """All that must be equal, as bytes and plain values."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in result.history.rows]
    kept = None if best.params is None else [(path, leaf.tobytes()) for path, leaf in trees.items(best.params)]
    row = {name: value for name, value in best.row.items() if name != "seconds"}
    return [(path, leaf.tobytes(), leaf.dtype) for path, leaf in trees.items(result.params)], repr(rows), kept, row


@functools.cache
def whole(name):
    return content(*run(OPTIMIZERS[name]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_changes_nothing(name, tmp_path):
    assert content(*run(OPTIMIZERS[name], checkpoint=tmp_path / "run.npz", checkpoint_every=1)) == whole(name)


CALLS = EPOCHS * (STEPS + 1)  # an augmentation per step, a callback per epoch


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_an_interrupted_training_resumes_with_the_same_bytes(name, call, tmp_path):
    path = tmp_path / "run.npz"
    first, _ = run(OPTIMIZERS[name], wrap=Interrupts(call), folder=tmp_path, checkpoint=path)
    assert first.interrupted
    again, best = run(OPTIMIZERS[name], folder=tmp_path, checkpoint=path)
    assert not again.interrupted
    assert content(again, best) == whole(name)
    assert (tmp_path / "history.csv").read_text().count("\n") == EPOCHS + 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["history.csv", "run.npz"], "nothing temporary is left"


@pytest.mark.parametrize("every", [None, 1, 2])
@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_after_any_exception_it_resumes_from_the_last_file(call, every, tmp_path):
    class DiskError(Exception):
        pass

    class Fails(Interrupts):
        def __call__(self, what):
            inner = super().__call__(what)

            @functools.wraps(what)
            def call(*args, **kwargs):
                try:
                    return inner(*args, **kwargs)
                except KeyboardInterrupt:
                    raise DiskError from None

            return call

    how = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": every}
    with pytest.raises(DiskError):
        run(wrap=Fails(call), **how)
    counted = Interrupts()
    again = run(wrap=counted, **how)
    assert content(*again) == whole("adam")
    epoch, step = divmod(call - 1, STEPS + 1)
    done = epoch * (STEPS + 1) + (0 if every is None else min(step, STEPS - 1) // every * every)
    assert counted.calls == CALLS - done, "only what is missing is done again"


def test_interrupted_again_and_again(tmp_path):
    path, pauses = tmp_path / "run.npz", 0
    while True:
        result, best = run(wrap=Interrupts(3), checkpoint=path)
        if not result.interrupted:
            break
        pauses += 1
        assert pauses < 3 * CALLS
    assert pauses >= EPOCHS
    assert content(result, best) == whole("adam")


@pytest.mark.parametrize("place", ["calibrate", "evaluate", "_validation"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_interrupts_between_epochs(place, call, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(loop, place, Interrupts(call)(getattr(loop, place)))
        assert run(checkpoint=tmp_path / "run.npz")[0].interrupted
    assert content(*run(checkpoint=tmp_path / "run.npz")) == whole("adam")


@pytest.mark.parametrize("call", range(1, 8))
def test_interrupts_while_a_file_is_written(call, tmp_path, monkeypatch):
    """A second Ctrl-C, which comes while the file for the first is written, is raised; the file is then the old one."""
    with monkeypatch.context() as patched:
        patched.setattr(resume, "save", Interrupts(call)(resume.save))
        try:
            interrupted = run(checkpoint=tmp_path / "run.npz", checkpoint_every=1)[0].interrupted
        except KeyboardInterrupt:
            interrupted = call == 1  # before training
        assert interrupted
    assert content(*run(checkpoint=tmp_path / "run.npz")) == whole("adam")


def test_a_complete_run_returns_at_once(tmp_path):
    path = tmp_path / "run.npz"
    run(checkpoint=path)
    before, counted = path.stat(), Interrupts()
    assert content(*run(wrap=counted, checkpoint=path)) == whole("adam")
    assert counted.calls == 0
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino), "nor is it written"


def test_a_run_that_a_callback_stopped_is_complete(tmp_path):
    how = {"optimizer": optim.Adam(1e-2), "epochs": 50, "valid": VALID, "checkpoint": tmp_path / "run.npz"}
    stopped = train.fit(NET, TRAIN, callbacks=[train.EarlyStopping(2)], **how)
    assert len(stopped.history) < 50
    again = train.fit(NET, TRAIN, callbacks=[train.EarlyStopping(2), lambda moment: pytest.fail("trained")], **how)
    assert again.history == stopped.history


def test_more_epochs_continue_a_complete_run(tmp_path):
    long, path = content(*run(epochs=5)), tmp_path / "run.npz"
    run(epochs=2, checkpoint=path)
    counted = Interrupts()
    assert content(*run(epochs=5, wrap=counted, checkpoint=path)) == long
    assert counted.calls == 3 * (STEPS + 1)
    with pytest.raises(ValueError, match=r"epochs must be at least 5, got 4, and .*run\.npz is in epoch 6"):
        run(epochs=4, checkpoint=path)


@pytest.mark.parametrize("name", ["adam, one cycle, decay, clipping", "momentum, cosine"])
def test_more_epochs_are_refused_where_the_rate_depends_on_their_number(name, tmp_path):
    path = tmp_path / "run.npz"
    run(OPTIMIZERS[name], epochs=2, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"fit: epochs must be 2, as in .*schedule spans all epochs.*got 4"):
        run(OPTIMIZERS[name], epochs=4, checkpoint=path)
    assert path.read_bytes() == before


def test_more_epochs_are_fine_where_the_schedule_has_its_own_length(tmp_path):
    cosine = optim.SGD(schedules.Cosine(0.1, steps=9))
    run(cosine, epochs=2, checkpoint=tmp_path / "run.npz")
    assert content(*run(cosine, epochs=3, checkpoint=tmp_path / "run.npz")) == content(*run(cosine, epochs=3))


BASE = {"net": NET, "train": TRAIN, "optimizer": optim.Adam(1e-2), "epochs": 1, "batch_size": 8, "valid": VALID}
OTHER_IMAGES = data.Split(TRAIN.images + np.float32(1e-7), TRAIN.labels)
OTHER_LABELS = data.Split(TRAIN.images, (TRAIN.labels + 1) % 3)
OTHERS = {
    "net": {"net": layers.Sequential([*NET.layers[:-2], layers.Dropout(0.31), NET.layers[-1]])},
    "optimizer": {"optimizer": optim.Adam(1e-2, beta_1=0.8)},
    "train": {"train": OTHER_IMAGES},
    "train ": {"train": OTHER_LABELS},
    "valid": {"valid": TRAIN},
    "valid ": {"valid": None},
    "batch_size": {"batch_size": 9},
    "seed": {"seed": 1},
    "label_smoothing": {"label_smoothing": 0.2},
    "augment": {"augment": SHIFT},
    "augment ": {"augment": warp},
    "params": {"params": NET.init(np.random.default_rng(7), (8, 8, 1))},
    "callbacks": {"callbacks": [train.BestWeights("loss")]},
}


def brighter(images, rng, by=0.1):
    return images + np.float32(by)


def adding(by):
    return lambda images, rng: images + by


class Adds:
    """Of a class that is not registered."""

    def __init__(self, by):
        self.by = by

    def __repr__(self):
        return f"Adds({self.by})"

    def __call__(self, images, rng):
        return images + np.float32(self.by)


def edited(body):
    """A function of the name `darker` with this body."""
    exec(f"def darker(images, rng):\n    return {body}", names := {})  # noqa: S102
    return names["darker"]


SAME_NAMES = {
    "the code": ({"augment": edited("images * images")}, {"augment": edited("images - images")}),
    "a constant": ({"augment": edited("images / 2")}, {"augment": edited("images / 4")}),
    "what it closes over": ({"augment": adding(1)}, {"augment": adding(2)}),
    "an array that it closes over": ({"augment": adding(np.float32([1]))}, {"augment": adding(np.float32([2]))}),
    "a partial's argument": ({"augment": partial(brighter, by=1)}, {"augment": partial(brighter, by=2)}),
    "the object of a method": ({"augment": Adds(1).__call__}, {"augment": Adds(2).__call__}),
    "an object": ({"augment": Adds(1)}, {"augment": Adds(2)}),
    "a schedule": ({"optimizer": optim.SGD(lambda step: 0.1)}, {"optimizer": optim.SGD(lambda step: 0.2)}),
}


@pytest.mark.parametrize("name", SAME_NAMES)
def test_a_function_of_the_same_name_is_another_one(name, tmp_path):
    path, (one, two) = tmp_path / "run.npz", SAME_NAMES[name]
    fit(checkpoint=path, **one)
    fit(checkpoint=path, **one)
    with pytest.raises(ValueError, match=f"fit: checkpoint must be a file of this run, got .* with {next(iter(one))} "):
        fit(checkpoint=path, **two)


def test_a_function_is_the_same_in_another_process(tmp_path):
    """Where its addresses are others, and sets have another order."""
    code = """
import sys
import numpy as np
from minicnn import data, layers, optim, train

def shift(images, rng, more=min):
    return images + np.float32(0 if "b" in {"a", "b", "c"} else 1)

def wrapped(function):
    return lambda images, rng: function(images, rng)

split = data.Split(np.ones((4, 2, 1, 1), np.float32), np.arange(4) % 2)
net = layers.Sequential([layers.Flatten(), layers.Dense(2)])
train.fit(net, split, optimizer=optim.SGD(lambda step: 0.1), epochs=1, augment=wrapped(shift),
          checkpoint=sys.argv[1], progress=False)
"""
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "MINICNN_KERNELS": "numpy_blocked"}
        command = [sys.executable, "-c", code, tmp_path / "run.npz"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr


def fit(**how):
    how = {**BASE, **how}
    return train.fit(how.pop("net"), how.pop("train"), **how)


@pytest.mark.parametrize("name", OTHERS)
def test_another_run_is_refused_by_what_differs_and_its_file_kept(name, tmp_path):
    path = tmp_path / "run.npz"
    fit(checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=rf"fit: checkpoint must be a file of this run, got .* with {name.strip()} "
    ) as e:
        fit(checkpoint=path, **OTHERS[name])
    assert str(e.value).count(" instead of ") == 1, "nothing else differs"
    assert str(path) in str(e.value)
    assert path.read_bytes() == before
    fit(checkpoint=path)


def test_a_long_difference_is_shown_where_it_is(tmp_path):
    fit(checkpoint=tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r'\.\.\..*"rate": 0\.3}.* instead of \.\.\..*"rate": 0\.31}'):
        fit(checkpoint=tmp_path / "run.npz", **OTHERS["net"])


def test_several_differences_are_all_told(tmp_path):
    fit(checkpoint=tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r"batch_size 8 instead of 4; seed 0 instead of 9\. Use another path"):
        fit(checkpoint=tmp_path / "run.npz", batch_size=4, seed=9)


def test_a_checkpoint_of_other_kernels_is_refused_and_kept(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    use(monkeypatch, "numpy_blocked")
    fit(checkpoint=path)
    before = path.read_bytes()
    use(monkeypatch, "reference")
    with pytest.raises(ValueError, match="of one with kernels numpy_blocked with fusion instead of reference"):
        fit(checkpoint=path)
    assert path.read_bytes() == before


def _negative(state):
    """Return the state of a generator with a word that cannot be one: NumPy raises OverflowError."""
    return {**state, "uinteger": -1, "has_uint32": 1}


def _rows(tree):
    return [{name: column.tolist()[0] for name, column in tree["history"].items()}]


def _dates(leaf):
    return leaf.astype(np.int64).astype("M8[s]")


def other_files(folder):
    np.savez(folder / "arrays.npz", a=np.ones(3))
    train.save(folder / "params.npz", {"format": "mine", "a": 1})
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("important notes")
    whole_file = folder / "whole.npz"
    fit(checkpoint=whole_file)
    (folder / "cut.npz").write_bytes(whole_file.read_bytes()[:-100])
    tree = train.load(whole_file)
    for name, change in {
        "no-run": {"run": 3}, "no-epoch": {"epoch": "1"}, "rows": {"epoch": 7}, "tree": {"params": {}},
        "generators": {"generators": [{}, {}]}, "word": {"generators": [_negative(g) for g in tree["generators"]]},
        "history": {"history": {"loss": 3}}, "meter": {"meter": {"a": 1}},
        "row": {"history": [{**_rows(tree)[0], "epoch": 2}]},
        "row-text": {"history": [{**_rows(tree)[0], "loss": None}]},
        "state-dates": {"state": {**tree["state"], "mean": trees.map_leaves(_dates, tree["state"]["mean"])}},
        "state-shape": {"state": {**tree["state"], "square": trees.map_leaves(np.ravel, tree["state"]["square"])}},
        "state-of-sgd": {"state": {"step": 3}}, "state-step": {"state": {**tree["state"], "step": -1}},
        "dates": {"params": trees.map_leaves(_dates, tree["params"])},
    }.items():  # fmt: skip
        train.save(folder / f"{name}.npz", {**tree, **change})
    whole_file.unlink()
    return sorted(folder.iterdir())


def test_a_file_that_is_something_else_or_damaged_is_refused_and_kept(tmp_path):
    found = other_files(tmp_path)
    assert len(found) == 20
    for path in found:
        before = path.read_bytes()
        with pytest.raises(ValueError, match="must be") as caught:
            fit(checkpoint=path)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == before
    with pytest.raises(files.FileFormatError, match="a checkpoint of this run, or none"):
        fit(checkpoint=tmp_path / "params.npz")


def test_arguments_are_checked(tmp_path):
    with pytest.raises(TypeError, match="fit: checkpoint must be a string or a Path"):
        fit(checkpoint=3)
    with pytest.raises(ValueError, match="fit: checkpoint_every must be None without a checkpoint, got 5"):
        fit(checkpoint_every=5)
    with pytest.raises(ValueError, match="fit: checkpoint_every must be an integer of at least 1, got 0"):
        fit(checkpoint=tmp_path / "run.npz", checkpoint_every=0)
    with pytest.raises(ValueError, match="must be"):
        fit(checkpoint=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_written_is_told_before_training(tmp_path):
    class Own:
        def __call__(self, moment):
            pytest.fail("trained")

        def state(self):
            return {1.5: object()}

        def restore(self, state):
            pass

    with pytest.raises(TypeError, match="save: the keys of"):
        fit(checkpoint=tmp_path / "run.npz", callbacks=[Own()])
    assert list(tmp_path.iterdir()) == []


def test_a_callback_of_ones_own_keeps_its_state(tmp_path):
    class Losses:
        def __init__(self):
            self.seen = []

        def __call__(self, moment):
            self.seen.append(moment.history.rows[-1]["loss"])

        def state(self):
            return {"seen": list(self.seen)}

        def restore(self, state):
            self.seen = state["seen"]

    path, first, second = tmp_path / "run.npz", Losses(), Losses()
    fit(checkpoint=path, callbacks=[first])
    result = fit(checkpoint=path, callbacks=[second], epochs=3)
    assert second.seen == result.history["loss"]
    assert len(first.seen) == 1


ADDED = {
    "None at first": lambda epoch: None if epoch == 1 else 0.5,
    "integers and floats": lambda epoch: epoch if epoch == 1 else epoch / 2,
    "texts": lambda epoch: f"{epoch}\0",
    "text and number": lambda epoch: "none" if epoch == 1 else epoch,
    "truth": lambda epoch: epoch > 1,
    "large integers": lambda epoch: 2**70 if epoch > 1 else 1,
    "NumPy's numbers": np.float32,
}


@pytest.mark.parametrize("name", ADDED)
def test_what_a_callback_adds_to_the_history_comes_back_as_it_was(name, tmp_path):
    def add(moment):
        moment.history.rows[-1]["added"] = ADDED[name](moment.epoch)

    path = tmp_path / "run.npz"
    first = fit(checkpoint=path, callbacks=[add], epochs=3)
    again = fit(checkpoint=path, callbacks=[add], epochs=3)
    values = [ADDED[name](epoch) for epoch in (1, 2, 3)]
    assert repr(first.history["added"]) == repr(again.history["added"]) == repr(values)


def test_a_moment_has_what_callbacks_need():
    moments = []
    result = fit(epochs=2, callbacks=[moments.append])
    assert [moment.epoch for moment in moments] == [2, 2]  # the history is one, and it has grown
    assert [moment.step for moment in moments] == [3, 6]
    assert [moment.state["step"] for moment in moments] == [3, 6]
    assert all(moment.net == NET for moment in moments)
    assert moments[-1].params is result.params


def test_the_bar_goes_on_where_it_was(tmp_path, monkeypatch):
    fit(epochs=1, checkpoint=tmp_path / "run.npz")
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    fit(epochs=2, progress=True, checkpoint=tmp_path / "run.npz")
    assert "46.0/46.0" in shown.getvalue()
    assert " 0.00/46.0" not in shown.getvalue()


def test_seconds_are_those_of_training_before_and_after_the_pause(tmp_path):
    train_first, path = Interrupts(3), tmp_path / "run.npz"
    run(wrap=train_first, checkpoint=path)
    spent = train.load(path)["meter"]["seconds"]
    assert spent > 0
    result, _ = run(checkpoint=path)
    assert result.history["seconds"][0] > spent


def test_a_long_history_is_written():
    rows = [{"epoch": i, "loss": i / 7} for i in range(1, 30_001)]
    packed = resume._columns(rows)
    assert resume._rows(packed) == rows
    assert [type(value) for value in resume._rows(packed)[0].values()] == [int, float]
    odd = [{"epoch": 1}, {"epoch": 2, "mine": 3}]
    assert resume._rows(resume._columns(odd)) == odd
    assert resume._rows(resume._columns([])) == []


def test_a_training_that_is_killed_ends_with_the_bytes_of_one_that_is_not(tmp_path):
    """The short form of tests/kill_training.py."""
    program = Path(__file__).with_name("kill_training.py")
    found = subprocess.run(
        [sys.executable, program, "--kills", "2", "--folder", tmp_path], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(minicnn.__file__).parents[1])},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout.splitlines()[-1])["kills"] >= 2
