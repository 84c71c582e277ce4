"""The report of a study: one HTML file without external resources."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.environment import environment
from minicnn.files import atomic_write
from minicnn.optional import need
from minicnn.study.inference import Row
from minicnn.study.ledger import Run
from minicnn.study.report.figures import image
from minicnn.study.report.sentences import findings, headline
from minicnn.study.report.tables import caution, cells, footnote, header, printable, seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# figure name -> (alternative text, caption)
CAPTIONS = {
    "differences": (
        "Forest plot of each arm's difference in test accuracy from the control; the table has the numbers.",
        "Each dot is the difference of one seed, the diamond is their mean and the bar its 95 % confidence interval. "
        "The grey region contains differences too small to matter in practice.",
    ),
    "accuracy_against_cost": (
        "Mean test accuracy of each arm against multiply-adds and against parameters; the table has the numbers.",
        "Mean test accuracy with its 95 % confidence interval. Arms of nearly equal cost are drawn side by side. The "
        "bars describe single arms; whether two arms differ is shown by the paired differences.",
    ),
    "learning_curves": (
        "Validation error of each arm during training, against epochs and against seconds.",
        "Each line is the mean over seeds, the band contains the middle half of them. The error axis is logarithmic. "
        "A line ends at the last epoch that all seeds of the arm reached.",
    ),
}
RUN_COLUMNS = ("arm", "seed", "test accuracy, %", "test loss", "validation accuracy, %", "epochs", "seconds per epoch")


def write_report(
    path: str | Path,
    *,
    title: str,
    question: str,
    rows: Sequence[Row],
    runs: Sequence[Run],
    settings: Mapping[str, str],
    figures: Mapping[str, Figure],
    command: str,
    notes: Sequence[str] = (),
    machine: Mapping[str, str] | None = None,
) -> Path:
    """Write the report as one HTML file, completely or not at all, and return its path.

    Parameters
    ----------
    title, question
        The heading of the page and the question that the study answers.
    rows, runs
        The summary returned by `summarize`, and the runs.
    settings, notes
        The method: settings by name (data, optimizer, epochs ...), and paragraphs on limitations and choices.
    figures
        Figures by name, in order. Names of functions in `figures` have captions; other names serve as captions.
    command
        The command that reproduces the report.
    machine
        Versions and hardware by name. Default: those of this process, `environment()`.
    """
    page = _template().render(
        _shown(rows, runs, figures),
        title=title,
        question=question,
        settings=settings,
        notes=notes,
        machine=environment() if machine is None else machine,
        command=command,
    )
    return atomic_write(path, page)


def _shown(rows: Sequence[Row], runs: Sequence[Run], figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {
        "headline": headline(rows),
        "findings": [_typeset(finding, [row.arm for row in rows]) for finding in findings(rows)],
        "header": header(rows),
        "rows": [[name, *map(_typeset, numbers)] for name, *numbers in map(cells, rows)],
        "verdicts": [row.verdict or "none" for row in rows],
        "notes_to_table": [note for note in (caution(rows), footnote(rows)) if note],
        "figures": [_figure(name, figure) for name, figure in figures.items()],
        "run_header": RUN_COLUMNS,
        "runs": [_run_cells(run) for run in runs],
    }


def _template() -> Any:
    jinja2 = need("jinja2")
    source = files("minicnn.study.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    # every value is escaped: names and settings are text of the user, never markup
    rules = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return rules.from_string(source)


def _figure(name: str, figure: Figure) -> dict[str, str]:
    words = name.replace("_", " ")
    alt, caption = CAPTIONS.get(name, (words, words))
    # an <img>, not inline SVG: the ids of two figures cannot collide, and no script in a figure can run
    data = base64.b64encode(image(figure, "svg")).decode()
    return {"source": f"data:image/svg+xml;base64,{data}", "alt": alt, "caption": caption}


def _run_cells(run: Run) -> tuple[str, ...]:
    return (
        printable(run.arm),
        str(run.seed),
        f"{100 * run.test_accuracy:.2f}",
        f"{run.test_loss:.4f}",
        f"{100 * run.valid_accuracy:.2f}",
        str(run.epochs),
        seconds(run.seconds_per_epoch),
    )


def _typeset(text: str, names: Sequence[str] = ()) -> str:
    """Replace the hyphen of negative numbers by a minus sign; hyphens in names stay."""
    known = "|".join(re.escape(printable(name)) for name in sorted(names, key=len, reverse=True) if name)
    parts = re.split(f"({known})", text) if known else [text]
    # re.split with a group returns the text between names at even positions, the names at odd ones
    parts[::2] = [re.sub(r"(?<![^\s\[(])-(?=\d)", "\N{MINUS SIGN}", part) for part in parts[::2]]
    return "".join(parts)
