"""What a ledger says of its study: arms, data, recipe and environment, as plain values."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from minicnn import records
from minicnn.environment import environment
from minicnn.layers import summary
from minicnn.study import canonical
from minicnn.study.measures import is_share, lower_is_better
from minicnn.study.replicates import of_replicate
from minicnn.study.spec import Specification
from minicnn.study.store import Store
from minicnn.study.trial import Trial
from minicnn.study.trials import rated, recipe_text
from minicnn.study.tuning import rate_of


def check_same_study(study: Specification, digests: Sequence[str], store: Store) -> None:
    """Raise ValueError if the folder has the ledger of another study: of another name, or of other data."""
    known = store.description()
    other = known and (known["name"], known["data"]["digest"]) != (study.name, digests[0])
    nets = {canonical.canonical(study.arm(name).net) for name in study.arms}
    if known and not other:
        other = not set(known["arms"]) & set(study.arms) and nets.isdisjoint(a["net"] for a in known["arms"].values())
    if other:
        raise ValueError(
            f"Study.run: path must be a folder of its own for each study, got {store.folder}, which has "
            f"{known['name']!r} on {known['data']['name']} with arms {', '.join(known['arms'])}. Use another folder."
        )


def description(
    study: Specification,
    digests: Sequence[str],
    rates: Mapping[str, float],
    trials: Sequence[Trial],
    warnings: Sequence[str],
    tuning: Sequence[Trial],
) -> dict[str, Any]:
    """Return what a report needs to know besides the trials, as plain values."""
    parts = of_replicate(study.data, study.replicates, 0)
    shape = parts.train.images.shape[1:]
    sizes = {part: len(getattr(parts, part)) for part in ("train", "valid", "test")}
    return {
        "name": study.name,
        "control": study.control,
        "controls": study.controls(),
        "rope": {measure: study.rope_of(measure) for measure in study.measures},
        "measures": {name: canonical.canonical(measure) for name, measure in study.measures.items()},
        "measure_ids": {name: canonical.measure_id(measure) for name, measure in study.measures.items()},
        "lower_is_better": [name for name, measure in study.measures.items() if lower_is_better(measure)],
        "shares": [name for name, measure in study.measures.items() if is_share(measure)],
        "replicates": records.to_json(study.replicates),
        "seeds": list(study.replicates.seeds),
        "data": {
            "name": parts.name,
            "digest": digests[0],
            "shape": list(map(int, shape)),
            "classes": list(parts.classes),
            **sizes,
        },
        "recipe": recipe_text(study.recipe),
        "tune": None if study.tune is None else records.to_json(study.tune),
        "arms": {name: _arm(study, name, shape, rates.get(name)) for name in study.arms},
        # while it is being tuned, an arm has no trials yet
        "trials": [_place(trial, pending=bool(study.tune) and trial.arm not in rates) for trial in trials],
        "tuning": [_place(trial) for trial in tuning],
        "warnings": list(warnings),
        "environment": {**environment(), **canonical.numerics()},
        # sys.argv has neither the interpreter nor the -m of a module
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
    }


def _place(trial: Trial, *, pending: bool = False) -> dict[str, Any]:
    """Return a trial's id and its place in the study: an arm that is renamed keeps its trials."""
    return {
        "id": "" if pending else trial.id,
        "arm": trial.arm,
        "replicate": trial.replicate,
        "seed": trial.seed,
        "rate": trial.rate,
    }


def _arm(study: Specification, name: str, shape: tuple[int, ...], rate: float | None) -> dict[str, Any]:
    arm = study.arm(name)
    size = summary(arm.net, shape)
    return {
        "net": canonical.canonical(arm.net),
        "repr": repr(arm.net),
        "recipe": recipe_text(rated(arm, rate).recipe or study.recipe),
        "rate": rate or rate_of((arm.recipe or study.recipe).optimizer),
        "factors": dict(arm.factors),
        "control": arm.control,
        "same_as": arm.same_as,
        "about": arm.about,
        "parameters": size.parameters,
        "multiply_adds": size.multiply_adds,
    }
