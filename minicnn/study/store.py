"""The ledger: one SQLite file per study, written by one process, with a file of arrays per trial beside it.

A trial is recorded in one transaction, after its arrays have been moved to their final name. So a process that is
killed at any moment leaves complete trials and at most one file of arrays that no row refers to; the trial's next run
replaces it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from minicnn import train
from minicnn.data import Split
from minicnn.files import GIBIBYTE, FileFormatError, check_size, only_writer, writable_folder
from minicnn.study.trial import Outcome, Trial

FILE = "study.sqlite"
FORMAT = 1
SAMPLE = "test_images.npz"
MOST_IMAGES = 1000
TABLES = """
CREATE TABLE IF NOT EXISTS description (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trial (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, arm TEXT NOT NULL, replicate INTEGER NOT NULL, seed INTEGER NOT NULL,
    rate REAL, status TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, ended TEXT NOT NULL,
    seconds REAL NOT NULL, cpu_seconds REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS value (
    trial TEXT NOT NULL, split TEXT NOT NULL, measure TEXT NOT NULL, condition TEXT NOT NULL, value REAL,
    PRIMARY KEY (trial, split, measure, condition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS curve (
    trial TEXT NOT NULL, epoch INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (trial, epoch)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Recorded:
    """A trial as the ledger has it; `status` is "done" or "failed", `error` the traceback of a failed one."""

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


class Store:
    """An open ledger. Use `writing` or `reading`, which close it."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    def describe(self, description: Mapping[str, Any]) -> None:
        """Replace the description of the study, which is made of plain values."""
        with _named(self.folder), self._connection as c:
            rows = [(key, json.dumps(value)) for key, value in description.items()]
            c.executemany("INSERT OR REPLACE INTO description VALUES (?, ?)", rows)

    def description(self) -> dict[str, Any]:
        """Return the description of the study, {} for a new ledger."""
        with _named(self.folder):
            rows = self._connection.execute("SELECT key, value FROM description").fetchall()
        with undamaged(self.folder):
            return {key: json.loads(value) for key, value in rows}

    def record(self, trial: Trial, outcome: Outcome) -> None:
        """Add the outcome of a trial, or replace a failed one."""
        status = "failed" if outcome.error else "done"
        if status == "done":
            arrays = {"params": outcome.params, "per_image": outcome.per_image}
            train.save(self.arrays_path(trial.id), arrays)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with _named(self.folder), self._connection as c:
            (attempts,) = c.execute(
                "SELECT coalesce(max(attempts), 0) + 1 FROM trial WHERE id = ?", (trial.id,)
            ).fetchone()
            c.execute(
                "INSERT OR REPLACE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(trial.id, trial.role, trial.arm, trial.replicate, trial.seed, trial.rate),
                    *(status, outcome.error, attempts, now, outcome.seconds, outcome.cpu_seconds),
                ),
            )
            c.executemany(
                "INSERT OR REPLACE INTO value VALUES (?, ?, ?, ?, ?)", [(trial.id, *row) for row in outcome.values]
            )
            c.executemany(
                "INSERT OR REPLACE INTO curve VALUES (?, ?, ?)",
                [(trial.id, int(row["epoch"]), json.dumps(row)) for row in outcome.curve],
            )

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
        with _named(self.folder):
            rows = self._connection.execute("SELECT * FROM trial").fetchall()
        return {row[0]: Recorded(*row) for row in rows}

    def values(self) -> list[tuple[str, str, str, str, float]]:
        """Return (trial, split, measure, condition, value) for all trials."""
        with _named(self.folder):
            return self._connection.execute("SELECT trial, split, measure, condition, value FROM value").fetchall()

    def curves(self) -> dict[str, list[dict[str, float]]]:
        """Return the history of training of each trial."""
        with _named(self.folder):
            rows = self._connection.execute("SELECT trial, row FROM curve ORDER BY trial, epoch").fetchall()
        found: dict[str, list[dict[str, float]]] = {}
        with undamaged(self.folder):
            for trial, row in rows:
                found.setdefault(trial, []).append(json.loads(row))
        return found

    def arrays(self, trial: str) -> dict[str, Any]:
        """Return {"params": ..., "per_image": {"measure|condition": array}} of a trial that is done."""
        found: dict[str, Any] = train.load(self.arrays_path(trial))
        return found

    def arrays_path(self, trial: str) -> Path:
        """Return the file with the arrays of a trial."""
        return self.folder / "trials" / f"{trial}.npz"


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Store]:
    """Open the ledger in a folder, which is made if need be, as its only writer.

    Raises OSError if the folder cannot be written or another process is writing there, ValueError if there is
    something other than a ledger of this format.
    """
    folder = writable_folder(path)
    writable_folder(folder / "trials")
    with only_writer(folder), _connected(folder, readonly=False) as connection:
        with _named(folder):
            if not _check_format(folder, connection):
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
    with _connected(folder, readonly=True) as connection:
        with _named(folder):
            begun = _check_format(folder, connection)
        if not begun:  # a process that was killed before it could write left an empty file
            raise ValueError(
                f"open_results: path must be the folder of a study that has begun, got {folder}, whose ledger is empty."
            )
        yield Store(folder, connection)


@contextlib.contextmanager
def _connected(folder: Path, *, readonly: bool) -> Iterator[sqlite3.Connection]:
    with _named(folder):
        # the path as a URI, so that a reader cannot make an empty ledger by opening it
        name = (folder / FILE).resolve().as_uri() + ("?mode=ro" if readonly else "")
        connection = sqlite3.connect(name, uri=True, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def _check_format(folder: Path, connection: sqlite3.Connection) -> bool:
    """Return whether the ledger has tables; raise ValueError if they are of another format.

    Only tables as they are written here are read: a view or a generated column could give more rows or longer values
    than the file holds.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    if tables and found != FORMAT:
        raise ValueError(
            f"study: {folder / FILE} must be a ledger of format {FORMAT}, got format {found}. Use another folder, or "
            "the version of minicnn that wrote it."
        )
    own = {" ".join(table.split()).replace(" IF NOT EXISTS", "") for table in TABLES.split(";")}
    if not {" ".join(sql.split()) for (sql,) in tables} <= own:
        _refuse(folder, "it has other tables than a ledger has")
    return bool(tables)


def _check_begins(folder: Path) -> None:
    """Raise ValueError if an empty ledger stands beside trials: it has been damaged, and is not to be begun again."""
    if any((folder / "trials").glob("*.npz")):
        raise ValueError(
            f"study: {folder / FILE} must be the ledger of the trials in {folder / 'trials'}, got an empty one. Put a "
            "copy of it back, or use another folder."
        )


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Turn what SQLite raises into an error that names the file: OSError for a place, ValueError for its contents."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"study: the ledger {folder / FILE} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        _refuse(folder, str(error))


@contextlib.contextmanager
def undamaged(folder: Path) -> Iterator[None]:
    """Turn what values of other kinds than were written raise into a FileFormatError with the file."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        _refuse(folder, f"{type(error).__name__}: {error!s:.200}")


def _refuse(folder: Path, reason: str) -> NoReturn:
    raise FileFormatError("study", "an undamaged ledger of a study", folder / FILE, reason) from None
