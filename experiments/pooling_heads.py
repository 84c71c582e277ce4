"""Which pooling head is better, on clean and on shifted images, by how much, how surely, and at what cost?

The command `minicnn compare` by another name. Varied: the head on a shared trunk, or the way the trunk shrinks its
maps. Tuned: the learning rate of each arm, by the same small search on validation images. The plan is
minicnn/comparison/plan.toml.
"""

from __future__ import annotations

import argparse
import sys

from minicnn import cli, models, trunks
from minicnn.cli import compare
from minicnn.cli.arguments import Parser

PROG = "python -m experiments.pooling_heads"


def main(argv: list[str] | None = None) -> int:
    """Run the comparison that the command line describes and return the exit status, 2 for wrong input."""
    parser = Parser(
        prog=PROG,
        description=__doc__,
        epilog="examples:" + compare.EXAMPLES.replace("\n{prog}", f"\n  {PROG}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_options(parser, compare.known([*models.HEAD_MAKERS]) + "; trunks: " + ", ".join(trunks.TRUNK_MAKERS))
    parser.set_defaults(run=compare.run, after_interrupt=compare.AFTER_INTERRUPT)
    return cli.run(parser, argv, "pooling_heads", wrong=2)


if __name__ == "__main__":
    sys.exit(main())
