"""Images with labels: three data sets by name, stratified splits, mini-batches and augmentation.

`load` reads the digits that come with scikit-learn, or the official MNIST and Fashion-MNIST files, which are
searched for on this machine before they are downloaded, and whose checksums are verified before they are used.
"""

from minicnn.data.augmentation import Augmentation, augment, warp
from minicnn.data.sets import Dataset, from_arrays, load
from minicnn.data.split import Split, batches

__all__ = ["Augmentation", "Dataset", "Split", "augment", "batches", "from_arrays", "load", "warp"]
