"""A ledger that somebody else made or damaged is a FileFormatError with its path, and takes neither time nor memory."""

import contextlib
import sqlite3

import pytest
from study_fixtures import curve, ledger, tiny_study

from minicnn import files, study
from minicnn.study.sql import FILE
from minicnn.study.trial import Outcome

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'a', 'test', 'nll', '', i FROM n"
# The row is inserted while the column is short, because SQLite computes the column when it inserts.
GENERATED = """
DROP TABLE description;
CREATE TABLE description (key TEXT, value TEXT AS (printf('%.*c', 1, 'a')));
INSERT INTO description VALUES ('a');
PRAGMA writable_schema = ON;
UPDATE sqlite_master SET sql = replace(sql, ', 1, ', ', 1000000000, ');
"""
CHANGES = {
    "a description that is not JSON": "UPDATE description SET value = '{' WHERE key = 'trials'",
    "a description of another kind": "UPDATE description SET value = '3' WHERE key = 'trials'",
    "a trial without an id": "UPDATE description SET value = '[{}]' WHERE key = 'trials'",
    "a trial with another field": """UPDATE description SET value = replace(value, '"replicate"', '"mine"')""",
    "no trials": "DELETE FROM description WHERE key = 'trials'",
    "no value": "DROP TABLE description; CREATE TABLE description (key TEXT PRIMARY KEY, value TEXT);"
    "INSERT INTO description VALUES ('trials', NULL)",
    "a history that is not JSON": "UPDATE curve SET row = 'x'",
    "a value that is not a number": "UPDATE value SET value = 'high'",
    "deep JSON": f"UPDATE description SET value = '{'[' * 100_000}' WHERE key = 'trials'",  # noqa: S608
    "a view without an end": f"DROP TABLE value; CREATE VIEW value AS {ENDLESS}",
    "a column of a gigabyte": GENERATED,
    "a table of another kind": "CREATE TABLE more (a)",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON value BEGIN DELETE FROM trial; END",
}


@pytest.fixture
def folder(tmp_path):
    values = [("test", "accuracy", "", 0.9), ("test", "nll", "", float("nan"))]
    ledger(tmp_path, tiny_study(), lambda trial: Outcome(trial.id, values=values, curve=curve([0.9])))
    return tmp_path


def changed(folder, script):
    with contextlib.closing(sqlite3.connect(folder / FILE)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize("name", CHANGES)
def test_a_ledger_that_is_damaged_or_hostile_is_named(name, folder):
    changed(folder, CHANGES[name])
    with pytest.raises(files.FileFormatError, match="must be an undamaged ledger of a study, got") as caught:
        study.open_results(folder)
    assert caught.value.path == str(folder / FILE)
    assert 0 < len(caught.value.reason) < 400


def test_a_ledger_that_is_not_damaged_is_read(folder):
    results = study.open_results(folder)
    assert len(results.trials) == len(results.description["trials"]) == 6
    changed(folder, "UPDATE value SET value = NULL")
    assert len(study.open_results(folder).trials) == 6


def test_a_ledger_has_a_limit(folder, monkeypatch):
    monkeypatch.setattr("minicnn.study.store.GIBIBYTE", 1000)
    with pytest.raises(files.FileFormatError, match="max_bytes is 1,000"):
        study.open_results(folder)
