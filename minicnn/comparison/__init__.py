"""The comparison of pooling heads: the study that `minicnn compare` and `make compare` run.

plan.toml   what is compared on each data set, written down before any test image is looked at
plans.py    the plan as a `study.Study`
run.py      train what is missing and write the report

>>> from minicnn import comparison
>>> chosen = comparison.study_of("digits", comparison.Choice(heads=["max", "gem"], seeds=2))
>>> list(chosen.arms), chosen.control
(['max', 'gem'], 'max')
"""

from minicnn.comparison.plans import PLANS, Choice, study_of
from minicnn.comparison.run import Comparison, compare, default_folder

__all__ = ["PLANS", "Choice", "Comparison", "compare", "default_folder", "study_of"]
