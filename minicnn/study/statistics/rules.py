"""How a family of contrasts is judged: the arguments that `compare` and `all_pairs` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Required, TypedDict

from minicnn.study.statistics.intervals import ROUNDING, Factor, independent


@dataclass(frozen=True)
class Rules:
    """What decides the verdicts; `compare` describes each argument."""

    rope: float
    factor: Factor = independent
    confidence: float = 0.95
    resolution: float = ROUNDING
    lower_is_better: bool = False


class RulesKeywords(TypedDict, total=False):
    """The fields of `Rules` as keywords; their defaults are those of the fields."""

    rope: Required[float]
    factor: Factor
    confidence: float
    resolution: float
    lower_is_better: bool
