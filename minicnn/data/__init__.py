"""Images with labels: three data sets by name, stratified splits, mini-batches and augmentation.

`load` reads the digits that come with scikit-learn, or the official MNIST and Fashion-MNIST files, which are
searched for on this machine before they are downloaded, and whose checksums are verified before they are used.
"""

from typing import TYPE_CHECKING, Any

from minicnn.data.augmentation import Augmentation, augment, warp
from minicnn.data.sets import Dataset, from_arrays, load
from minicnn.data.split import Split, batches
from minicnn.hints import no_attribute

__all__ = ["Augmentation", "Dataset", "Split", "augment", "batches", "from_arrays", "load", "warp"]

if not TYPE_CHECKING:  # for which a name that is not there is an error

    def __getattr__(name: str) -> Any:
        raise no_attribute(__name__, name, __all__, {"DataLoader": "data.batches", "datasets": "data.load"})
