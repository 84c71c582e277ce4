"""One trained network of a study, and the files that keep many of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import Any

from minicnn.files import atomic_write

CURVE_COLUMNS = ("epoch", "loss", "accuracy", "valid_loss", "valid_accuracy", "seconds")


@dataclass(frozen=True)
class Run:
    """What one head with one seed came to.

    Attributes
    ----------
    head : str
        Name of the arm.
    seed : int
        Runs of different heads with the same seed share data split, batch order and trunk: they are pairs.
    test_accuracy : float
        Fraction of the test images classified right, 0 to 1.
    parameters : int
        Trained numbers in the network.
    multiply_adds : int
        Multiplications, each with its addition, in one forward pass of one image.
    seconds_per_epoch : float
        Seconds of training for one pass over the training images.
    epochs : int
        Epochs trained; the parameters after the last are the ones tested.
    test_loss : float
        Mean cross-entropy of the test images, in nats.
    valid_accuracy : float
        Fraction of the validation images classified right after the last epoch.
    curve : tuple of dict
        A row an epoch with the keys CURVE_COLUMNS; `seconds` are cumulative.
    """

    head: str
    seed: int
    test_accuracy: float
    parameters: int
    multiply_adds: int
    seconds_per_epoch: float
    epochs: int
    test_loss: float
    valid_accuracy: float
    curve: tuple[dict[str, float], ...] = ()


_FIELDS = {f.name: str(f.type) for f in fields(Run) if f.name != "curve"}
# what spreadsheets take for the beginning of a formula (OWASP: CSV injection), and the guard against it itself
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def by_head(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Group `runs` by head, in order of first appearance.

    Raises ValueError where a head has two runs of one seed, since then they cannot be paired.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        group = groups.setdefault(run.head, [])
        if any(run.seed == other.seed for other in group):
            raise ValueError(f"{run.head}: two runs have seed {run.seed}. Keep one of them.")
        group.append(run)
    return groups


def write_csv(path: str | Path, runs: Iterable[Run]) -> None:
    """Write `runs` without their curves, one row for each; floats keep every bit.

    Names that a spreadsheet would take for a formula get an apostrophe, which `read_csv` takes away again.
    """
    rows = ([getattr(run, name) for name in _FIELDS] for run in runs)
    atomic_write(path, csv_text(tuple(_FIELDS), rows))


def read_csv(path: str | Path) -> tuple[Run, ...]:
    """Read what `write_csv` wrote; the curves are empty.

    Raises ValueError, with the file and the line, where a column is missing or a cell has the wrong kind.
    """
    try:
        content = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: path must be a table in UTF-8, got {error}.") from error
    reader = csv.DictReader(io.StringIO(content, newline=""))
    try:
        missing = [name for name in _FIELDS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: no column {', '.join(missing)}. The columns are {', '.join(_FIELDS)}.")
        return tuple(_run(f"{path}, line {reader.line_num}", row) for row in reader)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: the row must be CSV, got {error}.") from error


def write_curves_csv(path: str | Path, runs: Iterable[Run]) -> None:
    """Write the curves of `runs` in long form: head, seed, then CURVE_COLUMNS, one row an epoch."""
    rows = (_curve_cells(run, row) for run in runs for row in run.curve)
    atomic_write(path, csv_text(("head", "seed", *CURVE_COLUMNS), rows))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Return a table as CSV: text is guarded against spreadsheets, numbers are written to the last bit.

    >>> print(csv_text(("name", "value"), [("=1+1", -0.5), ("two, words", 3)]), end="")
    name,value
    '=1+1,-0.5
    "two, words",3
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in (header, *rows))


def _cell(value: str | float) -> str:
    if not isinstance(value, str):
        # float() first: NumPy's scalars print their type in their repr, and float32 fewer digits than it has
        return str(int(value)) if isinstance(value, Integral) else repr(float(value))
    text = f"'{value}" if value.startswith(FORMULA) else value
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _text(cell: str) -> str:
    return cell.removeprefix("'")


def _curve_cells(run: Run, row: dict[str, float]) -> tuple[str | float, ...]:
    missing = [name for name in CURVE_COLUMNS if name not in row]
    if missing:
        raise ValueError(f"{run.head}, seed {run.seed}: a row of the curve has no {', '.join(missing)}.")
    return (run.head, run.seed, int(row["epoch"]), *(float(row[name]) for name in CURVE_COLUMNS[1:]))


_READERS: dict[str, Callable[[str], Any]] = {"str": _text, "int": int, "float": float}


def _run(place: str, row: dict[str, str]) -> Run:
    values = {}
    for name, kind in _FIELDS.items():
        try:
            values[name] = _READERS[kind](row[name])
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{place}: {name} is {row[name]!r}, not of kind {kind}.") from error
    return Run(**values)
