"""`minicnn predict`: what a run sees in pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from minicnn.cli.arguments import Parsers, add_json, command, said, show

EXAMPLES = """
minicnn predict digit.png --run out/digits
minicnn predict scans/ more/seven.jpg --run out/digits --json
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "predict",
        "classify pictures with a trained net",
        "Classify PNG, JPEG and other pictures. For a net that was trained on MNIST or another set of characters, each "
        "picture is prepared as MNIST was: cropped to its strokes, scaled into a box without a change of proportions, "
        "and centred at its centre of mass. Dark strokes on bright paper are inverted, and the output says so.",
        EXAMPLES,
        run,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="pictures, or folders of pictures")
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", metavar="DIR",
                        help="folder that `minicnn train` wrote")  # fmt: skip
    seen = "whether strokes are darker than the background (default: decided by the border of the picture)"
    parser.add_argument("--invert", action=argparse.BooleanOptionalAction, default=None, help=seen)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the class of each picture that can be read, and what is wrong with the others; then the status is 1."""
    from minicnn import data, runs

    done = runs.open_run(options.run_folder)
    files = [file for path in options.paths for file in data.picture_files(path)]
    prepared = {}
    for file in files:
        try:
            prepared[file] = done.prepare(file, invert=options.invert)
        except (OSError, ValueError) as error:
            print(f"minicnn predict: {said(error)}", file=sys.stderr)
    if prepared:
        chances = done.predict(p.image for p in prepared.values())
        rows = [_row(*pair, c, done.classes) for pair, c in zip(prepared.items(), chances, strict=True)]
        show(options, rows, "\n".join(map(_text, rows)))
    return 0 if len(prepared) == len(files) else 1


def _row(file: Path, prepared: Any, chances: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    order = chances.argsort()[::-1]
    return {
        "file": str(file),
        "class": classes[order[0]],
        "probability": float(chances[order[0]]),
        "inverted": prepared.inverted,
        "probabilities": {classes[i]: float(chances[i]) for i in order},
    }


def _text(row: dict[str, Any]) -> str:
    second, chance = list(row["probabilities"].items())[1]
    note = ", dark on bright: inverted" if row["inverted"] else ""
    return f"{row['file']}: {row['class']} ({row['probability']:.1%}; next {second}, {chance:.1%}){note}"
