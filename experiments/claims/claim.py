"""A claim as a record: a sentence, how it is tested, and what follows from the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from experiments.claims.nets import Setting
from minicnn.study.results import Results
from minicnn.study.statistics import Contrast, Interval, verdict
from minicnn.study.study import Study

Verdict = Literal["supported", "contradicted", "undecided", "depends"]
Unit = Literal["points", "times"]
OPPOSITE = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Effect:
    """One quantity that the claim makes a statement about, turned so that a larger one agrees with the claim.

    Attributes
    ----------
    what : str
        What is compared, as "accuracy, max minus average".
    mean, low, high : float
        In percentage points, or as a factor. `low` and `high` are NaN without an interval, and equal to the mean
        where the quantity is counted.
    margin : float
        The largest effect that does not matter: points, or a factor of at least 1.
    unit : "points" or "times"
    verdict : "supported", "contradicted" or "undecided"
    note : str
        A sentence, such as why the effect is undecided.
    """

    what: str
    mean: float
    low: float
    high: float
    margin: float
    unit: Unit
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Judgement:
    """What was found about a claim; `rates` are the learning rates that tuning has chosen, by arm."""

    verdict: Verdict
    effects: tuple[Effect, ...]
    sentence: str
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A sentence of the lesson.

    Attributes
    ----------
    number : int
    name : str
        The name of its study and of its folder.
    lesson : str
        What the lesson says.
    test : str
        How it is tested.
    study : function of a setting, or None
        The study, where something is trained.
    judge : function of a setting, and of the results where there is a study
    """

    number: int
    name: str
    lesson: str
    test: str
    study: Callable[[Setting], Study] | None
    judge: Callable[..., Judgement]


SAYS_MORE = frozenset({"better"})
"""A claim that something is larger is supported by "better", and contradicted by "worse" and by "equivalent"."""
SAYS_NO_LESS = frozenset({"better", "equivalent"})


def word(found: str, supporting: Collection[str] = SAYS_MORE) -> Verdict:
    """Return what a verdict of `minicnn.study.statistics` means for a claim.

    >>> word("better"), word("equivalent"), word("equivalent", SAYS_NO_LESS)
    ('supported', 'contradicted', 'supported')
    """
    if found == "undecided":
        return "undecided"
    return "supported" if found in supporting else "contradicted"


def combined(words: Sequence[Verdict]) -> Verdict:
    """Return the verdict of a claim with several effects.

    "depends" if some are supported and others contradicted, else "undecided" if any one is, else what they all are.

    >>> combined(["supported", "contradicted", "undecided"]), combined(["supported", "undecided"])
    ('depends', 'undecided')
    """
    kinds = set(words)
    if kinds >= {"supported", "contradicted"}:
        return "depends"
    return "undecided" if "undecided" in kinds or not kinds else kinds.pop()


def judgement(effects: Sequence[Effect], sentence: str) -> Judgement:
    """Return the judgement that follows from the effects."""
    return Judgement(combined([effect.verdict for effect in effects]), tuple(effects), sentence)


def contrasts(
    results: Results,
    measure: str,
    condition: str = "",
    *,
    what: str,
    less: bool = False,
    supporting: Collection[str] = SAYS_MORE,
) -> list[Effect]:
    """Return the effects of all arms compared with their controls, in percentage points.

    `what` may have {arm} and {control} in it. `less` says that the claim is of a smaller value of the arm: the effect
    is then control - arm.
    """
    comparison = results.compare(measure, condition)
    return [
        _effect(contrast, 100 * comparison.rope, what, less=less, supporting=supporting)
        for contrast in comparison.contrasts
    ]


def _effect(contrast: Contrast, margin: float, what: str, *, less: bool, supporting: Collection[str]) -> Effect:
    arm, control = (contrast.control, contrast.arm) if less else (contrast.arm, contrast.control)
    ends = [100 * value for value in (contrast.mean, contrast.low, contrast.high)]
    mean, low, high = (-ends[0], -ends[2], -ends[1]) if less else ends
    found = OPPOSITE.get(contrast.verdict, contrast.verdict) if less else contrast.verdict
    text = what.format(arm=arm, control=control)
    return Effect(text, mean, low, high, margin, "points", word(found, supporting), contrast.why)


def ratio(what: str, logarithms: Interval, margin: float) -> Effect:
    """Return the effect of a mean logarithm of a ratio, as a factor."""
    found = word(verdict(logarithms, math.log(margin)))
    mean, low, high = (math.exp(value) for value in (logarithms.mean, logarithms.low, logarithms.high))
    return Effect(what, mean, low, high, margin, "times", found)


def counted(what: str, larger: float, smaller: float, *, margin: float = 1.0) -> Effect:
    """Return the effect of a claim that the first number is larger than the second one: no interval, they are counted.

    >>> counted("parameters", 100, 400).verdict
    'contradicted'
    """
    times = larger / smaller
    note = f"{larger:,} and {smaller:,}."
    return Effect(what, times, times, times, margin, "times", "supported" if times > margin else "contradicted", note)


def incomplete(claim: Claim, results: Results) -> Judgement:
    """Return the judgement of a claim whose study has trials that are missing or failed."""
    done = sum(trial.status == "done" for trial in results.trials)
    total = len(results.trials) + results.missing
    failed = f", {len(results.failed)} failed (see --retry-failed)" if results.failed else ""
    return Judgement("undecided", (), f"The study is not complete: {done} of {total} trials are done{failed}.")
