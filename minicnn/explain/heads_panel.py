"""The panels of the heads and of the shifts as far as they do not change: what each head says, sums and tables."""

from __future__ import annotations

import html

import numpy as np

from minicnn.explain.contract import Data, Head, Shift
from minicnn.explain.markup import chances, counted, number, percent, plus, thousands

MOVES = {
    "Move up": ("dy-1", "\u2191"),
    "Move left": ("dx-1", "\u2190"),
    "Back to the middle": ("dy=0 dx=0", "\u2022"),
    "Move right": ("dx+1", "\u2192"),
    "Move down": ("dy+1", "\u2193"),
}
"""What each button changes, and its sign."""
METER = '<span class="says"></span><span class="meter" aria-hidden="true"><i></i></span><span class="num soft"></span>'


def heads_panel(data: Data) -> dict[str, str]:
    """Return the cards of the heads, their answers and their consistency, which the script fills, and ways to move."""
    ring = "A ring marks places where a maximum was found, which are all that such a head looks at."
    ways = (
        f'<button type="button" data-set="{change}" aria-label="{label}">{arrow}</button>'
        for label, (change, arrow) in MOVES.items()
    )
    return {
        "cards": "".join(_card(data, head, n) for n, head in enumerate(data.heads)),
        "answers": "".join(
            f'<li class="stack middle"><b>{html.escape(head.name)}</b>{METER}</li>' for head in data.heads
        ),
        "ring": ring if any(head.winners for head in data.heads) else "",
        "ways": "<i></i>{}<i></i>{}{}{}<i></i>{}".format(*ways),
        "consistency": "" if data.shift is None else _consistency(data.shift),
    }


def _card(data: Data, head: Head, n: int) -> str:
    """Return what a head says, the place of its class map, and for each class the sum that is its logit."""
    found = chances(head.logits)
    best = int(np.argmax([float(v) for v in head.logits]))
    says = html.escape(data.classes[best]) if np.isfinite(found).all() else "NaN"
    sums = "".join(f'<p class="sum large" data-when="class={k}">{_sum(head, k)}</p>' for k in range(len(data.classes)))
    return (
        f'<li><h3>{html.escape(head.name)}</h3><p class="{"ok" if best == data.label else "grad"}">says {says} '
        f'<small>{percent(float(found[best]))}</small></p><div id="card{n}"></div>{sums}<p class="cost soft">'
        f"{counted(head.parameters)} \u00b7 {thousands(head.multiply_adds)} multiply-adds</p></li>"
    )


def _sum(head: Head, k: int) -> str:
    logit, bias, remainder = (float(v[k]) for v in (head.logits, head.bias, head.remainder))
    rest = "" if head.exact else f'<span class="grad">{plus(remainder)} remainder </span>'
    return f"\u03a3 {number(logit - bias - remainder)}{plus(bias)} bias {rest}= <b>{number(logit)}</b>"


def _consistency(shift: Shift) -> str:
    tables = "".join(
        f'<li><h4>{html.escape(name)}</h4><div id="consistency{n}"></div></li>'
        for n, name in enumerate(shift.consistency)
    )
    return (
        f'<h3 class="below">How often the answer stayed the same, over {shift.images} images</h3>'
        f'<ul class="cards stack">{tables}</ul><p class="note dim">In percent. Rows are moves up and down, columns '
        "left and right; the middle is the image where it was.</p>"
    )
