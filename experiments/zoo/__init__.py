"""The bug zoo: wrong versions of pooling and convolution that people publish, each beside what catches it.

wrong.py   the bugs, as ops: whole, short, with the wrong line marked and the right one beside it
checks.py  the checks that a careful author writes, from the easiest to the one that catches
bugs.py    which bug is which check's, where it was published, and a net in which it matters

`python -m experiments.bug_zoo` trains with each of them.
"""

from experiments.zoo.bugs import ZOO, Bug
from experiments.zoo.checks import CHECKS, Check

__all__ = ["CHECKS", "ZOO", "Bug", "Check"]
