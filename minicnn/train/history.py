"""The record of a training: one row per epoch, and the result of `fit`."""

from __future__ import annotations

import csv
import difflib
import html
import io
import math
import time
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import trees, validation
from minicnn.files import atomic_write
from minicnn.hints import a_type, frozen
from minicnn.notebook import html_table, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, float]

COLUMNS = ("epoch", "learning_rate", "loss", "accuracy", "seconds")
VALID_COLUMNS = ("valid_loss", "valid_accuracy")
FORMATS = {"epoch": "g", "learning_rate": ".3g", "accuracy": ".2%", "valid_accuracy": ".2%", "seconds": ".2f"}
MOST_SHOWN = 30


@frozen(repr=False)
class History:
    """One row per epoch: epoch, learning_rate, loss, accuracy, seconds, and valid_loss, valid_accuracy if validated.

    Losses and accuracies (0 to 1) of training are means over the epoch's batches while they were trained on;
    seconds are those of training in this epoch, without validation.

    >>> history = History([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 0.5}])
    >>> history["loss"]
    [2.5, 0.5]
    >>> history
    History(2 epochs; last: loss=0.5)
    """

    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.rows, list) or not all(isinstance(row, dict) for row in self.rows):
            raise TypeError(f"History: rows must be a list of dicts, one per epoch, got {a_type(self.rows)}.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """Return one column."""
        if not isinstance(name, str) or not all(name in row for row in self.rows):
            raise ValueError(f"History: {unknown('the column', name, self.columns)}")
        return [row[name] for row in self.rows]

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def best(self, monitor: str) -> Row:
        """Return the row with the best value: the smallest if `monitor` is a loss, else the largest; first at ties.

        NaN is worse than every number; if all values are NaN, the first row is returned.
        """
        if not self.rows:
            raise ValueError("History.best: there must be at least one epoch, got none. Train first.")
        values = self[monitor]
        sign = 1 if monitor.endswith("loss") else -1
        ranks = [(math.isnan(value), sign * value) for value in values]
        return self.rows[ranks.index(min(ranks))]

    def write_csv(self, path: str | Path) -> Path:
        """Write the rows as a table with a head line; a value that a row lacks is left empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns or ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        validation.path("History.write_csv", "path", path)
        return atomic_write(path, text.getvalue())

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw loss and accuracy against the epoch, return the matplotlib Figure, and save it if asked.

        The figure shows itself as the result of a notebook's cell. Raises ImportError without matplotlib.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as missing:
            raise ImportError(f"History.plot needs matplotlib: {missing}. Use pip install matplotlib.") from missing

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
            for column, label in ((name, "training"), (f"valid_{name}", "validation")):
                if column in self.columns:
                    axis.plot(self["epoch"], self[column], marker=".", label=label)
            axis.set(xlabel="epoch", ylabel=name)
            axis.grid(alpha=0.3)
            if self.rows:
                axis.legend(frameon=False)
        if path is not None:
            kind = Path(path).suffix.removeprefix(".") or "png"
            atomic_write(path, lambda file: figure.savefig(file, format=kind, dpi=120))
        return shown(figure)

    def __repr__(self) -> str:
        if not self.rows:
            return "History(0 epochs)"
        last = {name: value for name, value in self.rows[-1].items() if name.endswith(("loss", "accuracy"))}
        shown = ", ".join(f"{name}={_format(name, value)}" for name, value in last.items())
        return f"History({len(self)} epoch{'s' if len(self) > 1 else ''}; last: {shown})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows; of a long history its beginning and its end."""
        half = MOST_SHOWN // 2
        rows = [[_format(name, row[name]) if name in row else "" for name in self.columns] for row in self.rows]
        if len(rows) > MOST_SHOWN:
            rows = [*rows[:half], ["..."] * len(self.columns), *rows[-half:]]
        return html_table(self.columns or ["epoch"], rows)


@frozen(repr=False)
class Result:
    """What `fit` returns.

    Attributes
    ----------
    params : tree
        After the last step, with the population statistics that batch normalization uses in evaluation.
    history : History
        The finished epochs.
    interrupted : bool
        Whether Ctrl-C ended the training; the parameters are then those of the last finished step.
    """

    params: Any
    history: History
    interrupted: bool = False

    def __repr__(self) -> str:
        return f"Result({self._size()}, {self.history!r})"

    def _size(self) -> str:
        count = sum(np.size(leaf) for path, leaf in trees.items(self.params) if "moving_" not in path)
        return f"{count:,} parameters{', interrupted' if self.interrupted else ''}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the number of parameters, and the history as a table."""
        return f"<p>{html.escape(self._size())}</p>{self.history._repr_html_()}"


class Meter:
    """Sums over the batches of one epoch, since its beginning."""

    def __init__(self, images: int = 0, losses: float = 0.0, correct: int = 0, seconds: float = 0.0) -> None:
        self.start = time.perf_counter() - seconds
        self.images, self.losses, self.correct = images, losses, correct

    def sums(self) -> dict[str, Any]:
        """Return the sums so far, as arguments of a Meter that continues from there."""
        seconds = time.perf_counter() - self.start
        return {"images": self.images, "losses": self.losses, "correct": self.correct, "seconds": seconds}

    def add(self, images: int, loss: float, correct: int) -> None:
        """Add a batch: the number of its images, their mean loss, and how many were classified correctly."""
        self.images += images
        self.losses += loss * images
        self.correct += correct

    @property
    def loss(self) -> float:
        """The mean loss per image."""
        return self.losses / self.images

    @property
    def accuracy(self) -> float:
        """The fraction of images that were classified correctly."""
        return self.correct / self.images

    def row(self, epoch: int, learning_rate: float) -> Row:
        """Return the training columns of the history."""
        seconds = time.perf_counter() - self.start
        return dict(zip(COLUMNS, (epoch, learning_rate, self.loss, self.accuracy, seconds), strict=True))


def unknown(argument: str, name: object, columns: Iterable[str]) -> str:
    """Return the message for a missing column, with the most similar name.

    >>> unknown("monitor", "val_loss", ["loss", "valid_loss"])
    "monitor must be one of loss, valid_loss, got 'val_loss'. Did you mean 'valid_loss'?"
    """
    columns = list(columns)
    close = difflib.get_close_matches(name if isinstance(name, str) else "", columns, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{argument} must be one of {', '.join(columns)}, got {validation.shown(name)}.{hint}"


def _format(name: str, value: float) -> str:
    return format(value, FORMATS.get(name, ".4g")) if isinstance(value, int | float) else str(value)
