"""The page of a net: what it computes on one image, forward and backward, as one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import layers, ops, optim, validation
from minicnn.data import Split
from minicnn.explain import step as steps
from minicnn.explain.contract import FORMAT, Data, Shift, Study
from minicnn.explain.derived import derive
from minicnn.explain.heads import describe_head
from minicnn.explain.html import frame, write_html
from minicnn.explain.maps import bench_of, results_of, start_of
from minicnn.explain.net import Describer
from minicnn.explain.packing import Arrays
from minicnn.explain.shifts import MOST_IMAGES, shift_tables
from minicnn.explain.walk import describe_walk
from minicnn.files import atomic_write
from minicnn.hints import explained
from minicnn.layers.inspection.summary import Row
from minicnn.validation import ShapeError, integer, shown

MOST_PARAMETERS = 300_000
MOST_COVERED = 2**12
MOST_EXAMPLES = 10
OWN = "this net"
Nets = dict[str, tuple[Any, Any]]


@explained
@dataclass(frozen=True, repr=False, eq=False)
class Page:
    """One HTML page that needs no network connection: `save` it, or let a notebook show it.

    Attributes
    ----------
    data : Data
        Everything that it shows, as `minicnn.explain.contract` describes it.
    """

    data: Data

    @property
    def html(self) -> str:
        """The page as text."""
        return write_html(self.data)

    def save(self, path: str | Path) -> Path:
        """Write the page, completely or not at all, and return its path."""
        return atomic_write(validation.path("Page.save", "path", path), self.html)

    def __repr__(self) -> str:
        names = ", ".join(head.name for head in self.data.heads)
        return f"Page({shown(self.data.title)}: {len(self.data.tape.nodes)} nodes; heads {names})"

    def _repr_html_(self) -> str:
        return frame(self.html, self.data.title)


class Subject(NamedTuple):
    """What is explained, checked."""

    image: np.ndarray
    label: int
    classes: list[str]
    nets: Nets
    examples: Split | None


@explained
def page(
    net: Any,
    params: Any,
    image: Any,
    label: int,
    *,
    classes: Any = None,
    heads: Mapping[str, tuple[Any, Any]] | None = None,
    shifts: Split | None = None,
    study: Any = None,
    title: str | None = None,
    loss: steps.Loss = ops.cross_entropy,
    optimizer: Any = None,
    rng: np.random.Generator | None = None,
    draw: bool = True,
) -> Page:
    """Return the page of a net on one image.

    Parameters
    ----------
    net, params
        A trained net that gives logits.
    image : array (H, W, C) or (H, W)
        As the net takes it.
    label : int
        Its class.
    classes : sequence of str, optional
        Their names; their numbers by default.
    heads : mapping of name to (net, params), optional
        Other nets for the same images and classes, to be compared with this one; it may be among them.
    shifts : Split, optional
        Images with labels: of its first 500 the page tells which answers a shift changes, and it offers one image of
        each class to draw over.
    study : Results, optional
        Shown by its values, intervals and curves.
    title : str, optional
    loss : callable
        `loss(logits, labels)` of the training step; of your own it uses `minicnn.ops`.
    optimizer : optional
        Of the training step, `optim.SGD(0.01)` by default.
    rng : Generator, optional
        The step is then one of training, with dropout and the batch statistics of this one image.
    draw : bool
        Whether the page contains the parameters, so that it can compute the net for an image that is drawn.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, for a net of more than 300,000 parameters unless `draw` is False, and for an
        array of more than 2^18 elements.

    Examples
    --------
    >>> net = layers.Sequential([layers.Flatten(), layers.Dense(3)])
    >>> params = net.init(np.random.default_rng(0), (4, 4, 1))
    >>> page(net, params, np.ones((4, 4), np.float32), 2, title="A net")
    Page('A net': 6 nodes; heads this net)
    """
    subject = _checked(net, params, image, label, classes, heads, shifts, draw)
    _check_step(loss, optimizer)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"page: title must be a string, got {shown(title)}.")
    if rng is not None:
        validation.generator("page", rng)
    rule = optim.SGD(0.01) if optimizer is None else optimizer
    problem = steps.Problem(net, params, subject.image[None], np.array([subject.label]), loss, rng)
    name = f"A net of {layers.summary(net, subject.image.shape).parameters:,} parameters"
    with np.errstate(all="ignore"):  # a net with NaN or infinity among its weights is shown, too
        return Page(_data(subject, problem, rule, draw, _study(study), name if title is None else title))


def _data(
    subject: Subject, problem: steps.Problem, optimizer: Any, draw: bool, study: Study | None, title: str
) -> Data:
    arrays, shape = Arrays(), subject.image.shape
    step = steps.run(problem)
    tape = steps.pack(step, problem, arrays, optimizer)
    described = Describer(arrays, step.outputs, draw).chain(problem.net, problem.params, shape)
    derive(tape.nodes, described, arrays)
    others = Describer(arrays, {}, draw)
    # Of a step of training the page has what it computes itself: with parameters, and no layer of a user's own.
    is_known = problem.rng is None or (draw and not any("." in layer.kind for layer in described))
    results = results_of(described, step) if is_known else []
    return Data(
        format=FORMAT,
        minicnn=minicnn.__version__,
        title=title,
        classes=subject.classes,
        input=list(shape),
        label=subject.label,
        image=arrays.put(subject.image, "the image"),
        **_examples(subject.examples, arrays),
        arrays=arrays.packed,
        net=described,
        **_texts(problem.net, shape),
        tape=tape,
        heads=[describe_head(name, *pair, subject.image, others) for name, pair in subject.nets.items()],
        bench=bench_of(subject.image, described, results, arrays),
        walk=describe_walk(arrays),
        start=start_of(results),
        draw=draw,
        coverage=_coverage(problem.net, shape, arrays),
        shift=_shift(subject),
        study=study,
    )


def _check_step(loss: Any, optimizer: Any) -> None:
    if not callable(loss):
        raise TypeError(f"page: loss must be a function of logits and labels, got {shown(loss)}.")
    fits = not isinstance(optimizer, type) and hasattr(optimizer, "init") and hasattr(optimizer, "update")
    if optimizer is not None and not fits:
        raise TypeError(f"page: optimizer must be a value such as optim.Adam(1e-3), got {shown(optimizer)}.")


def _checked(
    net: Any, params: Any, image: Any, label: Any, classes: Any, heads: Any, shifts: Any, draw: bool
) -> Subject:
    image = _image(image)
    validation.flag("page", "draw", draw)
    nets = _nets(net, params, heads)
    names = _classes(net, image.shape, classes)
    for name, (each, values) in nets.items():
        layers.check_params(each, values, image.shape)
        count = layers.summary(each, image.shape).parameters
        if draw and count > MOST_PARAMETERS:
            raise ValueError(
                f"page: net must have at most {MOST_PARAMETERS:,} parameters, got {count:,} in {name}. Use draw=False: "
                "the page then has no parameters and cannot compute the net for a drawing."
            )
        if each.output_shape(image.shape) != (len(names),):
            raise ValueError(
                f"page: heads must give {len(names)} logits, as the net does, got "
                f"{each.output_shape(image.shape)} from {name}."
            )
    number = integer("page", "label", label, least=0, most=len(names) - 1)
    if shifts is not None and (not isinstance(shifts, Split) or shifts.images.shape[1:] != image.shape):
        got = f"images of {shifts.images.shape[1:]}" if isinstance(shifts, Split) else shown(shifts)
        raise ValueError(f"page: shifts must be a data.Split of images of {image.shape}, got {got}.")
    return Subject(image, number, names, nets, shifts)


def _image(image: Any) -> np.ndarray:
    values = validation.float_array("page", "image", image)
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or not values.size:
        fix = "Give one image of a batch, images[i]."
        raise ValueError(f"page: image must have shape (H, W, C) or (H, W), got {np.shape(image)}. {fix}")
    return np.ascontiguousarray(values, np.float32)


def _nets(net: Any, params: Any, heads: Any) -> Nets:
    if not isinstance(net, layers.Layer):
        raise TypeError(f"page: net must be a layer, got {shown(net)}. Use one such as layers.Sequential([...]).")
    if heads is None:
        return {OWN: (net, params)}
    pairs = heads.values() if isinstance(heads, Mapping) else [None]
    if not all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], layers.Layer) for pair in pairs):
        raise TypeError(f"page: heads must be a mapping of names to (net, params), got {shown(heads)}.")
    if OWN in heads:
        raise ValueError(f"page: heads must have other names than {OWN!r}, which is net itself, got {list(heads)}.")
    own = [name for name, pair in heads.items() if pair[0] == net and pair[1] is params]
    first = {str(own[0]): heads[own[0]]} if own else {OWN: (net, params)}
    return {**first, **{str(name): pair for name, pair in heads.items()}}


def _classes(net: Any, shape: tuple[int, ...], classes: Any) -> list[str]:
    out = net.output_shape(shape)
    if len(out) != 1:
        raise ShapeError("page", f"net must give one logit per class, (classes,), got {out}", "End it with Dense.")
    if isinstance(classes, str) or not isinstance(classes, Iterable | None):
        raise TypeError(f"page: classes must be a sequence of {out[0]} names, got {shown(classes)}.")
    names = list(map(str, range(out[0]) if classes is None else classes))
    if len(names) != out[0]:
        raise ValueError(f"page: classes must have a name for each of {out[0]} logits, got {len(names)}.")
    return names


def _texts(net: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    rows = layers.summary(net, shape).rows
    return {
        "shapes": str(layers.explain_shapes(net, shape)).splitlines(),
        "execution": str(layers.explain_execution(net)).splitlines(),
        "summary": [_row(row) for row in rows],
    }


def _row(row: Row) -> list[str | int]:
    field = "x".join(map(str, row.receptive_field))
    return [row.name, str(row.output_shape), row.parameters, row.multiply_adds, field]


def _coverage(net: Any, shape: tuple[int, ...], arrays: Arrays) -> str | None:
    return arrays.put(layers.coverage(net, shape)) if shape[0] * shape[1] <= MOST_COVERED else None


def _examples(split: Split | None, arrays: Arrays) -> dict[str, Any]:
    """Return the first image of each class, at most ten."""
    if split is None:
        return {"examples": [], "example_labels": []}
    labels, places = (found[:MOST_EXAMPLES] for found in np.unique(split.labels, return_index=True))
    ids = [arrays.put(split.images[i]) for i in places]
    return {"examples": ids, "example_labels": labels.tolist()}


def _shift(subject: Subject) -> Shift | None:
    if subject.examples is None:
        return None
    images, labels = (a[:MOST_IMAGES] for a in (subject.examples.images, subject.examples.labels))
    return shift_tables(subject.nets, images, labels)


def _study(results: Any) -> Study | None:
    if results is None:
        return None
    from minicnn.explain.studies import describe_study
    from minicnn.study import Results

    if not isinstance(results, Results):
        raise TypeError(f"page: study must be Results, got {shown(results)}. Use study.open_results(folder).")
    return describe_study(results)
