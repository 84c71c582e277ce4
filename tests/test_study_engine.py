"""What the engine of a study keeps apart, and what it keeps together."""

import numpy as np
import pytest

from minicnn import data, layers, models, optim, study
from minicnn.study import executors

RNG = np.random.default_rng(0)
DATA = data.from_arrays(RNG.random((60, 6, 6, 1), np.float32), np.arange(60) % 3, test=0.3)
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
