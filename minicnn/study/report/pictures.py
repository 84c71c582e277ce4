"""Pictures of test images: where arms confuse classes, which images are most often wrong, and class maps of heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minicnn.study.report.style import INK, PALE, panels, settled, styled
from minicnn.study.report.words import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.generic]


@styled
def confusion_differences(
    differences: Mapping[str, NDArray[np.float64]], *, control: str, names: Sequence[str] | None = None
) -> Figure:
    """Draw confusion of each arm minus that of the control, in percentage points of the true class.

    Red off the diagonal: the arm confuses these classes more often; blue: less often.
    """
    columns = min(4, len(differences))
    rows = -(-len(differences) // columns)
    largest = max(float(np.abs(d).max()) for d in differences.values()) or 1.0
    title = f"Confusions minus those of {printable(control)}, percentage points of the true class"
    figure, axes = panels(title, rows, columns, height=0.6 + 2.5 * rows, layout="compressed")
    classes = len(next(iter(differences.values())))
    ticks = range(classes)
    for panel, (arm, difference) in zip(axes, differences.items(), strict=False):
        # the diagonal has the opposite sense: more there is better, so its colours are exchanged
        shown = np.where(np.eye(classes, dtype=bool), -difference, difference)
        drawn = panel.imshow(100 * shown, cmap="RdBu_r", vmin=-100 * largest, vmax=100 * largest)
        panel.set_title(printable(arm))
        panel.set_xticks(ticks, names or [str(i) for i in ticks], fontsize=7)
        panel.set_yticks(ticks, names or [str(i) for i in ticks], fontsize=7)
        panel.grid(visible=False)
    for panel in axes[len(differences) :]:
        panel.set_visible(False)
    axes[0].set_ylabel("true class")
    axes[0].set_xlabel("predicted class")
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8)
    bar.set_label("worse than the control")
    return settled(figure)


@styled
def most_often_wrong(
    images: Array, labels: Array, wrong: Mapping[str, NDArray[np.float64]], *, count: int = 12
) -> Figure:
    """Draw the test images that most arms most often classify wrongly, with the share of nets of each arm that do.

    `images` are (N, H, W, C), `wrong` maps arm -> share of its nets that misclassify each image, (N,).
    """
    total = np.sum(list(wrong.values()), axis=0)
    worst = [int(index) for index in np.argsort(-total, kind="stable")[:count] if total[index] > 0] or [0]
    columns = min(6, len(worst))
    rows = -(-len(worst) // columns)
    figure, axes = panels(
        "Images most often classified wrongly",
        rows,
        columns,
        height=0.45 + 1.6 * rows,
        share_y=False,
        layout="compressed",
    )
    for panel, index in zip(axes, worst, strict=False):
        show_image(panel, images[index])
        panel.set_title(f"image {index}, a {labels[index]}: {100 * total[index] / len(wrong):.0f} %", fontsize=8)
    for panel in axes[len(worst) :]:
        panel.set_visible(False)
    return settled(figure)


@styled
def class_maps(image: Array, maps: Mapping[str, tuple[NDArray[np.float64], str]], *, label: str) -> Figure:
    """Draw an image, and for each arm the map (H, W) of contributions to the score of its class, with a caption.

    The maps of arms with a linear head add up to the score less its bias. Red raises the score, blue lowers it.
    """
    columns = min(5, 1 + len(maps))
    rows = -(-(1 + len(maps)) // columns)
    title = f"Where the score of class {label} comes from"
    figure, axes = panels(title, rows, columns, height=0.5 + 2.1 * rows, share_y=False, layout="compressed")
    show_image(axes[0], image)
    for panel in axes[1 + len(maps) :]:
        panel.set_visible(False)
    axes[0].set_title("the image", fontsize=8.5)
    for panel, (arm, (values, caption)) in zip(axes[1:], maps.items(), strict=False):
        largest = float(np.abs(values).max()) or 1.0
        panel.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest)
        panel.set_title(f"{printable(arm)}\n{caption}", fontsize=8.5)
        _bare(panel)
    return settled(figure)


def show_image(axes: Axes, image: Array) -> None:
    """Draw one image (H, W, C), dark on white for one channel, without axes."""
    picture = image[..., 0] if image.shape[-1] != 3 else np.clip(image, 0, 1)
    axes.imshow(picture, cmap="gray_r" if image.shape[-1] != 3 else None)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color(PALE)
    axes.title.set_color(INK)
