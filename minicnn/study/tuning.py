"""The same small search for every arm: learning rates, tried on validation images with seeds of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minicnn.hints import frozen
from minicnn.optim import Optimizer
from minicnn.records import register
from minicnn.validation import flag, integer, number, one_of

CRITERIA = ("valid_loss", "valid_accuracy")


@register
@frozen
class Grid:
    """Learning rates to try for each arm; the best one on validation images is frozen before the test.

    No image that takes part in tuning is in the test part of any replicate. With `Seeds`, tuning trains and validates
    on the training and validation images, which each tuning seed divides again. `Resplits` and `KFold` set a fraction
    of the images apart for it, which must be given: `Resplits(10, tuning=0.25)`; a quarter of it validates. A net sees
    fewer images there than in the study, so `epochs` may have to be larger for a comparable number of steps.

    Parameters
    ----------
    learning_rate : tuple of float
        The rate of the optimizer, or the peak of its schedule. In increasing order.
    seeds : tuple of int
        Each rate is trained with each; none may be a seed of the replicates.
    epochs : int, optional
        By default those of the recipe.
    by : "valid_loss" or "valid_accuracy"
        The criterion, after the last epoch, averaged over the seeds.
    extend : bool
        While the best rate of an arm is the smallest or the largest one, try the next one beyond, at most `most` times.
        Where training diverges at all rates, smaller ones are tried.
    most : int

    Examples
    --------
    >>> Grid((1e-2, 3e-2, 1e-1)).beyond((1e-2, 3e-2, 1e-1), best=1e-1)
    0.3
    >>> Grid((0.1, 0.11)).beyond((0.1, 0.11), best=0.11)
    0.12
    """

    learning_rate: tuple[float, ...] = (1e-2, 3e-2, 1e-1)
    seeds: tuple[int, ...] = (1000,)
    epochs: int | None = None
    by: str = "valid_loss"
    extend: bool = True
    most: int = 3

    def __post_init__(self) -> None:
        rates = tuple(number("Grid", "learning_rate", rate, above=0) for rate in self.learning_rate)
        if not rates or list(rates) != sorted(set(rates)):
            raise ValueError(
                f"Grid: learning_rate must be one or more increasing numbers, got {self.learning_rate}. "
                f"{'Sort them.' if rates else 'Use (1e-3, 1e-2, 1e-1).'}"
            )
        object.__setattr__(self, "learning_rate", rates)
        object.__setattr__(self, "seeds", tuple(integer("Grid", "seeds", s, self.seeds, least=0) for s in self.seeds))
        if not self.seeds:
            raise ValueError("Grid: seeds must have at least one seed, got none. Use (1000,).")
        if self.epochs is not None:
            integer("Grid", "epochs", self.epochs)
        integer("Grid", "most", self.most, least=0)
        one_of("Grid", "by", self.by, CRITERIA)
        flag("Grid", "extend", self.extend)

    def check_disjoint(self, seeds: Iterable[int]) -> None:
        """Raise ValueError if a seed of the replicates is used for tuning."""
        common = sorted(set(self.seeds) & set(seeds))
        if common:
            raise ValueError(
                f"Grid: seeds must not be seeds of the replicates, got {common[0]} in both. "
                "Use seeds of their own, such as 1000."
            )

    def best(self, found: Mapping[float, Sequence[float]]) -> float:
        """Return the rate with the best mean criterion; NaN, as of a diverged training, is never best."""
        sign = 1.0 if self.by.endswith("loss") else -1.0
        means = {rate: sign * math.fsum(values) / len(values) if values else math.nan for rate, values in found.items()}
        known = {rate: value for rate, value in means.items() if not math.isnan(value)}
        if not known:
            raise ValueError(
                f"Grid: learning_rate must contain a rate at which training does not diverge, got {sorted(found)}. "
                "Use smaller rates."
            )
        return min(known, key=lambda rate: (known[rate], rate))

    def search(self, found: Mapping[float, Sequence[float]]) -> tuple[list[float], float | None]:
        """Return the rates to be tried as far as `found` determines them, and the best one when all have been.

        `found` has the criterion for each rate that has been tried with all seeds. Where all are NaN the best is NaN.

        >>> Grid((1e-2, 1e-1)).search({1e-2: [0.7], 1e-1: [0.5]}), Grid((1e-2, 1e-1)).search({})
        (([0.01, 0.1, 1.0], None), ([0.01, 0.1], None))
        """
        tried = list(self.learning_rate)
        while all(rate in found for rate in tried):
            known = {rate: found[rate] for rate in tried}
            diverged = all(math.isnan(math.fsum(values)) for values in known.values())
            best = math.nan if diverged else self.best(known)
            more = self.beyond(tried, min(tried) if diverged else best)
            if more is None:
                return tried, best
            tried.append(more)
        return tried, None

    def beyond(self, rates: Sequence[float], best: float) -> float | None:
        """Return the rate to try next where `best` is at an edge of those tried, None where it is not."""
        ordered, extra = sorted(rates), len(rates) - len(self.learning_rate)
        if not self.extend or extra >= self.most or len(ordered) < 2 or best not in (ordered[0], ordered[-1]):
            return None
        # one more step of the same size on the logarithmic scale, with few digits: 1e-2, 3e-2, 1e-1 -> 3e-1
        near, last = (ordered[1], ordered[0]) if best == ordered[0] else (ordered[-2], ordered[-1])
        span = ordered[-1] / ordered[0]
        step = span ** (1 / (len(ordered) - 1))
        exact = last * step if last > near else last / step
        rounded = (float(f"{exact:.{digits}g}") for digits in (1, 2, 3, 17))
        return next(rate for rate in rounded if not ordered[0] <= rate <= ordered[-1])


def rate_of(optimizer: Optimizer) -> float | None:
    """Return the learning rate of an optimizer, of a schedule its rate or its peak; None if it has neither.

    >>> from minicnn import optim, schedules
    >>> rate_of(optim.Adam(schedules.OneCycle(1e-2)))
    0.01
    """
    schedule: Any = optimizer.learning_rate
    found = getattr(schedule, "peak", getattr(schedule, "rate", schedule))
    return float(found) if isinstance(found, int | float) else None


def with_rate(optimizer: Optimizer, rate: float) -> Optimizer:
    """Return the optimizer with another learning rate; of a schedule, its rate or its peak is replaced.

    >>> from minicnn import optim, schedules
    >>> with_rate(optim.Adam(schedules.OneCycle(1e-2)), 0.03).learning_rate
    OneCycle(peak=0.03, steps=None, warmup=0.2)
    """
    schedule: Any = optimizer.learning_rate
    if isinstance(schedule, int | float):
        return dataclasses.replace(optimizer, learning_rate=rate)
    names = [f.name for f in dataclasses.fields(schedule)] if dataclasses.is_dataclass(schedule) else []
    field = next((name for name in ("rate", "peak") if name in names), None)
    if field is None:
        raise TypeError(
            f"Grid: the learning rate must be a number or a schedule with a field rate or peak, got {schedule!r}."
        )
    change: Callable[..., Any] = dataclasses.replace
    return dataclasses.replace(optimizer, learning_rate=change(schedule, **{field: rate}))
