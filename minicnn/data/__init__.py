"""Images with labels: three data sets by name, stratified parts, batches and augmentation.

`load` reads the digits that come with scikit-learn, or the official MNIST and Fashion-MNIST files, which are looked
for on this machine before they are downloaded, and whose checksums are compared before a byte of them is used.
"""

from minicnn.data.augmentation import Augmentation, augment, warp
from minicnn.data.sets import Dataset, load
from minicnn.data.split import Split, batches

__all__ = ["Augmentation", "Dataset", "Split", "augment", "batches", "load", "warp"]
