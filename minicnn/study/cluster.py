"""Trials on a Dask cluster: the same function on other machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicnn.optional import need
from minicnn.study.trial import Outcome, Trial, run_trial

RETRIES = 1


def on_cluster(trials: Sequence[Trial], *, address: str) -> Iterator[tuple[Trial, Outcome]]:
    """Run trials on the workers of the scheduler at an address; one whose worker dies is tried once more.

    Raises OSError if nobody listens at the address within ten seconds.
    """
    distributed = need("distributed", "cluster")
    try:
        client = distributed.Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise OSError(f"study: dask must be the address of a running scheduler, got {address!r}: {error}.") from error
    with client:
        futures = {client.submit(run_trial, trial, pure=False, retries=RETRIES): trial for trial in trials}
        for future in distributed.as_completed(list(futures)):
            trial = futures.pop(future)
            failure = future.exception()
            yield trial, Outcome(trial.id, error=f"{type(failure).__name__}: {failure}") if failure else future.result()
