"""Pictures of one image on its way through a network: what each layer sees, keeps and drops.

Each function takes a net, its parameters and one image (H, W, C), and returns a matplotlib Figure. The figure displays
itself at the end of a notebook's cell, `figure.savefig(path)` writes it, and pyplot has no part in it. Layers are named
by their paths, as `layers.summary` prints them. Needs matplotlib, `pip install "minicnn-numpy[study]"`.

>>> import numpy as np
>>> from minicnn import layers, show
>>> image = np.random.default_rng(0).random((8, 8, 1), np.float32)
>>> figure = show.pooling(layers.MaxPooling2D(2), {}, image)
>>> figure.get_suptitle()
'layer: MaxPooling2D()'
"""

from typing import TYPE_CHECKING

from minicnn.hints import unknown_names
from minicnn.show.maps import feature_maps, filters, image, scores
from minicnn.show.pooling import compare_poolings, pooling
from minicnn.show.windows import windows

__all__ = ["compare_poolings", "feature_maps", "filters", "image", "pooling", "scores", "windows"]

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, {"activations": "minicnn.activations"})
