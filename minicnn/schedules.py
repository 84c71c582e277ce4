"""Learning rates over time: values that are called with the step, counted from 0.

`steps` is the length of the training; left out, `train.fit` fills in its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

from minicnn.checks import explained, number


@explained
@dataclass(frozen=True)
class Constant:
    """The same rate always."""

    rate: float

    def __post_init__(self) -> None:
        number("Constant", "rate", self.rate, least=0)

    def __call__(self, step: int) -> float:
        """Return the rate at a step."""
        return self.rate


@explained
@dataclass(frozen=True)
class Step:
    """`rate`, times `factor` after every `every` steps."""

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        number("Step", "rate", self.rate, least=0)
        number("Step", "every", self.every, least=1)
        number("Step", "factor", self.factor, least=0)

    def __call__(self, step: int) -> float:
        """Return the rate at a step.

        >>> [Step(1.0, every=2, factor=0.5)(i) for i in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
        """
        return self.rate * self.factor ** (step // self.every)


@explained
@dataclass(frozen=True)
class Cosine:
    """From `rate` down to `final` along half a cosine (Loshchilov and Hutter, 2017, without restarts)."""

    rate: float
    steps: int | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        number("Cosine", "rate", self.rate, least=0)
        number("Cosine", "final", self.final, least=0)
        number("Cosine", "steps", 1 if self.steps is None else self.steps, least=1)

    def __call__(self, step: int) -> float:
        """Return the rate at a step.

        >>> round(Cosine(1.0, steps=10)(5), 6)
        0.5
        """
        done = min(step / _known(self, self.steps), 1.0)
        return self.final + (self.rate - self.final) * (1 + math.cos(math.pi * done)) / 2


@explained
@dataclass(frozen=True)
class OneCycle:
    """Up to `peak` in a straight line over the share `warmup` of the steps, then down to 0 along half a cosine.

    After Smith and Topin, 2018. The first step already has a rate above 0.
    """

    peak: float
    steps: int | None = None
    warmup: float = 0.2

    def __post_init__(self) -> None:
        number("OneCycle", "peak", self.peak, least=0)
        number("OneCycle", "warmup", self.warmup, least=0, most=1)
        number("OneCycle", "steps", 1 if self.steps is None else self.steps, least=1)

    def __call__(self, step: int) -> float:
        """Return the rate at a step.

        >>> [round(OneCycle(1.0, steps=10, warmup=0.2)(i), 3) for i in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
        """
        steps = _known(self, self.steps)
        rising = self.warmup * steps
        if step < rising:
            return self.peak * min((step + 1) / rising, 1.0)
        done = min((step - rising) / max(steps - rising, 1), 1.0)
        return self.peak * (1 + math.cos(math.pi * done)) / 2


Schedule: TypeAlias = Constant | Step | Cosine | OneCycle


def over(schedule: Schedule, steps: int) -> Schedule:
    """Return the schedule with its length filled in, where it was left out.

    >>> over(Cosine(0.1), 500)
    Cosine(rate=0.1, steps=500, final=0.0)
    """
    if isinstance(schedule, Cosine | OneCycle) and schedule.steps is None:
        return replace(schedule, steps=steps)
    return schedule


def _known(schedule: Cosine | OneCycle, steps: int | None) -> int:
    if steps is None:
        raise ValueError(f"{schedule} does not know how long to last. Give steps=, or let train.fit fill it in.")
    return steps
