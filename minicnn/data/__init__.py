"""Images with labels: data sets by name, your own pictures and arrays, stratified splits, mini-batches, augmentation.

`load` reads the digits that come with scikit-learn, or the official files of MNIST, Fashion-MNIST, KMNIST, QMNIST and
USPS, which are searched for on this machine before they are downloaded, and whose checksums are verified before they
are used. `from_folder` reads a folder of pictures for each class, `from_arrays` takes arrays; `as_mnist` and
`as_digits` prepare a picture of a digit for a net that was trained on MNIST or on digits.
"""

from typing import TYPE_CHECKING

from minicnn.data.augmentation import Augmentation, augment, warp
from minicnn.data.folders import from_folder
from minicnn.data.pictures import Prepared, as_digits, as_mnist, picture_files, read_image
from minicnn.data.sets import Dataset, from_arrays, load, paths
from minicnn.data.sources import SOURCES
from minicnn.data.split import Split, batches
from minicnn.hints import unknown_names

__all__ = [
    "SOURCES",
    "Augmentation",
    "Dataset",
    "Prepared",
    "Split",
    "as_digits",
    "as_mnist",
    "augment",
    "batches",
    "from_arrays",
    "from_folder",
    "load",
    "paths",
    "picture_files",
    "read_image",
    "warp",
]

_HABITS = {"DataLoader": "data.batches", "datasets": "data.load", "ImageFolder": "data.from_folder"}

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, _HABITS)
