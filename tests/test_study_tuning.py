"""Learning rates are chosen on images that no replicate is tested on; one arm that cannot be trained fails alone."""

import dataclasses
import re

import numpy as np
import pytest
from study_fixtures import net, tiny, tiny_study

from minicnn import data, study
from minicnn.study import executors, missing
from minicnn.study import trials as trials_of
from minicnn.study.images import pooled
from minicnn.study.store import reading
from minicnn.study.trial import Outcome, run_trial

SEEDS = (1000, 1001)
GRID = study.Grid((0.01, 0.1), seeds=SEEDS)


def rows_of(images):
    return {image.tobytes() for image in images}


def shared_test(seed):
    """A function of the seed whose test images are fixed; the others are drawn by the seed."""
    whole = tiny(classes=3, train=90)
    order = np.random.default_rng(seed).permutation(len(whole.train))
    mixed = whole.train[order]
    return dataclasses.replace(whole, train=mixed[:70], valid=mixed[70:])


DESIGNS = {
    "Seeds, a data set": (study.Seeds(4), tiny(classes=3)),
    "Seeds, a function": (study.Seeds(4), shared_test),
    "Resplits": (study.Resplits(6, test=0.25, tuning=0.3), tiny(classes=3, train=90)),
    "KFold": (study.KFold(4, repeats=2, tuning=0.3), tiny(classes=3, train=90)),
    "Resplits of digits": (study.Resplits(3, tuning=0.25), "digits"),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_no_image_of_tuning_is_in_any_test_part(design):
    replicates, source = DESIGNS[design]
    tuned = [replicates.tuning_data(source, seed) for seed in SEEDS]
    chose = set().union(*(rows_of(part.images) for d in tuned for part in (d.train, d.valid, d.test)))
    tested = set().union(*(rows_of(replicates.dataset(source, r).test.images) for r in range(replicates.n)))
    assert chose and tested
    assert not chose & tested
    assert all(len(d.test) == 0 and len(d.train) > len(d.valid) > 0 for d in tuned)


@pytest.mark.parametrize("design", DESIGNS)
def test_each_tuning_seed_has_a_validation_part_of_its_own(design):
    replicates, source = DESIGNS[design]
    one, two = (rows_of(replicates.tuning_data(source, seed).valid.images) for seed in SEEDS)
    assert len(one) == len(two)
    assert one != two


@pytest.mark.parametrize("replicates", [study.Resplits(3, tuning=0.3), study.KFold(3, tuning=0.3)])
def test_images_set_apart_are_in_no_part_of_a_replicate_and_no_other_is_lost(replicates):
    source = tiny(classes=3, train=90)
    images, labels = pooled(source)
    apart = rows_of(pooled(replicates.tuning_data(source, 5))[0])
    assert len(apart) == round(0.3 * len(images))
    for replicate in range(3):
        parts = replicates.dataset(source, replicate)
        assert rows_of(pooled(parts)[0]) == rows_of(images) - apart
        shares = np.bincount(parts.test.labels, minlength=3) / len(parts.test)
        assert shares == pytest.approx(np.bincount(labels) / len(labels), abs=0.06)


@pytest.mark.parametrize("replicates", [study.Resplits(3), study.KFold(3)])
def test_tuning_without_images_of_its_own_is_refused(replicates, tmp_path):
    with pytest.raises(ValueError, match=r"replicates must set images apart for tune, got .* with tuning=0"):
        tiny_study(replicates=replicates, tune=GRID).run(tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


def test_tuning_on_a_function_whose_test_images_depend_on_the_seed_is_refused():
    def source(seed):
        return tiny(seed=seed if seed in SEEDS else 0)

    with pytest.raises(ValueError, match="test images depend on the seed"):
        tiny_study(data=source, tune=GRID).run("never", progress=False)


# --- an arm that diverges


def outcome(trial):
    """Arm "bad" diverges at every rate, the others are best at 0.03."""
    if trial.arm == "bad" and trial.role == "tune":
        return Outcome(trial.id, error="Traceback\nFloatingPointError: the loss became NaN")
    loss = abs(np.log(trial.rate) - np.log(0.03))
    return Outcome(trial.id, values=[("valid", "loss", "", loss), ("test", "accuracy", "", 0.9)])


ARMS = {"good": net(2), "bad": net(3)}
THREE = study.Grid((0.01, 0.03, 0.1), seeds=(1000,), most=2)


def test_an_arm_that_diverges_at_all_rates_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", outcome)
    tuned = tiny_study(ARMS, tune=THREE)
    found = tuned.run(tmp_path, progress=False)
    assert found.description["arms"]["good"]["rate"] == 0.03
    assert len(found.values()["good"]) == 3
    assert [trial.arm for trial in found.failed] == ["bad"] * 3
    assert found.missing == 0
    assert re.search(
        "rate at which training of 'bad' does not diverge, got .*0.01, 0.03, 0.1.* FloatingPointError: the loss",
        found.failed[0].error,
    )
    assert min(found.tried()["bad"]) < 0.01  # smaller ones have been tried
    assert len(found.tried()["bad"]) == 5
    planned = tuned.plan(tmp_path)
    assert (planned.to_train, planned.to_measure) == (0, 0)
    assert any("'bad' does not diverge" in warning for warning in planned.warnings)
    monkeypatch.setattr(executors, "run_trial", lambda trial: pytest.fail("trained"))
    assert len(tuned.run(tmp_path, progress=False).failed) == 3


def test_an_arm_that_has_failed_is_tuned_again_on_request(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", outcome)
    tuned = tiny_study(ARMS, tune=THREE)
    tuned.run(tmp_path, progress=False)
    monkeypatch.setattr(executors, "run_trial", lambda trial: outcome(dataclasses.replace(trial, arm="good")))
    again = tuned.run(tmp_path, progress=False, retry_failed=True)
    assert again.complete
    assert again.description["arms"]["bad"]["rate"] == 0.03


# --- what the plan and an interrupted study know of it


def test_the_plan_of_a_tuned_study_knows_its_rates(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", lambda trial: outcome(dataclasses.replace(trial, arm="good")))
    tuned = tiny_study(ARMS, tune=THREE)
    before = tuned.plan(tmp_path)
    assert (before.trials, before.to_train, before.arms[0].rate) == (2 * 3 + 2 * 3, 12, None)
    tuned.run(tmp_path, progress=False)
    after = tuned.plan(tmp_path)
    assert (after.trials, after.done, after.to_train, after.cpu_seconds) == (12, 12, 0, 0)
    assert [arm.rate for arm in after.arms] == [0.03, 0.03]
    assert "learning rate" in str(after)
    more = tiny_study({**ARMS, "new": net(5)}, tune=THREE).plan(tmp_path)
    assert (more.trials, more.to_train, [arm.rate for arm in more.arms]) == (18, 6, [0.03, 0.03, None])


def test_a_finished_tuned_study_that_gets_another_arm_describes_what_it_has(tmp_path, monkeypatch):
    good = lambda trial: outcome(dataclasses.replace(trial, arm="good"))  # noqa: E731
    monkeypatch.setattr(executors, "run_trial", good)
    whole = tiny_study(ARMS, tune=THREE).run(tmp_path, progress=False)

    def interrupted(trial):
        raise KeyboardInterrupt

    monkeypatch.setattr(executors, "run_trial", interrupted)
    part = tiny_study({**ARMS, "new": net(5)}, tune=THREE).run(tmp_path, progress=False)
    assert part.values() == {**whole.values(), "new": {}}
    assert {arm: part.description["arms"][arm]["rate"] for arm in ARMS} == dict.fromkeys(ARMS, 0.03)
    assert part.missing == 3
    assert set(part.tried()) == set(ARMS)


def test_the_trials_of_an_untuned_study_are_not_taken_for_those_of_an_arm_that_is_being_tuned(tmp_path, monkeypatch):
    untuned = tiny_study(ARMS).run(tmp_path, progress=False)
    assert untuned.complete

    def interrupted(trial):
        raise KeyboardInterrupt

    monkeypatch.setattr(executors, "run_trial", interrupted)
    part = tiny_study(ARMS, tune=THREE).run(tmp_path, progress=False)
    assert (len(part.trials), part.missing) == (0, 6)


def test_tuning_uses_the_epochs_of_its_grid_and_so_does_the_plan(tmp_path):
    long, short = (tiny_study(tune=dataclasses.replace(GRID, epochs=e)).plan().cpu_seconds for e in (400, 1))
    assert long > 10 * short
    tried = missing.searched(tiny_study(tune=dataclasses.replace(GRID, epochs=7)), None)
    assert {trial.recipe.epochs for trial in tried.trials} == {7}


def test_one_pool_of_processes_serves_all_rounds(tmp_path, monkeypatch):
    opened, real = [], executors.Processes._open

    def counting(self, trials):
        before = self._pool
        pool = real(self, trials)
        opened.extend([pool] if pool is not before else [])
        return pool

    monkeypatch.setattr(executors.Processes, "_open", counting)
    found = tiny_study(ARMS, tune=GRID).run(tmp_path, jobs=2, progress=False)
    assert found.complete
    assert len(found.tried()["good"]) >= 2
    assert len(opened) == 1


def test_tuning_data_are_part_of_a_tuning_trial_s_id():
    def ids(**changes):
        planned = tiny_study(replicates=study.Resplits(2, **{"tuning": 0.3, **changes}), tune=GRID)
        return {trial.id for trial in trials_of.tune_trials(planned, dict.fromkeys(planned.arms, (0.01,)))}

    assert ids() == ids(test=0.3)  # the same images are set apart
    assert ids().isdisjoint(ids(tuning=0.4))


# --- images that cannot be split


IMAGES = np.random.default_rng(0).random((40, 6, 6, 1), np.float32)
ONE_OF_A_CLASS = np.array([0, 1] * 19 + [0, 2])
UNFIT = {
    "more folds than images of a class": (study.KFold(5), np.array([0] * 36 + [1] * 4), "k must be at most 4, the num"),
    "one image of a class": (
        study.Resplits(2),
        ONE_OF_A_CLASS,
        "labels must have at least two .* one of class 2",
    ),
    "one image of a class in folds": (study.KFold(3), ONE_OF_A_CLASS, "k must be at most 1, the number of images of"),
    "a test part that is rounded to none": (
        study.Resplits(2, test=0.01),
        np.arange(40) % 2,
        "test must be a share of at least one image, got 0.01 of 40",
    ),
    "fewer test images than classes": (
        study.Resplits(2, test=0.03),
        np.arange(40) % 2,
        "each part must have at least one image per class, 2, got parts of 1 and 39",
    ),
    "fewer training images than classes": (
        study.Resplits(2, test=0.5, valid=0.48),
        np.arange(40) % 2,
        "each part must have at least one image per class",
    ),
    "too few images for tuning": (
        study.Resplits(2, tuning=0.02),
        np.arange(40) % 2,
        "each part must have at least one image per class",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_images_that_cannot_be_split_are_refused_before_any_training(case, tmp_path):
    replicates, labels, message = UNFIT[case]
    parts = data.Split(IMAGES, labels), data.Split(IMAGES[:0], labels[:0]), data.Split(IMAGES[:0], labels[:0])
    source = data.Dataset("forty", *parts, classes=tuple("abc"[: labels.max() + 1]))
    arms = {name: net(units, classes=len(source.classes)) for name, units in (("a", 2), ("b", 3))}
    with pytest.raises(ValueError, match=f"^{type(replicates).__name__}: {message}"):
        tiny_study(arms, data=source, replicates=replicates).run(tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: study.Resplits(2, test=0.6, valid=0.4), "test and valid must leave images for training"),
        (lambda: study.Resplits(2, test=0.0), "test must be"),
        (lambda: study.Resplits(2, tuning=1.0), "tuning must be"),
        (lambda: study.KFold(2, valid=0.5), "valid must be below 1 - 1/k = 0.5"),
        (lambda: study.KFold(2, tuning=-0.1), "tuning must be"),
        (lambda: data.from_arrays(IMAGES, ONE_OF_A_CLASS), "from_arrays: labels must have at least two images of each"),
        (
            lambda: data.from_arrays(IMAGES, np.arange(40) % 20, test=0.2, valid=0),
            "from_arrays: each part must have at least one image per class, 20, got parts of 8 and 32",
        ),
        (lambda: data.from_arrays(IMAGES, np.arange(40) % 2, test=0.6, valid=0.4), "from_arrays: test and valid must"),
    ],
)
def test_shares_that_do_not_fit_are_refused_where_they_are_written(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_data_without_test_images_are_refused(tmp_path):
    source = data.from_arrays(IMAGES, np.arange(40) % 2, test=0)
    with pytest.raises(ValueError, match="data must have test images, got none"):
        tiny_study(data=source).run(tmp_path / "new", progress=False)


def test_a_tuned_study_that_is_interrupted_equals_one_that_was_not(tmp_path, monkeypatch):
    planned = tiny_study(replicates=study.Resplits(2, tuning=0.4), tune=GRID)
    whole = planned.run(tmp_path / "whole", progress=False)
    for stop in (2, 5, 9):
        begun = []

        def interrupted(trial, begun=begun, stop=stop):
            begun.append(trial)
            if len(begun) == stop:
                raise KeyboardInterrupt
            return run_trial(trial)

        monkeypatch.setattr(executors, "run_trial", interrupted)
        planned.run(tmp_path / str(stop), progress=False)
        monkeypatch.setattr(executors, "run_trial", run_trial)
        again = planned.run(tmp_path / str(stop), progress=False)
        assert list(again.rows()) == list(whole.rows())
        with reading(again.path) as mine, reading(whole.path) as other:
            assert mine.trials().keys() == other.trials().keys()
