"""What a pooling keeps of its input and what it drops, and where its gradient goes: pictures of the VJPs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn import Tensor, ops
from minicnn.hints import explained
from minicnn.layers import Layer
from minicnn.layers.base import Params
from minicnn.layers.inspection.activations import Call, trace
from minicnn.optional import need
from minicnn.show import style, subject
from minicnn.show.style import BLUE, ORANGE, PALE
from minicnn.show.subject import Subject
from minicnn.show.windows import draw_canvas, draw_window, taps
from minicnn.validation import integer, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Flow(NamedTuple):
    """What flows through a pooling, for one image and channel: forward, and back.

    Attributes
    ----------
    x, y : ndarray of shape (H, W) and (P, Q)
        Input and result.
    weights : ndarray of shape (H, W)
        The derivative of the sum of the result by each element of the input.
    arriving, passed : ndarray of shape (P, Q) and (H, W)
        The gradient of the result, and what the pooling makes of it: the gradient of the input.
    """

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    arriving: np.ndarray
    passed: np.ndarray


@explained
@style.styled
def pooling(
    net: Layer,
    params: Params,
    image: np.ndarray,
    layer: str | None = None,
    *,
    channel: int = 0,
    label: int | None = None,
) -> Figure:
    """Draw what a pooling keeps and drops of its input, its result, and where its gradient goes.

    The windows are drawn on the input, with a ring around each element that has a part in the result, and a cross on
    each that has none. The area of a ring is the element's weight: the derivative of the sum of the result by the
    element, which for a maximum is 1 at the first maximum of each window, and for an average 1 / n. It comes from the
    VJP of the op, for every pooling.

    Parameters
    ----------
    net, params : Layer, tree
    image : ndarray of shape (H, W, C)
    layer : str, optional
        The path of the pooling; the first one by default.
    channel : int
    label : int, optional
        The true class of the image. The gradient of the result is then that of the cross-entropy of the net, and is
        drawn below the result; without a label it is 1 everywhere.
    """
    found = subject.calls("pooling", net, params, image)
    chosen = subject.choose("pooling", found, layer, "a pooling", subject.is_pooling)
    channel = subject.channel_of("pooling", "channel", channel, chosen.call.x.shape[-1])
    arriving = None if label is None else _loss_gradient(net, params, image, label, chosen.path)
    flow = flow_through(chosen.call, channel, arriving)
    figure, panels = _panels(f"{chosen.path}: {chosen.call.layer!r}", 1, label is not None)
    _draw(figure, panels[0], chosen, flow, channel)
    return figure


@explained
@style.styled
def compare_poolings(poolings: Mapping[str, Layer], image: np.ndarray, *, channel: int = 0) -> Figure:
    """Draw what each of several poolings keeps and drops of an image, one row per pooling, as `pooling` does.

    Parameters
    ----------
    poolings : mapping of str to Layer
        By the name that is written beside its row; a pooling with parameters has its initial ones.
    image : ndarray of shape (H, W, C)
    channel : int
    """
    where = "compare_poolings"
    if not isinstance(poolings, Mapping) or not poolings:
        raise TypeError(f"{where}: poolings must be a dict of layers by name, got {shown(poolings)}.")
    rows = []
    for name, layer in poolings.items():
        subject.check_image(where, image)
        params = layer.init(np.random.default_rng(0), image.shape) if isinstance(layer, Layer) else {}
        found = subject.calls(where, layer, params, image)
        rows.append((str(name), subject.choose(where, found, None, "a pooling", subject.is_pooling)))
    channel = subject.channel_of(where, "channel", channel, image.shape[-1])
    figure, panels = _panels("what poolings keep, and where their gradients go", len(rows), False)
    for panel, (name, chosen) in zip(panels, rows, strict=True):
        _draw(figure, panel, chosen, flow_through(chosen.call, channel), channel)
        panel[0].set_ylabel(name, weight="bold", fontsize=10)
    return figure


def flow_through(call: Call, channel: int, arriving: np.ndarray | None = None) -> Flow:
    """Return what flows through a pooling that was called with one image; a gradient of 1 arrives by default."""
    size = call.layer.windows(call.x.shape[1:]).out  # type: ignore[union-attr]
    ones = np.ones_like(call.y)
    arriving = ones if arriving is None else arriving
    weights, passed = (_vjp(call, g)[0, ..., channel] for g in (ones, arriving))
    y, back = (a.reshape(*size, -1)[..., channel] for a in (call.y, arriving))
    return Flow(call.x[0, ..., channel], y, weights, back, passed)


def _vjp(call: Call, g: np.ndarray) -> np.ndarray:
    """Return the gradient of the input for a gradient of the result, by the layer's own op."""
    x = Tensor(call.x)  # a new one: in the net the input may have other uses, whose gradients would be added
    (call.layer(call.params, x) * g).sum().backward()
    return x.grad if x.grad is not None else np.zeros_like(call.x)


def _loss_gradient(net: Layer, params: Params, image: np.ndarray, label: int, path: str) -> np.ndarray:
    """Return the gradient of the cross-entropy of a net by the result of one of its layers."""
    found = trace(net, params, Tensor(image[None]))
    logits = list(found.values())[-1].y
    if logits.ndim != 2:
        raise ValueError(f"pooling: label must be left out where the net returns no logits, got {shown(label)}.")
    label = integer("pooling", "label", label, least=0, most=logits.shape[1] - 1)
    ops.cross_entropy(logits, np.array([label])).backward()
    y = found[path].y
    return y.grad if y.grad is not None else np.zeros_like(y.data)


def _panels(title: str, rows: int, arriving: bool) -> tuple[Figure, np.ndarray]:
    """Return a row of panels per pooling, or, with the gradient that arrives, two rows: forward, and back below."""
    if arriving:
        figure, ((entrance, exit_), (back, arrival)) = style.grid(title, 2, 2, size=(3.2, 2.9))
        panels = np.array([[entrance, exit_, arrival, back]])
    else:
        figure, panels = style.grid(title, rows, 3, size=(2.75, 2.6))
    line = need("matplotlib.lines").Line2D
    patch = need("matplotlib.patches").Patch
    marks: dict[str, Any] = {"linestyle": "none", "fillstyle": "none"}
    handles = [
        patch(fill=False, edgecolor=BLUE, linewidth=1.5, label="window"),
        line([], [], marker="o", color=ORANGE, markersize=8, markeredgewidth=1.8, label="kept; area: weight", **marks),
        line([], [], marker="x", color=PALE, markersize=5, label="dropped", **marks),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure, panels


def _draw(figure: Figure, panel: np.ndarray, chosen: Subject, flow: Flow, channel: int) -> None:
    how = chosen.windows
    entrance, exit_, *arrival, back = panel
    values = style.scale(flow.x, flow.y)
    picture = draw_canvas(entrance, flow.x, how, values)
    entrance.set_title(f"input, channel {channel}")
    kept = np.count_nonzero(flow.weights)
    entrance.set_xlabel(f"{kept} of {flow.weights.size} elements have a part in the result", fontsize=8)
    _draw_windows(entrance, taps(how.rows, how.rounding), taps(how.cols, how.rounding))
    _draw_weights(entrance, flow.weights)
    style.scale_bar(figure, picture, entrance)
    slopes = style.scale(flow.passed, flow.arriving)
    maps = [(exit_, flow.y, values, "result"), (back, flow.passed, slopes, "gradient of the input")]
    maps += [(axes, flow.arriving, slopes, "gradient of the result") for axes in arrival]
    for axes, shown_map, limits, title in maps:
        style.scale_bar(figure, style.draw_map(axes, shown_map, limits, width=2.4 if arrival else 2.0), axes)
        axes.set_title(title)
    if not arrival:
        unit = back.get_xlabel()
        back.set_xlabel(f"for a gradient of 1 of each result{', ' * bool(unit)}{unit}", fontsize=8)


def _draw_windows(axes: Axes, rows: list[np.ndarray], cols: list[np.ndarray]) -> None:
    """Outline all windows; where they overlap the first one with a thick line, to tell it from the others."""
    overlap = any(places[i][-1] >= places[i + 1][0] for places in (rows, cols) for i in range(len(places) - 1))
    line = min(1.8, 28 / max(rows[-1][-1], cols[-1][-1], 1))  # on a large map elements are small
    for p, at in enumerate(rows):
        for q, here in enumerate(cols):
            among = overlap and p + q > 0
            draw_window(axes, at, here, inset=0.05 if among or not overlap else 0.1, line=0.4 * line if among else line)


def _draw_weights(axes: Axes, weights: np.ndarray) -> None:
    """Draw a ring around each element with a weight, and a cross on each without one."""
    circle = need("matplotlib.patches").Circle
    largest = max(1.0, float(np.abs(weights).max(initial=0)))
    line = min(1.6, 22 / max(weights.shape))
    for row, col in np.argwhere(weights):
        radius = max(0.42 * float(np.sqrt(abs(weights[row, col]) / largest)), 0.07)
        axes.add_patch(circle((col, row), radius, fill=False, edgecolor=ORANGE, linewidth=line))
    dropped = np.argwhere(weights == 0)
    axes.plot(dropped[:, 1], dropped[:, 0], "x", color=PALE, markersize=min(4.0, 60 / max(weights.shape)))
