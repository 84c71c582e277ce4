"""How well do three nets that people know do on MNIST, trained from scratch on a laptop?

keras_mnist and lenet5 are the nets of the tutorials; small_cnn has a global-average head and under 20,000
parameters. The parameters after the last epoch are tested, once: no epoch is chosen on the test images, and the
validation part is only watched.
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
from minicnn.geometry import integer
from minicnn.layers import Layer, summary
from minicnn.models import keras_mnist, lenet5, small_cnn


@dataclass(frozen=True)
class Recipe:
    """A net and how it is trained."""

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
    """Train the nets that the command line asks for and add each run to the results."""
    parser = argparse.ArgumentParser(prog="python -m experiments.mnist", description=__doc__)
    parser.add_argument("--nets", default=",".join(RECIPES), metavar="A,B,...", help="which nets (all)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and validation split (0)")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the recipe's own number")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="where mnist.jsonl is (out)")
    options = parser.parse_args(argv)
    names = options.nets.split(",")
    try:
        unknown = [name for name in names if name not in RECIPES]
        if unknown:
            raise ValueError(f"--nets: {unknown[0]!r} is not known. Use {', '.join(RECIPES)}, separated by commas.")
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
            print(f"{name}: {row['test_accuracy']:.2%} of the test images, {row['seconds']:.0f} s of training")
    except (OSError, ValueError, TypeError) as error:
        print(f"mnist: {error}", file=sys.stderr)
        return 2
    return 0


def run(name: str, images: data.Dataset, seed: int, epochs: int) -> dict[str, object] | None:
    """Train one net and return its row, or None if Ctrl-C cut it short."""
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
