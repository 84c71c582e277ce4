"""The panel of a study as HTML: every seed, intervals, the margin and curves as SVG, and the numbers as a table."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable

from minicnn.explain.contract import Arm, Real, Study
from minicnn.explain.markup import table

WIDTH, ROW = 480, 54
"""Of a plot, narrow enough that a phone shows its text, and of an arm in it."""
DASHES = ("none", "none", "6 3", "2 3")
"""Of curves, whose colours take turns."""
DRAWN = 'fill="none" stroke="currentColor" stroke-width="2"'
HEAD = ("arm", "mean", "interval", "difference", "verdict", "seeds")


def study_panel(study: Study) -> str:
    """Return the section."""
    margin, around = _number(study.margin), html.escape(study.baseline)
    return f"""<section id="study" class="panel" aria-labelledby="study-title" tabindex="-1">
<header class="stack"><span class="number value" aria-hidden="true">8</span><h2 id="study-title">What a study found</h2>
<p class="soft">One trained net proves little. Here every head was trained with several seeds: each small dot is one \
of them, the large one their mean with its interval.</p></header>
<div class="wide plots stack"><figure><figcaption>{html.escape(study.metric)}</figcaption>{_dots(study)}\
<p class="note dim">The band is the margin of {margin} to both sides of {around}: differences inside it do not matter \
in practice. Intervals have {100 * study.confidence:.3g} % confidence.</p></figure>
{_curves(study)}</div>
{f'<p class="verdict small">{html.escape(study.verdict)}</p>' if study.verdict else ""}
<details class="more large"><summary>Numbers of the study</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the study">\
{table(HEAD, map(_row, study.arms))}</div></details>
</section>"""


def _number(value: Real | None) -> str:
    return "" if value is None else f"{float(value):.4g}"


def _range(low: Real | None, high: Real | None) -> str:
    return "" if low is None else f"{_number(low)} to {_number(high)}"


def _row(arm: Arm) -> list[str]:
    difference = f"{_number(arm.difference)} {_range(arm.difference_low, arm.difference_high)}"
    seeds = ", ".join(map(_number, arm.values))
    return [arm.name, _number(arm.mean), _range(arm.low, arm.high), difference, arm.verdict or "", seeds]


def _finite(values: Iterable[Real | None]) -> list[float]:
    return [float(v) for v in values if v is not None and math.isfinite(float(v))]


def _dots(study: Study) -> str:
    """Return a row per arm: its mean with the interval, and below it a dot per seed."""
    control = next((arm for arm in study.arms if arm.name == study.baseline), study.arms[0])
    band = _finite([float(control.mean) - float(study.margin), float(control.mean) + float(study.margin)])
    every = [*band, *(v for arm in study.arms for v in _finite([*arm.values, arm.low, arm.high]))] or [0.0]
    least, most = min(every), max(every)
    gap, foot = 0.06 * (most - least or 1), ROW * len(study.arms)

    def x(value: float) -> str:
        return f"{(value - least + gap) / (most - least + 2 * gap) * WIDTH:.1f}"

    margin = (
        f'<path class="value" opacity="0.1" d="M{x(band[0])} 0H{x(band[1])}V{foot}H{x(band[0])}z"/>' if band else ""
    )
    ticks = "".join(
        f'<line class="grid" stroke="currentColor" x1="{x(t)}" x2="{x(t)}" y1="0" y2="{foot}"/>'
        f'<text x="{x(t)}" y="{foot + 18}" text-anchor="middle">{t:.6g}</text>'
        for t in ticks_in(least, most)
    )
    arms = "".join(_arm(arm, ROW * i + 28, x) for i, arm in enumerate(study.arms))
    label = f"{study.metric} of each seed, with the mean and interval of each arm"
    return _svg(foot + 26, label, margin + ticks + arms)


def ticks_in(least: float, most: float) -> list[float]:
    """Return round numbers between two others, at least three of them if these differ.

    >>> ticks_in(0.0891, 0.963), ticks_in(0.968, 0.9755), ticks_in(3, 3)
    ([0.2, 0.4, 0.6, 0.8], [0.968, 0.97, 0.972, 0.974], [3])
    """
    if most <= least:
        return [least]
    power = 10 ** math.floor(math.log10((most - least) / 3))
    step = power * max(m for m in (1, 2, 5) if m * power <= (most - least) / 3)
    first = math.ceil(least / step - 1e-9)
    return [float(f"{step * k:.12g}") for k in range(first, math.floor(most / step + 1e-9) + 1)]


def _arm(arm: Arm, y: int, x: Callable[[float], str]) -> str:
    seeds = "".join(
        f'<circle class="value" opacity="0.35" cx="{x(v)}" cy="{y + 14}" r="4"/>' for v in _finite(arm.values)
    )
    ends = _finite([arm.low, arm.high])
    interval = (
        f'<path class="value" stroke="currentColor" stroke-width="2.5" d="M{x(ends[0])} {y + 2}H{x(ends[1])}"/>'
        if len(ends) == 2
        else ""
    )
    mean = "".join(f'<circle class="value" cx="{x(v)}" cy="{y + 2}" r="5.5"/>' for v in _finite([arm.mean]))
    return f'<text x="0" y="{y - 12}" class="ink" font-size="14">{html.escape(arm.name)}</text>{seeds}{interval}{mean}'


def _svg(height: int, label: str, inside: str) -> str:
    name = f'role="img" aria-label="{html.escape(label)}"'
    return f'<svg viewBox="0 0 {WIDTH} {height}" class="plot soft" {name}>{inside}</svg>'


def _curves(study: Study) -> str:
    """Return the mean curve of each arm over the epochs."""
    curves = {arm.name: arm.curve for arm in study.arms if arm.curve and _finite(arm.curve)}
    if not curves:
        return ""
    every = [v for curve in curves.values() for v in _finite(curve)]
    least, most, epochs = min(every), max(every), max(map(len, curves.values()))

    def y(value: float) -> str:
        return f"{10 + (1 - (value - least) / (most - least or 1)) * 170:.1f}"

    def x(epoch: int) -> str:
        return f"{42 + (WIDTH - 46) * epoch / max(1, epochs - 1):.1f}"

    grid = "".join(
        f'<line class="grid" stroke="currentColor" x1="42" x2="{WIDTH}" y1="{y(v)}" y2="{y(v)}"/>'
        f'<text x="0" y="{float(y(v)) + 4:.1f}">{v:.6g}</text>'
        for v in ticks_in(least, most)
    )
    lines = []
    for k, (name, curve) in enumerate(curves.items()):
        points = "L".join(f"{x(i)} {y(v)}" for i, value in enumerate(curve) for v in _finite([value]))
        text = f'<text class="soft" x="66" y="{228 + 18 * k}">{html.escape(name)}</text>'
        paths = "".join(f'<path {DRAWN} d="{path}"/>' for path in (f"M{points}", f"M42 {224 + 18 * k}h18"))
        look = f'class="{"grad" if k % 2 else "value"}" stroke-dasharray="{DASHES[k % 4]}"'
        lines.append(f"<g {look}>{paths}{text}</g>")
    ends = f'<text x="42" y="202">epoch 1</text><text x="{WIDTH}" y="202" text-anchor="end">epoch {epochs}</text>'
    title = f"{study.curve_of or 'measure'} by epoch"
    plot = _svg(224 + 18 * len(curves), title, grid + "".join(lines) + ends)
    return f"<figure><figcaption>{html.escape(title)}, the mean over seeds</figcaption>{plot}</figure>"
