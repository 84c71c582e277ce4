"""An image with its numbers, feature maps of a layer, filters of a convolution, and the scores of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import ops
from minicnn.hints import explained
from minicnn.layers import Conv2D, Layer
from minicnn.layers.base import Params
from minicnn.show import style, subject
from minicnn.show.style import BLUE, INK, PALE
from minicnn.validation import integer, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@explained
@style.styled
def image(image: np.ndarray, *, channel: int = 0, title: str = "") -> Figure:
    """Draw one channel of an image, a map or its gradient (H, W, C), with its numbers where there is room for them.

    Parameters
    ----------
    image : ndarray of shape (H, W, C)
    channel : int
    title : str, optional
        By default the number of the channel and the size.
    """
    subject.check_image("image", image)
    values = image[..., subject.channel_of("image", "channel", channel, image.shape[-1])]
    rows, cols = values.shape
    figure, ((axes,),) = style.grid(title or f"channel {channel}, {rows}x{cols}", 1, 1, size=(3.4, 3.2))
    style.scale_bar(figure, style.draw_map(axes, values, style.scale(values), width=2.9), axes)
    return figure


@explained
@style.styled
def feature_maps(net: Layer, params: Params, image: np.ndarray, layer: str | None = None, *, most: int = 16) -> Figure:
    """Draw the image and the channels of what a layer makes of it, all on one scale.

    Parameters
    ----------
    net, params : Layer, tree
    image : ndarray of shape (H, W, C)
    layer : str, optional
        The path of the layer, as `layers.summary` prints it; by default that of the last feature map.
    most : int
        The largest number of channels that are drawn.

    Raises
    ------
    ValueError, TypeError
        A layer that is not in the net or returns no map, and an image or parameters that do not fit.
    ImportError
        Without matplotlib.
    """
    most = integer("feature_maps", "most", most)
    found = subject.calls("feature_maps", net, params, image)
    last_first = found if layer is not None else dict(reversed(found.items()))
    path, call = subject.choose("feature_maps", last_first, layer, "a layer that returns a map", subject.is_map)
    maps = np.moveaxis(call.y[0], -1, 0)
    drawn = maps[:most]
    rows, cols = style.squarish(len(drawn))
    size = "x".join(map(str, maps.shape[1:]))
    cut = f", the first {most}" if len(maps) > most else ""
    figure, panels = style.grid(f"{path}: {len(maps)} feature maps of {size}{cut}", rows, cols + 1, size=(1.35, 1.5))
    for axes in panels[1:, 0]:
        axes.set_axis_off()
    style.draw_image(panels[0, 0], image)
    how = style.scale(drawn)
    for number, axes in enumerate(panels[:, 1:].flat):
        if number < len(drawn):
            picture = style.draw_map(axes, drawn[number], how, numbers=False, ticks=False)
            axes.set_title(f"{number}{'' if drawn[number].any() else ': all 0'}")
        else:
            axes.set_axis_off()
    style.scale_bar(figure, picture, panels[:, 1:])
    return figure


@explained
@style.styled
def filters(
    net: Layer, params: Params, image: np.ndarray, layer: str | None = None, *, channel: int = 0, most: int = 16
) -> Figure:
    """Draw the filters of a convolution, their weights for one channel of its input.

    The image says which shapes the net has; its pixels do not matter.

    Parameters
    ----------
    net, params : Layer, tree
    image : ndarray of shape (H, W, C)
    layer : str, optional
        The path of the convolution; the first one by default.
    channel : int
        Of the input of the convolution, in the first group.
    most : int
        The largest number of filters that are drawn.
    """
    most = integer("filters", "most", most)
    found = subject.calls("filters", net, params, image)
    path, call = subject.choose("filters", found, layer, "a convolution", lambda c: isinstance(c.layer, Conv2D))
    kernel = call.params["kernel"]
    channel = subject.channel_of("filters", "channel", channel, kernel.shape[2])
    drawn = np.moveaxis(kernel[:, :, channel], -1, 0)[:most]
    rows, cols = style.squarish(len(drawn))
    size = "x".join(map(str, kernel.shape[:2]))
    cut = f", the first {most}" if kernel.shape[3] > most else ""
    title = f"{path}: {kernel.shape[3]} filters of {size}, weights for channel {channel} of {kernel.shape[2]}{cut}"
    figure, panels = style.grid(title, rows, cols, size=(1.35, 1.5))
    how = style.scale(drawn)
    for number, axes in enumerate(panels.flat):
        if number < len(drawn):
            small = max(kernel.shape[:2]) <= 5
            picture = style.draw_map(axes, drawn[number], how, numbers=small, width=1.2, ticks=False)
            axes.set_title(f"{number}")
        else:
            axes.set_axis_off()
    style.scale_bar(figure, picture, panels)
    return figure


@explained
@style.styled
def scores(
    net: Layer, params: Params, image: np.ndarray, *, classes: Sequence[str] | None = None, label: int | None = None
) -> Figure:
    """Draw the probability of each class, the softmax of the logits, beside the image.

    Parameters
    ----------
    net, params : Layer, tree
        The net ends with logits.
    image : ndarray of shape (H, W, C)
    classes : sequence of str, optional
        Their names, as `dataset.classes`; their numbers by default.
    label : int, optional
        The true class, which is marked.
    """
    logits = list(subject.calls("scores", net, params, image).values())[-1].y
    if logits.ndim != 2:
        raise ValueError(f"scores: net must return logits (N, classes), got shape {logits.shape}.")
    count = logits.shape[1]
    names = [str(k) for k in range(count)] if classes is None else [str(name) for name in classes]
    if len(names) != count:
        raise ValueError(f"scores: classes must be {count} names, one per class, got {shown(classes)}.")
    label = None if label is None else integer("scores", "label", label, least=0, most=count - 1)
    shares = ops.softmax(logits.astype(np.float64))[0]
    figure, ((left, right),) = style.grid("scores of the classes", 1, 2, size=(2.6, max(1.8, 0.22 * count + 0.6)))
    style.draw_image(left, image)
    predicted = int(shares.argmax())
    left.set_title(f"predicted: {names[predicted]}{'' if label is None else f', true: {names[label]}'}")
    _draw_bars(right, shares, logits[0], names, predicted, label)
    return figure


def _draw_bars(axes: Any, shares: np.ndarray, logits: np.ndarray, names: list[str], best: int, label: Any) -> None:
    colours = [BLUE if k == best else PALE for k in range(len(names))]
    bars = axes.barh(range(len(names)), shares, color=colours, height=0.7)
    for k, (bar, share) in enumerate(zip(bars, shares, strict=True)):
        notes = [f"{share:.1%}", f"(logit {logits[k]:.1f})", *(["predicted"] * (k == best)), *(["true"] * (k == label))]
        bar.set_hatch("" if k != label or k == best else "///")
        axes.annotate(
            "  ".join(notes).replace("-", "\N{MINUS SIGN}"), (share, k), (4, 0), textcoords="offset points",
            va="center", color=INK, fontsize=7.5, weight="bold" if k == best else "normal",
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.9)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_xlabel("probability", loc="left")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_bounds(0, 1)
    axes.tick_params(length=0)
