"""A training on disk: all that its next step depends on, in one file from which `fit` continues bit for bit.

A file is replaced as a whole, so that a killed process leaves the one before. Between two files nothing is lost but
time: the steps since are taken again from the same numbers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import kernels, optim, trees
from minicnn.data import Split
from minicnn.files import GIBIBYTE, FileFormatError, writable_folder
from minicnn.layers import fusion
from minicnn.layers.base import check_params
from minicnn.train.canonical import canonical, without_addresses
from minicnn.train.checkpoint import load, save
from minicnn.train.history import COLUMNS, VALID_COLUMNS, History, Meter, Row

FORMAT = "minicnn training 1"
REMEDY = "Use another path for another run, or delete the file."


@dataclass
class Position:
    """A training after `step` steps of `epoch`, or after an epoch: then `epoch` is the next one and `step` 0."""

    params: Any
    state: Any
    history: History = field(default_factory=History)
    epoch: int = 1
    step: int = 0
    meter: Meter = field(default_factory=Meter)
    stopped: bool = False

    def epochs(self, last: int) -> range:
        """Return the epochs that are to do, none if a callback has stopped the training."""
        return range(self.epoch, 1 if self.stopped else last + 1)

    def images(self, count: int) -> int:
        """Return how many images of an epoch of `count` have been trained on so far."""
        return (self.epoch - 1) * count + self.meter.images


@dataclass(frozen=True)
class Run:
    """What determines a training, but for the number of its epochs."""

    net: Any
    optimizer: Any
    train: Split
    valid: Split | None
    params: Any
    batch_size: int
    seed: int
    label_smoothing: float
    augment: Any

    def description(self, epochs: int | None, callbacks: Sequence[Any]) -> dict[str, Any]:
        """Return it as plain text and numbers, the same in every process."""
        described = {name: _described(value) for name, value in vars(self).items()}
        names = ", ".join(type(each).__name__ for each in callbacks)
        # Other kernels, and fused ones, add in another order: the end would not have the bytes that are promised.
        how = kernels.name() + " with fusion" * fusion.is_on()
        return {**described, "epochs": epochs, "callbacks": names, "kernels": how}


class Checkpoint:
    """The file of one run; `note` remembers a position, which an interrupt may write later."""

    def __init__(
        self, path: str | Path, every: int | None, generators: Sequence[np.random.Generator], callbacks: Sequence[Any]
    ) -> None:
        self.path, self.every, self.generators = Path(path), every, generators
        self.callbacks = [each for each in callbacks if _has_state(each)]
        self.run: dict[str, Any] = {}
        self.at_epoch: dict[str, Any] = {}
        self.noted: dict[str, Any] = {}
        self.written = self.noted

    def begin(self, run: Run, start: Position, steps: int, epochs: int) -> Position:
        """Return where the training begins: where the file is, or at `start`, which is then written."""
        spans = optim.over(run.optimizer, steps * epochs) is not run.optimizer
        self.run = run.description(epochs if spans else None, self.callbacks)
        if os.path.lexists(self.path):
            return self._read(run, start, epochs)
        writable_folder(self.path.parent)
        self.note(start)
        return start

    def note(self, at: Position) -> None:
        """Remember a position, and write it at the beginning, after an epoch and after every `every` steps."""
        order, *others = (generator.bit_generator.state for generator in self.generators)
        if at.step == 0:  # the order of an epoch is drawn at its beginning, and will be drawn again
            self.at_epoch = {"order": order, "callbacks": [each.state() for each in self.callbacks]}
        here = {"epoch": at.epoch, "step": at.step, "stopped": at.stopped, "meter": at.meter.sums()}
        rows = at.history.rows[: at.epoch - 1]
        large = {"params": at.params, "state": at.state, "generators": others, "history": rows}
        # one assignment, so that an interrupt finds this position or the one before
        self.noted = {**here, **large, **self.at_epoch}
        if at.step == 0 or (self.every and at.step % self.every == 0):
            self.write()

    def write(self) -> None:
        """Write the position that was noted last, unless the file has it."""
        if self.noted is not self.written:
            content = {**self.noted, "history": _columns(self.noted["history"])}
            save(self.path, {"format": FORMAT, "run": self.run, **content})
            self.written = self.noted

    def _read(self, run: Run, start: Position, epochs: int) -> Position:
        """Return the position in the file, and give generators and callbacks their states."""
        size = sum(np.asarray(leaf).nbytes for leaf in trees.leaves([start.params, start.state]))
        found = load(self.path, max_bytes=GIBIBYTE + 8 * size)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise FileFormatError("fit", "a checkpoint of this run, or none", self.path, f"it is not one. {REMEDY}")
        try:
            _check_run(self.path, found["run"], self.run)
            at = _position(found)
            check_params(run.net, at.params, run.train.images.shape[1:])
            _check_state(run.optimizer, at)
            self._restore([found["order"], *found["generators"]], found["callbacks"])
        except _OtherRunError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"{error!r:.200}. {REMEDY}"
            raise FileFormatError("fit", "an undamaged checkpoint", self.path, reason) from error
        if (at.epoch, at.step) > (epochs + 1, 0):
            reason = f"got {epochs}, and {self.path} is in epoch {at.epoch} already. Use another path."
            raise ValueError(f"fit: epochs must be at least {at.epoch - (at.step == 0)}, {reason}")
        self.at_epoch = {"order": found["order"], "callbacks": found["callbacks"]}
        return at

    def _restore(self, generators: Sequence[Any], callbacks: Sequence[Any]) -> None:
        for generator, state in zip(self.generators, generators, strict=True):
            generator.bit_generator.state = state
        for callback, state in zip(self.callbacks, callbacks, strict=True):
            callback.restore(state)


def _has_state(callback: Any) -> bool:
    return callable(getattr(callback, "state", None)) and callable(getattr(callback, "restore", None))


def _check_state(optimizer: Any, at: Position) -> None:
    """Raise what the optimizer raises for a state that does not belong to the parameters, before training begins."""
    if isinstance(optimizer, optim.Optimizer):
        once = dataclasses.replace(optimizer, learning_rate=1.0)  # a schedule may not know this step
        with np.errstate(all="ignore"):
            once.update(trees.map_leaves(np.zeros_like, at.params), at.state, at.params)


def _position(found: dict[str, Any]) -> Position:
    history, meter = History(_rows(found["history"])), Meter(**found["meter"])
    at = Position(
        found["params"], found["state"], history, found["epoch"], found["step"], meter, stopped=found["stopped"]
    )
    if [row["epoch"] for row in history.rows] != list(range(1, at.epoch)) or at.step < 0:
        place = f"epoch {at.epoch}, step {at.step}"
        raise ValueError(f"the history must have one row for each finished epoch, got {len(history)} in {place}")
    for row in history.rows:
        for name in {*COLUMNS, *VALID_COLUMNS} & set(row):
            if not isinstance(row[name], int | float):
                raise ValueError(f"the history must have numbers, got {row[name]!r} for {name}")
    return at


# as arrays, because the structure of a tree on disk is limited
def _columns(rows: list[Row]) -> Any:
    names = list(rows[0]) if rows else []
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    if any(list(row) != names for row in rows) or any(column is None for column in columns.values()):
        return rows  # a callback has added to them
    return columns


def _column(values: list[Any]) -> np.ndarray | None:
    """Return numbers of one type as an array, None for what would come back as another type or value."""
    kind = type(values[0])
    column = np.array(values) if kind in {int, float} and all(type(value) is kind for value in values) else None
    return column if column is not None and column.dtype in {np.dtype(np.int64), np.dtype(np.float64)} else None


def _rows(columns: Any) -> list[Row]:
    if isinstance(columns, list):
        return columns
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


# Which run it is


class _OtherRunError(ValueError):
    """The file is a checkpoint of another run."""


def _described(value: Any) -> Any:
    """Return a value as plain text or number, the same one in every process; arrays as a digest."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Split):
        return f"{value!r} {_digest(value.images, value.labels)}"
    if isinstance(value, dict):
        return f"a tree {_digest(*(leaf for _, leaf in trees.items(value)))}"
    try:
        return canonical(value)
    except (TypeError, ValueError):  # in it is an object whose class is not registered, or a function in a record
        return _of_parts(value)


def _of_parts(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(_described(part)) for part in value)}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _described(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return f"{type(value).__name__}({', '.join(f'{name}={text}' for name, text in parts.items())})"
    return without_addresses(value)


def _digest(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:32]


def _check_run(path: Path, there: Any, here: Mapping[str, Any]) -> None:
    """Raise unless both descriptions are of the same run."""
    names = [name for name in here if there[name] != here[name]]
    if names == ["epochs"]:
        what = "the learning rate's schedule spans all epochs, and others would have changed the steps already taken"
        raise _OtherRunError(
            f"fit: epochs must be {there['epochs']}, as in {path}, because {what}, got {here['epochs']}. "
            "Give the schedule its steps=, or use another path."
        )
    if names:
        others = [f"{name} {_difference(str(there[name]), str(here[name]))}" for name in names if name != "epochs"]
        raise _OtherRunError(
            f"fit: checkpoint must be a file of this run, got {path}, of one with {'; '.join(others)}. {REMEDY}"
        )


def _difference(there: str, here: str) -> str:
    start = 0
    if max(len(there), len(here)) > 90:
        same = next((i for i, (a, b) in enumerate(zip(there, here, strict=False)) if a != b), 0)
        start = max(0, same - 20)
    cut = [f"{'...' * (start > 0)}{text[start : start + 90]}" for text in (there, here)]
    return f"{cut[0]} instead of {cut[1]}"
