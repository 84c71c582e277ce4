"""The ledger of a study: one SQLite file, written by one process alone, and files of arrays beside it.

`trials/TRIAL.npz` has the parameters and predictions of a trial, `trials/TRIAL.MEASURE.npz` what a measure gives for
each image. A trial is recorded in one transaction, after its arrays have been moved to their final names. So a process
that is killed at any moment leaves complete trials and at most a few files of arrays that no row refers to; the trial's
next run replaces them. A row has the size and the checksum of its file, so that a damaged one is noticed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minicnn import train
from minicnn.data import Split
from minicnn.files import GIBIBYTE, check_size, only_writer, writable_folder
from minicnn.study.sql import FILE, FORMAT, MEASURED, TABLES, TRAINED, TRIALS, check_format, connected, named, undamaged
from minicnn.study.trial import Outcome, Trial

SAMPLE = "test_images.npz"
MOST_IMAGES = 1000
PREDICTIONS = "predictions"
KEPT = ("status", "size", "checksum", "ended")


@dataclass(frozen=True)
class Recorded:
    """A trial as the ledger has it; `status` is "done" or "failed", `error` the traceback of a failed one.

    `attempts` counts the attempts to train it, or those of a measure if they were more; `trained` is also True for a
    trial of which only a measure failed.
    """

    id: str
    role: str
    arm: str
    replicate: int
    seed: int
    rate: float | None
    status: str
    error: str
    attempts: int
    ended: str
    seconds: float
    cpu_seconds: float
    size: int = 0
    checksum: int = 0

    @property
    def trained(self) -> bool:
        """Whether there are parameters."""
        return self.size > 0


@dataclass(frozen=True)
class Measured:
    """A measure of a trial as the ledger has it, by the measure's id; `size` is 0 if it has no values per image."""

    trial: str
    measure: str
    status: str
    error: str
    attempts: int
    ended: str
    size: int
    checksum: int


class Store:
    """An open ledger. Use `writing` or `reading`, which close it."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    def describe(self, description: Mapping[str, Any]) -> None:
        """Replace the description of the study, which is made of plain values."""
        with named(self.folder), self._connection as c:
            rows = [(key, json.dumps(value)) for key, value in description.items()]
            c.executemany("INSERT OR REPLACE INTO description VALUES (?, ?)", rows)

    def description(self) -> dict[str, Any]:
        """Return the description of the study, {} for a new ledger."""
        with named(self.folder):
            rows = self._connection.execute("SELECT key, value FROM description").fetchall()
        with undamaged(self.folder):
            return {key: json.loads(value) for key, value in rows}

    def record(self, trial: Trial, outcome: Outcome) -> None:
        """Add the outcome of a trial, or of measuring it, or replace an earlier one."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        trained = trial.params is None
        row = (*self._keep_params(trial, outcome), now) if trained else ()
        # of a trial that could not be trained no measure has been tried
        names = () if trained and outcome.error else tuple(trial.measures)
        measured = [(*self._keep_per_image(trial, name, outcome), now) for name in names]
        ids = trial.measure_ids
        values = [(trial.id, s, ids.get(m, m) if s == "test" else m, c, v) for s, m, c, v in outcome.values]
        with named(self.folder), self._connection as c:
            if trained:
                c.execute(TRAINED, {**vars(trial), **vars(outcome), **dict(zip(KEPT, row, strict=True))})
            for name, kept in zip(names, measured, strict=True):
                error = outcome.error or outcome.errors.get(name, "")
                found = {"trial": trial.id, "measure": ids[name], "error": error}
                c.execute(MEASURED, {**found, **dict(zip(KEPT, kept, strict=True))})
            c.executemany("INSERT OR REPLACE INTO value VALUES (?, ?, ?, ?, ?)", values)
            c.executemany(
                "INSERT OR REPLACE INTO curve VALUES (?, ?, ?)",
                [(trial.id, int(row["epoch"]), json.dumps(row)) for row in outcome.curve],
            )

    def _keep_params(self, trial: Trial, outcome: Outcome) -> tuple[str, int, int]:
        if outcome.error:
            return ("failed", 0, 0)
        predictions = {key: array for key, array in outcome.per_image.items() if key == PREDICTIONS}
        return self._keep(self.arrays_path(trial.id), {"params": outcome.params, "per_image": predictions})

    def _keep_per_image(self, trial: Trial, name: str, outcome: Outcome) -> tuple[str, int, int]:
        if outcome.error or name in outcome.errors:
            return ("failed", 0, 0)
        found = {key: array for key, array in outcome.per_image.items() if key.rpartition("|")[0] == name}
        if not found:
            return ("done", 0, 0)
        arrays = {key.removeprefix(f"{name}|"): array for key, array in found.items()}
        return self._keep(self.arrays_path(trial.id, trial.measure_ids[name]), {"conditions": list(arrays.items())})

    def _keep(self, path: Path, tree: Any) -> tuple[str, int, int]:
        content = train.save(path, tree).read_bytes()
        return ("done", len(content), zlib.crc32(content))

    def keep_sample(self, test: Split) -> None:
        """Keep the first test images of the first replicate for the pictures of a report."""
        path = self.folder / SAMPLE
        if not path.is_file():
            train.save(path, {"images": test.images[:MOST_IMAGES], "labels": test.labels[:MOST_IMAGES]})

    def sample(self) -> dict[str, Any]:
        """Return {"images": (N, H, W, C), "labels": (N,)}, or {} if they have not been kept."""
        path = self.folder / SAMPLE
        found: dict[str, Any] = train.load(path) if path.is_file() else {}
        return found

    def trials(self) -> dict[str, Recorded]:
        """Return all recorded trials by id."""
        with named(self.folder):
            rows = self._connection.execute(TRIALS).fetchall()
        return {row[0]: Recorded(*row) for row in rows}

    def measured(self) -> dict[tuple[str, str], Measured]:
        """Return which measures of which trials have been tried, by the ids of both."""
        with named(self.folder):
            rows = self._connection.execute("SELECT * FROM measured").fetchall()
        return {(row[0], row[1]): Measured(*row) for row in rows}

    def is_intact(self, row: Recorded | Measured) -> bool:
        """Tell whether the file of arrays of a trial or a measure is there as it was written."""
        path = self._path_of(row)
        try:
            content = path.read_bytes() if row.size else b""
        except OSError:
            return False
        return (len(content), zlib.crc32(content)) == (row.size, row.checksum)

    def _path_of(self, row: Recorded | Measured) -> Path:
        return self.arrays_path(row.id) if isinstance(row, Recorded) else self.arrays_path(row.trial, row.measure)

    def values(self) -> list[tuple[str, str, str, str, float]]:
        """Return (trial, split, measure, condition, value) for all trials.

        Measures on test images go by their ids, those of training and validation by their names.
        """
        with named(self.folder):
            return self._connection.execute("SELECT trial, split, measure, condition, value FROM value").fetchall()

    def curves(self) -> dict[str, list[dict[str, float]]]:
        """Return the history of training of each trial."""
        with named(self.folder):
            rows = self._connection.execute("SELECT trial, row FROM curve ORDER BY trial, epoch").fetchall()
        found: dict[str, list[dict[str, float]]] = {}
        with undamaged(self.folder):
            for trial, row in rows:
                found.setdefault(trial, []).append(json.loads(row))
        return found

    def arrays(self, trial: str, measures: Collection[str] | None = None) -> dict[str, Any]:
        """Return {"params": ..., "per_image": {"predictions": ..., "MEASURE|condition": array}} of a trial.

        With `measures`, ids, only those are read.
        """
        found: dict[str, Any] = self._loaded(self.arrays_path(trial))
        with named(self.folder):
            ids = self._connection.execute("SELECT measure FROM measured WHERE trial = ? AND size > 0", (trial,))
            kept = [measure for (measure,) in ids if measures is None or measure in measures]
        for measure in kept:
            conditions = self._loaded(self.arrays_path(trial, measure))["conditions"]
            found["per_image"] |= {f"{measure}|{condition}": array for condition, array in conditions}
        return found

    def params(self, trial: str) -> Any:
        """Return the parameters of a trial."""
        return self._loaded(self.arrays_path(trial))["params"]

    def _loaded(self, path: Path) -> Any:
        try:
            return train.load(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"study: {path} must be there, which has arrays of a trial, got no such file. Run the study again in "
                "this folder: it makes what is missing."
            ) from error

    def arrays_path(self, trial: str, measure: str = "") -> Path:
        """Return the file with the arrays of a trial, or with what a measure gave for each image."""
        return self.folder / "trials" / (f"{trial}.{measure}.npz" if measure else f"{trial}.npz")


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Store]:
    """Open the ledger in a folder, which is made if need be, as its only writer.

    Raises OSError if the folder cannot be written or another process is writing there, ValueError if there is
    something other than a ledger of this format.
    """
    folder = writable_folder(path)
    writable_folder(folder / "trials")
    with only_writer(folder), connected(folder, readonly=False) as connection:
        with named(folder):
            if not check_format(folder, connection):
                _check_begins(folder)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(TABLES)
        try:
            yield Store(folder, connection)
        finally:
            # one plain file at rest, readable where nothing can be written; a reader at this moment prevents it
            with contextlib.suppress(sqlite3.Error):
                connection.execute("PRAGMA journal_mode = DELETE")


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[Store]:
    """Open the ledger in a folder to read it. Raises ValueError if there is none, or none of at most 1 GiB."""
    folder = Path(path)
    if not (folder / FILE).is_file():
        raise ValueError(f"open_results: path must be the folder of a study, got {folder}, without {FILE}.")
    check_size("study", "an undamaged ledger of a study", folder / FILE, GIBIBYTE)
    with connected(folder, readonly=True) as connection:
        with named(folder):
            begun = check_format(folder, connection)
        if not begun:  # a process that was killed before it could write left an empty file
            raise ValueError(
                f"open_results: path must be the folder of a study that has begun, got {folder}, whose ledger is empty."
            )
        yield Store(folder, connection)


def has_begun(path: str | Path) -> bool:
    """Tell whether there is a ledger in a folder, and not the empty file of a process that ended before it could write.

    Raises ValueError for a damaged one.
    """
    folder = Path(path)
    if not (folder / FILE).is_file():
        return False
    with connected(folder, readonly=True) as connection, named(folder):
        return check_format(folder, connection)


def _check_begins(folder: Path) -> None:
    """Raise ValueError if an empty ledger stands beside trials: it has been damaged, and is not to be begun again."""
    if any((folder / "trials").glob("*.npz")):
        raise ValueError(
            f"study: {folder / FILE} must be the ledger of the trials in {folder / 'trials'}, got an empty one. Put a "
            "copy of it back, or use another folder."
        )
