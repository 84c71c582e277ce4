"""What varies between the repetitions of a study, and which statistics follow from it.

`Seeds`      a fixed test set; initial weights, order of images and validation images vary: Student's interval
`Resplits`   the same images are split again at random for each replicate: Nadeau and Bengio's correction
`KFold`      repeated stratified k-fold: the correlated t-test's correction

The object knows its own factor f in: standard error of the mean = standard deviation * sqrt(f(n)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from minicnn import data
from minicnn.data import Dataset, Split
from minicnn.data.sets import stratified
from minicnn.hints import explained
from minicnn.records import register
from minicnn.validation import integer, number, shown

Source: TypeAlias = str | Dataset | Callable[[int], Dataset]


def base(source: Source, seed: int) -> Dataset:
    """Return the data set of a source: a name, a data set, or a function of the seed."""
    if isinstance(source, str):
        return data.load(source, seed=seed)
    found = source if isinstance(source, Dataset) else source(seed) if callable(source) else source
    if not isinstance(found, Dataset):
        raise TypeError(
            f"Study: data must be a name, a data.Dataset or a function seed -> data.Dataset, got {shown(found)}."
        )
    return found


@register
@explained
@dataclass(frozen=True)
class Seeds:
    """`n` trainings with the seeds `first`, `first` + 1, ..., all tested on the same images.

    >>> Seeds(3).seeds, Seeds(3).factor(1000, 100)(4)
    ((0, 1, 2), 0.25)
    """

    n: int
    first: int = 0

    def __post_init__(self) -> None:
        integer("Seeds", "n", self.n)
        integer("Seeds", "first", self.first, least=0)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replicate."""
        return tuple(range(self.first, self.first + self.n))

    def identity(self, replicate: int) -> dict[str, Any]:
        """Return what the data of a replicate depend on beside its seed; not on how many replicates there are."""
        return {"kind": "Seeds"}

    def dataset(self, source: Source, replicate: int) -> Dataset:
        """Return the data of a replicate."""
        return base(source, self.seeds[replicate])

    def factor(self, n_train: float, n_test: float) -> Callable[[int], float]:
        """Return the factor of the variance: 1 / n, because the replicates are independent."""
        return lambda n: 1 / n


@register
@explained
@dataclass(frozen=True)
class Resplits:
    """`n` random stratified splits of all images of the data set, with the seeds `first`, `first` + 1, ...

    The training sets overlap, so the replicates are correlated: the variance of the mean has 1/n + n_test / n_train
    instead of 1/n (Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003).

    >>> round(Resplits(10).factor(1258, 359)(10), 4)
    0.3854
    """

    n: int
    test: float = 0.2
    valid: float = 0.1
    first: int = 0

    def __post_init__(self) -> None:
        integer("Resplits", "n", self.n)
        integer("Resplits", "first", self.first, least=0)
        number("Resplits", "test", self.test, above=0, below=1)
        number("Resplits", "valid", self.valid, least=0, below=1)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replicate, which draws the split and the initial weights."""
        return tuple(range(self.first, self.first + self.n))

    def identity(self, replicate: int) -> dict[str, Any]:
        """Return what the data of a replicate depend on beside its seed."""
        return {"kind": "Resplits", "test": self.test, "valid": self.valid}

    def dataset(self, source: Source, replicate: int) -> Dataset:
        """Return the data of a replicate: all images of the source, split by the replicate's seed."""
        seed, whole = self.seeds[replicate], base(source, 0)
        images, labels = pooled(whole)
        sizes = round(self.test * len(labels)), round(self.valid * len(labels))
        test, valid, train = stratified(labels, sizes, seed)
        return _parts(whole, images, labels, train, valid, test)

    def factor(self, n_train: float, n_test: float) -> Callable[[int], float]:
        """Return the factor of the variance."""
        return lambda n: 1 / n + n_test / n_train


@register
@explained
@dataclass(frozen=True)
class KFold:
    """Stratified k-fold cross-validation, `repeats` times: k * repeats replicates.

    The variance of the mean has 1/n + 1/(k - 1) instead of 1/n, as in the correlated t-test of `baycomp`.

    >>> len(KFold(10, 3).seeds), round(KFold(10, 3).factor(0, 0)(30), 4)
    (30, 0.1444)
    """

    k: int
    repeats: int = 1
    valid: float = 0.1
    first: int = 0

    def __post_init__(self) -> None:
        integer("KFold", "k", self.k, least=2)
        integer("KFold", "repeats", self.repeats)
        integer("KFold", "first", self.first, least=0)
        number("KFold", "valid", self.valid, least=0, below=1)

    @property
    def n(self) -> int:
        """The number of replicates."""
        return self.k * self.repeats

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replicate."""
        return tuple(range(self.first, self.first + self.n))

    def identity(self, replicate: int) -> dict[str, Any]:
        """Return what the data of a replicate depend on beside its seed."""
        repeat, fold = divmod(replicate, self.k)
        return {"kind": "KFold", "k": self.k, "valid": self.valid, "shuffle": self.first + repeat, "fold": fold}

    def dataset(self, source: Source, replicate: int) -> Dataset:
        """Return the data of a replicate: fold `replicate` % k of repetition `replicate` // k."""
        from sklearn.model_selection import StratifiedKFold

        repeat, fold = divmod(replicate, self.k)
        whole = base(source, 0)
        images, labels = pooled(whole)
        folds = StratifiedKFold(self.k, shuffle=True, random_state=self.first + repeat)
        rest, test = list(folds.split(np.zeros(len(labels)), labels))[fold]
        size = round(self.valid * len(labels))
        _, valid, train = stratified(labels[rest], (0, size), self.seeds[replicate])
        return _parts(whole, images, labels, rest[train], rest[valid], test)

    def factor(self, n_train: float, n_test: float) -> Callable[[int], float]:
        """Return the factor of the variance."""
        return lambda n: 1 / n + 1 / (self.k - 1)


Replicates: TypeAlias = Seeds | Resplits | KFold


def pooled(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of all parts of a data set."""
    parts = (dataset.train, dataset.valid, dataset.test)
    return np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts])


def _parts(
    whole: Dataset, images: np.ndarray, labels: np.ndarray, train: np.ndarray, valid: np.ndarray, test: np.ndarray
) -> Dataset:
    made = [Split(images[at], labels[at]) for at in (train, valid, test)]
    return Dataset(name=whole.name, train=made[0], valid=made[1], test=made[2], classes=whole.classes)


@lru_cache(maxsize=2)
def of_replicate(source: Source, replicates: Replicates, replicate: int) -> Dataset:
    """Return the data of a replicate; the last two are kept, because all arms of a replicate follow each other."""
    return replicates.dataset(source, replicate)
