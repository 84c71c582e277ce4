"""A convolutional network as a scikit-learn classifier, for Pipeline, GridSearchCV and whatever else takes one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from minicnn import data, models, optim, train
from minicnn.estimator.rows import UNSCALED, as_images, by_blocks, divided, image_shape, numbers, standard
from minicnn.estimator.scaled import scaled_net
from minicnn.hints import explained
from minicnn.layers import Layer
from minicnn.train.loop import Augment
from minicnn.validation import flag, integer, number, one_of, shown

_CHECKS: dict[str, Any] = {"dtype": [np.float32, np.float64], "allow_nd": True}


@explained
class CNNClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A small convolutional network for images of any size, or for rows of features.

    Parameters
    ----------
    head : str
        What turns feature maps into class scores: a name from `models.HEADS`.
    filters : tuple of int
        Number of filters of each 3x3 convolution.
    strides : tuple of int, optional
        Their strides; by default 1, 2, 1, 2, ...
    net : Layer, optional
        A network to use instead; it must return one score per class. `head`, `filters` and `strides` are then unused.
    image_shape : tuple of int, optional
        (H, W) or (H, W, C) of the image in a flat row. By default a row of n numbers is a square image if n is a
        square, and an image of shape (1, n, 1) otherwise.
    epochs, batch_size : int
    optimizer : SGD or Adam, optional
        By default `Adam(learning_rate)`.
    learning_rate : float
        Used if `optimizer` is None.
    scale : {"standard", "none"}
        "standard" subtracts the mean of each channel over the training images and divides by its standard deviation.
    augment : callable, optional
        (images, rng) -> images, such as `data.Augmentation`, applied to the scaled images.
    label_smoothing : float
    early_stopping : bool
        Hold out `validation_fraction` of the images, stop when their loss has not decreased for `n_iter_no_change`
        epochs, and keep the parameters of the best epoch.
    validation_fraction : float
    n_iter_no_change : int
    warm_start : bool
        Start the next `fit` from the present parameters if the classes and the image shape are the same.
    random_state : int, RandomState or None
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        The size of the second axis of X.
    feature_names_in_ : ndarray
        Only if X is a data frame with string names.
    image_shape_ : tuple of int
        (H, W, C).
    net_ : Layer
    params_ : dict
    history_ : train.History
    loss_curve_ : list of float
        Training loss per epoch.
    n_iter_ : int
        Number of epochs trained.
    validation_scores_ : list of float
        Accuracy on the validation images per epoch, with `early_stopping`.

    Notes
    -----
    The result for a row is the same to the bit whichever other rows are predicted with it. Weights of samples
    and classes are not supported.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = CNNClassifier("global-max", epochs=8, random_state=0).fit(X[:1000], y[:1000])
    >>> classifier.image_shape_, classifier.score(X[1000:], y[1000:]) > 0.9
    ((8, 8, 1), True)
    """

    classes_: np.ndarray
    image_shape_: tuple[int, ...]
    net_: Layer

    def __init__(
        self,
        head: str = "flatten",
        *,
        filters: tuple[int, ...] = (16, 32, 32),
        strides: tuple[int, ...] | None = None,
        net: Layer | None = None,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        optimizer: optim.Optimizer | None = None,
        learning_rate: float = 5e-3,
        scale: str = "standard",
        augment: Augment | None = None,
        label_smoothing: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.head = head
        self.filters = filters
        self.strides = strides
        self.net = net
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.scale = scale
        self.augment = augment
        self.label_smoothing = label_smoothing
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> CNNClassifier:  # noqa: N803, the name that scikit-learn gives it
        """Train on images X, (N, features), (N, H, W) or (N, H, W, C), and their classes y (N,)."""
        images, labels = self._training_data(X, y)
        start = self._start(images.shape[1:], labels)
        self._scaled = standard(images) if self.scale == "standard" else UNSCALED
        split, held, best = self._prepared(images, labels), None, train.BestWeights("valid_loss")
        if self.early_stopping:
            split, held = self._parts(split)
        stop = train.EarlyStopping(self.n_iter_no_change, monitor="valid_loss")
        result = train.fit(
            self.net_,
            split,
            valid=held,
            optimizer=self._optimizer(),
            epochs=self.epochs,
            batch_size=self.batch_size,
            seed=self._seed(),
            params=start,
            augment=self.augment,
            label_smoothing=self.label_smoothing,
            callbacks=[stop, best] if held else [],
            progress=None if self.verbose else False,
        )
        self.params_ = result.params if best.params is None else best.params
        self.history_ = result.history
        self.loss_curve_ = [float(loss) for loss in result.history["loss"]]
        self.n_iter_ = len(self.loss_curve_)
        if held:
            self.validation_scores_ = [float(accuracy) for accuracy in result.history["valid_accuracy"]]
        self._state: Any = None
        return self

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Any] | None = None) -> CNNClassifier:  # noqa: N803
        """Train for one epoch on these images, from the present parameters and state of the optimizer.

        The first call sets the scale of the images, and needs all `classes` unless y contains them all. A schedule of
        the optimizer is evaluated at the number of steps so far and must have its number of steps set.
        """
        first = not hasattr(self, "classes_")
        images, labels = self._training_data(X, y, reset=first)
        known = self.classes_ if not first else np.unique(labels if classes is None else np.asarray(classes))
        unknown = np.setdiff1d(labels, known)
        if unknown.size:
            raise ValueError(
                f"partial_fit: y must contain only classes of the first call, {shown(known)}, got {shown(unknown)}. "
                "Give all classes to the first call."
            )
        if first:
            self._start(images.shape[1:], known)
            self._scaled = standard(images) if self.scale == "standard" else UNSCALED
            self.params_ = self.net_.init(np.random.default_rng(self._seed()), self.image_shape_)
            self.history_, self.loss_curve_, self.n_iter_ = train.History(), [], 0
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"partial_fit: classes must be those of the first call, {shown(self.classes_)}, got {shown(classes)}."
            )
        self._epoch(self._prepared(images, labels))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803, likewise
        """Return the probability of each class, (N, n_classes), in the order of `classes_`."""
        check_is_fitted(self, "params_")
        images = self._scaled(as_images(validate_data(self, X, reset=False, **_CHECKS), self.image_shape_))
        logits = by_blocks(lambda block: self.net_(self.params_, block), images).astype(np.float64)
        # in float64 and over the classes of one row alone, so that no other row takes part in the sum
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803, likewise
        """Return the most probable class of each image, (N,)."""
        most = self.predict_proba(X).argmax(axis=1)
        classes: np.ndarray = self.classes_[most]
        return classes

    def to_onnx(self, path: str | Path) -> Path:
        """Write the fitted classifier, with its scaling, as an ONNX file for onnxruntime and others; return the path.

        Its input "image" has the shape ``(N, *image_shape_)`` and takes pixels as `fit` got them; its result "output"
        has the probabilities (N, n_classes), in the order of `classes_`. Needs the extra `interop`.
        """
        check_is_fitted(self, "params_")
        from minicnn.interop import to_onnx

        whole, params = scaled_net(self.net_, self.params_, self._scaled, self.image_shape_)
        return to_onnx(whole, params, self.image_shape_, path)

    def _training_data(self, X: Any, y: Any, *, reset: bool = True) -> tuple[np.ndarray, np.ndarray]:  # noqa: N803
        for name in ("epochs", "batch_size", "n_iter_no_change"):
            integer("CNNClassifier", name, getattr(self, name))
        for name in ("early_stopping", "warm_start"):
            flag("CNNClassifier", name, getattr(self, name))
        one_of("CNNClassifier", "scale", self.scale, ("standard", "none"))
        rows, labels = validate_data(self, X, y, reset=reset, **_CHECKS)
        check_classification_targets(labels)
        shape = image_shape(rows, self.image_shape) if reset else self.image_shape_
        return as_images(rows, shape), labels

    def _start(self, shape: tuple[int, ...], classes: np.ndarray) -> Any:
        """Set net and classes; return the parameters to start from, None for new ones."""
        encoder = LabelEncoder().fit(classes)
        net = self._net(len(encoder.classes_), shape)
        same = (
            hasattr(self, "params_") and self.image_shape_ == shape and np.array_equal(self.classes_, encoder.classes_)
        )
        warm = self.warm_start and same and net == self.net_
        self.encoder_, self.classes_, self.image_shape_, self.net_ = encoder, encoder.classes_, shape, net
        return self.params_ if warm else None

    def _net(self, classes: int, shape: tuple[int, ...]) -> Layer:
        if self.net is not None:
            if not isinstance(self.net, Layer):
                raise TypeError(f"CNNClassifier: net must be a layer such as Sequential, got {shown(self.net)}.")
            scores = self.net.output_shape(shape)
            if scores != (classes,):
                raise ValueError(
                    f"CNNClassifier: net must return one score per class, {classes}, got the output shape {scores}."
                )
            return self.net
        filters = numbers("filters", self.filters)
        strides = (
            tuple(1 + i % 2 for i in range(len(filters))) if self.strides is None else numbers("strides", self.strides)
        )
        net = models.small_cnn(self.head, filters=filters, strides=strides, classes=classes)
        net.output_shape(shape)  # raises where the images are too small for it
        return net

    def _optimizer(self) -> optim.Optimizer:
        if self.optimizer is not None:
            return self.optimizer
        return optim.Adam(number("CNNClassifier", "learning_rate", self.learning_rate, above=0))

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _prepared(self, images: np.ndarray, labels: np.ndarray) -> data.Split:
        return data.Split(self._scaled(images), self.encoder_.transform(labels))

    def _parts(self, split: data.Split) -> tuple[data.Split, data.Split]:
        """Return images for training and for validation, in equal proportions of classes where there are enough."""
        fraction = number("CNNClassifier", "validation_fraction", self.validation_fraction, above=0, below=1)
        kept, held = divided(split.labels, fraction, self._seed())
        return split[kept], split[held]

    def _epoch(self, split: data.Split) -> None:
        optimizer, rng, losses = self._optimizer(), np.random.default_rng((self._seed(), self.n_iter_)), 0.0
        state = getattr(self, "_state", None) or optimizer.init(self.params_)
        step = partial(train.train_step, self.net_, optimizer, rng=rng, label_smoothing=self.label_smoothing)
        for images, labels in data.batches(split, self.batch_size, rng=rng):
            batch = images if self.augment is None else self.augment(images, rng).astype(np.float32, copy=False)
            self.params_, state, loss, _ = step(self.params_, state, batch, labels)
            losses += loss * len(labels)
        self.params_ = train.calibrate(self.net_, self.params_, split.images)
        self._state = state
        self.loss_curve_.append(losses / len(split))
        self.n_iter_ += 1
