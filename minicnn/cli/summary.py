"""`minicnn summary`: layers, shapes, parameters and multiply-adds of a net; without one, the names that are known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minicnn.cli.arguments import Parsers, add_json, command, shape, show

EXAMPLES = """
minicnn summary keras_mnist
minicnn summary small_cnn:gem --input-shape 8,8,1 --json
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "summary",
        "layers and sizes of a net, or the names of nets, heads and trunks",
        "Print the layers of a net with their output shapes, parameters and multiply-adds. Without a net, list the "
        "nets, heads and trunks that have a name.",
        EXAMPLES,
        run,
    )
    add_net(parser, optional=True)
    add_json(parser)


def add_net(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the net and the shape of its input, for a command that only asks for shapes."""
    parser.add_argument("net", nargs="?" if optional else None, metavar="NET|DIR",
                        help="name or file of a net, or the folder of a run")  # fmt: skip
    parser.add_argument("--input-shape", type=shape, metavar="H,W,C",
                        help="shape of an image (default: that of the run, or 28,28,1)")  # fmt: skip


def net_and_shape(options: argparse.Namespace) -> tuple[Any, tuple[int, ...]]:
    """Return the net that the options name and the shape of its input."""
    from minicnn import runs

    if Path(options.net).is_dir():
        done = runs.open_run(options.net)
        return done.net, options.input_shape or done.input_shape
    return runs.named_net(options.net), options.input_shape or (28, 28, 1)


def run(options: argparse.Namespace) -> int:
    """Print the summary or the names."""
    from minicnn import layers

    if options.net is None:
        names = _names()
        show(options, names, "\n".join(f"{kind}: {', '.join(known)}" for kind, known in names.items()))
        return 0
    net, input_shape = net_and_shape(options)
    found = layers.summary(net, input_shape)
    rows = [
        {"name": r.name, "layer": repr(r.layer), "output_shape": r.output_shape, "parameters": r.parameters,
         "multiply_adds": r.multiply_adds, "receptive_field": r.receptive_field}
        for r in found.rows
    ]  # fmt: skip
    total = {"parameters": found.parameters, "multiply_adds": found.multiply_adds}
    show(options, {"layers": rows, **total}, str(found))
    return 0


def _names() -> dict[str, list[str]]:
    from minicnn import models, runs, trunks

    return {"nets": list(runs.NETS), "heads": list(models.HEAD_MAKERS), "trunks": list(trunks.TRUNK_MAKERS)}
