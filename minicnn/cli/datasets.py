"""`minicnn datasets`: which data sets there are, and their files on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from minicnn.cli.arguments import Parsers, add_json, command, show

EXAMPLES = """
minicnn datasets list
minicnn datasets verify digits
"""
ACTIONS = ("list", "fetch", "verify")


def add(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(
        parsers,
        "datasets",
        "list, download or verify data sets",
        "list: the data sets that can be loaded by name, and whether their files are on this machine. fetch: download "
        "what is missing. verify: read files that are there and compare their checksums with the published ones.",
        EXAMPLES,
        run,
    )
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS), help="what to do, see above")
    parser.add_argument("names", nargs="*", default=[], metavar="NAME",
                        help="names of data sets; fetch needs at least one (default: all)")  # fmt: skip
    add_json(parser)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Do what is asked for; 1 if a file is missing that should be verified."""
    from minicnn import data
    from minicnn.validation import one_of

    if options.action == "fetch" and not options.names:
        options.parser.error("fetch needs the name of a data set")
    names = [one_of("datasets", "NAME", name, data.SOURCES) for name in options.names] or list(data.SOURCES)
    rows = [_row(name, options.action) for name in names]
    show(options, rows, "\n".join(map(_text, rows)))
    missing = [row["name"] for row in rows if not row["present"]]
    return 1 if options.action == "verify" and options.names and missing else 0


def _row(name: str, action: str) -> dict[str, Any]:
    from minicnn import data

    source = data.SOURCES[name]
    row = {"name": name, "images": source.count, "side": source.side, "classes": len(source.classes)}
    try:
        files = data.paths(name, download=action == "fetch")
    except FileNotFoundError:
        return {**row, "present": False, "verified": False, "files": []}
    if action != "list":
        data.load(name, download=False)  # compares the checksums
    return {**row, "present": True, "verified": action != "list", "files": [str(path) for path in files]}


def _text(row: dict[str, Any]) -> str:
    state = "verified" if row["verified"] else "on this machine" if row["present"] else "not on this machine"
    return (
        f"{row['name']:<14} {row['images']:>6,} images to split, {row['side']}x{row['side']}, {row['classes']} classes"
        f": {state}"
    )
