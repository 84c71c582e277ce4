"""Trials on a Dask cluster: the same function on other machines."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minicnn.optional import need
from minicnn.study import canonical
from minicnn.study.trial import Outcome, Trial, run_trial

ATTEMPTS = 2
DIED = "The worker process died (killed, out of memory, or a crash in compiled code) in two attempts."


def on_cluster(trials: Sequence[Trial], *, address: str) -> Iterator[tuple[Trial, Outcome]]:
    """Run trials on the workers of the scheduler at an address; one whose worker dies is tried once more.

    Raises OSError if nobody listens at the address within ten seconds.
    """
    with _client(address) as client:
        session, numerics = uuid.uuid4().hex, canonical.numerics()

        def submit(trial: Trial) -> Any:
            return client.submit(_run, trial, session, numerics, pure=False)

        futures = {submit(trial): trial for trial in trials}
        completed = need("distributed", "cluster").as_completed(list(futures), loop=client.loop)
        for future in completed:
            trial, failure = futures.pop(future), future.exception()
            if not failure:
                yield trial, future.result()
            elif not isinstance(failure, need("distributed", "cluster").KilledWorker):
                yield trial, Outcome(trial.id, error=f"{type(failure).__name__}: {failure}")
            elif client.get_metadata([session, trial.id], 0) >= ATTEMPTS:
                yield trial, Outcome(trial.id, error=DIED)
            else:  # the scheduler gives up on a trial that waited for workers that died of others
                futures[again := submit(trial)] = trial
                completed.add(again)


def _client(address: str) -> Any:
    distributed = need("distributed", "cluster")
    try:
        if not address.startswith("inproc://"):  # a client that cannot connect complains when Python ends
            host, port = need("distributed.comm", "cluster").get_address_host_port(address)
            socket.create_connection((host, port), timeout=10).close()
        return distributed.Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise OSError(f"study: dask must be the address of a running scheduler, got {address!r}: {error}.") from error


def _run(trial: Trial, session: str, numerics: Mapping[str, str]) -> Outcome:
    """Run a trial on a worker, unless it has been begun twice and never ended.

    The scheduler counts dead workers itself, but also for trials that only waited for one, and it allows more of them.
    """
    here = canonical.numerics()
    if here != numerics:
        return Outcome(trial.id, error=f"This worker would round differently: it has {here}, the study {numerics}.")
    begun = _metadata("get", session, trial, default=0)
    if begun >= ATTEMPTS:
        return Outcome(trial.id, error=DIED)
    _metadata("set", session, trial, value=begun + 1)
    outcome = run_trial(trial)
    _metadata("set", session, trial, value=begun)
    return outcome


def _metadata(what: str, session: str, trial: Trial, **options: Any) -> Any:
    """Read or write what the scheduler knows of a trial. A client in the worker would do so too, but dies noisily."""
    distributed = need("distributed", "cluster")
    worker = distributed.get_worker()
    call = getattr(worker.scheduler, f"{what}_metadata")
    return distributed.utils.sync(worker.loop, call, keys=[session, trial.id], **options)
