"""Callbacks: functions that are called with a Moment after each epoch; training stops if a callback returns True.

Any result other than True, False and None is a TypeError. A callback with an attribute `monitor` names a column of the
history; `fit` checks it before training.

A callback that keeps something between epochs needs two methods for `fit(..., checkpoint=path)`: `state()` returns it
as a tree that `train.save` can write, and `restore(state)` takes it back. BestWeights has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, TypeAlias

from minicnn import hints, validation
from minicnn.files import writable_folder
from minicnn.geometry import integer
from minicnn.hints import a_type
from minicnn.layers.base import Layer
from minicnn.train.history import History, Row


@hints.frozen
class Moment:
    """The end of an epoch.

    Attributes
    ----------
    params : tree
        As they are now.
    history : History
        Up to this epoch.
    state : dict
        The optimizer's.
    net : Layer
    step : int
        The number of steps since the beginning of the training, over all epochs.
    """

    params: Any = field(repr=False)
    history: History
    state: Any = field(default=None, repr=False)
    net: Layer | None = field(default=None, repr=False)
    step: int = 0

    @property
    def epoch(self) -> int:
        """The number of finished epochs, including this one."""
        return len(self.history)


Callback: TypeAlias = Callable[[Moment], bool | None]


def _check_moment(where: str, moment: Any) -> None:
    if not isinstance(moment, Moment):
        raise TypeError(f"{where}: moment must be a Moment, got {a_type(moment)}. Give the callback to train.fit.")


@hints.frozen
class EarlyStopping:
    """End the training when `monitor` has not improved for `patience` epochs.

    Names that end in "loss" improve downward, others upward; NaN does not count as an improvement, so that a training
    with nothing but NaN ends `patience` epochs after the first. Keep the weights of the best epoch with BestWeights.
    """

    patience: int
    monitor: str = "valid_loss"

    def __post_init__(self) -> None:
        object.__setattr__(self, "patience", integer("EarlyStopping", "patience", self.patience))
        _check_name("EarlyStopping", self.monitor)

    def __call__(self, moment: Moment) -> bool:
        """Return whether to stop."""
        _check_moment("EarlyStopping", moment)
        best = moment.history.best(self.monitor)["epoch"]
        return len(moment.history) - best >= self.patience


@hints.explained
class BestWeights:
    """Keep the parameters of the epoch with the best `monitor`, the earlier one at a tie.

    NaN is worse than every number. While all values are NaN, the first epoch counts as the best, as for `History.best`:
    after any epoch there are parameters, and `row` shows that their `monitor` is NaN.

    Attributes
    ----------
    params : tree
        None before the first epoch.
    row : dict
        That epoch's row of the history.
    """

    def __init__(self, monitor: str = "valid_accuracy") -> None:
        _check_name("BestWeights", monitor)
        self.monitor = monitor
        self.params: Any = None
        self.row: Row = {}

    def __call__(self, moment: Moment) -> None:
        """Keep these parameters if none before were as good."""
        _check_moment("BestWeights", moment)
        best = moment.history.best(self.monitor)
        if best is moment.history.rows[-1]:
            self.params, self.row = moment.params, best

    def state(self) -> dict[str, Any]:
        """Return what has been kept."""
        return {"params": self.params, "row": self.row}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.params, self.row = state["params"], state["row"]

    def __repr__(self) -> str:
        return f"BestWeights(monitor={self.monitor!r})"


@hints.explained
class CSVLog:
    """Write the history to a file after each epoch; the folder is checked at once."""

    def __init__(self, path: str | Path) -> None:
        self.path = validation.path("CSVLog", "path", path)
        writable_folder(self.path.parent)

    def __call__(self, moment: Moment) -> None:
        """Write all rows so far."""
        _check_moment("CSVLog", moment)
        moment.history.write_csv(self.path)

    def __repr__(self) -> str:
        return f"CSVLog({str(self.path)!r})"


def _check_name(where: str, monitor: Any) -> None:
    if not isinstance(monitor, str):
        raise TypeError(
            f"{where}: monitor must be the name of a column such as 'valid_loss', got {validation.shown(monitor)}."
        )
