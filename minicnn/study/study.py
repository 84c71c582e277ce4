"""`Study`: a specification, and what can be done with it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from minicnn.hints import frozen
from minicnn.notebook import html_table
from minicnn.study.engine import checked, run
from minicnn.study.planning import Plan, plan
from minicnn.study.results import Results
from minicnn.study.spec import Specification
from minicnn.study.structure import differing


@frozen(repr=False)
class Study(Specification):
    """Arms that are trained with the same replicates and compared pairwise.

    Parameters
    ----------
    arms : mapping of str to Arm or Layer
        By name.
    control : str
        The name of the arm that the others are compared with.
    data : str, Dataset, or callable
        A name for `data.load`, a data set, or a function seed -> data set.
    recipe : Recipe
    replicates : Seeds, Resplits or KFold
        What varies between repetitions; it determines the statistics.
    measures : mapping of str to callable
        (net, params, dataset) -> a number, one value per test image, or a dict of either by condition.
        What a measure gave is kept in the ledger under an id made of its code, its defaults, the values it closes over
        and, for a record, its fields. Functions that it calls and global variables are not part of the id: if one of
        those has changed, pass it as an argument with a default, or give the function itself another name, so that
        the measure is taken again.
    rope : float, or mapping of str to float
        The largest difference that does not matter in practice, in the unit of the measure; per measure if a mapping.
    tune : Grid, optional
        Learning rates to choose from for each arm, on validation images.
    name : str

    Examples
    --------
    >>> from minicnn import models, optim, study
    >>> recipe = study.Recipe(optim.Adam(1e-2), epochs=1)
    >>> arms = {"narrow": models.mlp((4,)), "wide": models.mlp((32,))}
    >>> widths = study.Study(arms, control="narrow", data="digits", recipe=recipe, replicates=study.Resplits(3))
    >>> widths.controls()
    {'wide': 'narrow'}
    """

    def __repr__(self) -> str:
        arms = f"{len(self.arms)} arm{'s' if len(self.arms) > 1 else ''}, control {self.control!r}"
        return f"Study({self.name!r}: {arms}, {self.replicates!r})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows: each arm with its control and the layers that not all arms share."""
        controls, nets = self.controls(), [self.arm(name).net for name in self.arms]
        own = [textwrap.shorten(", ".join(map(repr, layers)), 120, placeholder=" ...") for layers in differing(nets)]
        rows = [(name, controls.get(name, ""), text) for name, text in zip(self.arms, own, strict=True)]
        return html_table(("arm", "control", "layers that differ"), rows)

    def check(self) -> list[str]:
        """Raise what is wrong with the study before anything is trained; return warnings."""
        return checked(self)

    def run(
        self,
        path: str | Path,
        *,
        jobs: int = 1,
        dask: str | None = None,
        retry_failed: bool = False,
        progress: bool | None = None,
    ) -> Results:
        """Train what the ledger in the folder `path` does not have, and return all results.

        Parameters
        ----------
        path : path
            A folder: `study.sqlite` is the ledger, `trials/` has predictions and parameters.
        jobs : int
            Trials at a time, each in a process of its own and on one core. The results do not depend on it.
        dask : str, optional
            The address of a Dask scheduler that runs the trials instead.
        retry_failed : bool
            Train failed trials again; otherwise they stay failed.
        progress : bool, optional
            A progress bar over all trials; by default where there is a terminal or a notebook.

        Returns
        -------
        Results
            Also after Ctrl-C: what is complete so far. The next call trains only what is missing.

        Raises
        ------
        SystemExit
            After SIGTERM or SIGHUP, unless the program handles them: what is complete is kept, and no process is left.
            The signal must reach this process: its workers ignore both, and only it, or SIGKILL, ends them.
        """
        return run(self, path, jobs=jobs, dask=dask, retry_failed=retry_failed, progress=progress)

    def plan(self, path: str | Path | None = None) -> Plan:
        """Return what `run` would do, without training: trials, sizes, expected time, and power."""
        return plan(self, path)
