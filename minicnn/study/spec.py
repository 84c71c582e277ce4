"""A study as a value: arms, data, recipe, replicates and measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, TypeAlias

from minicnn.hints import frozen, near
from minicnn.layers import Layer
from minicnn.optim import Optimizer
from minicnn.records import register
from minicnn.study.images import Source
from minicnn.study.measures import Measure, accuracy, nll
from minicnn.study.replicates import KFold, Replicates, Resplits, Seeds
from minicnn.study.tuning import Grid
from minicnn.train.loop import Augment
from minicnn.validation import flag, integer, number, shown

Factor: TypeAlias = str | int | float


@register
@frozen
class Recipe:
    """How an arm is trained; the arguments are those of `train.fit`."""

    optimizer: Optimizer
    epochs: int
    batch_size: int = 64
    label_smoothing: float = 0.0
    augment: Augment | None = None

    def __post_init__(self) -> None:
        integer("Recipe", "epochs", self.epochs)
        integer("Recipe", "batch_size", self.batch_size)
        if not callable(getattr(self.optimizer, "update", None)) or isinstance(self.optimizer, type):
            raise TypeError(
                f"Recipe: optimizer must be an optimizer such as optim.Adam(1e-3), got {shown(self.optimizer)}."
            )
        smoothing = number("Recipe", "label_smoothing", self.label_smoothing, least=0, below=1)
        object.__setattr__(self, "label_smoothing", smoothing)


@frozen
class Arm:
    """A network under study.

    Parameters
    ----------
    net : Layer
    recipe : Recipe, optional
        The study's by default.
    factors : mapping
        Level by factor, such as {"head": "max", "trunk": "strided"}; they become columns of the exported tables.
    control : str
        The arm that this one is compared with instead of the study's control: the twin of a size-matched arm.
    same_as : str
        Declares an A/A control: this arm is the same function as that one, and must come out equivalent.
    reads_all : bool
        False declares that a pooling leaves a part of its feature map unread; otherwise that is an error.
    about : str
        A sentence for the report.
    """

    net: Layer
    recipe: Recipe | None = None
    factors: Mapping[str, Factor] = field(default_factory=dict)
    control: str = ""
    same_as: str = ""
    reads_all: bool = True
    about: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.net, Layer):
            raise TypeError(f"Arm: net must be a layer, got {shown(self.net)}.")
        if self.recipe is not None and not isinstance(self.recipe, Recipe):
            raise TypeError(f"Arm: recipe must be a Recipe or None, got {shown(self.recipe)}.")
        if not isinstance(self.factors, Mapping):
            raise TypeError(f"Arm: factors must be a dict of levels by name, got {shown(self.factors)}.")
        for name, text in (("control", self.control), ("same_as", self.same_as), ("about", self.about)):
            if not isinstance(text, str):
                raise TypeError(f"Arm: {name} must be a string, got {shown(text)}.")
        object.__setattr__(self, "reads_all", flag("Arm", "reads_all", self.reads_all))
        for name, level in self.factors.items():
            if not isinstance(name, str) or isinstance(level, bool) or not isinstance(level, str | int | float):
                raise TypeError(f"Arm: factors must map names to strings or numbers, got {shown(dict(self.factors))}.")


@dataclass(frozen=True)
class Specification:
    """What a study consists of: the fields of `Study`, which adds what can be done with them."""

    arms: Mapping[str, Arm | Layer]
    _: KW_ONLY
    control: str
    data: Source
    recipe: Recipe
    replicates: Replicates = field(default_factory=lambda: Seeds(5))
    measures: Mapping[str, Measure] = field(default_factory=lambda: {"accuracy": accuracy, "nll": nll})
    rope: float | Mapping[str, float] = 0.005
    tune: Grid | None = None
    name: str = "study"

    def __post_init__(self) -> None:
        if not isinstance(self.arms, Mapping) or not self.arms or not all(isinstance(name, str) for name in self.arms):
            raise TypeError(f"Study: arms must be a dict of layers or Arms by name, got {shown(self.arms)}.")
        arms = {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in self.arms.items()}
        object.__setattr__(self, "arms", arms)
        for name, other in [("control", self.control), *((f"arms[{n!r}].control", a.control) for n, a in arms.items())]:
            self._check_arm(name, other or self.control)
        for name, arm in arms.items():
            self._check_arm(f"arms[{name!r}].same_as", arm.same_as or self.control)
        if not isinstance(self.recipe, Recipe):
            raise TypeError(f"Study: recipe must be a study.Recipe, got {shown(self.recipe)}.")
        if not isinstance(self.replicates, Seeds | Resplits | KFold):
            raise TypeError(f"Study: replicates must be Seeds, Resplits or KFold, got {shown(self.replicates)}.")
        if self.tune is not None and not isinstance(self.tune, Grid):
            raise TypeError(f"Study: tune must be a study.Grid or None, got {shown(self.tune)}.")
        self._check_names()
        if not self.measures or not all(map(callable, self.measures.values())):
            raise TypeError(f"Study: measures must be a dict of functions by name, got {shown(self.measures)}.")
        for measure in self.measures:
            number("Study", f"the rope of {measure}", self.rope_of(measure), least=0)
        if self.tune is not None:
            self.tune.check_disjoint(self.replicates.seeds)

    def _check_names(self) -> None:
        """Raise TypeError or ValueError for names that cannot be written into a ledger."""
        if not isinstance(self.measures, Mapping):
            raise TypeError(f"Study: measures must be a dict of functions by name, got {shown(self.measures)}.")
        if isinstance(self.rope, Mapping) and set(self.rope) - set(self.measures):
            unknown = min(set(self.rope) - set(self.measures), key=str)
            raise ValueError(
                f"Study: rope must be for measures of the study, got {shown(unknown)}.{near(unknown, self.measures)}"
            )
        for name in (self.name, *self.arms, *self.measures):
            if not isinstance(name, str) or not name or any("\ud800" <= c <= "\udfff" for c in name):
                raise TypeError(f"Study: names must be strings that are not empty, got {shown(name)}.")

    def _check_arm(self, name: str, arm: Any) -> None:
        if not isinstance(arm, str) or arm not in self.arms:
            raise ValueError(f"Study: {name} must be an arm, got {shown(arm)}.{near(arm, self.arms)}")

    def rope_of(self, measure: str) -> float:
        """Return the region of practical equivalence of a measure; 0.005 if a mapping does not have it."""
        return self.rope.get(measure, 0.005) if isinstance(self.rope, Mapping) else self.rope

    def arm(self, name: str) -> Arm:
        """Return an arm, with the study's recipe if it has none of its own."""
        arm = self.arms[name]
        arm = arm if isinstance(arm, Arm) else Arm(arm)
        return arm if arm.recipe else replace(arm, recipe=self.recipe)

    def controls(self) -> dict[str, str]:
        """Return the control of each arm that is compared."""
        chosen = {name: self.arm(name).control or self.control for name in self.arms}
        return {name: control for name, control in chosen.items() if name != control}
