"""One page with everything a reader needs to judge a study: a single file that asks for nothing else."""

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
from minicnn.study.pictures import image
from minicnn.study.run import Run
from minicnn.study.statistics import Row
from minicnn.study.table import cells, footnote, header, printable, seconds
from minicnn.study.words import findings, headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# a picture's name -> what is to be seen, for those who cannot see it, and how to read it
CAPTIONS = {
    "differences": (
        "Forest plot of each head's difference in test accuracy from the control; the table has the numbers.",
        "Each dot is one seed's difference, the diamond their mean, the bar its 95 % interval. A bar that lies wholly "
        "outside the grey region is a difference that matters; one wholly inside it, a difference that does not.",
    ),
    "accuracy_against_cost": (
        "Mean test accuracy of each head against multiply-adds and against parameters; the table has the numbers.",
        "Mean test accuracy with its 95 % interval. Heads of nearly the same cost are moved side by side. The bars are "
        "of single heads: whether two heads differ is a question for the paired differences.",
    ),
    "learning_curves": (
        "Validation error of each head while training, against epochs and against seconds.",
        "Mean over seeds, the band spans the middle half of them. The axis is logarithmic: each halving of the error "
        "takes the same room. A line ends at the last epoch that all its seeds reached.",
    ),
}
RUN_COLUMNS = ("head", "seed", "test accuracy, %", "test loss", "validation accuracy, %", "epochs", "s/epoch")


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
    """Write the study as one HTML file, whole or not at all, and return its path.

    Parameters
    ----------
    rows, runs
        What `summarize` made of the runs, and the runs.
    settings, notes
        How it was measured: by name (data, optimizer, epochs ...), and paragraphs on limits and choices.
    figures
        By name, in order. The functions of `pictures` have captions under their own names; other names are shown.
    command
        What to type to get this report again.
    machine
        Default: that of this process, `environment()`.
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
        "findings": [_typeset(finding, [row.head for row in rows]) for finding in findings(rows)],
        "header": header(rows),
        "rows": [[name, *map(_typeset, numbers)] for name, *numbers in map(cells, rows)],
        "verdicts": [row.verdict or "none" for row in rows],
        "footnote": footnote(rows),
        "figures": [_picture(name, figure) for name, figure in figures.items()],
        "run_header": RUN_COLUMNS,
        "runs": [_run_cells(run) for run in runs],
    }


def _template() -> Any:
    jinja2 = need("jinja2")
    source = files("minicnn.study").joinpath("report.html.jinja").read_text(encoding="utf-8")
    # every value is escaped: names and settings are the user's, and none of them is markup
    rules = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return rules.from_string(source)


def _picture(name: str, figure: Figure) -> dict[str, str]:
    words = name.replace("_", " ")
    alt, caption = CAPTIONS.get(name, (words, words))
    # an <img>, not inline markup: the ids inside two pictures cannot meet, and nothing in one can run
    data = base64.b64encode(image(figure, "svg")).decode()
    return {"source": f"data:image/svg+xml;base64,{data}", "alt": alt, "caption": caption}


def _run_cells(run: Run) -> tuple[str, ...]:
    return (
        printable(run.head),
        str(run.seed),
        f"{100 * run.test_accuracy:.2f}",
        f"{run.test_loss:.4f}",
        f"{100 * run.valid_accuracy:.2f}",
        str(run.epochs),
        seconds(run.seconds_per_epoch),
    )


def _typeset(text: str, names: Sequence[str] = ()) -> str:
    """Give negative numbers a real minus sign; hyphens in names stay."""
    known = "|".join(re.escape(printable(name)) for name in sorted(names, key=len, reverse=True) if name)
    parts = re.split(f"({known})", text) if known else [text]
    # split at a group: what lies between the names, and the names, take turns
    parts[::2] = [re.sub(r"(?<![^\s\[(])-(?=\d)", "\N{MINUS SIGN}", part) for part in parts[::2]]
    return "".join(parts)
