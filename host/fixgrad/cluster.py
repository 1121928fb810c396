"""Workers of Dask: an existing cluster, or processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

from fixgrad.errors import UsageError


@contextmanager
def cluster(scheduler: str | None, workers: int) -> Iterator[Client]:
    """Open a cluster: an existing one, or processes of this machine.

    Args:
        scheduler: its address, such as tcp://host:8786; None: this machine.
        workers: processes on this machine.

    Raises:
        UsageError: nothing answers at the address.
    """
    if scheduler is None:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="localhost:0",
                silence_logs=logging.CRITICAL,
            ) as local,
            Client(local) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--scheduler {scheduler}: nothing answers; start one with: dask scheduler"
        ) from error
    with client:
        yield client
