"""A study: what is refused, what a trial's id depends on, that trials are pure, that nothing is mixed or lost."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from study_fixtures import curve, filled, ledger, net, reported, small_cnn, tiny, tiny_study

from minicnn import data, layers, optim, study
from minicnn.study import canonical, engine, executors
from minicnn.study import trials as trials_of
from minicnn.study.images import pooled
from minicnn.study.sql import FILE
from minicnn.study.store import reading
from minicnn.study.trial import Outcome, run_trial

RECIPE = study.Recipe(optim.Adam(1e-2), epochs=2, batch_size=16)


# --- what is refused before anything is trained

WRONG = {
    "an unknown control": (lambda: tiny_study(control="narow"), ValueError, "control must be an arm, got 'narow'. Did"),
    "an unknown control of one arm": (
        lambda: tiny_study({"a": net(2), "b": study.Arm(net(3), control="c")}),
        ValueError,
        r"arms\['b'\].control must be an arm, got 'c'",
    ),
    "an unknown same_as": (
        lambda: tiny_study({"a": net(2), "b": study.Arm(net(3), same_as="c")}),
        ValueError,
        r"arms\['b'\].same_as must be an arm, got 'c'",
    ),
    "no arms": (lambda: study.Study({}, control="a", data="digits", recipe=RECIPE), TypeError, "arms must be a dict"),
    "arms in a list": (lambda: tiny_study([net(2)], control="a"), TypeError, "arms must be a dict of layers"),
    "an arm that is not a layer": (lambda: tiny_study({"a": "max"}), TypeError, "net must be a layer, got 'max'"),
    "a negative region": (lambda: tiny_study(rope=-0.1), ValueError, "the rope of accuracy must be"),
    "a negative region of one measure": (lambda: tiny_study(rope={"nll": -1}), ValueError, "the rope of nll must be"),
    "a recipe that is none": (lambda: tiny_study(recipe=3), TypeError, "recipe must be a study.Recipe, got 3"),
    "an optimizer's class": (lambda: study.Recipe(optim.Adam, epochs=1), TypeError, "must be an optimizer such as"),
    "no epochs": (lambda: study.Recipe(optim.Adam(1e-2), epochs=0), ValueError, "epochs must be"),
    "a level that is a list": (lambda: study.Arm(net(2), factors={"head": [1]}), TypeError, "factors must map names"),
    "a level that is a bool": (lambda: study.Arm(net(2), factors={"head": True}), TypeError, "factors must map names"),
    "measures that are not functions": (lambda: tiny_study(measures={"a": 1}), TypeError, "measures must be a dict"),
    "no measures": (lambda: tiny_study(measures={}), TypeError, "measures must be a dict of functions"),
    "a seed that is also one of tuning": (
        lambda: tiny_study(tune=study.Grid((0.01,), seeds=(5, 1))),
        ValueError,
        "seeds must not be seeds of the replicates, got 1 in both",
    ),
    "a misspelt argument": (lambda: tiny_study(replicate=study.Seeds(2)), TypeError, "replicate"),
    "no replicates": (lambda: study.Seeds(0), ValueError, "n must be"),
    "folds of one": (lambda: study.KFold(1), ValueError, "k must be"),
    "all images as test images": (lambda: study.Resplits(2, test=1.0), ValueError, "test must be"),
    "no rates": (lambda: study.Grid(()), ValueError, "one or more increasing numbers"),
    "rates that are not sorted": (lambda: study.Grid((0.1, 0.01)), ValueError, "increasing numbers"),
    "an unknown criterion": (lambda: study.Grid(by="test_loss"), ValueError, "by must be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_specification_is_refused_where_it_is_written(case):
    make, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        make()


UNFIT = {
    "a net with other classes": (lambda: tiny_study({"a": net(2, classes=7)}), "one logit for each of 2 classes"),
    "one function twice": (lambda: tiny_study({"a": small_cnn(), "b": rewritten()}), "must be different functions"),
    "equal arms": (
        lambda: tiny_study({"a": net(2), "b": study.Arm(net(2), same_as="a")}),
        "must differ in net or recipe, got 'a' and 'b'",
    ),
    "test images that depend on the seed": (
        lambda: tiny_study(data=lambda seed: tiny(seed=seed)),
        "replicates must be Resplits or KFold for data whose test images depend on the seed",
    ),
    "an unknown data set": (lambda: tiny_study(data="minst"), "minst"),
}


def rewritten():
    """The same function as `small_cnn()`, written in another way."""
    return layers.Sequential([small_cnn()])


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_trained_is_refused_before_a_ledger_is_made(tmp_path, monkeypatch, case):
    monkeypatch.setattr(executors, "run_trial", lambda trial: pytest.fail("trained"))
    make, message = UNFIT[case]
    with pytest.raises(ValueError, match=message):
        make().run(tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_one_net_may_be_trained_by_two_recipes():
    other = dataclasses.replace(RECIPE, optimizer=optim.SGD(0.1))
    assert tiny_study({"adam": net(2), "sgd": study.Arm(net(2), recipe=other)}).check() == []


# --- replicates


def rows_of(images):
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("replicates", [study.Resplits(4, test=0.25), study.KFold(4)], ids=["Resplits", "KFold"])
def test_splits_are_disjoint_stratified_and_lose_no_image(replicates):
    source = tiny(classes=3)
    images, labels = pooled(source)
    for replicate in range(4):
        parts = replicates.dataset(source, replicate)
        found = [rows_of(part.images) for part in (parts.train, parts.valid, parts.test)]
        assert sum(map(len, found)) == len(images)
        assert set.union(*found) == rows_of(images)
        shares = np.bincount(parts.test.labels, minlength=3) / len(parts.test)
        assert shares == pytest.approx(np.bincount(labels) / len(labels), abs=0.06)


def test_the_folds_of_a_repetition_cover_every_image_once_and_repetitions_differ():
    source, replicates = tiny(classes=3), study.KFold(4, repeats=2)
    tests = [rows_of(replicates.dataset(source, r).test.images) for r in range(8)]
    for repetition in (tests[:4], tests[4:]):
        assert set.union(*repetition) == rows_of(pooled(source)[0])
        assert sum(map(len, repetition)) == 84
    assert tests[0] not in tests[4:]


def test_a_fixed_data_set_has_one_test_set_for_all_seeds():
    source = tiny()
    assert all(study.Seeds(3).dataset(source, r).test is source.test for r in range(3))


@pytest.mark.parametrize("kind", [study.Seeds, study.Resplits])
def test_more_replicates_keep_the_ids_of_those_there_are(kind):
    few, more = (ids(tiny_study(replicates=kind(n))) for n in (2, 4))
    assert more[: len(few)] == few
    assert len(set(more)) == len(more)


def test_more_repetitions_of_folds_keep_the_ids_of_those_there_are():
    few, more = (ids(tiny_study(replicates=study.KFold(3, repeats=r))) for r in (1, 2))
    assert more[: len(few)] == few


# --- ids


def ids(planned):
    return [trial.id for trial in trials_of.test_trials(planned, engine.data_digests(planned), {})]


def measure(net, params, dataset):
    return 1.0


def changed_image():
    source = tiny()
    source.test.images[0, 0, 0, 0] += 0.5
    return source


CHANGES = {
    "the net": lambda: {"arms": {"narrow": net(3), "wide": net(8)}},
    "the optimizer's rate": lambda: {"recipe": dataclasses.replace(RECIPE, optimizer=optim.Adam(2e-2))},
    "the optimizer": lambda: {"recipe": dataclasses.replace(RECIPE, optimizer=optim.SGD(1e-2))},
    "epochs": lambda: {"recipe": dataclasses.replace(RECIPE, epochs=3)},
    "batch_size": lambda: {"recipe": dataclasses.replace(RECIPE, batch_size=8)},
    "label_smoothing": lambda: {"recipe": dataclasses.replace(RECIPE, label_smoothing=0.1)},
    "augment": lambda: {"recipe": dataclasses.replace(RECIPE, augment=data.Augmentation(shift=1))},
    "the first seed": lambda: {"replicates": study.Seeds(3, first=7)},
    "the kind of replicates": lambda: {"replicates": study.Resplits(3)},
    "one pixel of one test image": lambda: {"data": changed_image()},
}
MEASURES = {
    "one more measure": {"accuracy": study.accuracy, "nll": study.nll, "ece": study.ece},
    "the name of a measure": {"correct": study.accuracy, "nll": study.nll},
    "another measure of that name": {"accuracy": measure, "nll": study.nll},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_configuration_gives_other_ids(change):
    assert set(ids(tiny_study())).isdisjoint(ids(tiny_study(**CHANGES[change]()))) or change == "the net"
    assert ids(tiny_study())[0] != ids(tiny_study(**CHANGES[change]()))[0]


@pytest.mark.parametrize("change", MEASURES)
def test_measures_are_not_part_of_what_is_trained(change):
    assert ids(tiny_study(measures=MEASURES[change])) == ids(tiny_study())


@pytest.mark.parametrize("split", [{"test": 0.3}, {"valid": 0.2}, {"tuning": 0.2}])
def test_other_shares_of_a_split_give_other_ids(split):
    one, two = (ids(tiny_study(replicates=study.Resplits(2, **how))) for how in ({}, split))
    assert set(one).isdisjoint(two)


def test_ids_do_not_depend_on_names_of_arms_nor_on_any_order():
    plain = ids(tiny_study())
    assert ids(tiny_study({"a": net(2), "b": net(8)})) == plain
    assert sorted(ids(tiny_study({"wide": net(8), "narrow": net(2)}))) == sorted(plain)
    assert ids(tiny_study(measures={"nll": study.nll, "accuracy": study.accuracy})) == plain
    assert canonical.trial_id({"a": 1, "b": {"c": 2, "d": 3}}) == canonical.trial_id({"b": {"d": 3, "c": 2}, "a": 1})


def test_other_kernels_give_other_ids(monkeypatch):
    before = ids(tiny_study())
    monkeypatch.setattr(canonical.kernels, "digest", lambda: "another version")
    assert set(ids(tiny_study())).isdisjoint(before)


def function(body, **names):
    exec(f"def measure(net, params, dataset, k=1, *, q=2):\n    {body}", names)  # noqa: S102
    return names["measure"]


def test_a_function_that_is_edited_has_another_text():
    bodies = ("return 1.0", "return 2.0", "return k", "return q", "return k * len('abc')")
    texts = [canonical.canonical(function(body, __name__="here")) for body in bodies]
    assert len(set(texts)) == len(texts)
    assert texts[0] == canonical.canonical(function(bodies[0], __name__="here"))


def closing_over(value):
    def closed(net, params, dataset):
        return value

    return closed


def with_default(value):
    def given(net, params, dataset, helper=value, *, other=value):
        return helper

    return given


@pytest.mark.parametrize(
    "values",
    [
        (function("return 1.0", __name__="here"), function("return 2.0", __name__="here")),
        (np.zeros(2000), np.arange(2000) == 1000),
        (np.float32, np.float64),
        (None, 1),
    ],
    ids=["functions", "arrays", "classes", "plain values"],
)
def test_what_a_function_has_by_default_is_part_of_its_text(values):
    one, two = (canonical.canonical(with_default(value)) for value in values)
    assert one != two
    assert one == canonical.canonical(with_default(values[0]))


def test_a_helper_given_by_default_has_no_address_in_the_text():
    one, two = (function("return 1.0", __name__="here") for _ in range(2))
    assert canonical.canonical(with_default(one)) == canonical.canonical(with_default(two))


@pytest.mark.parametrize("values", [(1, 2), (np.zeros(3), np.ones(3)), (tiny(), changed_image()), (abs, len)])
def test_what_a_function_closes_over_is_part_of_its_text(values):
    one, two = (canonical.canonical(closing_over(value)) for value in values)
    assert one != two
    assert one == canonical.canonical(closing_over(values[0]))


def test_the_text_of_a_function_is_the_same_in_every_process():
    code = (
        "from minicnn.study.canonical import canonical\ndef f(x): return x in {'a', 'b', 'c', 'd'}\nprint(canonical(f))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


# --- trials


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The results of a small study in this process."""
    return tiny_study().run(tmp_path_factory.mktemp("serial"), progress=False)


def everything(results):
    """Return every value of a ledger but times."""
    with reading(results.path) as store:
        values = sorted(store.values())
        curves = {
            trial: [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
            for trial, rows in store.curves().items()
        }
        rows = sorted((t.id, t.arm, t.replicate, t.seed, t.status) for t in store.trials().values())
        arrays = {trial: flat(store.arrays(trial)) for trial, *_ in rows}
    return values, curves, rows, arrays


def flat(tree):
    return {k: flat(v) for k, v in tree.items()} if isinstance(tree, dict) else (tree.dtype.str, tree.tobytes())


def test_a_trial_has_the_same_bits_twice():
    planned = tiny_study()
    trial = trials_of.test_trials(planned, engine.data_digests(planned), {})[1]
    one, two = run_trial(trial), run_trial(trial)
    assert one.error == two.error == ""
    assert (one.values, flat(one.params), flat(one.per_image)) == (two.values, flat(two.params), flat(two.per_image))


def test_several_processes_write_the_ledger_of_one(done, tmp_path):
    pytest.importorskip("joblib")
    assert everything(tiny_study().run(tmp_path, jobs=2, progress=False)) == everything(done)


def test_running_again_trains_nothing_and_an_added_arm_only_itself(done, tmp_path, monkeypatch):
    trained, folder = [], shutil.copytree(done.path, tmp_path / "copy")
    monkeypatch.setattr(executors, "run_trial", lambda trial: trained.append(trial.arm) or run_trial(trial))
    before = everything(done)
    assert everything(tiny_study().run(folder, progress=False)) == before
    assert trained == []
    more = tiny_study({"narrow": net(2), "wide": net(8), "wider": net(16)}).run(folder, progress=False)
    assert trained == ["wider"] * 3
    assert repr(more) == "Results('study': 3 arms, 9 of 9 trials done)"
    assert repr(tiny_study().run(folder, progress=False)) == "Results('study': 2 arms, 6 of 6 trials done)"


def test_the_command_is_one_that_can_be_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-m", "mine", "own heads"])
    monkeypatch.setattr(sys, "argv", ["/somewhere/mine/__main__.py", "own heads"])
    found = ledger(tmp_path, tiny_study(), lambda trial: None)
    assert found.description["command"] == "python -m mine 'own heads'"


def test_an_interrupted_study_goes_on_and_equals_one_that_was_not(done, tmp_path, monkeypatch, capsys):
    begun = []

    def interrupted(trial):
        begun.append(trial)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return run_trial(trial)

    monkeypatch.setattr(executors, "run_trial", interrupted)
    part = tiny_study().run(tmp_path, progress=False)
    assert (len(part.trials), part.missing, part.complete) == (3, 3, False)
    assert "the next run continues there" in capsys.readouterr().err
    assert everything(tiny_study().run(tmp_path, progress=False)) == everything(
        tiny_study().run(done.path, progress=False)
    )


def broken(net, params, dataset):
    if np.asarray(params["dense"]["bias"] if "dense" in params else 0).size == 0:
        return 0.0
    raise ArithmeticError("this measure fails")


def test_a_failed_trial_keeps_its_traceback_costs_only_itself_and_is_retried_on_request(tmp_path, monkeypatch):
    calls = []

    def fails_once(trial):
        calls.append(trial.arm)
        if trial.arm == "wide" and trial.replicate == 1 and calls.count("wide") <= 3:
            return run_trial(dataclasses.replace(trial, measures={"accuracy": broken}))
        return run_trial(trial)

    monkeypatch.setattr(executors, "run_trial", fails_once)
    first = tiny_study().run(tmp_path, progress=False)
    (failed,) = first.failed
    assert (failed.arm, failed.replicate, failed.attempts) == ("wide", 1, 1)
    assert failed.error.startswith("Traceback")
    assert "ArithmeticError: this measure fails" in failed.error
    assert first.values("accuracy")["wide"].keys() == {0, 2}
    assert first.compare("accuracy").contrasts[0].n == 2
    assert repr(first) == "Results('study': 2 arms, 5 of 6 trials done, 1 failed)"
    calls.clear()
    assert tiny_study().run(tmp_path, progress=False).failed
    assert calls == []
    calls.extend(["wide"] * 3)
    again = tiny_study().run(tmp_path, retry_failed=True, progress=False)
    assert calls == ["wide"] * 4
    assert again.complete
    with reading(tmp_path) as store:
        assert store.trials()[failed.id].attempts == 2


def test_a_training_that_diverges_is_a_failed_trial(tmp_path):
    recipe = dataclasses.replace(RECIPE, optimizer=optim.SGD(1e30))
    arms = {"good": net(2), "bad": study.Arm(net(8), recipe=recipe)}
    with np.errstate(all="ignore"):
        found = tiny_study(arms, replicates=study.Seeds(1)).run(tmp_path, progress=False)
    statuses = {trial.arm: trial.status for trial in found.trials}
    assert statuses["good"] == "done"
    assert statuses["bad"] == "failed" or np.isfinite(list(found.values("accuracy")["bad"].values())).all()


def test_a_second_study_in_the_same_folder_is_refused_and_changes_nothing(done):
    before = everything(done)
    for other in ({"name": "another"}, {"data": tiny(seed=1)}):
        with pytest.raises(ValueError, match="path must be a folder of its own for each study"):
            tiny_study(**other).run(done.path, progress=False)
    assert everything(done) == before


def test_arrays_that_were_lost_are_trained_again(tmp_path):
    planned = tiny_study(replicates=study.Seeds(1))
    first = planned.run(tmp_path, progress=False)
    before = everything(first)
    next((tmp_path / "trials").glob("*.npz")).unlink()
    assert everything(planned.run(tmp_path, progress=False)) == before


# --- tuning


class Sealed:
    """Test images that must not be looked at."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype, self.opened = array.shape, array.dtype, False

    def __len__(self):
        return len(self._array)

    def __array__(self, *args, **kwargs):
        raise AssertionError("the test images were opened")

    def __getitem__(self, key):
        raise AssertionError("the test images were opened")


def test_tuning_trials_never_open_the_test_images():
    source = tiny()
    planned = tiny_study(data=source, tune=study.Grid((0.01, 0.1), seeds=(100, 101)))
    digests = engine.data_digests(planned)
    rates = dict.fromkeys(planned.arms, (0.01, 0.1))
    object.__setattr__(source.test, "images", Sealed(source.test.images))
    trials = trials_of.tune_trials(planned, rates)
    outcomes = [run_trial(trial) for trial in trials]
    assert len(trials) == 2 * 2 * 2
    assert [outcome.error for outcome in outcomes] == [""] * 8
    assert all(split != "test" for outcome in outcomes for split, *_ in outcome.values)
    opened = run_trial(trials_of.test_trials(planned, digests, {})[0])
    assert "the test images were opened" in opened.error  # the seal works


def criterion(best):
    """An outcome whose validation loss is smallest at a rate."""
    return lambda trial: Outcome(
        trial.id,
        values=[("valid", "loss", "", abs(np.log(trial.rate or 1) - np.log(best))), ("test", "accuracy", "", 0.9)],
    )


def test_a_best_rate_at_an_edge_extends_the_grid_until_it_is_inside(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(executors, "run_trial", lambda trial: seen.append(trial) or criterion(0.8)(trial))
    planned = tiny_study({"narrow": net(2)}, tune=study.Grid((0.01, 0.03, 0.1), seeds=(100,)))
    found = planned.run(tmp_path, progress=False)
    tuned = [trial.rate for trial in seen if trial.role == "tune"]
    assert tuned == [0.01, 0.03, 0.1, 0.3, 0.9, 3.0]
    assert found.description["arms"]["narrow"]["rate"] == 0.9
    assert {trial.recipe.optimizer.learning_rate for trial in seen if trial.role == "test"} == {0.9}
    roles = [trial.role for trial in seen]
    assert roles == sorted(roles, reverse=True), "the test images are opened after all rates are frozen"
    assert set(found.tried()["narrow"]) == {0.01, 0.03, 0.1, 0.3, 0.9, 3.0}
    assert not {trial.seed for trial in seen if trial.role == "tune"} & set(planned.replicates.seeds)


def test_a_grid_is_extended_no_further_than_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "run_trial", criterion(1e9))
    for most, rates in ((0, 2), (2, 4)):
        grid = study.Grid((0.01, 0.1), seeds=(100,), most=most)
        found = tiny_study({"narrow": net(2)}, tune=grid).run(tmp_path / str(most), progress=False)
        assert len(found.tried()["narrow"]) == rates


def test_each_arm_gets_its_own_rate_from_the_same_search(tmp_path, monkeypatch):
    best = {"narrow": 0.03, "wide": 0.01}
    monkeypatch.setattr(executors, "run_trial", lambda trial: criterion(best[trial.arm])(trial))
    grid = study.Grid((0.003, 0.01, 0.03, 0.1), seeds=(100, 101))
    found = tiny_study(tune=grid).run(tmp_path, progress=False)
    assert {arm: about["rate"] for arm, about in found.description["arms"].items()} == best
    assert {arm: sorted(by) for arm, by in found.tried().items()} == {arm: [0.003, 0.01, 0.03, 0.1] for arm in best}


def test_a_rate_at_which_training_diverges_is_never_chosen():
    grid = study.Grid((0.01, 0.1))
    assert grid.best({0.01: [2.0, 2.0], 0.1: [0.1, float("nan")]}) == 0.01
    assert study.Grid((0.01, 0.1), by="valid_accuracy").best({0.01: [0.5], 0.1: [0.7]}) == 0.1
    with pytest.raises(ValueError, match="a rate at which training does not diverge"):
        grid.best({0.01: [float("nan")], 0.1: [float("nan")]})


# --- results


def test_values_are_those_of_the_measures_on_the_kept_parameters(done):
    source = tiny()
    for arm in ("narrow", "wide"):
        params, trained = done.params(arm, 1), done.net(arm)
        right = study.accuracy(trained, params, source)
        assert done.values("accuracy")[arm][1] == np.mean(right, dtype=np.float64)
        assert done.per_image(arm)[1].tolist() == np.asarray(right).tolist()
        assert (done.per_image(arm, "predictions")[1] == source.test.labels).tolist() == right.astype(bool).tolist()
        assert done.values("nll")[arm][1] == pytest.approx(np.mean(study.nll(trained, params, source)), abs=1e-12)


def test_rows_are_tidy_and_the_same_in_every_form(done, tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = list(done.rows())
    names = ["study", "arm", "replicate", "seed", "split", "measure", "condition", "value"]
    assert all(list(row) == names for row in rows)
    assert len({tuple(row[name] for name in names[:-1]) for row in rows}) == len(rows)
    frame = pandas.read_csv(done.to_csv(tmp_path / "rows.csv"), keep_default_na=False)
    assert frame.to_dict("records") == rows == done.frame().to_dict("records")
    lines = done.to_json_lines(tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_json_lines_are_json_also_where_a_value_is_not_finite(tmp_path):
    found = filled(tmp_path, {"a": {0: 0.5, 1: float("nan")}, "b": {0: 0.5, 1: 0.5}})
    lines = found.to_json_lines(tmp_path / "rows.jsonl").read_text().splitlines()
    values = [json.loads(line, parse_constant=pytest.fail)["value"] for line in lines]
    assert values == [0.5, 0.5, None, 0.5]


def test_all_pairs_are_a_second_view(tmp_path):
    accuracies = {
        arm: {r: 0.9 + 0.01 * place + 0.001 * ((r + place) % 3) for r in range(4)} for place, arm in enumerate("abc")
    }
    pairs = filled(tmp_path, accuracies).compare("accuracy", pairs="all").contrasts
    assert [(c.arm, c.control) for c in pairs] == [("b", "a"), ("c", "a"), ("c", "b")]


def test_a_lower_loss_is_better(tmp_path):
    found = reported(tmp_path, ("max", "average"), accuracy=lambda place, r: 0.9 + 0.001 * r)
    found.description["rope"]["nll"] = 0.01
    # the loss of the second arm is 0.2 in each replicate, that of the first 0.1: equal differences decide nothing
    assert found.compare("nll").contrasts[0].verdict == "undecided"
    for n, trial in enumerate(found.trials):
        found.numbers[trial.id]["test", "nll", ""] += 0.001 * (n % 3)
    assert found.compare("nll").contrasts[0].verdict == "worse"


def test_values_that_are_not_finite_count_as_missing(tmp_path):
    accuracies = {"a": dict(enumerate([0.9, 0.91, 0.92, 0.9])), "b": dict(enumerate([0.8, float("nan"), 0.81, 0.8]))}
    (found,) = filled(tmp_path, accuracies).compare("accuracy").contrasts
    assert found.differences.keys() == {0, 2, 3}


def test_new_images_are_for_a_fixed_test_set_alone(tmp_path):
    made = reported(tmp_path, ("max", "average"))
    found = made.new_images("average", "max")
    # one image of 24 more is wrong, in each replicate
    assert found.mean == pytest.approx(-1 / 24)
    resplit = filled(tmp_path / "splits", {"a": {0: 0.9, 1: 0.9}, "b": {0: 0.8, 1: 0.9}}, replicates=study.Resplits(2))
    with pytest.raises(ValueError, match="replicates must be Seeds, which share their test images, got Resplits"):
        resplit.new_images("b", "a")


def test_a_trial_that_is_not_there_is_refused(done):
    with pytest.raises(ValueError, match="must be those of a trial that is done, got 'wide', 9"):
        done.params("wide", 9)
    with pytest.raises(ValueError, match="path must be the folder of a study"):
        study.open_results(done.path / "trials")


def test_histories_have_one_row_per_epoch_and_cpu_seconds_that_grow(done):
    rows = done.history("wide", 0)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert 0 < rows[0]["cpu_seconds"] < rows[1]["cpu_seconds"]
    assert len(done.curves("wide")) == 3


def test_a_notebook_shows_arms_and_verdicts(done, tmp_path):
    shown = done._repr_html_()
    assert shown.count("<tr") == 3
    assert "narrow" in shown
    rows, values = curve([0.5]), [("test", "accuracy", "", 0.5)]
    begun = lambda trial: None if trial.replicate else Outcome(trial.id, values=values, curve=rows)  # noqa: E731
    part = ledger(tmp_path, tiny_study(), begun)
    assert "wide" in part._repr_html_()


# --- plans and costs


def test_a_plan_counts_trials_and_trains_none_of_them(done, tmp_path):
    more = tiny_study(replicates=study.Seeds(5), tune=None)
    planned = more.plan(done.path)
    assert (planned.trials, planned.done) == (10, 6)
    assert [arm.arm for arm in planned.arms] == ["narrow", "wide"]
    assert planned.arms[0].parameters == 36 * 2 + 2 + 2 * 2 + 2
    assert planned.cpu_seconds == pytest.approx(2 * sum(arm.seconds for arm in planned.arms))
    assert 0 < planned.power < 1
    assert "10 trials, of which 6 are in the ledger" in str(planned)
    tuned = tiny_study(tune=study.Grid((0.01, 0.1), seeds=(100, 101))).plan(tmp_path / "new")
    assert tuned.trials == 6 + 2 * 2 * 2
    assert not (tmp_path / "new").exists()


def test_one_replicate_decides_nothing():
    planned = tiny_study(replicates=study.Seeds(1)).plan()
    assert (planned.smallest, planned.power) == (float("inf"), 0.0)
    assert "One replicate decides no difference." in str(planned)
    assert "inf" not in str(planned)


def test_costs_are_measured_for_each_arm_and_change_no_net():
    found = study.costs({"narrow": net(2), "wide": net(8)}, tiny().train, rounds=3, progress=False)
    assert set(found) == {"narrow", "wide"}
    assert all(times["predict"] > 0 and times["train"] > 0 for times in found.values())


def test_the_ledger_of_another_process_is_not_written(tmp_path):
    from minicnn.files import only_writer

    if os.name == "nt":
        pytest.skip("Windows has no file locks for this")
    with only_writer(tmp_path), pytest.raises(OSError, match="another process is writing its results there"):
        tiny_study().run(tmp_path, progress=False)
    assert not (tmp_path / FILE).exists()
