"""The data of a page, format 1: what Python writes and the page's TypeScript reads, field by field.

`contract_net` has the parts that describe a net and a tape.
The page contains one JSON text, which `Data` describes. What stands in its HTML already is left out: checks, rules,
texts of the walk, and the lists that the script does not read (see `html.for_script`). Its rules:

* A field that may be None is left out where it is None.
* A `Real` is a JSON number, or one of the strings "nan", "inf" and "-inf", which JSON has no numbers for.
* An `Id` is a key of `Data.arrays`: the first 12 hexadecimal digits of the SHA-256 of the array's shape, written as
  "3x3x1x8", and its bytes. So each array is in the page once, however often it is used.
* Arrays are float32, compressed by zlib ("deflate" to the browser's DecompressionStream), in base 64. What the page can
  compute from other arrays is told as a rule, to the last bit. Images and feature maps are (H, W, C), kernels
  (kh, kw, C // groups, filters) or (features, units). Arrays of the tape have the batch axis in front, of one image.
* Layers are named by their path through the containers, as `layers.summary` names them: "trunk/conv2d_1".
* Fields may be added within format 1; a field that changes its meaning changes the format. Format 1 is that of version
  0.2.0, the first to be published.
"""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.axis import Axis
from minicnn.explain.contract_net import Check, From, Id, Layer, Node, Packed, Real, Tape

__all__ = [
    "FORMAT",
    "Arm",
    "Axis",
    "Bench",
    "Check",
    "Data",
    "From",
    "Head",
    "Id",
    "Layer",
    "Node",
    "Packed",
    "Real",
    "Shift",
    "Shown",
    "Step",
    "Study",
    "Tape",
    "Walk",
]

FORMAT = 1


@dataclass(frozen=True)
class Head:
    """One net on the image. With one net alone `heads` has one entry, which is that net.

    name         To be shown.
    net          Its layers, trunk and head.
    parameters, multiply_adds
                 Of the whole net.
    logits       In evaluation.
    class_maps   (classes, H, W): the activation at `map_of` times the gradient of each logit, summed over channels.
    map_of       The path of the layer whose output the maps belong to; "" is the image.
    bias         One per class: of the last layer with a bias; zeros without one.
    remainder    One per class: logit - bias - sum of the class map. Zero, up to rounding, where `exact`.
    exact        Whether every remainder is below 1e-4 times the largest absolute logit, or below 1e-4.
    winners      (H, W): for a head that begins with a max pooling, in how many channels the place is a maximum.
    """

    name: str
    net: list[Layer]
    parameters: int
    multiply_adds: int
    logits: list[Real]
    class_maps: Id
    map_of: str
    bias: list[Real]
    remainder: list[Real]
    exact: bool
    winners: Id | None = None


@dataclass(frozen=True)
class Shift:
    """What moving the images does, over `images` images: squares of 2 range + 1 rows and columns by head.

    Row i, column j: moved down by i - range and right by j - range pixels, zeros moving in.

    consistency   The share of images with the same answer as without the shift; 1 in the middle.
    accuracy      The share of right answers.
    """

    range: int
    images: int
    consistency: dict[str, list[list[Real]]]
    accuracy: dict[str, list[list[Real]]]


@dataclass(frozen=True)
class Bench:
    """What the window can slide over: maps of 2 to 12 rows and columns, and of several channels the strongest.

    inputs  By the name to show, each (H, W, 1).
    maps    Outputs of layers by name: the index of the layer in `Data.net`, and the channel.
    """

    inputs: dict[str, Id]
    maps: dict[str, list[int]]


@dataclass(frozen=True)
class Arm:
    """An arm of a study.

    values         One per replicate, in their order: the dots.
    mean           Of the values.
    low, high      The confidence interval of the mean; left out with fewer than two values.
    difference     Arm minus control, with `difference_low` and `difference_high`, its simultaneous interval; left out
                   for the control itself.
    verdict        "better", "worse", "equivalent", "undecided", as `minicnn.study` says; left out for the control.
    curve          The mean of `Study.curve_of` over the replicates, one per epoch.
    curves         The same for each replicate.
    """

    name: str
    values: list[Real]
    mean: Real
    low: Real | None = None
    high: Real | None = None
    control: str | None = None
    difference: Real | None = None
    difference_low: Real | None = None
    difference_high: Real | None = None
    verdict: str | None = None
    curve: list[Real] | None = None
    curves: list[list[Real]] | None = None


@dataclass(frozen=True)
class Study:
    """A study of the ledger given.

    metric       The measure, "accuracy".
    arms         In the order of the study.
    baseline     The name of the control.
    margin       The margin of equivalence, to both sides of the control.
    confidence   Of the intervals, 0.95.
    curve_of     What the curves show: "valid_accuracy" or "accuracy".
    verdict      One sentence.
    """

    name: str
    metric: str
    arms: list[Arm]
    baseline: str
    margin: Real
    confidence: float
    curve_of: str | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Shown:
    """A map of the guided walk.

    name      What stands above it; no two maps of a step have the same.
    array     Its values, (H, W, 1).
    largest   The absolute value that has the full colour: maps that are compared have the same.
    size      Of an element, in pixels.
    what      "value" or "grad": its colour.
    sign      What stands between it and the map before; an arrow for "", nothing if left out.
    framed    Elements to be pointed out, [row, column] from 0.
    """

    name: str
    array: Id
    largest: Real
    size: int
    what: str = "value"
    sign: str | None = None
    framed: list[list[int]] | None = None


@dataclass(frozen=True)
class Step:
    """A step of the guided walk.

    panel    "net", "bench", "backward", "step", "heads" or "shift": where the reader goes next with the same question.
    title    A few words.
    text     Two or three sentences with the numbers of the small picture.
    show     Maps, in groups that stay together.
    window   Size and stride of the window that slides over the first map and gives, or in a backward step gets, the
             last one; left out where none slides.
    """

    panel: str
    title: str
    text: str
    show: list[list[Shown]]
    window: list[int] | None = None


@dataclass(frozen=True)
class Walk:
    """Six steps for a first-time reader, with one small picture, 6x6, and a net small enough to compute by hand."""

    steps: list[Step]


@dataclass(frozen=True)
class Data:
    """All data of a page.

    format      1.
    minicnn     The version that wrote the page.
    title       Plain text; the page must not read it as HTML.
    classes     One name per logit.
    input       [H, W, C].
    label       The class of the image.
    image       (H, W, C), in the units in which the net takes it.
    examples    Images to draw over, at most ten, with `example_labels`; [] if none were given.
    arrays      By id.
    net         The net explained, which is also the first head.
    shapes      The lines of `layers.explain_shapes`.
    execution   The lines of `layers.explain_execution`.
    summary     The rows of `layers.summary`: name, output shape as "(3, 3, 8)", parameters, multiply-adds, receptive
                field as "3x3".
    coverage    (H, W): how many places of the last feature map depend on each pixel, 0 for a pixel never read; left
                out for an image of more than 2^12 pixels and a net whose windows are not known.
    start       What the page shows of the net at first: layer, channel, row and column of the largest element of the
                last feature map with more than two rows.
    tape, heads, bench, walk, shift, study
                As their classes say; the last two are left out where no images and no study were given.
    draw        Whether the page has the parameters, and so can compute the net for another image.
    """

    format: int
    minicnn: str
    title: str
    classes: list[str]
    input: list[int]
    label: int
    image: Id
    examples: list[Id]
    example_labels: list[int]
    arrays: dict[str, Packed]
    net: list[Layer]
    shapes: list[str]
    execution: list[str]
    summary: list[list[str | int]]
    tape: Tape
    heads: list[Head]
    bench: Bench
    walk: Walk
    start: list[int]
    draw: bool
    coverage: Id | None = None
    shift: Shift | None = None
    study: Study | None = None
