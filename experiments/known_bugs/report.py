"""Tables of the known bugs for the terminal, as Markdown and as CSV, with one row per bug."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from experiments.known_bugs.bugs import Bug
from experiments.known_bugs.checks import CHECKS, Outcome
from experiments.known_bugs.training import Run
from minicnn.study import Resplits
from minicnn.study.statistics.intervals import Interval, differences_by_seed, mean_interval
from minicnn.study.tables import csv_text as table_text

LOSS_FALLS = "loss falls"
DESCRIPTIONS = {check.name: check.description for check in CHECKS} | {
    LOSS_FALLS: "with the bug, the training loss of the last epoch is below that of the first, for every seed"
}
RAISES = (
    "raises: the op raises an error, which is noticed without a check (reshape axis order requires windows that tile "
    "the image)"
)
MARKS = {"passes": ".", "fails": "FAILS", "raises": "raises"}


@dataclass(frozen=True)
class Result:
    """The results of one bug.

    Attributes
    ----------
    bug : Bug
    outcomes : dict
        Outcome of each check by name.
    incorrect, correct : dict
        Test accuracy by seed, with the incorrect and with the correct implementation.
    failure : str
        Message of the error that ended training, or "".
    test_share : float
        Number of test images divided by number of training images, for the confidence interval.
    """

    bug: Bug
    outcomes: Mapping[str, Outcome]
    incorrect: Mapping[int, float]
    correct: Mapping[int, float]
    failure: str
    test_share: float

    @property
    def difference(self) -> Interval | None:
        """The paired difference of accuracies, incorrect minus correct; None without a common seed."""
        if not set(self.incorrect) & set(self.correct):
            return None
        differences = differences_by_seed(self.incorrect, self.correct)
        factor = Resplits(max(len(differences), 1)).factor(1, self.test_share)
        return mean_interval(list(differences.values()), factor=factor)

    def checks(self, outcome: Outcome) -> list[str]:
        """Return the names of the checks with this outcome, `bug.detected_by` first."""
        names = [name for name, found in self.outcomes.items() if found == outcome]
        return sorted(names, key=lambda name: name != self.bug.detected_by)


def make_result(bug: Bug, incorrect: Sequence[Run | str], correct: Sequence[Run | str], test_share: float) -> Result:
    """Return the result of a bug from its runs and those of the correct op; a run that failed is an error message."""
    runs = _completed(incorrect)
    failures = [message for message in incorrect if isinstance(message, str)]
    outcomes: dict[str, Outcome] = {check.name: check.outcome(bug.incorrect, bug.correct) for check in CHECKS}
    falls = all(run.losses[-1] <= run.losses[0] for run in runs)
    outcomes[LOSS_FALLS] = "raises" if failures else "passes" if falls else "fails"
    return Result(bug, outcomes, _accuracies(incorrect), _accuracies(correct), next(iter(failures), ""), test_share)


def _accuracies(runs: Iterable[Run | str]) -> dict[int, float]:
    return {run.seed: run.test_accuracy for run in sorted(_completed(runs), key=lambda run: run.seed)}


def _completed(runs: Iterable[Run | str]) -> list[Run]:
    return [run for run in runs if isinstance(run, Run)]


def headline(results: Sequence[Result]) -> str:
    """Return a sentence on how many bugs train unnoticed, and with which test accuracies."""
    trained = {r.bug.name: mean(r.incorrect.values()) for r in results if r.incorrect and not r.failure}
    unnoticed = sum(r.outcomes[LOSS_FALLS] == "passes" for r in results)
    if not trained:
        return f"None of {len(results)} bugs trains."
    worst = min(trained, key=lambda name: trained[name])
    return (
        f"{unnoticed} of {len(results)} bugs train without any visible symptom: the loss decreases, and the test "
        f"accuracy is {100 * trained[worst]:.1f} % ({worst}) to {100 * max(trained.values()):.1f} %."
    )


def text(results: Sequence[Result]) -> str:
    """Return two tables for the terminal: training with each bug, and the outcome of each check."""
    training = [
        ("bug", "with it, %", "correct, %", "difference, percentage points", "detected by"),
        *((r.bug.name, *_numbers(r), r.bug.detected_by) for r in results),
    ]
    bugs = [
        f"{r.bug.name}: {r.bug.description}{_failure(r)}\n    why it trains: {r.bug.why_it_trains}" for r in results
    ]
    outcomes = [
        ("bug", *DESCRIPTIONS),
        *((r.bug.name, *(MARKS[r.outcomes[name]] for name in DESCRIPTIONS)) for r in results),
    ]
    legend = [*(f"{name}: {description}" for name, description in DESCRIPTIONS.items()), RAISES]
    parts = ([headline(results)], _aligned(training), bugs, _aligned(outcomes), legend)
    return "\n\n".join("\n".join(part) for part in parts)


def markdown(results: Sequence[Result], settings: Mapping[str, str]) -> str:
    """Return all results as a Markdown page; `settings` says how the networks were trained."""
    head = (
        *("bug", "what is incorrect", "detected by", "not detected by"),
        *("test accuracy with it, %", "with the correct op, %", "difference, percentage points [95 % interval]"),
    )
    body = [(r.bug.name, r.bug.description, _detected(r), ", ".join(r.checks("passes")), *_numbers(r)) for r in results]
    marks = ("---",) * 4 + ("---:",) * 3
    failures = [f"- {r.bug.name}{_failure(r)}" for r in results if r.failure]
    parts = [
        ["# Known bugs"],
        [headline(results)],
        ["| " + " | ".join(cells) + " |" for cells in (head, marks, *body)],
        ["Differences are paired by seed; the interval is corrected for overlapping splits (Nadeau and Bengio 2003)."],
        failures,
        [
            "The checks:",
            "",
            *(f"- **{name}**: {description}" for name, description in DESCRIPTIONS.items()),
            "",
            RAISES,
        ],
        ["Why they train:", "", *(f"- {r.bug.name}: {r.bug.why_it_trains}" for r in results)],
        ["Where they were published:", "", *(f"- {r.bug.name}: {r.bug.published}" for r in results)],
        ["How the networks were trained:", "", *(f"- {name}: {value}" for name, value in settings.items())],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def csv_text(results: Sequence[Result]) -> str:
    """Return the results as CSV, one row per bug; accuracies by seed are fractions, separated by spaces."""
    intervals = ("difference", "low", "high")
    by_seed = ("seeds", "accuracies_incorrect", "accuracies_correct")
    columns = ("bug", "description", "published", "detected_by", *DESCRIPTIONS, *by_seed, *intervals, "failure")
    return table_text(columns, map(_row, results))


def _row(result: Result) -> list[str | float]:
    bug, d = result.bug, result.difference
    accuracies = (result.correct, result.incorrect.values(), result.correct.values())
    return [
        *(bug.name, bug.description, bug.published, bug.detected_by),
        *(result.outcomes[name] for name in DESCRIPTIONS),
        *(" ".join(map(repr, each)) for each in accuracies),
        *((d.mean, d.low, d.high) if d else ("", "", "")),
        result.failure,
    ]


def _numbers(result: Result) -> tuple[str, str, str]:
    incorrect, correct = (
        f"{100 * mean(each.values()):.2f}" if each else "-" for each in (result.incorrect, result.correct)
    )
    difference = _points(result.difference) if result.difference else "-"
    return "does not train" if result.failure else incorrect, correct, difference


def _points(interval: Interval) -> str:
    """Return a difference of fractions in percentage points with its interval."""
    mean, low, high = (f"{100 * value:+z.2f}" for value in (interval.mean, interval.low, interval.high))
    return f"{mean} [n/a]" if math.isnan(interval.low) else f"{mean} [{low}, {high}]"


def _detected(result: Result) -> str:
    first, *others = [*result.checks("fails"), *result.checks("raises")]
    also = f" (also {', '.join(others)})" if others else ""
    return f"**{first}**{also}"


def _failure(result: Result) -> str:
    return f". Training ended with: {result.failure}" if result.failure else ""


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
