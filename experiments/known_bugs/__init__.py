"""Known bugs: published incorrect implementations of pooling and convolution, with the check that detects each.

incorrect.py   the incorrect implementations; each has one error, marked INCORRECT, with the correct line next to it
checks.py      the checks that are run on each implementation, from the simplest to the most thorough
bugs.py        the bugs: where each was published, the check that detects it, and a network that it affects
report.py      the tables of results

``python -m experiments.known_bugs`` trains a network with each of them.
"""

from experiments.known_bugs.bugs import BUGS, Bug
from experiments.known_bugs.checks import CHECKS, Check

__all__ = ["BUGS", "CHECKS", "Bug", "Check"]
