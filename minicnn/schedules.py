"""Learning rates over time: values that are called with the step, counted from 0.

`steps` is the length of the training; left out, `train.fit` fills in its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from minicnn.geometry import integer
from minicnn.hints import explained, frozen, unknown_names
from minicnn.records import register
from minicnn.validation import number

__all__ = ["Constant", "Cosine", "OneCycle", "Schedule", "Step", "keep", "over"]

LONGEST = 2**53
"""The longest training: beyond it the fraction of the steps that are done is not exact as a float, or no float."""


@register
@frozen
class Constant:
    """A constant rate."""

    rate: float

    def __post_init__(self) -> None:
        _keep_rates(self, "rate")

    def __call__(self, step: int) -> float:
        """Return the rate at a step."""
        return self.rate


@register
@frozen
class Step:
    """`rate`, times `factor` after every `every` steps."""

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _keep_rates(self, "rate", "factor")
        keep(self, every=integer("Step", "every", self.every))

    def __call__(self, step: int) -> float:
        """Return the rate at a step.

        >>> [Step(1.0, every=2, factor=0.5)(i) for i in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
        """
        times = min(integer("Step", "step", step, least=0) // self.every, 10**300)
        try:
            return self.rate * self.factor**times
        except OverflowError:  # Python's powers of floats raise it instead of returning infinity
            return math.inf if self.rate else 0.0


@register
@frozen
class Cosine:
    """From `rate` down to `final` along half a cosine (Loshchilov and Hutter, 2017, without restarts)."""

    rate: float
    steps: int | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        _keep_rates(self, "rate", "final")
        keep(self, steps=_count("Cosine", self.steps))

    def __call__(self, step: int) -> float:
        """Return the rate at a step.

        >>> round(Cosine(1.0, steps=10)(5), 6)
        0.5
        """
        steps = _known(self, self.steps)
        done = min(integer("Cosine", "step", step, least=0), steps) / steps
        return self.final + (self.rate - self.final) * (1 + math.cos(math.pi * done)) / 2


@register
@frozen
class OneCycle:
    """Linear increase to `peak` over the fraction `warmup` of the steps, then half a cosine down to 0.

    After Smith and Topin, 2018. The first step already has a rate above 0.
    """

    peak: float
    steps: int | None = None
    warmup: float = 0.2

    def __post_init__(self) -> None:
        _keep_rates(self, "peak")
        warmup = number("OneCycle", "warmup", self.warmup, least=0, most=1)
        keep(self, steps=_count("OneCycle", self.steps), warmup=warmup)

    def __call__(self, step: int) -> float:
        """Return the rate at a step.

        >>> [round(OneCycle(1.0, steps=10, warmup=0.2)(i), 3) for i in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
        """
        steps = _known(self, self.steps)
        step = min(integer("OneCycle", "step", step, least=0), steps)
        rising = self.warmup * steps
        if step < rising:
            return self.peak * min((step + 1) / rising, 1.0)
        done = min((step - rising) / max(steps - rising, 1), 1.0)
        return self.peak * (1 + math.cos(math.pi * done)) / 2


def keep(record: Any, **values: Any) -> None:
    """Store checked values in a frozen record; numbers are Python's, which never change the dtype of an array.

    >>> import numpy as np
    >>> repr(Constant(np.float64(0.1))), Constant(np.float64(0.1)) == Constant(0.1)
    ('Constant(rate=0.1)', True)
    """
    for name, value in values.items():
        object.__setattr__(record, name, value)


Schedule: TypeAlias = Constant | Step | Cosine | OneCycle


@explained
def over(schedule: Schedule, steps: int) -> Schedule:
    """Return the schedule with its length filled in, where it was left out.

    >>> over(Cosine(0.1), 500)
    Cosine(rate=0.1, steps=500, final=0.0)
    """
    if isinstance(schedule, Cosine | OneCycle) and schedule.steps is None:
        return replace(schedule, steps=steps)
    return schedule


def _keep_rates(schedule: Any, *names: str) -> None:
    where = type(schedule).__name__
    keep(schedule, **{name: number(where, name, getattr(schedule, name), least=0) for name in names})


def _count(where: str, steps: int | None) -> int | None:
    return None if steps is None else integer(where, "steps", steps, most=LONGEST)


def _known(schedule: Cosine | OneCycle, steps: int | None) -> int:
    if steps is None:
        raise ValueError(
            f"{type(schedule).__name__}: steps must be set before a call, got {schedule}. "
            "Give steps=, or let train.fit set it."
        )
    return steps


_HABITS = {
    "CosineDecay": "schedules.Cosine",
    "CosineAnnealingLR": "schedules.Cosine",
    "StepLR": "schedules.Step",
    "OneCycleLR": "schedules.OneCycle",
}

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, _HABITS)
