"""What a training went through, epoch by epoch."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minicnn import checks
from minicnn.files import atomic_write

Row = dict[str, float]


@dataclass(frozen=True)
class History:
    """One row an epoch: epoch, learning_rate, loss, accuracy, seconds, and valid_loss, valid_accuracy if validated.

    Losses and accuracies (0 to 1) of training are means over the epoch's batches while they were trained on;
    seconds are those of training in this epoch, without validation.

    >>> History([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 0.5}])["loss"]
    [2.5, 0.5]
    """

    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.rows, list) or not all(isinstance(row, dict) for row in self.rows):
            raise TypeError(f"History: rows must be a list of dicts, one per epoch, got a {type(self.rows).__name__}.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """Return one column."""
        if self.rows and name not in self.rows[0]:
            raise ValueError(f"History: there is no {name!r}. Use one of {', '.join(self.rows[0])}.")
        return [row[name] for row in self.rows]

    def best(self, monitor: str) -> Row:
        """Return the row with the best value: the smallest if `monitor` is a loss, else the largest; first at ties."""
        sign = 1 if monitor.endswith("loss") else -1
        return min(self.rows, key=lambda row: sign * row[monitor])

    def write_csv(self, path: str | Path) -> Path:
        """Write the rows as a table with a head line."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]) if self.rows else ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        checks.path("History.write_csv", "path", path)
        return atomic_write(path, text.getvalue())

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw loss and accuracy against the epoch, return the matplotlib Figure, and save it if asked."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
            for column, label in ((name, "training"), (f"valid_{name}", "validation")):
                if self.rows and column in self.rows[0]:
                    axis.plot(self["epoch"], self[column], marker=".", label=label)
            axis.set(xlabel="epoch", ylabel=name)
            axis.grid(alpha=0.3)
            if self.rows:
                axis.legend(frameon=False)
        if path is not None:
            kind = Path(path).suffix.removeprefix(".") or "png"
            atomic_write(path, lambda file: figure.savefig(file, format=kind, dpi=120))
        return figure
