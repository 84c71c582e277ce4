"""The tables of a ledger, and the statements that add to them."""

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
