"""`minicnn train`: a net, trained and kept in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn.cli.arguments import Parsers, command, counting, positive, rate, shape

EXAMPLES = """
minicnn train small_cnn:global-max --dataset digits --out out/digits
minicnn train mlp --dataset digits --epochs 3 --out out/mlp
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "train",
        "train a net and keep it in a folder",
        "Train a net with Adam and write a run folder: the net, its parameters, the history and the environment. The "
        "same command, run again, continues an interrupted training, with the same result.",
        EXAMPLES,
        run,
    )
    parser.set_defaults(after_interrupt="; nothing that was trained is lost. Run the same command to continue.")
    add = parser.add_argument
    add("net", nargs="?", default="small_cnn", metavar="NET",
        help="name, such as lenet5 or small_cnn:gem, or the file of a net; `minicnn summary` lists the names "
        "(default: %(default)s)")  # fmt: skip
    add("--dataset", default="digits", metavar="NAME|FOLDER",
        help="a data set, or a folder with one folder of pictures per class (default: %(default)s)")  # fmt: skip
    add("--size", type=shape, metavar="H,W,C",
        help="shape to which the pictures of a folder are converted (default: that of the pictures)")  # fmt: skip
    add("--epochs", type=positive, default=10, metavar="N", help="number of epochs (default: %(default)s)")
    add("--batch-size", type=positive, default=64, metavar="N", help="images per step (default: %(default)s)")
    add("--learning-rate", type=rate, default=1e-2, metavar="R",
        help="largest learning rate of the schedule (default: %(default)s)")  # fmt: skip
    add("--shift", type=float, default=0.0, metavar="PIXELS",
        help="standard deviation of random shifts of the training images (default: %(default)s)")  # fmt: skip
    add("--seed", type=counting, default=0, metavar="N", help="random seed (default: %(default)s)")
    add("--out", type=Path, metavar="DIR", help="folder of the run (default: out/NET-DATASET)")


def run(options: argparse.Namespace) -> int:
    """Train, and print what the net does on the test images."""
    from minicnn import runs

    folder = options.out or Path("out") / f"{Path(options.net).stem}-{Path(options.dataset).name}".replace(":", "-")
    done = runs.train_run(
        folder,
        options.net,
        options.dataset,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        shift=options.shift,
        size=options.size,
    )
    if done is None:
        raise KeyboardInterrupt
    found = done.evaluate()
    print(f"test accuracy {found.accuracy:.2%}, loss {found.loss:.4f}, {len(found.predictions):,} images")
    print(f"run: {done.folder}")
    return 0
