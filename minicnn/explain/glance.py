"""What a reader sees first: the image, and the most probable classes."""

from __future__ import annotations

import base64
import html
import struct
import zlib

import numpy as np

from minicnn.explain.contract import Data
from minicnn.explain.markup import bars
from minicnn.explain.packing import unpack

SHOWN = 3
"""Classes beside the image; the net's own panel has them all."""


def glance(data: Data, probabilities: np.ndarray) -> dict[str, str]:
    """Return the first channel of the image, and the answer as bars.

    The image is a mask over a colour of the page, which is another one in the dark and with forced colours.
    """
    pixels = unpack(data.arrays[data.image])[..., 0]
    best = np.argsort(-probabilities, kind="stable")[:SHOWN]
    label = html.escape(data.classes[data.label])
    return {
        "picture": f'<i class="value" role="img" aria-label="The image, of class {label}" style="'
        f"display:block;aspect-ratio:{pixels.shape[1]}/{pixels.shape[0]};background:currentColor;"
        f'mask:url({mask(pixels)}) 0 0/100% 100%;image-rendering:pixelated"></i>',
        "likely": bars([data.classes[k] for k in best], probabilities[best], "the most probable classes"),
    }


def mask(pixels: np.ndarray) -> str:
    """Return a map, (H, W), as a PNG file in an address: opaque where it is largest, clear where it is smallest.

    Pixels that are not finite are clear. Written here, because the page needs NumPy alone and no imaging library.
    """
    values = np.where(np.isfinite(pixels), pixels, np.nan).astype(float)
    known = values[~np.isnan(values)] if not np.isnan(values).all() else np.zeros(1)
    least, most = known.min(), known.max()
    opaque = np.nan_to_num((values - least) / (most - least or 1))
    grey = np.zeros((*pixels.shape, 2), np.uint8)
    grey[..., 1] = np.rint(255 * opaque)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)  # each row begins with its filter, none
    head = struct.pack(">2I5B", pixels.shape[1], pixels.shape[0], 8, 4, 0, 0, 0)  # 8 bits of grey and of opacity
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
