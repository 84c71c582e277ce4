"""A data set of one's own arrays: every image once, classes in proportion, and errors before anything is allocated."""

import numpy as np
import pytest

from minicnn import data

IMAGES = np.arange(60, dtype=np.float32).reshape(60, 1, 1, 1)
LABELS = np.arange(60) % 3


def test_every_image_is_in_one_part_with_its_label_and_classes_are_in_proportion():
    made = data.from_arrays(IMAGES, LABELS, test=0.3, valid=0.1, seed=4)
    assert [len(part) for part in (made.train, made.valid, made.test)] == [36, 6, 18]
    seen = np.concatenate([part.images.ravel() for part in (made.train, made.valid, made.test)])
    assert sorted(seen) == list(range(60))
    for part in (made.train, made.valid, made.test):
        assert (part.images.ravel() % 3 == part.labels).all()
        assert len(set(np.bincount(part.labels))) == 1
    assert made.classes == ("0", "1", "2")


def test_the_seed_decides():
    first, again, other = (data.from_arrays(IMAGES, LABELS, seed=seed).train.images for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": np.full(60, 2**40)}, "labels must be from 0 to the number of classes less 1, got 1099511627776"),
        ({"labels": LABELS - 1}, "labels must be from 0 to 1"),
        ({"classes": ["a"]}, "labels must be from 0 to 0"),
        ({"classes": 3}, "classes must be a list of names, got 3"),
        ({"test": 0.99}, "test and valid must leave one image per class"),
        ({"test": 2}, "test must be a finite number in"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
        ({"images": IMAGES[:5]}, "one label for each of 5 images"),
    ],
)
def test_wrong_arrays_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        data.from_arrays(**{"images": IMAGES, "labels": LABELS, **arguments})
