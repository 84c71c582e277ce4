"""Pages of what is on disk: a saved net, the folder of a run, the folder of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn import train, validation
from minicnn.data import Split
from minicnn.explain.page import Page, page
from minicnn.hints import explained, near
from minicnn.study import Results, open_results
from minicnn.validation import integer, shown

NET_FILE = "net.npz"
"""The net in the folder of a run."""


@explained
def page_of(
    path: str | Path, images: Split, *, index: int = 0, heads: Mapping[str, str | Path] | None = None, **options: Any
) -> Page:
    """Return the page of a net that `train.save(path, params, net)` wrote.

    Parameters
    ----------
    path : path
        Of the file, or of the folder of a run, which has it as net.npz.
    images : Split
        Test images: the one at `index` is explained, and the first 500 are shifted.
    index : int
    heads : mapping of name to path, optional
        Other saved nets, to be compared with this one.
    **options
        Of `page`: classes, study, title, loss, optimizer, rng, draw.

    Raises
    ------
    FileFormatError, OSError
        As `train.load_net`.
    """
    i = _index("page_of", index, images)
    if not isinstance(heads, Mapping | None):
        raise TypeError(f"page_of: heads must be a mapping of names to paths, got {shown(heads)}.")
    net, params = _load(path)
    others = None if heads is None else {name: _load(each) for name, each in heads.items()}
    return page(net, params, images.images[i], int(images.labels[i]), heads=others, shifts=images, **options)


@explained
def page_of_study(
    study: Results | str | Path,
    *,
    arms: Sequence[str] | None = None,
    index: int = 0,
    replicate: int = 0,
    **options: Any,
) -> Page:
    """Return the page of a study's trained nets, side by side as heads, with its values, intervals and curves.

    Parameters
    ----------
    study : Results or path
        The study or its folder. Nothing is trained.
    arms : sequence of str, optional
        The arms to show, by default all of which this replicate has been trained; the control comes first.
    index : int
        Of the image among the test images that the study has kept.
    replicate : int
    **options
        Of `page`: classes, title, loss, optimizer, rng, draw.
    """
    integer("page_of_study", "replicate", replicate, least=0)
    if not isinstance(arms, Iterable | None):
        raise TypeError(f"page_of_study: arms must be a sequence of names, got {shown(arms)}.")
    results = study if isinstance(study, Results) else open_results(validation.path("page_of_study", "study", study))
    nets = {arm: (results.net(arm), results.params(arm, replicate)) for arm in _arms(results, arms, replicate)}
    sample = results.sample()
    if not nets or not sample:
        raise ValueError(
            f"page_of_study: study must have trained nets of replicate {replicate} and test images, got {results!r}. "
            "Run it first."
        )
    images = Split(sample["images"], sample["labels"])
    i = _index("page_of_study", index, images)
    net, params = next(iter(nets.values()))
    # One arm alone has nothing to be compared with.
    options = {"title": results.name, "study": results if len(results.arms) > 1 else None, **options}
    return page(net, params, images.images[i], int(images.labels[i]), heads=nets, shifts=images, **options)


def _arms(results: Results, arms: Sequence[str] | None, replicate: int) -> list[str]:
    done = {trial.arm for trial in results.trials if trial.trained and trial.replicate == replicate}
    known = [arm for arm in results.arms if arm in done]
    asked = known if arms is None else [arms] if isinstance(arms, str) else list(arms)
    for arm in asked:
        if arm not in known:
            raise ValueError(
                f"page_of_study: arms must be among {', '.join(known)}, got {shown(arm)}.{near(arm, known)}"
            )
    return sorted(asked, key=lambda arm: arm != results.control)


def _load(path: str | Path) -> tuple[Any, Any]:
    place = validation.path("page_of", "path", path)
    return train.load_net(place / NET_FILE if place.is_dir() else place)


def _index(where: str, index: Any, images: Any) -> int:
    if not isinstance(images, Split):
        raise TypeError(f"{where}: images must be a data.Split, got {shown(images)}. Use data.load(name).test.")
    return integer(where, "index", index, least=0, most=len(images.labels) - 1)
