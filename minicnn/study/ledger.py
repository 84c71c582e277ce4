"""The record of one trained network, and the CSV files that store such records."""

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
    """The results of one arm trained with one seed.

    Attributes
    ----------
    arm : str
        Name of the arm.
    seed : int
        Runs of different arms with the same seed share the data split and the order of batches: they form pairs.
    test_accuracy : float
        Fraction of the test images that are classified correctly, 0 to 1.
    parameters : int
        Number of parameters of the network.
    multiply_adds : int
        Number of multiply-adds in the forward pass of one image.
    seconds_per_epoch : float
        Mean training time per epoch.
    epochs : int
        Number of epochs; the parameters after the last one are tested.
    test_loss : float
        Mean cross-entropy of the test images, in nats.
    valid_accuracy : float
        Fraction of the validation images that are classified correctly after the last epoch.
    curve : tuple of dict
        One row per epoch with the keys CURVE_COLUMNS; `seconds` are cumulative.
    """

    arm: str
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
# characters that start a formula in a spreadsheet (OWASP: CSV injection), and the apostrophe that prevents it
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def by_arm(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Group `runs` by arm, in order of first appearance.

    Raises ValueError if an arm has two runs with the same seed, because they could not be paired.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        group = groups.setdefault(run.arm, [])
        if any(run.seed == other.seed for other in group):
            raise ValueError(
                f"by_arm: the seeds of an arm must differ, got two runs of {run.arm} with seed {run.seed}. "
                "Keep one of them."
            )
        group.append(run)
    return groups


def write_csv(path: str | Path, runs: Iterable[Run]) -> None:
    """Write `runs` without their curves, one row per run; floating-point numbers are written exactly.

    A name that a spreadsheet would evaluate as a formula is written with an apostrophe, which `read_csv` removes.
    """
    rows = ([getattr(run, name) for name in _FIELDS] for run in runs)
    atomic_write(path, csv_text(tuple(_FIELDS), rows))


def read_csv(path: str | Path) -> tuple[Run, ...]:
    """Read the runs in a file written by `write_csv`; their curves are empty.

    A column `head`, as earlier versions wrote it, is read as `arm`. Raises ValueError, with the file and the line, if
    a column is missing or a value has the wrong type.
    """
    try:
        content = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: path must be a CSV file in UTF-8, got {error}.") from error
    reader = csv.DictReader(io.StringIO(content, newline=""))
    try:
        found = list(reader.fieldnames or ())
        if "arm" not in found:
            found = ["arm" if name == "head" else name for name in found]
        missing = [name for name in _FIELDS if name not in found]
        if missing:
            raise ValueError(
                f"{path}: the columns must include {', '.join(_FIELDS)}, got no column {', '.join(missing)}."
            )
        reader.fieldnames = found
        return tuple(_run(f"{path}, line {reader.line_num}", row) for row in reader)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: the row must be CSV, got {error}.") from error


def write_curves_csv(path: str | Path, runs: Iterable[Run]) -> None:
    """Write the curves of `runs` in long form: arm, seed, then CURVE_COLUMNS, one row per epoch."""
    rows = (_curve_cells(run, row) for run in runs for row in run.curve)
    atomic_write(path, csv_text(("arm", "seed", *CURVE_COLUMNS), rows))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Return a table as CSV: text that spreadsheets would evaluate is marked, numbers are written exactly.

    >>> print(csv_text(("name", "value"), [("=1+1", -0.5), ("two, words", 3)]), end="")
    name,value
    '=1+1,-0.5
    "two, words",3
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in (header, *rows))


def _cell(value: str | float) -> str:
    if not isinstance(value, str):
        # float() first: the repr of a NumPy scalar contains its type, and that of a float32 fewer digits than needed
        return str(int(value)) if isinstance(value, Integral) else repr(float(value))
    text = f"'{value}" if value.startswith(FORMULA) else value
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _text(cell: str) -> str:
    return cell.removeprefix("'")


def _curve_cells(run: Run, row: dict[str, float]) -> tuple[str | float, ...]:
    missing = [name for name in CURVE_COLUMNS if name not in row]
    if missing:
        raise ValueError(
            f"write_curves_csv: the rows of a curve must have the keys {', '.join(CURVE_COLUMNS)}, "
            f"got no {', '.join(missing)} ({run.arm}, seed {run.seed})."
        )
    return (run.arm, run.seed, int(row["epoch"]), *(float(row[name]) for name in CURVE_COLUMNS[1:]))


_READERS: dict[str, Callable[[str], Any]] = {"str": _text, "int": int, "float": float}


def _run(place: str, row: dict[str, str]) -> Run:
    values = {}
    for name, kind in _FIELDS.items():
        try:
            values[name] = _READERS[kind](row[name])
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{place}: {name} must be of type {kind}, got {row[name]!r}.") from error
    return Run(**values)
