"""What of the page needs no script: its text, its controls, and what does not change while it is read."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from importlib import resources
from string import Template

import numpy as np

from minicnn.explain.contract import Bench, Data, Layer, Step
from minicnn.explain.glance import glance
from minicnn.explain.heads_panel import heads_panel
from minicnn.explain.markup import bars, chances, counted, table, thousands
from minicnn.explain.step_panel import step_panel
from minicnn.explain.study_panel import study_panel

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
WINDOW = "window stride free alike ceil"
OPERATIONS = {
    "max": ("maximum", "max_pool2d", "Max", f"{WINDOW} ties", "max"),
    "average": ("average", "average_pool2d", "Average", f"{WINDOW} parts", "average"),
    "counted": ("average, pads counted", "average_pool2d", "Average", f"{WINDOW} counted parts", "average"),
    "lp": ("Lp norm", "lp_pool2d", "Lp", f"{WINDOW} norm p", "lp"),
    "gem": ("generalised mean", "gem_pool2d", "GeM", f"power {WINDOW} p", "gem"),
    "lme": ("log-mean-exp", "log_mean_exp_pool2d", "LogMeanExp", f"{WINDOW} r", "lme"),
    "soft": ("soft", "soft_pool2d", "Soft", WINDOW, "soft"),
    "blur": ("blur", "blur_pool2d", "Blur", "window stride alike parts", "kernel"),
    "conv": ("convolution", "conv2d", "", "conv stride free alike parts", "kernel"),
    "gmax": ("global maximum", "global_max_pool2d", "Max", "ties", "max"),
    "gavg": ("global average", "global_average_pool2d", "Average", "parts", "average"),
    "amax": ("adaptive maximum", "adaptive_max_pool2d", "AdaptiveMax", "out ties alike", "max"),
    "aavg": ("adaptive average", "adaptive_average_pool2d", "AdaptiveAverage", "out alike parts", "average"),
}
"""Operations of the window: the text to show, the function, its layer's name before "Pooling2D", the controls that it
has, in the order of its arguments (`free` is padding and dilation, `alike` the lock of rows and columns, `power` and
`norm` are p as an argument, `parts` says that the result is a sum of weights times elements), and its sentences in
words.json."""
SECTIONS = {"backward": "back"}
"""Panels of the walk whose section has another name."""
PAIRS = {"window": ("k", "window", 6), "stride": ("s", "stride", 6), "dilation": ("d", "free", 3)}
PAIRS |= {"output": ("o", "out", 6)}
"""Sliders for rows and columns: the key of their state, the condition under which they apply, and their end."""
SIDES = ("top", "bottom", "left", "right")
SUMMARY = ("layer", "output", "parameters", "multiply-adds", "receptive field")


def body(data: Data) -> str:
    """Return the body of the page without its data and script; `page.html` has its order."""
    text, words = (_file(name) for name in ("page.html", "words.json"))
    panels = [(name, title) for name, title in PANELS.items() if name != "study" or data.study]
    rows = [[thousands(cell) for cell in row] for row in data.summary]
    made = Template(text).substitute(
        **_facts(data),
        **_walk(data.walk.steps),
        **heads_panel(data),
        **step_panel(data.tape),
        examples="".join(_example(data.classes[label], n) for n, label in enumerate(data.example_labels)),
        layers="".join(_layer(layer, n) for n, layer in enumerate(data.net)),
        words=_words(words, data.input),
        nav="".join(
            f'<a data-to="{name}"><span aria-hidden="true">{i}</span>{title}</a>'
            for i, (name, title) in enumerate(panels, 1)
        ),
        shapes=html.escape("\n".join(data.shapes)),
        summary=table(SUMMARY, rows),
        operations="".join(f"<option {_facts_of(name, *facts)}</option>" for name, facts in OPERATIONS.items()),
        inputs="".join(_inputs(data.bench)),
        sliders="".join(_sliders()),
        weights="".join(map(_weight, range(9))),
        paddings=_choice("pad", {"valid": "valid", "same": "same", "sides": "four sides"}),
        sides="".join(slider(f"{side} padding", f"p{side[0]}", 0, 3, when="free pad=sides") for side in SIDES),
        ties=_choice("ties", {"first": "first", "split": "split"}),
        which=_choice("back", {"one": "one output", "all": "all outputs"}),
        classes=_choice("class", {str(i): name for i, name in enumerate(data.classes)}),
        study="" if data.study is None else study_panel(data.study),
        version=data.minicnn,
    )
    return made.encode("utf-8", "replace").decode()  # half of a surrogate pair, which no encoding has, becomes "?"


def _words(words: str, shape: list[int]) -> str:
    """Return the sentences of words.json, and the name of the image, as JSON that HTML can contain."""
    height, width, channels = shape
    image = f"the image, {height} \u00d7 {width}" + (f", channel 1 of {channels}" if channels > 1 else "")
    return json.dumps({**json.loads(words), "image": image}, ensure_ascii=False).replace("<", "\\u003c")


def _file(name: str) -> str:
    return (resources.files("minicnn.explain") / name).read_text(encoding="utf-8")


def _walk(steps: list[Step]) -> dict[str, str]:
    """Return the buttons, the texts and the ways on of the guided walk; all but those of its step leave the page."""
    buttons, texts, links = [], [], []
    for n, step in enumerate(steps):
        here, title, panel = f'data-when="walk={n}"', html.escape(step.title), SECTIONS.get(step.panel, step.panel)
        label = f'aria-label="Step {n + 1}: {title}"'
        buttons.append(f'<button type="button" class="round" data-set="walk={n}" {label}>{n + 1}</button>')
        texts.append(f"<div {here}><h2>{title}</h2><p>{html.escape(step.text)}</p></div>")
        on = "On to the panels" if n == len(steps) - 1 else "The same for your net"
        if step.window:
            links.append(f'<button type="button" class="play" {here}>Play</button>')
        links.append(f'<a class="link large value screen" {here} data-to="{panel}">{on}</a>')
    return {"walk_steps": "".join(buttons), "walk_texts": "".join(texts), "walk_links": "".join(links)}


def _layer(layer: Layer, n: int) -> str:
    """Return the row of a layer, into which the script draws its maps and their scale."""
    name, shape = html.escape(layer.name.rpartition("/")[2]), " \u00d7 ".join(map(str, layer.output))
    count = f", {counted(layer.parameters)}" if layer.parameters else ""
    return (
        f'<li class="stack middle"><div class="about stack soft"><b class="large">{name}</b>'
        f'<span>{_window(layer)}</span><span>{shape}{count}</span><div id="scale{n}"></div></div>'
        f'<div id="map{n}"></div></li>'
    )


def _window(layer: Layer) -> str:
    """Return the size of a layer's window, and its stride where it is not the usual one."""
    conv = layer.kind == "Conv2D"
    if layer.rows is None or layer.cols is None or not (conv or re.fullmatch(r"(?!Global)\w+Pooling2D", layer.kind)):
        return ""
    stride = "" if conv and layer.rows.s == 1 else f", stride {layer.rows.s}"
    return f"{layer.rows.k}\u00d7{layer.cols.k} {'kernel' if conv else 'window'}{stride}"


def _example(name: str, n: int) -> str:
    return f'<button type="button" id="example{n}" aria-label="Example {n + 1}, class {html.escape(name)}"></button>'


def _facts_of(key: str, text: str, function: str, kind: str, has: str, says: str) -> str:
    return f'value="{key}" data-name="{function}" data-kind="{kind}" data-has="{has}" data-says="{says}">{text}'


def _percent(share: float) -> str:
    return "more than 99.9 %" if share > 0.9995 else f"{100 * share:.1f} %"


def _facts(data: Data) -> dict[str, str]:
    """Return the words of the page that depend on the net."""
    head = data.heads[0]
    probabilities = chances(head.logits)
    best = int(probabilities.argmax())
    answer = f"<b>{html.escape(data.classes[best])}</b>, with a probability of {_percent(probabilities[best])}"
    return {
        "title": html.escape(data.title),
        "parameters": counted(head.parameters),
        "label": html.escape(data.classes[data.label]),
        "says": html.escape(data.classes[best]) if np.isfinite(probabilities).all() else "NaN",
        "answer": answer if np.isfinite(probabilities).all() else "<b>none</b>, because its logits are not finite",
        "chance": bars(data.classes, probabilities),
        **glance(data, probabilities),
        "chances": bars(data.classes),
        "cost": f"{thousands(head.multiply_adds)} multiply-adds answer one image.",
    }


def slider(label: str, key: str, least: float, most: float, *, step: float = 1, when: str = "") -> str:
    """Return a slider; its value comes from the state of the page."""
    return (
        f'<label class="slider stack small" data-when="{when}"><span class="name dim">{label}</span>'
        f'<input type="range" name="{key}" min="{least}" max="{most}" step="{step}"><output></output></label>'
    )


def _inputs(bench: Bench) -> Iterable[str]:
    """Yield an option for each map; the first one needs no value in the address."""
    for n, name in enumerate((*bench.inputs, *bench.maps)):
        yield f'<option value="{html.escape(name) if n else ""}">{html.escape(name)}</option>'


def _sliders() -> Iterable[str]:
    for label, (key, when, most) in PAIRS.items():
        both = f'{label}<span data-when="lock=0">, rows</span>'
        yield slider(both, key, 1, most, when=when)
        yield slider(f"{label}, columns", f"{key}c", 1, most, when=f"{when} lock=0")
    yield slider("p", "p", 1, 16, step=0.5, when="p")
    yield slider("r", "r", 0.25, 16, step=0.25, when="r")


def _weight(i: int) -> str:
    return f'<input type="number" step="any" name="w{i}" aria-label="weight in row {i // 3 + 1}, column {i % 3 + 1}">'


def _choice(key: str, names: dict[str, str]) -> str:
    return "".join(
        f'<label><input class="aside" type="radio" name="{key}" value="{value}"><span class="small">{html.escape(text)}'
        "</span></label>"
        for value, text in names.items()
    )
