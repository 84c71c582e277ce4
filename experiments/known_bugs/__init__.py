"""The bug zoo: wrong versions of pooling and convolution that people publish, each beside what catches it.

incorrect.py  the bugs, as ops: whole, short, with the wrong line marked and the right one beside it
checks.py      the checks that a careful author writes, from the easiest to the one that catches
bugs.py        which bug is which check's, where it was published, and a net in which it matters

`python -m experiments.known_bugs` trains with each of them.
"""

from experiments.known_bugs.bugs import ZOO, Bug
from experiments.known_bugs.checks import CHECKS, Check

__all__ = ["CHECKS", "ZOO", "Bug", "Check"]
