"""What the zoo's table says: one row a bug, for a terminal, as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from experiments.zoo.bugs import Bug
from experiments.zoo.checks import CHECKS, Outcome
from minicnn.study.run import Run
from minicnn.study.run import csv_text as table_text
from minicnn.study.statistics import Interval, paired_difference
from minicnn.study.table import points

LOSS_FALLS = "loss falls"
LEGEND = {check.name: check.legend for check in CHECKS} | {
    LOSS_FALLS: "with the bug, the training loss of the last epoch is below that of the first, for every seed"
}
RAISES = "raises: the op ends with an error, which needs no check (far cells takes only windows that tile the image)"
MARKS = {"passes": ".", "caught": "CAUGHT", "raises": "raises"}


@dataclass(frozen=True)
class Row:
    """One bug: what each check says of it, and test accuracies by seed with it and with the right op.

    `failure` is the message of the error with which training ended, if it did.
    """

    bug: Bug
    outcomes: Mapping[str, Outcome]
    wrong: Mapping[int, float]
    right: Mapping[int, float]
    failure: str
    test_share: float

    @property
    def difference(self) -> Interval | None:
        """The paired difference, wrong minus right, if there is one."""
        if not set(self.wrong) & set(self.right):
            return None
        return paired_difference(self.wrong, self.right, test_share=self.test_share)

    def checks(self, outcome: Outcome) -> list[str]:
        """Return the checks with this outcome, the bug's own first."""
        names = [name for name, found in self.outcomes.items() if found == outcome]
        return sorted(names, key=lambda name: name != self.bug.caught_by)


def make_row(bug: Bug, wrong: Sequence[Run | str], right: Sequence[Run | str], test_share: float) -> Row:
    """Return the row of a bug from its runs and those with the right op; a string is why there is no run."""
    runs = [run for run in wrong if isinstance(run, Run)]
    failures = [message for message in wrong if isinstance(message, str)]
    outcomes: dict[str, Outcome] = {check.name: check.outcome(bug.wrong, bug.right) for check in CHECKS}
    falls = all(run.curve[-1]["loss"] <= run.curve[0]["loss"] for run in runs)
    outcomes[LOSS_FALLS] = "raises" if failures else "passes" if falls else "caught"
    return Row(bug, outcomes, _accuracies(wrong), _accuracies(right), next(iter(failures), ""), test_share)


def _accuracies(runs: Iterable[Run | str]) -> dict[int, float]:
    return {run.seed: run.test_accuracy for run in sorted(_only(runs), key=lambda run: run.seed)}


def _only(runs: Iterable[Run | str]) -> list[Run]:
    return [run for run in runs if isinstance(run, Run)]


def headline(rows: Sequence[Row]) -> str:
    """Say in a sentence how well the bugs train."""
    trained = {row.bug.name: mean(row.wrong.values()) for row in rows if row.wrong and not row.failure}
    silent = sum(row.outcomes[LOSS_FALLS] == "passes" for row in rows)
    if not trained:
        return f"None of {len(rows)} bugs trains."
    worst = min(trained, key=lambda name: trained[name])
    return (
        f"{silent} of {len(rows)} bugs train without a sign: the loss falls, and a net with them reads "
        f"{100 * trained[worst]:.1f} % ({worst}) to {100 * max(trained.values()):.1f} % of the test digits."
    )


def text(rows: Sequence[Row]) -> str:
    """Return two tables for a terminal: what each bug does to training, and what each check sees of it."""
    training = [
        ("bug", "with it, %", "right, %", "difference, points", "caught by"),
        *((row.bug.name, *_numbers(row), row.bug.caught_by) for row in rows),
    ]
    seen = [("bug", *LEGEND), *((row.bug.name, *(MARKS[row.outcomes[name]] for name in LEGEND)) for row in rows)]
    wrong = [f"{row.bug.name}: {row.bug.what}{_failure(row)}\n    why it trains: {row.bug.why}" for row in rows]
    legend = [*(f"{name}: {words}" for name, words in LEGEND.items()), RAISES]
    parts = ([headline(rows)], _aligned(training), wrong, _aligned(seen), legend)
    return "\n\n".join("\n".join(part) for part in parts)


def markdown(rows: Sequence[Row], settings: Mapping[str, str]) -> str:
    """Return the whole story as a Markdown page."""
    head = (
        *("bug", "what is wrong", "caught by", "not caught by"),
        *("test accuracy with it, %", "with the right op, %", "difference, points [95 % interval]"),
    )
    body = [(row.bug.name, row.bug.what, _caught(row), ", ".join(row.checks("passes")), *_numbers(row)) for row in rows]
    marks = ("---",) * 4 + ("---:",) * 3
    failures = [f"- {row.bug.name}{_failure(row)}" for row in rows if row.failure]
    parts = [
        ["# The bug zoo"],
        [headline(rows)],
        ["| " + " | ".join(cells) + " |" for cells in (head, marks, *body)],
        ["Differences are paired by seed; the interval is widened for overlapping splits (Nadeau and Bengio 2003)."],
        failures,
        ["The checks:", "", *(f"- **{name}**: {words}" for name, words in LEGEND.items()), "", RAISES],
        ["Why they train:", "", *(f"- {row.bug.name}: {row.bug.why}" for row in rows)],
        ["Where they were published:", "", *(f"- {row.bug.name}: {row.bug.published}" for row in rows)],
        ["How they were trained:", "", *(f"- {name}: {words}" for name, words in settings.items())],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """Return one line a bug with everything in it; accuracies by seed are fractions, separated by spaces."""
    intervals = ("difference", "low", "high")
    by_seed = ("seeds", "accuracies_wrong", "accuracies_right")
    header = ["bug", "what", "published", "caught_by", *LEGEND, *by_seed, *intervals, "failure"]
    return table_text(header, map(_line, rows))


def _line(row: Row) -> list[str | float]:
    bug, d = row.bug, row.difference
    return [
        *(bug.name, bug.what, bug.published, bug.caught_by),
        *(row.outcomes[name] for name in LEGEND),
        *(" ".join(map(repr, each)) for each in (row.right, row.wrong.values(), row.right.values())),
        *((d.mean, d.low, d.high) if d else ("", "", "")),
        row.failure,
    ]


def _numbers(row: Row) -> tuple[str, str, str]:
    wrong, right = (f"{100 * mean(each.values()):.2f}" if each else "-" for each in (row.wrong, row.right))
    return "does not train" if row.failure else wrong, right, points(row.difference) if row.difference else "-"


def _caught(row: Row) -> str:
    own, *others = [*row.checks("caught"), *row.checks("raises")]
    also = f" (also {', '.join(others)})" if others else ""
    return f"**{own}**{also}"


def _failure(row: Row) -> str:
    return f". Training ended with: {row.failure}" if row.failure else ""


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
