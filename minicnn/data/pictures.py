"""Images from files: read by Pillow, and prepared as the images of MNIST or the digits of scikit-learn were.

The images of MNIST are black and white digits whose bounding box was scaled to fit 20x20 pixels without a change of its
proportions, and which were then moved so that their centre of mass is in the centre of 28x28 pixels (LeCun, Bottou,
Bengio, Haffner, 1998). The digits of scikit-learn were scaled to the full height of a bitmap of 32x32 pixels, set
upright, and drawn with strokes of one width; each of their 8x8 pixels counts the ink in 4x4 of the bitmap. A net that
has learned from one of them reads another picture well only after the same preparation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import validation
from minicnn.files import FileFormatError, check_size
from minicnn.hints import explained, frozen
from minicnn.optional import need

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
MOST_BYTES = 2**26
MOST_PIXELS = 2**24
"""Pixels of a picture that is read: sixteen million, as many as a good telephone's camera takes."""
BITMAP, WIDEST, INK = 32, 22, 0.3
"""Of the digits of scikit-learn: the side of the bitmap, the width of wide digits in it, and its share of ink, which
is 0.30 for each of the ten digits, with a standard deviation of 0.03."""
FAINT = 0.1
"""Grey levels above the background, of the range from 0 to 1, that count as background: the noise of a scan."""


@frozen(eq=False)
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
    if not isinstance(channels, int | np.integer) or channels not in (1, 3):
        raise ValueError(f"read_image: channels must be 1 or 3, got {validation.shown(channels)}.")
    max_bytes = validation.integer("read_image", "max_bytes", max_bytes)
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
    height, width = validation.pair("as_mnist", "size", size)
    side = max(1, round(min(height, width) * 20 / 28)) if box is None else validation.integer("as_mnist", "box", box)
    if side > min(height, width):
        raise ValueError(f"as_mnist: box must be at most the smaller side of size={size}, got {box}.")
    strokes, inverted = _strokes("as_mnist", image, invert)
    return Prepared(_centred(_scaled(strokes, side), height, width), inverted)


@explained
def as_digits(image: np.ndarray, *, invert: bool | None = None) -> Prepared:
    """Prepare a picture of one digit as the data set "digits" was prepared: an image of 8x8 multiples of 1/16.

    The strokes are sheared until they do not slant, scaled to the 32 rows and at most 22 columns of a bitmap, and made
    as thick as needed for 30 % of it; each pixel of the result is the share of ink in a block of 4x4. NIST's program,
    from which that data set comes, did much the same (Garris and others, NISTIR 5469, 1994). Arguments, result and
    errors are those of `as_mnist`.

    >>> paper = np.ones((100, 60))
    >>> paper[20:80, 25:35] = 0                    # a vertical stroke, black on white
    >>> done = as_digits(paper)
    >>> done.image.shape, done.inverted
    ((8, 8, 1), True)
    >>> (16 * done.image[3, :, 0]).astype(int)
    array([ 0,  0,  4, 16, 16,  4,  0,  0])
    """
    strokes, inverted = _strokes("as_digits", image, invert)
    upright = _cropped(_upright(_scaled(strokes, 2 * BITMAP)))
    width = min(WIDEST, max(1, round(upright.shape[1] * BITMAP / upright.shape[0])))
    left = (BITMAP - width) // 2
    grey = np.pad(_resized(upright, BITMAP, width), ((0, 0), (left, BITMAP - width - left)))
    counts = _inked(_picture(grey)).reshape(8, 4, 8, 4).sum(axis=(1, 3))
    return Prepared((counts[..., None] / 16).astype(np.float32), inverted)


def _strokes(where: str, image: np.ndarray, invert: bool | None) -> tuple[np.ndarray, bool]:
    """Return the strokes, from 0 to 1, cut out of the picture, and whether they were darker than the background."""
    grey = _grey(where, image)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(border))
    inverted = background > _middle(grey) if invert is None else validation.flag(where, "invert", invert)
    strokes = np.clip(background - grey if inverted else grey - background, 0, None)
    strokes[strokes < FAINT] = 0
    if not strokes.any():
        raise ValueError(
            f"{where}: image must show something darker or brighter than its border, got an empty one. Use invert=True "
            "for dark strokes and invert=False for bright ones if this is guessed wrongly."
        )
    return _cropped(strokes / strokes.max()), bool(inverted)


def _grey(where: str, image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.dtype.kind not in "biuf":
        raise TypeError(f"{where}: image must be an array of grey levels, got {validation.shown(image)}.")
    grey = np.asarray(image, np.float64)
    grey = grey[..., 0] if grey.ndim == 3 and grey.shape[2] == 1 else grey
    if grey.ndim != 2 or not grey.size:
        raise ValueError(f"{where}: image must have the shape (H, W) or (H, W, 1), got {np.shape(image)}.")
    if not np.isfinite(grey).all():
        raise ValueError(f"{where}: image must be finite, got NaN or infinity.")
    return grey


def _middle(grey: np.ndarray) -> float:
    return float(grey.min() + grey.max()) / 2


def _cropped(strokes: np.ndarray) -> np.ndarray:
    rows, cols = np.flatnonzero(strokes.any(axis=1)), np.flatnonzero(strokes.any(axis=0))
    return strokes[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _scaled(strokes: np.ndarray, side: int) -> np.ndarray:
    factor = side / max(strokes.shape)
    height, width = (max(1, round(n * factor)) for n in strokes.shape)
    return _resized(strokes, height, width)


def _resized(strokes: np.ndarray, height: int, width: int) -> np.ndarray:
    # The box filter averages the pixels that become one, as the anti-aliasing of MNIST did, and adds no fringes.
    resampling = need("PIL.Image", "images").Resampling
    smooth = resampling.BOX if height < strokes.shape[0] else resampling.BILINEAR
    return np.asarray(_picture(strokes).resize((width, height), smooth), np.float64) / 255


def _picture(strokes: np.ndarray) -> Any:
    return need("PIL.Image", "images").fromarray(np.round(strokes * 255).astype(np.uint8))


def _inked(picture: Any) -> np.ndarray:
    """Return the bitmap of a picture, with strokes so thick that INK of it is set."""
    filters = need("PIL.ImageFilter", "images")
    while True:
        # After a blur, the levels around thin strokes say which of their neighbours are nearest.
        levels = np.asarray(picture.filter(filters.GaussianBlur(1)))
        if np.mean(levels > 0) >= INK:
            return np.asarray(levels >= max(np.quantile(levels, 1 - INK), 1))
        picture = picture.filter(filters.MaxFilter(3))


def _upright(strokes: np.ndarray) -> np.ndarray:
    """Shear strokes so that the places of their ink, rows and columns, are not correlated."""
    rows, cols = np.indices(strokes.shape)
    rows = rows - np.average(rows, weights=strokes)
    slant = float((strokes * rows * cols).sum() / max((strokes * rows * rows).sum(), 1e-9))
    room = int(abs(slant) * len(strokes)) + 1
    wide = _picture(np.pad(strokes, ((0, 0), (room, room))))
    resampling, transform = (getattr(need("PIL.Image", "images"), name) for name in ("Resampling", "Transform"))
    sheared = (1, slant, slant * float(rows[0, 0]), 0, 1, 0)
    return np.asarray(wide.transform(wide.size, transform.AFFINE, sheared, resampling.BILINEAR), np.float64) / 255


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
