"""`minicnn explain`: how each map gets its size, and which layers run as one kernel."""

from __future__ import annotations

import argparse

from minicnn.cli.arguments import Parsers, command
from minicnn.cli.summary import add_net, net_and_shape

EXAMPLES = """
minicnn explain lenet5
minicnn explain pooled_cnn:strided:flatten --input-shape 8,8,1
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "explain",
        "how each map gets its size, and which layers run as one kernel",
        "Print, for each layer, the formula that gives the size of its output with its numbers, what its padding adds "
        "and what its windows do not read; then which layers run together as one kernel.",
        EXAMPLES,
        run,
    )
    add_net(parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    from minicnn import layers

    net, input_shape = net_and_shape(options)
    print(layers.explain_shapes(net, input_shape))
    print()
    print(layers.explain_execution(net))
    return 0
