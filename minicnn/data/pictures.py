"""Images from files: read by Pillow, and prepared as the images of MNIST were.

The images of MNIST are black and white digits whose bounding box was scaled to fit 20x20 pixels without a change of its
proportions, and which were then moved so that their centre of mass is in the centre of 28x28 pixels (LeCun, Bottou,
Bengio, Haffner, 1998). A net that has learned from them reads another picture well only after the same preparation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import validation
from minicnn.files import FileFormatError, check_size
from minicnn.hints import explained
from minicnn.optional import need

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
MOST_BYTES = 2**26
MOST_PIXELS = 2**24
"""Pixels of a picture that is read: sixteen million, as many as a good telephone's camera takes."""
FAINT = 0.1
"""Grey levels above the background, of the range from 0 to 1, that count as background: the noise of a scan."""


@explained
@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as a net expects it.

    Attributes
    ----------
    image : ndarray of shape (H, W, 1), float32 in [0, 1]
        White strokes on black.
    inverted : bool
        Whether the picture had dark strokes on a bright background.
    """

    image: np.ndarray
    inverted: bool


@explained
def read_image(path: str | Path, *, channels: int = 1, max_bytes: int = MOST_BYTES) -> np.ndarray:
    """Return a picture from a PNG, JPEG or other file that Pillow reads: (H, W, channels) float32 in [0, 1].

    Transparent pixels are taken to be white. Of several frames the first is read. Needs Pillow (extra `images`).

    Raises
    ------
    FileFormatError
        A file that is damaged or not a picture, one of more than `max_bytes`, or of more than sixteen million pixels.
    OSError
        The file does not exist.
    """
    path = validation.path("read_image", "path", path)
    if channels not in (1, 3):
        raise ValueError(f"read_image: channels must be 1 or 3, got {validation.shown(channels)}.")
    wanted = "a picture such as a PNG or JPEG file"
    check_size("read_image", wanted, path, max_bytes)
    pillow = need("PIL.Image", "images")
    try:
        with pillow.open(path) as picture:
            # The size is in the file's header: it is asked for before a pixel is decoded.
            if picture.width * picture.height > MOST_PIXELS:
                reason = f"it has {picture.width}x{picture.height} pixels, more than {MOST_PIXELS:,}"
                raise FileFormatError("read_image", wanted, path, reason)
            pixels = np.asarray(_opaque(pillow, picture).convert("L" if channels == 1 else "RGB"), np.float32)
    except FileFormatError:
        raise
    except Exception as error:  # the decoders of Pillow raise almost anything for a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FileFormatError("read_image", wanted, path, reason) from error
    return pixels.reshape(*pixels.shape[:2], channels) / np.float32(255)


def _opaque(pillow: Any, picture: Any) -> Any:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits per pixel; Pillow would cut them off at 255
        levels = np.asarray(picture, np.float64)
        return pillow.fromarray(np.round(levels * (255 / 65535 if levels.max(initial=0) > 255 else 1)).astype(np.uint8))
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture
    layered = picture.convert("RGBA")
    return pillow.alpha_composite(pillow.new("RGBA", layered.size, (255, 255, 255, 255)), layered)


@explained
def as_mnist(
    image: np.ndarray, *, size: tuple[int, int] = (28, 28), box: int | None = None, invert: bool | None = None
) -> Prepared:
    """Prepare a picture of one character as the images of MNIST were prepared.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, 1)
        Grey levels in [0, 1].
    size : pair of int
        Of the result. MNIST has 28x28.
    box : int, optional
        The character's bounding box is scaled to at most this many pixels along its longer side, by default 20/28 of
        the smaller side of `size`, as in MNIST.
    invert : bool, optional
        Whether strokes are darker than the background; by default this is seen from the border of the picture.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        For an image of another rank, one with NaN or infinity, and one that shows nothing.

    Examples
    --------
    >>> paper = np.ones((100, 60))
    >>> paper[20:80, 25:35] = 0                    # a vertical stroke, black on white
    >>> done = as_mnist(paper)
    >>> done.image.shape, done.inverted
    ((28, 28, 1), True)
    >>> rows = np.flatnonzero(done.image.max((1, 2)) > 0.5)
    >>> len(rows), (rows[0] + rows[-1]) / 2
    (20, np.float64(13.5))
    """
    grey = _grey(image)
    height, width = validation.pair("as_mnist", "size", size)
    side = max(1, round(min(height, width) * 20 / 28)) if box is None else validation.integer("as_mnist", "box", box)
    if side > min(height, width):
        raise ValueError(f"as_mnist: box must be at most the smaller side of size={size}, got {box}.")
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(border))
    inverted = background > _middle(grey) if invert is None else validation.flag("as_mnist", "invert", invert)
    strokes = np.clip(background - grey if inverted else grey - background, 0, None)
    strokes[strokes < FAINT] = 0
    if not strokes.any():
        raise ValueError(
            "as_mnist: image must show something darker or brighter than its border, got an empty one. Use invert=True "
            "for dark strokes and invert=False for bright ones if this is guessed wrongly."
        )
    return Prepared(_centred(_scaled(_cropped(strokes / strokes.max()), side), height, width), bool(inverted))


def _grey(image: np.ndarray) -> np.ndarray:
    grey = np.asarray(image, np.float64)
    grey = grey[..., 0] if grey.ndim == 3 and grey.shape[2] == 1 else grey
    if grey.ndim != 2 or not grey.size:
        raise ValueError(f"as_mnist: image must have the shape (H, W) or (H, W, 1), got {np.shape(image)}.")
    if not np.isfinite(grey).all():
        raise ValueError("as_mnist: image must be finite, got NaN or infinity.")
    return grey


def _middle(grey: np.ndarray) -> float:
    return float(grey.min() + grey.max()) / 2


def _cropped(strokes: np.ndarray) -> np.ndarray:
    rows, cols = np.flatnonzero(strokes.any(axis=1)), np.flatnonzero(strokes.any(axis=0))
    return strokes[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _scaled(strokes: np.ndarray, side: int) -> np.ndarray:
    pillow = need("PIL.Image", "images")
    factor = side / max(strokes.shape)
    height, width = (max(1, round(n * factor)) for n in strokes.shape)
    picture = pillow.fromarray(np.round(strokes * 255).astype(np.uint8))
    # The box filter averages the pixels that become one, as the anti-aliasing of MNIST did, and adds no fringes.
    smooth = pillow.Resampling.BOX if factor < 1 else pillow.Resampling.BILINEAR
    return np.asarray(picture.resize((width, height), smooth), np.float64) / 255


def _centred(strokes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put the strokes into an empty image with their centre of mass in its centre, as far as they fit."""
    # The centre is at (14, 14), counting pixels from 0: in MNIST's files the centres of mass are from 13.5 to 14.5.
    image = np.zeros((height, width, 1), np.float32)
    total = strokes.sum()
    corner = []
    for axis, size in enumerate((height, width)):
        profile = strokes.sum(axis=1 - axis)
        mass = float(profile @ np.arange(len(profile)) / total)
        corner.append(min(max(round(size / 2 - mass), 0), size - len(profile)))
    top, left = corner
    image[top : top + strokes.shape[0], left : left + strokes.shape[1], 0] = strokes
    return image


@explained
def picture_files(path: str | Path) -> list[Path]:
    """Return a picture's path as a list, or the pictures in a folder, by name; ValueError if there are none.

    Files in a folder count if their names end in .png, .jpg, .jpeg, .bmp, .gif or .webp.
    """
    path = validation.path("picture_files", "path", path)
    if not path.is_dir():
        return [path]
    found = list(_pictures(path))
    if not found:
        raise ValueError(
            f"picture_files: path must be a picture or a folder with pictures ({', '.join(SUFFIXES)}), got {path}."
        )
    return found


def _pictures(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES and p.is_file())
