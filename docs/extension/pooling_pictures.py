"""Pictures of poolings: what each window of a digit becomes, and where the gradient goes. Drawn from the real ops."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minicnn import Tensor, layers, ops

SIZE = 6
CHOSEN = (0, 1)
"""The result that is followed: its window, its value and its gradient have an orange frame."""

INK = {"light": "#21272f", "dark": "#ced6dd"}
"""The colour of titles on a light and on a dark page; all else is on squares, which are the same on both."""

Pooling = Callable[[Any], Any]


@functools.cache
def image() -> np.ndarray:
    """Return a part of the first digit of scikit-learn, (1, 6, 6, 1), with values in [0, 1]."""
    from sklearn.datasets import load_digits

    pixels: np.ndarray = load_digits().images[0][1:7, 1:7] / 16
    return pixels.reshape(1, SIZE, SIZE, 1)


def pooling(name: str) -> Pooling | None:
    """Return the pooling behind a public name as a function of the image alone; None for any other name.

    >>> pooling("minicnn.ops.max_pool2d")(np.arange(4.0).reshape(1, 2, 2, 1)).ravel()
    array([3.])
    """
    module, _, short = name.rpartition(".")
    if module == "minicnn.layers" and "Pooling2D" in short:
        return _layer(getattr(layers, short))
    if module == "minicnn.ops" and "pool" in short:
        return SPECIAL.get(short) or _op(getattr(ops, short))
    return None


def _layer(kind: type[layers.Layer]) -> Pooling:
    layer = kind(4) if "output_size" in inspect.signature(kind).parameters else kind()  # type: ignore[call-arg]
    params = layer.init(np.random.default_rng(0), (SIZE, SIZE, 1))
    return lambda x: layer(params, x, rng=np.random.default_rng(4))


def _op(op: Callable[..., Any]) -> Pooling:
    values = {"output_size": 4, "p": 3.0 if op is ops.gem_pool2d else 2.0}
    wanted = {name: values[name] for name in inspect.signature(op).parameters if name in values}
    if "rng" in inspect.signature(op).parameters:
        return lambda x: op(x, **wanted, rng=np.random.default_rng(4))
    return lambda x: op(x, **wanted)


def _unpool(x: Any) -> Any:
    """Put the maxima of the image back to where they were."""
    pixels = x.data if isinstance(x, Tensor) else x
    return ops.max_unpool2d(ops.max_pool2d(x), ops.max_pool2d_indices(pixels), (SIZE, SIZE))


SPECIAL: dict[str, Pooling] = {
    "max_unpool2d": _unpool,
    "conv2d_pool": lambda x: ops.conv2d_pool(x, np.ones((1, 1, 1, 1)), pool_size=2, relu=True),
}


def window(pool: Pooling, row: int, column: int) -> np.ndarray:
    """Return which pixels a result depends on: those that make it NaN when they are, (6, 6) of bool."""
    reads = np.zeros((SIZE, SIZE), bool)
    for at in np.ndindex(SIZE, SIZE):
        x = image().copy()
        x[0, at[0], at[1], 0] = np.nan
        reads[at] = np.isnan(_map(pool(x))[row, column])
    return reads


def _map(result: Any) -> np.ndarray:
    """Return the one channel of a result as a matrix; a global pooling has one element."""
    values = np.asarray(result)
    return values[0, :, :, 0] if values.ndim == 4 else values.reshape(1, 1)


def pictures(name: str, pool: Pooling, folder: Path) -> dict[str, Path]:
    """Draw the picture of a pooling for a light and for a dark page; return the files."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        stream = io.StringIO()
        _figure(pool).savefig(stream, format="svg", metadata={"Date": None})
    folder.mkdir(parents=True, exist_ok=True)
    files = {theme: folder / f"{name}-{theme}.svg" for theme in INK}
    for theme, path in files.items():
        path.write_text(stream.getvalue().replace(INK["light"], INK[theme]), encoding="utf-8")
    return files


def _figure(pool: Pooling) -> Figure:
    x = Tensor(image())
    y = pool(x)
    values = _map(getattr(y, "data", y))
    panels = [("image", image()[0, :, :, 0]), ("result", values)]
    if isinstance(y, Tensor):
        y.sum().backward()
        panels.append(("gradient of the sum of the result", x.grad[0, :, :, 0]))  # type: ignore[index]
    chosen = tuple(min(place, size - 1) for place, size in zip(CHOSEN, values.shape, strict=True))
    figure = Figure(figsize=(2.8 * len(panels), 3.0), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    reads = window(pool, *chosen) if values.dtype.kind == "f" else np.zeros((SIZE, SIZE), bool)
    for axis, (title, matrix), frame in zip(axes, panels, [reads, _one(values.shape, chosen), reads], strict=False):
        _panel(axis, title, matrix, frame)
    return figure


def _one(shape: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


FRAME: dict[str, Any] = {"fill": False, "edgecolor": "#e8650a", "lw": 2.5, "clip_on": False}
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#0a7d91"])


def _panel(axis: Any, title: str, matrix: np.ndarray, frame: np.ndarray) -> None:
    """Draw a matrix as squares with their numbers, and a frame around the elements of the mask."""
    most = max(float(np.nanmax(matrix)), 1e-9)
    axis.imshow(matrix / most, cmap=BLUES, vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        axis.text(column, row, shown(value), ha="center", va="center", fontsize=10 if matrix.size > 1 else 14,
                  color="#222222" if value < 0.6 * most else "white")  # fmt: skip
    axis.set_title(title, color=INK["light"], fontsize=11)
    axis.set_xticks(np.arange(-0.5, matrix.shape[1]), [""] * (matrix.shape[1] + 1))
    axis.set_yticks(np.arange(-0.5, matrix.shape[0]), [""] * (matrix.shape[0] + 1))
    axis.grid(color="#9aa4ad", linewidth=0.5)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_color("#9aa4ad")
    if frame.any():
        rows, columns = (np.flatnonzero(frame.any(axis=other)) for other in (1, 0))
        corner = (columns[0] - 0.5, rows[0] - 0.5)
        axis.add_patch(Rectangle(corner, np.ptp(columns) + 1, np.ptp(rows) + 1, **FRAME))


def shown(value: Any) -> str:
    """Return a number as a square has room for it.

    >>> shown(0.8125), shown(1.0), shown(0.0), shown(7)
    ('.81', '1', '', '7')
    """
    if value == 0:
        return ""
    if float(value).is_integer():
        return str(int(value))
    text = f"{value:.2f}"
    return text.removeprefix("0") if value < 1 else text
