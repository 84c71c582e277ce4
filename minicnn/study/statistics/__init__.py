"""The statistics of a study, as functions of arrays and of mappings replicate -> value.

intervals.py   means with Student's interval, paired differences, the verdict of an interval
maxt.py        simultaneous intervals, exact sign-flip tests
compare.py     arms against a control, or all pairs; contrast.py has the record of one contrast
pooled.py      Dunnett's and Tukey's intervals, as a sensitivity analysis
power.py       power, replicates needed, smallest difference
images.py      differences for new images
bayes.py       posterior probabilities for correlated replicates
factorial.py   ordered and crossed arms
"""

from minicnn.study.statistics.bayes import Probabilities, correlated_t
from minicnn.study.statistics.compare import Comparison, all_pairs, compare
from minicnn.study.statistics.contrast import Contrast
from minicnn.study.statistics.factorial import Effect, factor_effects, trend_p
from minicnn.study.statistics.images import ImagesInterval, new_images
from minicnn.study.statistics.intervals import (
    LEAST_REPLICATES,
    ROUNDING,
    Factor,
    Interval,
    Verdict,
    independent,
    mean_interval,
    verdict,
)
from minicnn.study.statistics.maxt import critical_value, sign_flip_p, simultaneous
from minicnn.study.statistics.power import power, replicates_needed, smallest_difference

__all__ = [
    "LEAST_REPLICATES",
    "ROUNDING",
    "Comparison",
    "Contrast",
    "Effect",
    "Factor",
    "ImagesInterval",
    "Interval",
    "Probabilities",
    "Verdict",
    "all_pairs",
    "compare",
    "correlated_t",
    "critical_value",
    "factor_effects",
    "independent",
    "mean_interval",
    "new_images",
    "power",
    "replicates_needed",
    "sign_flip_p",
    "simultaneous",
    "smallest_difference",
    "trend_p",
    "verdict",
]
