"""`minicnn evaluate`: accuracy of a run on a part of its data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minicnn.cli.arguments import Parsers, add_json, command, show

EXAMPLES = """
minicnn evaluate out/digits
minicnn evaluate out/digits --part valid --json
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "evaluate",
        "accuracy, loss and confusions of a run",
        "Print the loss and the accuracy of a run on a part of its data set, the accuracy of each class, and the class "
        "it is most often mistaken for.",
        EXAMPLES,
        run,
    )
    parser.add_argument("run_folder", type=Path, metavar="DIR", help="folder that `minicnn train` wrote")
    parser.add_argument("--part", choices=("test", "valid", "train"), default="test",
                        help="part of the data set (default: %(default)s)")  # fmt: skip
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the evaluation."""
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from minicnn import runs

    done = runs.open_run(options.run_folder)
    found = done.evaluate(options.part)
    labels = getattr(done.dataset, options.part).labels
    counts = confusion_matrix(labels, found.predictions, labels=np.arange(len(done.classes)))
    rows = [_row(name, index, counts[index], done.classes) for index, name in enumerate(done.classes)]
    value = {"part": options.part, "images": len(labels), "loss": found.loss, "accuracy": found.accuracy,
             "classes": rows, "confusion": counts.tolist()}  # fmt: skip
    show(options, value, _text(value))
    return 0


def _row(name: str, index: int, counts: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    wrong = counts.copy()
    wrong[index] = 0
    taken = int(wrong.argmax())
    total = int(counts.sum())
    return {
        "class": name,
        "images": total,
        "accuracy": float(counts[index] / total) if total else None,
        "most_often_mistaken_for": classes[taken] if wrong[taken] else None,
        "times": int(wrong[taken]),
    }


def _text(value: dict[str, Any]) -> str:
    width = max(len(row["class"]) for row in value["classes"])
    lines = [
        f"{value['part']}: {value['images']:,} images, loss {value['loss']:.4f}, accuracy {value['accuracy']:.2%}",
        "",
    ]
    for row in value["classes"]:
        share = "no images" if row["accuracy"] is None else f"{row['accuracy']:7.2%} of {row['images']:,}"
        taken = row["most_often_mistaken_for"]
        lines.append(f"{row['class']:<{width}}  {share}" + (f", {row['times']} mistaken for {taken}" if taken else ""))
    return "\n".join(lines)
