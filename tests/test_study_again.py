"""A study that is run again trains nothing twice: one more measure, damaged files and a measure that fails."""

from collections import Counter

import kill_study
import numpy as np
import pytest
from study_fixtures import tiny_study

from minicnn import study, train
from minicnn.study import measures as taken

FEW = {"accuracy": study.accuracy}
MORE = {"accuracy": study.accuracy, "nll": study.nll, "noise": study.Noisy((0.0, 0.2)), "ece": study.ece}


@pytest.fixture
def fits(monkeypatch):
    """How often nets are trained."""
    real, count = train.fit, Counter()

    def counted(network, *args, **options):
        count[network] += 1
        return real(network, *args, **options)

    monkeypatch.setattr(train, "fit", counted)
    return count


def again(folder, **changes):
    return tiny_study(**changes).run(folder, progress=False)


def contents(results):
    """All of a ledger that does not depend on when and in how many steps it was written."""
    return kill_study.contents(results.path)


@pytest.mark.parametrize("tune", [None, study.Grid((1e-2, 3e-2), most=0)], ids=["no tuning", "tuned"])
def test_one_more_measure_is_taken_of_the_trained_nets(tmp_path, fits, tune):
    again(tmp_path / "s", measures=FEW, tune=tune)
    trainings = fits.copy()
    assert trainings.total() == 6 + (0 if tune is None else 4)
    more = again(tmp_path / "s", measures=MORE, tune=tune)
    assert fits == trainings
    assert more.complete
    whole = again(tmp_path / "whole", measures=MORE, tune=tune)
    assert fits.total() == 2 * trainings.total()
    assert contents(more) == contents(whole)
    for measure in MORE:
        for condition in whole.conditions(measure):
            assert more.values(measure, condition) == whole.values(measure, condition)
            assert all(len(by) == 3 for by in more.values(measure, condition).values())
    assert more.to_csv(tmp_path / "a").read_bytes() == whole.to_csv(tmp_path / "b").read_bytes()


def test_a_measure_that_is_left_out_and_taken_in_again_is_not_taken_twice(tmp_path, fits, monkeypatch):
    whole = again(tmp_path, measures=MORE)
    few = again(tmp_path, measures=FEW)
    assert {row["measure"] for row in few.rows() if row["split"] == "test"} == {"accuracy"}
    fits.clear()
    monkeypatch.setattr(taken, "logits", lambda *_: pytest.fail("measured"))
    assert list(again(tmp_path, measures=MORE).rows()) == list(whole.rows())
    assert not fits


def test_a_measure_has_its_values_under_another_name(tmp_path, fits, monkeypatch):
    first = again(tmp_path, measures=FEW)
    fits.clear()
    monkeypatch.setattr(taken, "logits", lambda *_: pytest.fail("measured"))
    renamed = again(tmp_path, measures={"correct": study.accuracy})
    assert not fits
    assert renamed.values("correct") == first.values("accuracy")


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("place", [0.3, 0.5, 0.9])
def test_a_damaged_file_of_the_same_size_is_noticed_and_made_again(tmp_path, fits, capsys, place):
    whole = again(tmp_path)
    before, trial = contents(whole), whole.trials[3]
    path = tmp_path / "trials" / f"{trial.id}.npz"
    good, stamps = path.read_bytes(), path.stat()
    path.write_bytes(flipped(good, int(place * len(good))))
    assert path.stat().st_size == stamps.st_size
    fits.clear()
    found = again(tmp_path)
    assert [*fits.elements()] == [whole.net(trial.arm)]
    assert capsys.readouterr().err == (
        f"study: 1 file in {tmp_path / 'trials'} is missing or damaged; it is made again.\n"
    )
    assert path.read_bytes() == good
    assert found.complete
    assert contents(found) == before


def test_another_trial_s_file_in_its_place_is_noticed(tmp_path, fits):
    whole = again(tmp_path)
    before, (one, two) = contents(whole), [t for t in whole.trials if t.arm == "wide"][:2]
    path, other = (tmp_path / "trials" / f"{trial.id}.npz" for trial in (one, two))
    assert path.stat().st_size == other.stat().st_size
    path.write_bytes(other.read_bytes())
    fits.clear()
    assert contents(again(tmp_path)) == before
    assert fits.total() == 1


def test_damaged_values_per_image_are_measured_again_and_nothing_is_trained(tmp_path, fits):
    whole = again(tmp_path)
    before = contents(whole)
    path = tmp_path / "trials" / f"{whole.trials[0].id}.{whole.description['measure_ids']['nll']}.npz"
    path.write_bytes(flipped(path.read_bytes(), -9 % path.stat().st_size))
    fits.clear()
    assert contents(again(tmp_path)) == before
    assert not fits


BROKEN = {}


def fails(net, params, dataset):
    if BROKEN and "units=8" in repr(net):
        raise ArithmeticError("this measure fails")
    return np.full(len(dataset.test), 0.25)


def test_a_measure_that_fails_costs_only_itself(tmp_path, fits, monkeypatch):
    measures = {"accuracy": study.accuracy, "own": fails, "nll": study.nll}
    monkeypatch.setitem(BROKEN, 0, True)
    found = again(tmp_path / "s", measures=measures)
    trainings = fits.copy()
    whole = again(tmp_path / "whole", measures={"accuracy": study.accuracy, "nll": study.nll})
    for measure in ("accuracy", "nll"):  # also one that comes after it
        assert found.values(measure) == whole.values(measure)
        assert found.per_image("wide", measure).keys() == {0, 1, 2}
    assert found.values("own") == {"narrow": dict.fromkeys(range(3), 0.25), "wide": {}}
    assert [(t.arm, t.error.strip().splitlines()[-1]) for t in found.failed] == [
        ("wide", "ArithmeticError: this measure fails")
    ] * 3
    assert not found.missing and not found.unmeasured
    fits.clear()
    assert len(again(tmp_path / "s", measures=measures).failed) == 3  # not tried again unless that is asked for
    monkeypatch.delitem(BROKEN, 0)
    mended = tiny_study(measures=measures).run(tmp_path / "s", retry_failed=True, progress=False)
    assert not fits
    assert mended.complete
    assert mended.values("own")["wide"] == dict.fromkeys(range(3), 0.25)
    assert contents(mended) == contents(again(tmp_path / "straight", measures=measures))
    assert fits == trainings
