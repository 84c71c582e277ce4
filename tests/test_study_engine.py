"""What the engine of a study keeps apart, and what it keeps together."""

import math
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

import minicnn
from minicnn import data, layers, models, optim, study
from minicnn.study import canonical, engine, executors, trial

RNG = np.random.default_rng(0)
RNG_IMAGES = RNG.random((60, 6, 6, 1), np.float32)
DATA = data.from_arrays(RNG_IMAGES, np.arange(60) % 3, test=0.3)
RECIPE = study.Recipe(optim.Adam(1e-2), epochs=1, batch_size=16)


def of(arms, **changes):
    settings = {"control": next(iter(arms)), "data": DATA, "recipe": RECIPE, "replicates": study.Seeds(2)}
    return study.Study(arms, **{**settings, **changes})


@pytest.fixture
def trained(monkeypatch):
    """The arms that are trained, in order."""
    real, seen = executors.run_trial, []
    monkeypatch.setattr(executors, "run_trial", lambda trial: seen.append(trial.arm) or real(trial))
    return seen


def test_an_arm_that_is_renamed_keeps_its_trials(tmp_path, trained):
    small, large = models.mlp((3,), classes=3), models.mlp((5,), classes=3)
    first = of({"a": small, "b": large}).run(tmp_path, progress=False)
    assert trained == ["a", "b", "a", "b"]
    again = of({"small": small, "large": large}).run(tmp_path, progress=False)
    assert trained == ["a", "b", "a", "b"]
    assert again.values()["small"] == first.values()["a"]
    assert [row["arm"] for row in again.rows() if row["measure"] == "nll"] == ["small", "large"] * 2


def test_two_arms_of_one_net_and_one_recipe_are_refused():
    net = models.mlp((3,), classes=3)
    with pytest.raises(ValueError, match="arms must differ in net or recipe, got 'a' and 'b', which are equal"):
        of({"a": net, "b": study.Arm(net, same_as="a")}).check()


def test_one_net_with_two_recipes_is_an_ablation_of_the_recipe():
    net = models.mlp((3,), classes=3)
    slow = study.Recipe(optim.Adam(1e-3), epochs=1, batch_size=16)
    assert of({"a": net, "b": study.Arm(net, recipe=slow)}).check() == []
    twin = layers.Sequential([layers.Flatten(), layers.Dense(3), layers.ReLU(), layers.Dense(3), layers.Dropout(0)])
    with pytest.raises(ValueError, match="findings"):
        of({"a": net, "b": twin}).check()


def test_another_recipe_gives_other_trials_and_nothing_is_mixed(tmp_path, trained):
    nets = {"a": models.mlp((3,), classes=3), "b": models.mlp((5,), classes=3)}
    first = of(nets).run(tmp_path, progress=False).values()
    other = of(nets, recipe=study.Recipe(optim.Adam(2e-2), epochs=1, batch_size=16)).run(tmp_path, progress=False)
    assert len(trained) == 8
    assert other.values() != first
    assert of(nets).run(tmp_path, progress=False).values() == first
    assert len(trained) == 8


def test_a_ledger_at_rest_is_one_file_that_can_be_read_where_nothing_can_be_written(tmp_path):
    of({"a": models.mlp((3,), classes=3), "b": models.mlp((5,), classes=3)}).run(tmp_path, progress=False)
    assert [path.name for path in tmp_path.glob("study.sqlite*")] == ["study.sqlite"]
    (tmp_path / "study.sqlite").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert study.open_results(tmp_path).complete
    finally:
        tmp_path.chmod(0o755)


def test_an_interruption_while_tuning_leaves_a_ledger_that_can_be_read(tmp_path, monkeypatch):
    def interrupted(trial):
        raise KeyboardInterrupt

    monkeypatch.setattr(executors, "run_trial", interrupted)
    tuned = of({"a": models.mlp((3,), classes=3), "b": models.mlp((5,), classes=3)}, tune=study.Grid((1e-2, 3e-2)))
    found = tuned.run(tmp_path, progress=False)
    assert (len(found.trials), found.missing) == (0, 4)


def test_a_layer_of_ones_own_must_be_registered(tmp_path):
    class Own(layers.Flatten):
        """A layer that nobody registered."""

    net = layers.Sequential([Own(), layers.Dense(3)])
    with pytest.raises(TypeError, match="Register its class"):
        of({"a": net, "b": models.mlp((5,), classes=3)}).run(tmp_path, progress=False)


class Scaled:
    """A measure that is an object of a user's."""

    def __init__(self, factor):
        self.factor = factor

    def value(self, net, params, dataset):
        return self.factor


@minicnn.register
@dataclass(frozen=True)
class Factor:
    """A registered measure."""

    factor: float = 1.0

    def __call__(self, net, params, dataset):
        return self.factor


def constant(net, params, dataset, factor):
    return factor


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (partial(constant, factor=1.0), partial(constant, factor=2.0)),
        (Factor(1.0).__call__, Factor(2.0).__call__),
        (Factor(1.0), Factor(2.0)),
    ],
    ids=["partials", "bound methods", "records"],
)
def test_measures_that_differ_in_a_value_have_other_ids(one, two):
    assert canonical.canonical(one) != canonical.canonical(two)
    assert canonical.canonical(one) == canonical.canonical(one)


def test_a_class_of_ones_own_that_is_edited_has_another_id(monkeypatch):
    before = canonical.canonical(Factor())
    monkeypatch.setattr(Factor, "__call__", lambda self, net, params, dataset: -self.factor)
    assert canonical.canonical(Factor()) != before


def test_a_measure_bound_to_what_has_no_text_is_refused():
    with pytest.raises(TypeError, match="Register its class"):
        canonical.canonical(Scaled(1.0).value)


def test_the_direction_of_a_measure_is_its_own_and_not_that_of_its_name(tmp_path):
    nets = {"a": models.mlp((3,), classes=3), "b": models.mlp((5,), classes=3)}
    found = of(nets, measures={"loss": study.nll, "nll": study.nll, "ece": study.accuracy}).run(
        tmp_path, progress=False
    )
    assert found.description["lower_is_better"] == ["loss", "nll"]
    assert found.description["shares"] == ["ece"]


def test_overlapping_splits_have_no_p_of_flips_and_no_interval_of_wins(tmp_path):
    nets = {"a": models.mlp((3,), classes=3), "b": models.mlp((5,), classes=3)}
    (seeds,) = of(nets).run(tmp_path / "seeds", progress=False).compare("nll").contrasts
    (splits,) = of(nets, replicates=study.Resplits(3)).run(tmp_path / "splits", progress=False).compare("nll").contrasts
    assert not math.isnan(seeds.sign_flip_p) and not math.isnan(seeds.better_share.low)
    assert math.isnan(splits.sign_flip_p) and math.isnan(splits.better_share.low)


def test_every_replicate_with_seeds_must_have_the_same_test_images():
    def later(seed):
        return data.from_arrays(RNG_IMAGES, np.arange(60) % 3, test=0.3, seed=0 if seed < 2 else seed)

    with pytest.raises(ValueError, match="replicates must be Resplits or KFold"):
        engine.data_digests(of({"a": models.mlp((3,), classes=3)}, data=later, replicates=study.Seeds(3)))


def test_tuning_needs_validation_images():
    bare = data.from_arrays(RNG_IMAGES, np.arange(60) % 3, test=0.3, valid=0)
    with pytest.raises(ValueError, match="data must have validation images for tune, got none"):
        of({"a": models.mlp((3,), classes=3)}, data=bare, tune=study.Grid((0.1, 0.2))).check()


def test_a_second_study_in_the_same_folder_is_refused(tmp_path):
    of({"a": models.mlp((3,), classes=3)}).run(tmp_path, progress=False)
    with pytest.raises(ValueError, match="path must be a folder of its own for each study"):
        of({"x": models.mlp((4,), classes=3)}).run(tmp_path, progress=False)


def test_data_that_a_function_changes_are_seen(tmp_path):
    count = [60]

    def source(seed):
        return data.from_arrays(RNG_IMAGES[: count[0]], np.arange(count[0]) % 3, test=0.3)

    found = of({"a": models.mlp((3,), classes=3)}, data=source).run(tmp_path / "60", progress=False)
    count[0] = 30
    other = of({"a": models.mlp((3,), classes=3)}, data=source).run(tmp_path / "30", progress=False)
    assert [f.description["data"]["test"] for f in (found, other)] == [18, 9]
    assert [len(f.per_image("a")[0]) for f in (found, other)] == [18, 9]


def test_an_arm_without_results_stays_in_the_family(tmp_path, monkeypatch):
    real = executors.run_trial
    failing = lambda trial: executors.Outcome(trial.id, error="lost") if trial.arm == "b" else real(trial)  # noqa: E731
    monkeypatch.setattr(executors, "run_trial", failing)
    nets = {name: models.mlp((units,), classes=3) for name, units in (("a", 3), ("b", 4), ("c", 5))}
    contrasts = of(nets).run(tmp_path, progress=False).compare("nll").contrasts
    assert [(c.arm, c.n, c.verdict) for c in contrasts] == [("b", 0, "undecided"), ("c", 2, "undecided")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measures": [study.accuracy]}, "measures must be a dict of functions by name"),
        ({"measures": {1: study.accuracy}}, "names must be strings"),
        ({"tune": (1e-2,)}, "tune must be a study.Grid or None"),
        ({"replicates": 5}, "replicates must be Seeds, Resplits or KFold"),
        ({"control": ["a"]}, "control must be an arm"),
        ({"rope": {"acuracy": 0.1}}, "rope must be for measures of the study, got 'acuracy'. Did you mean 'accuracy'?"),
        ({"name": 3}, "names must be strings"),
        ({"name": "w\ud800"}, "names must be strings"),
    ],
)
def test_a_wrong_field_is_named_before_anything_is_trained(changes, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        of({"a": models.mlp((3,), classes=3)}, **changes)


ODD = [np.zeros((2, 2)), np.zeros(1000), np.zeros(0), "x", {None: 0.5}, {(1, 2): 0.5}]


@pytest.mark.parametrize("place", range(len(ODD)))
def test_a_measure_of_another_shape_fails_its_trials_with_its_name(tmp_path, place):
    net = models.mlp((3,), classes=3)
    found = of({"a": net}, measures={"odd": lambda *_: ODD[place]}).run(tmp_path, progress=False)
    assert len(found.failed) == 2
    assert "measure odd: a measure must return a number" in found.failed[0].error


def test_results_name_the_arms_and_values_that_there_are(tmp_path):
    found = of({"a": models.mlp((3,), classes=3), "b": models.mlp((4,), classes=3)}).run(tmp_path, progress=False)
    for call in (found.net, found.per_image, lambda arm: found.new_images(arm, "a"), lambda arm: found.params(arm, 0)):
        with pytest.raises(ValueError, match="zz"):
            call("zz")
    with pytest.raises(ValueError, match="measure must have values per image"):
        found.per_image("a", "zz")
    with pytest.raises(ValueError, match="pairs must be 'control' or 'all'"):
        found.compare(pairs="every")


def noting(folder, seed):
    """Return the data, and note in which process for which seed."""
    (folder / f"{os.getpid()} {seed} {time.monotonic_ns()}").touch()
    return DATA


def test_a_process_prepares_the_data_of_a_replicate_once(tmp_path):
    (notes := tmp_path / "notes").mkdir()
    nets = {str(n): models.mlp((n,), classes=3) for n in range(2, 8)}
    found = of(nets, data=partial(noting, notes)).run(tmp_path / "study", jobs=2, progress=False)
    assert found.complete
    calls = [path.name.split()[:2] for path in notes.iterdir() if not path.name.startswith(f"{os.getpid()} ")]
    assert calls
    assert max(Counter(map(tuple, calls)).values()) == 1, "each process once for each of the two seeds"


def test_sources_of_equal_images_are_one_source():
    one, same, other = trial.Known("a", lambda seed: seed), trial.Known("a", DATA), trial.Known("b", DATA)
    assert (one == same, hash(one) == hash(same), one == other) == (True, True, False)
    assert (one(3), same(3)) == (3, DATA)
