"""What of the page needs no script: its text, its controls, and what does not change while it is read."""

from __future__ import annotations

import html
from collections.abc import Iterable
from importlib import resources
from string import Template

import numpy as np

from minicnn import ops
from minicnn.explain.contract import Data, Node
from minicnn.explain.study_panel import study_panel, table

PANELS = {
    "net": "Net",
    "bench": "Window",
    "back": "Gradient",
    "step": "Training step",
    "heads": "Heads",
    "shift": "Shift",
    "draw": "Draw",
    "study": "Study",
}
OPERATIONS = {
    "max": "maximum",
    "average": "average",
    "counted": "average, pads counted",
    "lp": "Lp norm",
    "gem": "generalised mean",
    "lme": "log-mean-exp",
    "soft": "soft",
    "blur": "blur",
    "conv": "convolution",
    "gmax": "global maximum",
    "gavg": "global average",
    "amax": "adaptive maximum",
    "aavg": "adaptive average",
}
PAIRS = {"window": ("k", "window", 6), "stride": ("s", "stride", 6), "dilation": ("d", "free", 3)}
PAIRS |= {"output": ("o", "out", 6)}
"""Sliders for rows and columns: the key of their state, the condition under which they apply, and their end."""
SIDES = ("top", "bottom", "left", "right")
SUMMARY = ("layer", "output", "parameters", "multiply-adds", "receptive field")


UPDATE = ("parameter", "shape", "element with the largest gradient", "gradient", "old", "change", "new")


def body(data: Data) -> str:
    """Return the body of the page without its data and script; `page.html` has its order."""
    text = (resources.files("minicnn.explain") / "page.html").read_text(encoding="utf-8")
    panels = [(name, title) for name, title in PANELS.items() if name != "study" or data.study]
    rows = [[_thousands(cell) for cell in row] for row in data.summary]
    made = Template(text).substitute(
        **_facts(data),
        nav="".join(
            f'<a data-to="{name}"><span aria-hidden="true">{i}</span>{title}</a>'
            for i, (name, title) in enumerate(panels, 1)
        ),
        optimizer=html.escape(data.tape.optimizer or "The optimizer"),
        updates=table(UPDATE, map(_update, filter(lambda node: node.leaf and node.checks, data.tape.nodes))),
        shapes=html.escape("\n".join(data.shapes)),
        summary=table(SUMMARY, rows),
        operations="".join(f'<option value="{name}">{text}</option>' for name, text in OPERATIONS.items()),
        sliders="".join(_sliders()),
        weights="".join(map(_weight, range(9))),
        paddings=_choice("pad", {"valid": "valid", "same": "same", "sides": "four sides"}),
        sides="".join(slider(f"{side} padding", f"p{side[0]}", 0, 3, when="free sides") for side in SIDES),
        ties=_choice("ties", {"first": "first", "split": "split"}),
        which=_choice("back", {"one": "one output", "all": "all outputs"}),
        classes=_choice("class", {str(i): name for i, name in enumerate(data.classes)}),
        study="" if data.study is None else study_panel(data.study),
        version=data.minicnn,
    )
    return made.encode("utf-8", "replace").decode()  # half of a surrogate pair, which no encoding has, becomes "?"


def _thousands(value: str | int) -> str:
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else value


def _update(node: Node) -> list[str]:
    """Return what the optimizer makes of the element of a parameter with the largest gradient."""
    check = node.checks[0]
    old, new = float(check.value), float(check.value if check.after is None else check.after)
    name = f"{(node.layer or '').rpartition('/')[2]}/{node.leaf}"
    shape = " \u00d7 ".join(map(str, node.shape))
    return [name, shape, str(check.cell), *(f"{v:.4g}" for v in (float(check.exact), old, new - old, new))]


def _percent(share: float) -> str:
    return "more than 99.9 %" if share > 0.9995 else f"{100 * share:.1f} %"


def _facts(data: Data) -> dict[str, str]:
    """Return the words of the page that depend on the net."""
    head = data.heads[0]
    with np.errstate(invalid="ignore"):  # of logits that are not finite
        probabilities = np.asarray(ops.softmax(np.array([float(v) for v in head.logits])))
    best = int(probabilities.argmax())
    answer = f"<b>{html.escape(data.classes[best])}</b>, with a probability of {_percent(probabilities[best])}"
    return {
        "title": html.escape(data.title),
        "parameters": f"{_thousands(head.parameters)} parameter{'s' if head.parameters != 1 else ''}",
        "label": html.escape(data.classes[data.label]),
        "answer": answer if np.isfinite(probabilities).all() else "<b>none</b>, because its logits are not finite",
        "cost": f"{_thousands(head.multiply_adds)} multiply-adds answer one image.",
    }


def slider(label: str, key: str, least: float, most: float, *, step: float = 1, when: str = "") -> str:
    """Return a slider; its value comes from the state of the page."""
    return (
        f'<label class="slider" data-when="{when}"><span class="name">{label}</span><input type="range" name="{key}" '
        f'min="{least}" max="{most}" step="{step}"><output></output></label>'
    )


def _sliders() -> Iterable[str]:
    for label, (key, when, most) in PAIRS.items():
        both = f'{label}<span data-when="apart">, rows</span>'
        yield slider(both, key, 1, most, when=when)
        yield slider(f"{label}, columns", f"{key}c", 1, most, when=f"{when} apart")
    yield slider("p", "p", 1, 16, step=0.5, when="p")
    yield slider("r", "r", 0.25, 16, step=0.25, when="r")


def _weight(i: int) -> str:
    return f'<input type="number" step="any" name="w{i}" aria-label="weight in row {i // 3 + 1}, column {i % 3 + 1}">'


def _choice(key: str, names: dict[str, str]) -> str:
    return "".join(
        f'<label><input type="radio" name="{key}" value="{value}"><span>{html.escape(text)}</span></label>'
        for value, text in names.items()
    )
