"""The ledger's file: its tables, the statements that add to them, and what is checked when it is opened."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from minicnn.files import FileFormatError

FILE = "study.sqlite"
FORMAT = 2

TABLES = """
CREATE TABLE IF NOT EXISTS description (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trial (
    id TEXT PRIMARY KEY, role TEXT NOT NULL, arm TEXT NOT NULL, replicate INTEGER NOT NULL, seed INTEGER NOT NULL,
    rate REAL, status TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, ended TEXT NOT NULL,
    seconds REAL NOT NULL, cpu_seconds REAL NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS measured (
    trial TEXT NOT NULL, measure TEXT NOT NULL, status TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,
    ended TEXT NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (trial, measure)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS value (
    trial TEXT NOT NULL, split TEXT NOT NULL, measure TEXT NOT NULL, condition TEXT NOT NULL, value REAL,
    PRIMARY KEY (trial, split, measure, condition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS curve (
    trial TEXT NOT NULL, epoch INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (trial, epoch)
) WITHOUT ROWID;
"""
TRIALS = """
SELECT id, role, arm, replicate, seed, rate, status, error,
    max(attempts, coalesce((SELECT max(m.attempts) FROM measured m WHERE m.trial = id), 0)),
    ended, seconds, cpu_seconds, size, checksum
FROM trial
"""
TRAINED = """
INSERT OR REPLACE INTO trial VALUES (
    :id, :role, :arm, :replicate, :seed, :rate, :status, :error,
    (SELECT coalesce(max(attempts), 0) + 1 FROM trial WHERE id = :id),
    :ended, :seconds, :cpu_seconds, :size, :checksum
)
"""
MEASURED = """
INSERT OR REPLACE INTO measured VALUES (
    :trial, :measure, :status, :error,
    (SELECT coalesce(max(attempts), 0) + 1 FROM measured WHERE trial = :trial AND measure = :measure),
    :ended, :size, :checksum
)
"""


@contextlib.contextmanager
def connected(folder: Path, *, readonly: bool) -> Iterator[sqlite3.Connection]:
    """Open the ledger of a folder, and close it."""
    with named(folder):
        # the path as a URI, so that a reader cannot make an empty ledger by opening it
        name = (folder / FILE).resolve().as_uri() + ("?mode=ro" if readonly else "")
        connection = sqlite3.connect(name, uri=True, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def check_format(folder: Path, connection: sqlite3.Connection) -> bool:
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
        refuse(folder, "it has other tables than a ledger has")
    return bool(tables)


@contextlib.contextmanager
def named(folder: Path) -> Iterator[None]:
    """Turn what SQLite raises into an error that names the file: OSError for a place, ValueError for its contents."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(f"study: the ledger {folder / FILE} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        refuse(folder, str(error))


@contextlib.contextmanager
def undamaged(folder: Path) -> Iterator[None]:
    """Turn what values of other kinds than were written raise into a FileFormatError with the file."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        refuse(folder, f"{type(error).__name__}: {error!s:.200}")


def refuse(folder: Path, reason: str) -> NoReturn:
    """Raise the error for a ledger that is damaged."""
    raise FileFormatError("study", "an undamaged ledger of a study", folder / FILE, reason) from None
