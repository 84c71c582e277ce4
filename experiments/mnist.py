"""What test accuracy do three well-known networks reach on MNIST, trained from scratch on a CPU?

keras_mnist and lenet5 are networks from tutorials; small_cnn has a global-average head and fewer than 20,000
parameters. The parameters of the last epoch are evaluated once: nothing is selected on the test set, and the
validation accuracy is only recorded.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from minicnn import data, kernels, optim, schedules, train
from minicnn.environment import environment
from minicnn.files import append_line, writable_folder
from minicnn.layers import Layer, summary
from minicnn.models import keras_mnist, lenet5, small_cnn
from minicnn.validation import integer


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained."""

    net: Layer
    epochs: int
    rate: float
    batch_size: int = 128


RECIPES = {
    "keras_mnist": Recipe(keras_mnist(), epochs=6, rate=3e-3),
    "lenet5": Recipe(lenet5(), epochs=10, rate=3e-3),
    "small_cnn": Recipe(
        small_cnn("global-average", filters=(16, 16, 32, 32), strides=(2, 1, 2, 1), batch_norm=True),
        epochs=15,
        rate=1e-2,
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Train the networks named on the command line, append each run to the results and return the exit code."""
    options = _options(argv)
    names = options.nets.split(",")
    try:
        unknown = [name for name in names if name not in RECIPES]
        if unknown:
            raise ValueError(
                f"--nets must be names from {', '.join(RECIPES)}, separated by commas, got {unknown[0]!r}."
            )
        kernels.implementation()
        epochs = {n: RECIPES[n].epochs if options.epochs is None else options.epochs for n in names}
        for count in epochs.values():
            integer("command line", "--epochs", count)
        out = writable_folder(options.out)
        images = data.load("mnist", seed=options.seed, valid=0.05)
        for name in names:
            row = run(name, images, options.seed, epochs[name])
            if row is None:
                return 130
            append_line(out / "mnist.jsonl", json.dumps(row))
            print(f"{name}: test accuracy {row['test_accuracy']:.2%}, training time {row['seconds']:.0f} s")
    except (OSError, ValueError, TypeError) as error:
        print(f"mnist: {error}", file=sys.stderr)
        return 2
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.mnist", description=__doc__)
    parser.add_argument(
        "--nets",
        default=",".join(RECIPES),
        metavar="A,B,...",
        help="networks to train, separated by commas (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="random seed for weights, batch order and validation split (default: %(default)s)",
    )
    epochs = ", ".join(f"{recipe.epochs} for {name}" for name, recipe in RECIPES.items())
    parser.add_argument("--epochs", type=int, metavar="N", help=f"training epochs (default: {epochs})")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="output directory; results are appended to mnist.jsonl in it (default: %(default)s)",
    )
    return parser.parse_args(argv)


def run(name: str, images: data.Dataset, seed: int, epochs: int) -> dict[str, object] | None:
    """Train one network and return its row, or None if Ctrl-C ended the training early."""
    recipe = RECIPES[name]
    optimizer = optim.Adam(schedules.OneCycle(recipe.rate))
    result = train.fit(
        recipe.net,
        images.train,
        valid=images.valid,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=recipe.batch_size,
        seed=seed,
    )
    if result.interrupted:
        return None
    tested = train.evaluate(recipe.net, result.params, images.test)
    return {
        "net": name,
        "seed": seed,
        "epochs": epochs,
        "test_accuracy": tested.accuracy,
        "test_loss": tested.loss,
        "valid_accuracy": result.history["valid_accuracy"],
        "seconds": sum(result.history["seconds"]),
        "parameters": summary(recipe.net, images.train.images.shape[1:]).parameters,
        "configuration": repr(recipe.net),
        "optimizer": repr(optimizer),
        "batch_size": recipe.batch_size,
        "images": [len(images.train), len(images.valid), len(images.test)],
        "command": shlex.join(
            ["python", "-m", "experiments.mnist", "--nets", name, "--seed", str(seed), "--epochs", str(epochs)]
        ),
        "kernels": kernels.name(),
        "date": time.strftime("%Y-%m-%d"),
        **environment(),
    }


if __name__ == "__main__":
    sys.exit(main())
