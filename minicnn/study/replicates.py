"""What varies between the repetitions of a study, and which statistics follow from it.

`Seeds`      a fixed test set; initial weights, order of images and validation images vary: Student's interval
`Resplits`   the same images are split again at random for each replicate: Nadeau and Bengio's correction
`KFold`      repeated stratified k-fold: the correlated t-test's correction

The object knows its own factor f in: standard error of the mean = standard deviation * sqrt(f(n)).

Each also says which images learning rates are chosen on; none of them is in the test part of any replicate. With
`Seeds` they are the training and validation images, with `Resplits` and `KFold` a fraction `tuning` of all images,
which is set apart before the others are split and is the same for all replicates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import field
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from minicnn.data import Dataset
from minicnn.data.sets import stratified
from minicnn.hints import frozen
from minicnn.records import register
from minicnn.study.images import Source, base, divided, joined, pooled
from minicnn.validation import integer, number

TUNING_VALID = 0.25
"""The fraction of the images set apart for tuning on which a learning rate is judged; it is trained on the others."""
TUNING_SEED = 10_000
"""Which images are set apart is drawn once, for all replicates of all studies."""


class _Seeded:
    """Base class: replicate i has the seed `first` + i, which draws its initial weights, and its split if any."""

    n: int
    first: int

    def __post_init__(self) -> None:
        integer(type(self).__name__, "n", self.n)
        integer(type(self).__name__, "first", self.first, least=0)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replicate."""
        return tuple(range(self.first, self.first + self.n))


class _Resampling(_Seeded, ABC):
    """Base class: each replicate splits all images again, but those that are set apart for tuning."""

    valid: float
    tuning: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in ("valid", "tuning"):
            number(type(self).__name__, part, getattr(self, part), least=0, below=1)

    @abstractmethod
    def _split(self, labels: np.ndarray, replicate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the indices of training, validation and test images."""

    def dataset(self, source: Source, replicate: int) -> Dataset:
        """Return the data of a replicate: all images of the source but those for tuning, split."""
        whole = base(source, 0)
        images, labels = pooled(whole)
        return divided(whole, images, labels, *self._split(labels, replicate))

    def tuning_data(self, source: Source, seed: int) -> Dataset:
        """Return training and validation images for tuning, divided by `seed`, and no test images."""
        whole = base(source, 0)
        images, labels = pooled(whole)
        at, _ = self._set_apart(labels)
        if not len(at):
            kind = type(self).__name__
            raise ValueError(
                f"Study: replicates must set images apart for tune, got {kind} with tuning=0. Images that choose a "
                f"learning rate must not be test images: use study.{kind}(..., tuning=0.25)."
            )
        _, valid, train = stratified(labels[at], (0, round(TUNING_VALID * len(at))), seed, where="Grid")
        return divided(whole, images, labels, at[train], at[valid], at[:0])

    def check(self, source: Source) -> None:
        """Raise ValueError if the images cannot be split so in each replicate."""
        _, labels = pooled(base(source, 0))
        for replicate in range(self.n):
            self._split(labels, replicate)

    def _set_apart(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the images for tuning, and of all others in the order that they had."""
        size = self._size("tuning", len(labels))
        tuning, _, rest = stratified(labels, (size, 0), TUNING_SEED, where=type(self).__name__)
        return np.sort(tuning), np.sort(rest)

    def _size(self, part: str, count: int) -> int:
        """Return how many of `count` images a fraction is; one that is above 0 must not be rounded to none."""
        fraction: float = getattr(self, part)
        size = round(fraction * count)
        if fraction and not size:
            raise ValueError(
                f"{type(self).__name__}: {part} must be a fraction of at least one image, got {fraction:g} of {count}. "
                "Use a larger one."
            )
        return size


@register
@frozen
class Seeds(_Seeded):
    """`n` trainings with the seeds `first`, `first` + 1, ..., all tested on the same images.

    >>> Seeds(3).seeds, Seeds(3).factor(1000, 100)(4)
    ((0, 1, 2), 0.25)
    """

    n: int
    first: int = 0

    def identity(self, replicate: int) -> dict[str, Any]:
        """Return what the data of a replicate depend on besides its seed; not on how many replicates there are."""
        return {"kind": "Seeds"}

    def dataset(self, source: Source, replicate: int) -> Dataset:
        """Return the data of a replicate."""
        return base(source, self.seeds[replicate])

    def tuning_data(self, source: Source, seed: int) -> Dataset:
        """Return training and validation images for tuning, divided again by `seed`, and no test images."""
        whole = base(source, seed)
        images, labels = joined(whole.train, whole.valid)
        _, valid, train = stratified(labels, (0, len(whole.valid)), seed, where="Grid")
        return divided(whole, images, labels, train, valid, train[:0])

    def check(self, source: Source) -> None:
        """Raise nothing: there is nothing to split."""

    def factor(self, n_train: float, n_test: float) -> Callable[[int], float]:
        """Return the factor of the variance: 1 / n, because the replicates are independent."""
        return lambda n: 1 / n


@register
@frozen
class Resplits(_Resampling):
    """`n` random stratified splits of all images of the data set, with the seeds `first`, `first` + 1, ...

    The training sets overlap, so the replicates are correlated: the variance of the mean has 1/n + n_test / n_train
    instead of 1/n (Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003).

    `test` and `valid` are fractions of the images that are split. `tuning`, a fraction of all images, is set apart
    before: `Study(tune=...)` chooses learning rates on those images, and no replicate has any of them.

    >>> round(Resplits(10).factor(1258, 359)(10), 4)
    0.3854
    """

    n: int
    test: float = 0.2
    valid: float = 0.1
    first: int = 0
    tuning: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("Resplits", "test", self.test, above=0, below=1)
        if self.test + self.valid >= 1:
            raise ValueError(
                f"Resplits: test and valid must leave images for training, got test={self.test} and "
                f"valid={self.valid}, which are all. Use smaller fractions."
            )

    def identity(self, replicate: int) -> dict[str, Any]:
        """Return what the data of a replicate depend on besides its seed."""
        return {"kind": "Resplits", "test": self.test, "valid": self.valid, "tuning": self.tuning}

    def _split(self, labels: np.ndarray, replicate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the indices of training, validation and test images."""
        _, rest = self._set_apart(labels)
        sizes = [self._size(part, len(rest)) for part in ("test", "valid")]
        test, valid, train = stratified(labels[rest], (sizes[0], sizes[1]), self.seeds[replicate], where="Resplits")
        return rest[train], rest[valid], rest[test]

    def factor(self, n_train: float, n_test: float) -> Callable[[int], float]:
        """Return the factor of the variance."""
        return lambda n: 1 / n + n_test / n_train


@register
@frozen
class KFold(_Resampling):
    """Stratified k-fold cross-validation, `repeats` times: k * repeats replicates.

    The variance of the mean has 1/n + 1/(k - 1) instead of 1/n, as in the correlated t-test of `baycomp`. `tuning` is
    set apart before, as in `Resplits`; `valid` is a fraction of the images that are split.

    >>> len(KFold(10, 3).seeds), round(KFold(10, 3).factor(0, 0)(30), 4)
    (30, 0.1444)
    """

    k: int
    repeats: int = 1
    valid: float = 0.1
    first: int = 0
    tuning: float = 0.0
    n: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        integer("KFold", "k", self.k, least=2)
        integer("KFold", "repeats", self.repeats)
        object.__setattr__(self, "n", self.k * self.repeats)
        super().__post_init__()
        if self.valid >= (most := 1 - 1 / self.k):
            raise ValueError(
                f"KFold: valid must be below 1 - 1/k = {most:.3g}, the share that is not in the test fold, got "
                f"{self.valid}. Use a smaller fraction."
            )

    def identity(self, replicate: int) -> dict[str, Any]:
        """Return what the data of a replicate depend on besides its seed."""
        repeat, fold = divmod(replicate, self.k)
        shares = {"valid": self.valid, "tuning": self.tuning}
        return {"kind": "KFold", "k": self.k, **shares, "shuffle": self.first + repeat, "fold": fold}

    def _split(self, labels: np.ndarray, replicate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the indices of training, validation and test images."""
        from sklearn.model_selection import StratifiedKFold

        repeat, fold = divmod(replicate, self.k)
        _, kept = self._set_apart(labels)
        smallest = np.unique(labels[kept], return_counts=True)[1].min(initial=len(kept))
        if smallest < self.k:
            raise ValueError(
                f"KFold: k must be at most {smallest}, the number of images of the smallest class, got {self.k}. "
                "Use fewer folds."
            )
        folds = StratifiedKFold(self.k, shuffle=True, random_state=self.first + repeat)
        rest, test = list(folds.split(np.zeros(len(kept)), labels[kept]))[fold]
        size = self._size("valid", len(kept))
        _, valid, train = stratified(labels[kept[rest]], (0, size), self.seeds[replicate], where="KFold")
        return kept[rest[train]], kept[rest[valid]], kept[test]

    def factor(self, n_train: float, n_test: float) -> Callable[[int], float]:
        """Return the factor of the variance."""
        return lambda n: 1 / n + 1 / (self.k - 1)


Replicates: TypeAlias = Seeds | Resplits | KFold


@lru_cache(maxsize=2)
def of_replicate(source: Source, replicates: Replicates, replicate: int) -> Dataset:
    """Return the data of a replicate; the last two are kept, because all arms of a replicate follow each other."""
    return replicates.dataset(source, replicate)


@lru_cache(maxsize=2)
def of_tuning(source: Source, replicates: Replicates, seed: int) -> Dataset:
    """Return the data that a learning rate is tried on; the last two are kept, because rates follow each other."""
    return replicates.tuning_data(source, seed)


def forget() -> None:
    """Forget what `of_replicate` and `of_tuning` have kept: a function of the seed may return other images."""
    of_replicate.cache_clear()
    of_tuning.cache_clear()
