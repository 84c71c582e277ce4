"""The claims with their verdicts as text, Markdown, CSV and a picture."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims.claim import Claim, Effect, Judgement
from minicnn.study.report.style import COLOURS, INK, PALE, SHADE, panels, settled, styled
from minicnn.study.tables import csv_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Judged = Mapping[Claim, Judgement]
WIDTH = 112
READING = (
    "Effects are turned so that a positive number of points, or a factor above 1, agrees with the claim. Brackets are "
    "95 % intervals; the intervals of one measure of one study hold together, without a correction across claims "
    "or measures. A claim is supported or contradicted by an interval that lies beyond what does not matter, and "
    "undecided otherwise; it depends if some of its effects are supported and others contradicted. Counted numbers "
    "have no interval."
)


def amount(effect: Effect) -> str:
    """Return an effect with its interval.

    >>> amount(Effect("time", 2.0, 1.9, 2.1, 1.05, "times", "supported"))
    'x2.00 [1.90, 2.10]'
    """
    form = "{:.2f}" if effect.unit == "times" else "{:+.2f}"
    before, after = ("x", "") if effect.unit == "times" else ("", " points")
    if effect.low == effect.high:
        small = effect.unit == "times" and 0 < effect.mean < 0.01
        return f"x1/{1 / effect.mean:,.0f}" if small else f"{before}{effect.mean:.3g}{after}"
    mean, low, high = (form.format(value) for value in (effect.mean, effect.low, effect.high))
    ends = "no interval" if math.isnan(effect.low) else f"{low}, {high}"
    return f"{before}{mean} [{ends}]{after}"


def tally(found: Judgement) -> str:
    """Return how many effects have which verdict.

    >>> effect = Effect("time", 2.0, 1.9, 2.1, 1.05, "times", "supported")
    >>> tally(Judgement("supported", (effect, effect), ""))
    '2 of 2 effects supported'
    """
    count = Counter(effect.verdict for effect in found.effects)
    total = len(found.effects)
    parts = [f"{count[word]} {word}" for word in ("supported", "contradicted", "undecided") if count[word]]
    return ", ".join([parts[0].replace(" ", f" of {total} effects ", 1), *parts[1:]]) if parts else "no effects"


def table(judged: Judged) -> str:
    """Return all claims as text for a terminal."""
    width = max((len(e.what) for j in judged.values() for e in j.effects), default=0)
    lines = []
    for claim, found in judged.items():
        lines += [f"{claim.number}  {claim.lesson}", f"   {found.verdict.upper()} ({tally(found)})"]
        for effect in found.effects:
            lines += [f"     {effect.what:{width}}  {amount(effect):32}  {effect.verdict}"]
            lines += [_filled(effect.note, "       ")] if effect.verdict == "undecided" and effect.note else []
        lines += [_filled(found.sentence, "   "), ""]
    return "\n".join([*lines, textwrap.fill(READING, WIDTH)])


def _filled(text: str, indent: str) -> str:
    """Return text in lines; a number is not parted from its percent sign."""
    joined = text.replace(" %", "\N{NO-BREAK SPACE}%")
    filled = textwrap.fill(joined, WIDTH, initial_indent=indent, subsequent_indent=indent)
    return filled.replace("\N{NO-BREAK SPACE}", " ")


def markdown(judged: Judged, title: str, provenance: Mapping[str, str]) -> str:
    """Return all claims as Markdown, with what the results depend on."""
    lines = [f"# {title}", "", "![All effects](claims.png)", "", READING, ""]
    lines += ["| | the lesson says | verdict | effects |", "|---:|---|---|---|"]
    lines += [f"| {c.number} | {c.lesson} | **{j.verdict}** | {tally(j)} |" for c, j in judged.items()]
    for claim, found in judged.items():
        lines += [
            "",
            f"## {claim.number}. {claim.lesson}",
            "",
            f"**{found.verdict}** ({tally(found)}). {found.sentence}",
            "",
        ]
        lines += [f"Test: {claim.test}", ""]
        if found.rates:
            rates = "; ".join(f"{arm} {rate:g}" for arm, rate in found.rates.items())
            lines += [f"Learning rates, chosen on validation images: {rates}.", ""]
        lines += ["| effect | | margin | verdict |", "|---|---:|---:|---|"]
        lines += [f"| {e.what} | {amount(e)} | {_margin(e)} | {e.verdict}{_note(e)} |" for e in found.effects]
    lines += ["", "## Provenance", "", *(f"- {name}: {value}" for name, value in provenance.items())]
    return "\n".join(lines) + "\n"


def _margin(effect: Effect) -> str:
    return f"{effect.margin:.2f}" if effect.unit == "times" else f"\N{PLUS-MINUS SIGN}{effect.margin:.1f}"


def _note(effect: Effect) -> str:
    return f": {effect.note}" if effect.note else ""


COLUMNS = ("claim", "lesson", "claim_verdict", "effect", "mean", "low", "high", "margin", "unit", "verdict", "note")


def as_csv(judged: Judged) -> str:
    """Return all effects as CSV, one per line."""
    rows: list[Sequence[Any]] = [
        (c.number, c.lesson, j.verdict, e.what, e.mean, e.low, e.high, e.margin, e.unit, e.verdict, e.note)
        for c, j in judged.items()
        for e in j.effects
    ]
    return csv_text(COLUMNS, rows)


LOOKS: dict[str, dict[str, Any]] = {
    "supported": {"color": COLOURS[0], "marker": "D"},
    "contradicted": {"color": COLOURS[1], "marker": "X"},
    "undecided": {"color": PALE, "marker": "o", "markerfacecolor": "white"},
}


@styled
def picture(judged: Judged, title: str) -> Figure:
    """Draw all effects with their intervals: those in points above, factors below."""
    rows = [(claim.number, effect) for claim, found in judged.items() for effect in found.effects]
    groups = {unit: [row for row in rows if row[1].unit == unit] for unit in ("points", "times")}
    groups = {unit: group for unit, group in groups.items() if group}
    if not groups:
        raise ValueError("picture: judged must have at least one effect, got none. Run a claim to its end.")
    figure, axes = panels(title, len(groups), 1, width=11, height=1.6 + 0.34 * len(rows), share_y=False)
    grid: Any = axes[0].get_gridspec()
    grid.set_height_ratios([len(group) + 1 for group in groups.values()])
    for panel, (unit, group) in zip(axes, groups.items(), strict=True):
        _panel(panel, unit, group)
    _legend(figure)
    return settled(figure)


def _panel(axes: Axes, unit: str, rows: Sequence[tuple[int, Effect]]) -> None:
    points = unit == "points"
    if points:
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlabel("percentage points (linear up to 1, logarithmic beyond)")
    else:
        axes.set_xscale("log")
        axes.set_xlabel("factor")
    for height, (_, effect) in enumerate(reversed(rows)):
        _effect(axes, height, effect)
    axes.axvline(0 if points else 1, color=INK, linewidth=1, zorder=1)
    axes.set_yticks(range(len(rows)), [f"{number}  {effect.what}" for number, effect in reversed(rows)])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(visible=False, axis="y")
    ticks = _ticks(rows, points)
    axes.set_xticks(ticks, [f"{tick:+g}" if points and tick else f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _ticks(rows: Sequence[tuple[int, Effect]], points: bool) -> list[float]:
    """Return round numbers that cover all effects and what they are compared with."""
    ends = [v for _, e in rows for v in (e.mean, e.low, e.high) if not math.isnan(v)]
    low, high = min([*ends, 0.0 if points else 1.0]), max([*ends, 0.0 if points else 1.0])
    if points:
        steps = [-100.0, -30.0, -10.0, -3.0, -1.0, 0.0, 1.0, 3.0, 10.0, 30.0, 100.0]
    else:
        between = (1, 2, 5) if high < 100 * low else (1,)
        steps = [m * 10.0**power for power in range(-9, 9) for m in between]
    inside = [step for step in steps if low <= step <= high]
    first, last = steps.index(inside[0]), steps.index(inside[-1])
    return steps[max(first - 1, 0) : last + 2]


def _effect(axes: Axes, height: float, effect: Effect) -> None:
    low, high = (-effect.margin, effect.margin) if effect.unit == "points" else (1 / effect.margin, effect.margin)
    axes.fill_betweenx([height - 0.32, height + 0.32], low, high, color=SHADE, linewidth=0, zorder=0)
    look = LOOKS[effect.verdict]
    if not math.isnan(effect.low):
        axes.plot([effect.low, effect.high], [height, height], color=look["color"], linewidth=2)
    axes.plot(effect.mean, height, linestyle="none", markersize=6, **look)
    axes.annotate(
        amount(effect), (1, height), (6, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
        va="center", fontsize=8.5, color=INK, annotation_clip=False,
    )  # fmt: skip


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], label=name, markersize=6, **look) for name, look in LOOKS.items()]
    handles.append(Patch(color=SHADE, label="too small to matter"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
