"""The results of a study, read from its ledger alone: values, comparisons and tables. Nothing here trains."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import records
from minicnn.files import atomic_write
from minicnn.hints import near
from minicnn.notebook import html_table
from minicnn.optional import need
from minicnn.study.replicates import Replicates, Seeds
from minicnn.study.statistics import Comparison, ImagesInterval, all_pairs, compare, new_images
from minicnn.study.store import Recorded, Store, reading
from minicnn.study.tables import csv_text
from minicnn.validation import one_of, shown

COLUMNS = ("arm", "replicate", "seed", "split", "measure", "condition", "value")


@dataclass(frozen=True, repr=False)
class Results:
    """All that a ledger knows of the present trials of a study.

    Attributes
    ----------
    path : Path
        The folder of the study.
    description : dict
        Arms, replicates, data, recipe, environment, as plain values.
    trials : tuple of Recorded
        The trials of the study proper that have been run, in the order of replicates and arms.
    missing : int
        How many have not been run.
    unmeasured : int
        How many have been trained, but not yet with all measures of the study.
    """

    path: Path
    description: Mapping[str, Any]
    trials: tuple[Recorded, ...]
    missing: int
    tuning: tuple[Recorded, ...]
    numbers: Mapping[str, Mapping[tuple[str, str, str], float]]
    histories: Mapping[str, Sequence[Mapping[str, float]]]
    unmeasured: int = 0

    @property
    def name(self) -> str:
        """The name of the study."""
        return str(self.description["name"])

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return str(self.description["control"])

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms."""
        return tuple(self.description["arms"])

    @property
    def failed(self) -> tuple[Recorded, ...]:
        """The trials that failed, with their tracebacks as `error`."""
        return tuple(trial for trial in self.trials if trial.status == "failed")

    @property
    def complete(self) -> bool:
        """Whether every trial has been trained and measured and none has failed."""
        return not self.missing and not self.unmeasured and not self.failed

    @functools.cached_property
    def replicates(self) -> Replicates:
        """What varies between repetitions."""
        found: Replicates = records.from_json(self.description["replicates"])
        return found

    def factor(self) -> Any:
        """Return the factor of the variance of a mean, which follows from the replicates."""
        data = self.description["data"]
        return self.replicates.factor(data["train"], data["test"])

    def values(
        self, measure: str = "accuracy", condition: str = "", *, split: str = "test"
    ) -> dict[str, dict[int, float]]:
        """Return the value of a measure by arm and replicate, of trials that are done.

        Raises ValueError for a measure or a condition that the study does not have.
        """
        found: dict[str, dict[int, float]] = {arm: {} for arm in self.arms}
        key = (split, measure, condition)
        for trial in self.trials:
            if key in self.numbers.get(trial.id, {}):
                found[trial.arm][trial.replicate] = self.numbers[trial.id][key]
        if not any(found.values()) and any(trial.status == "done" for trial in self.trials):
            known = sorted({" ".join(filter(None, k)) for numbers in self.numbers.values() for k in numbers})
            asked = " ".join(filter(None, key))
            raise ValueError(
                f"Results.values: measure and condition must be one of {', '.join(known)}, got {asked}."
                f"{near(asked, known)}"
            )
        return found

    def conditions(self, measure: str) -> tuple[str, ...]:
        """Return the conditions of a measure; ("",) for one without."""
        found = (numbers for numbers in self.numbers.values())
        return tuple(
            dict.fromkeys(c for numbers in found for split, m, c in numbers if split == "test" and m == measure)
        )

    def compare(
        self, measure: str = "accuracy", condition: str = "", *, pairs: str = "control", confidence: float = 0.95
    ) -> Comparison:
        """Compare each arm with its control, or, with pairs="all", every two arms, by simultaneous intervals.

        Values that are not finite, such as a consistency where no image is correct, count as missing.
        """
        finite = {
            arm: {replicate: value for replicate, value in by.items() if math.isfinite(value)}
            for arm, by in self.values(measure, condition).items()
        }
        # arms without a value stay in the family as undecided: leaving them out would narrow the other intervals
        values = {arm: by for arm, by in finite.items() if by} if pairs == "all" else finite
        controls = self.description["controls"]
        one_of("Results.compare", "pairs", pairs, ("control", "all"))
        options: dict[str, Any] = {
            "rope": self.description["rope"].get(measure, 0.005),
            "factor": self.factor(),
            "confidence": confidence,
            "resolution": self.resolution(measure),
            "lower_is_better": measure in self.description["lower_is_better"],
        }
        return all_pairs(values, **options) if pairs == "all" else compare(values, controls, **options)

    def resolution(self, measure: str) -> float:
        """Return the smallest spread of a measure that is taken as measured: one test image for a share of images."""
        # differences of accuracies that vary by less than an image can be equal by chance
        return 1 / self.description["data"]["test"] if measure in self.description["shares"] else 1e-9

    def per_image(self, arm: str, measure: str = "accuracy", condition: str = "") -> dict[int, np.ndarray]:
        """Return one value per test image for each replicate of an arm; "predictions" are the predicted classes."""
        key = measure if measure == "predictions" else f"{measure}|{condition}"
        self._known(arm)
        done = [trial for trial in self.trials if (trial.arm, trial.status) == (arm, "done")]
        with reading(self.path) as store:
            some = {trial.replicate: self._arrays(store, trial.id, measure)["per_image"] for trial in done}
            found = {replicate: arrays[key] for replicate, arrays in some.items() if key in arrays}
            known = sorted(self._arrays(store, done[0].id)["per_image"]) if done and not found else []
        if known:
            raise ValueError(f"Results.per_image: measure must have values per image, {known}, got {key!r}.")
        return found

    def params(self, arm: str, replicate: int = 0) -> Any:
        """Return the parameters of a trained net."""
        return self.arrays(self._trial(arm, replicate).id)["params"]

    def net(self, arm: str) -> Any:
        """Return the network of an arm. A layer of your own must have been registered by `minicnn.register`."""
        self._known(arm)
        return records.from_json(self.description["arms"][arm]["net"])

    def new_images(
        self, arm: str, control: str, measure: str = "accuracy", condition: str = "", *, confidence: float = 0.95
    ) -> ImagesInterval:
        """Return the difference for other images of the same kind: both replicates and images are samples.

        Raises ValueError unless all replicates have the same test images, as `Seeds` have.
        """
        if not isinstance(self.replicates, Seeds):
            raise ValueError(
                f"Results.new_images: replicates must be Seeds, which share their test images, got {self.replicates}. "
                "The intervals of `compare` are for new images already."
            )
        self._known(arm)
        self._known(control)
        ours, theirs = (self.per_image(name, measure, condition) for name in (arm, control))
        common = sorted(set(ours) & set(theirs))
        a, b = (np.stack([found[r] for r in common]) for found in (ours, theirs))
        return new_images(a, b, confidence=confidence)

    def history(self, arm: str, replicate: int) -> Sequence[Mapping[str, float]]:
        """Return the rows of the training history, one per epoch."""
        return self.histories[self._trial(arm, replicate).id]

    def curves(self, arm: str) -> list[Sequence[Mapping[str, float]]]:
        """Return the training histories of an arm."""
        return [self.histories[t.id] for t in self.trials if t.arm == arm and t.id in self.histories]

    def tried(self) -> dict[str, dict[float, list[float]]]:
        """Return the tuning criterion by arm and learning rate, one value per seed; {} without tuning."""
        if not self.description["tune"]:
            return {}
        by = records.from_json(self.description["tune"]).by.removeprefix("valid_")
        found: dict[str, dict[float, list[float]]] = {}
        for trial in self.tuning:
            value = self.numbers.get(trial.id, {}).get(("valid", by, ""), float("nan"))
            found.setdefault(trial.arm, {}).setdefault(trial.rate or 0.0, []).append(value)
        return found

    def _known(self, arm: str) -> None:
        if arm not in self.arms:
            raise ValueError(
                f"Results: arm must be one of {', '.join(self.arms)}, got {shown(arm)}.{near(arm, self.arms)}"
            )

    def _trial(self, arm: str, replicate: int) -> Recorded:
        for trial in self.trials:
            if (trial.arm, trial.replicate, trial.status) == (arm, replicate, "done"):
                return trial
        raise ValueError(f"Results: arm and replicate must be those of a trial that is done, got {arm!r}, {replicate}.")

    def arrays(self, trial: str) -> dict[str, Any]:
        """Return the parameters and the values per image of a trial."""
        with reading(self.path) as store:
            return self._arrays(store, trial)

    def _arrays(self, store: Store, trial: str, measure: str | None = None) -> dict[str, Any]:
        """Return the arrays of a trial under the names of its measures: of all, or of one."""
        ids = {name: i for name, i in self.description["measure_ids"].items() if measure in (None, name)}
        found = store.arrays(trial, set(ids.values()))
        per_image = {key: array for key, array in found["per_image"].items() if "|" not in key}
        for name, identity in ids.items():
            for key, array in found["per_image"].items():
                if key.startswith(f"{identity}|"):
                    per_image[f"{name}|{key.partition('|')[2]}"] = array
        return {**found, "per_image": per_image}

    def sample(self) -> dict[str, Any]:
        """Return the first test images of the first replicate, {"images": ..., "labels": ...}."""
        with reading(self.path) as store:
            return store.sample()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every number of the study as a row: study, arm, factors, replicate, seed, split, measure, ..."""
        for trial in self.trials:
            factors = self.description["arms"][trial.arm]["factors"]
            for (split, measure, condition), value in self.numbers.get(trial.id, {}).items():
                yield {
                    "study": self.name,
                    "arm": trial.arm,
                    **{f"factor_{name}": level for name, level in factors.items()},
                    "replicate": trial.replicate,
                    "seed": trial.seed,
                    "split": split,
                    "measure": measure,
                    "condition": condition,
                    "value": value,
                }

    def to_csv(self, path: str | Path) -> Path:
        """Write all rows as CSV. Text that a spreadsheet would take for a formula gets an apostrophe in front."""
        rows = list(self.rows())
        names = list(dict.fromkeys(name for row in rows for name in row)) or ["study", *COLUMNS]
        return atomic_write(path, csv_text(names, [[row.get(name, "") for name in names] for row in rows]))

    def to_json_lines(self, path: str | Path) -> Path:
        """Write all rows as JSON, one object per line; a value that is not a finite number is null."""
        rows = ({**row, "value": row["value"] if math.isfinite(row["value"]) else None} for row in self.rows())
        return atomic_write(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))

    def frame(self) -> Any:
        """Return all rows as a pandas DataFrame."""
        return need("pandas", "study").DataFrame(list(self.rows()))

    def __repr__(self) -> str:
        done = sum(trial.status == "done" for trial in self.trials)
        total = len(self.trials) + self.missing
        failed = f", {len(self.failed)} failed" if self.failed else ""
        left = f", {self.unmeasured} to be measured" if self.unmeasured else ""
        return f"Results({self.name!r}: {len(self.arms)} arms, {done} of {total} trials done{failed}{left})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: each arm with its accuracy and its verdict."""
        first = next(iter(self.description["measures"]))
        condition = self.conditions(first)[0] if self.conditions(first) else ""
        verdicts = {c.arm: c.verdict for c in self.compare(first, condition).contrasts} if self.missing == 0 else {}
        rows = [
            (arm, len(by), f"{np.mean(list(by.values())):.4f}" if by else "", verdicts.get(arm, ""))
            for arm, by in self.values(first, condition).items()
        ]
        return html_table(("arm", "replicates", first, "verdict"), rows)
