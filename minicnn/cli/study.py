"""`minicnn study`: what the ledger of a study knows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minicnn.cli.arguments import Parsers, add_json, command, show

EXAMPLES = """
minicnn study out/pooling_heads-digits
minicnn study out/pooling_heads-digits --report --csv results.csv
"""


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "study",
        "state, comparisons and exports of a study's folder",
        "Print how many trials of a study are done, and the verdicts of its comparisons. Nothing is trained.",
        EXAMPLES,
        run,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with the ledger of a study")
    parser.add_argument("--report", action="store_true", help="write the report into the folder")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all values as CSV, one row per value")
    parser.add_argument(
        "--jsonl", type=Path, metavar="FILE", help="write all values as JSON Lines, one object per value"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the state, and write what is asked for."""
    from minicnn import study

    results = study.open_results(options.folder)
    lines = []
    if options.csv:
        lines.append(f"csv: {results.to_csv(options.csv)}")
    if options.jsonl:
        lines.append(f"jsonl: {results.to_json_lines(options.jsonl)}")
    if options.report:
        lines.append(f"report: {study.write_report(results)}")
    done = sum(trial.status == "done" for trial in results.trials)
    state = {
        "name": results.name,
        "arms": list(results.arms),
        "done": done,
        "failed": len(results.failed),
        "missing": results.missing,
        "complete": results.complete,
    }
    table = _table(results) if done else "No trial is complete."
    said = f"{results.name}: {done} trials done, {len(results.failed)} failed, {results.missing} missing"
    show(options, state, "\n\n".join([said, table, *lines]))
    return 0


def _table(results: Any) -> str:
    from minicnn.study.report import tables
    from minicnn.study.report.words import aligned

    table = tables.terminal_table(results, tables.comparisons(results, tables.outcomes(results)))
    return aligned(table.header, table.rows)
