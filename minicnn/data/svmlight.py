"""USPS as it is published: a compressed text with a line for each image, in the format of LIBSVM."""

from __future__ import annotations

import bz2
import io
from pathlib import Path

import numpy as np

from minicnn.data.idx import MOST_PACKED, verified
from minicnn.files import GIBIBYTE, FileFormatError

WANTED = "a bzip2 file of lines in the format of LIBSVM"
SIDE = 16
MOST_LINES = 20_000
"""The published files have 7,291 and 2,007."""


def read(path: Path, md5: str, *, max_bytes: int = GIBIBYTE) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (N, 16, 16) from 0 to 255 and labels (N,) from 0, after comparing the file's MD5.

    The file has grey levels from -1 to 1 and labels from 1 to 10, which stand for the digits 0 to 9. Raises
    FileFormatError, a ValueError, if the MD5 is another one, the content of another kind, or more than `max_bytes`.
    """
    content = verified(path, md5, WANTED, max_bytes)
    try:
        return parse(_unpacked(content, max_bytes))
    except (OSError, EOFError, ValueError, OverflowError) as error:
        raise FileFormatError("load", WANTED, path, str(error)) from error


def _unpacked(content: bytes, max_bytes: int) -> bytes:
    decompressor = bz2.BZ2Decompressor()
    most = min(max_bytes, MOST_PACKED * len(content) + 2**20)
    text = decompressor.decompress(content, max_length=most + 1)
    if len(text) > most:
        raise ValueError(f"load: max_bytes must be at least the size of the text, got {most:,} for a larger one.")
    if not decompressor.eof:
        raise ValueError("load: text must be whole, got one that is cut off.")
    return text


def parse(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    r"""Return pixels and labels of lines such as `7 1:-1 2:0.5 ... 256:-1`.

    >>> pixels, labels = parse(b"7 1:-1 2:0 256:1\n")
    >>> pixels.shape, labels, pixels[0, 0, :2], pixels[0, 15, 15]
    ((1, 16, 16), array([6]), array([  0. , 127.5]), np.float64(255.0))
    """
    from sklearn.datasets import load_svmlight_file

    if (lines := text.count(b"\n")) > MOST_LINES:  # each becomes an image, however short it is
        raise ValueError(f"load: the text must have at most {MOST_LINES:,} lines, got {lines:,}.")
    levels, digits = load_svmlight_file(io.BytesIO(text), n_features=SIDE * SIDE, zero_based=False)
    if not len(digits) or not np.isin(digits, np.arange(1, 11)).all():
        raise ValueError("load: labels must be from 1 to 10, got others or none.")
    pixels = (levels.toarray() + 1) * 127.5
    if not (pixels >= 0).all() or not (pixels <= 255).all():
        raise ValueError("load: grey levels must be from -1 to 1, got others.")
    return pixels.reshape(-1, SIDE, SIDE), digits.astype(np.int64) - 1
