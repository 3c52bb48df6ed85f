"""The processes of a Dask cluster in place of this machine's: the same examples, the same results.

Each worker of the cluster keeps a process of its own for the implementation, so that a crash, a hang or a print is
told apart and attributed as it is here, and costs the cluster nothing.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from backproof.campaign import ready
from backproof.environment import environment
from backproof.isolation import Outcome, Pool

CONNECT = 5.0
"""Seconds in which a scheduler answers, and has a worker."""

TRIES = 5
"""How often a batch is handed in whose workers were lost, each of which Dask has tried several times."""


class ClusterError(ValueError):
    """A cluster that is not there, or cannot be used; the message is one line, and names the scheduler."""


class Cluster:
    """A connection to a Dask cluster.

    Parameters
    ----------
    address
        Of its scheduler: ``tcp://host:8786``.
    implementation
        By name; every worker loads its own.
    limit
        Seconds that one example may take.

    Raises
    ------
    ClusterError
        dask.distributed is not installed, there is no scheduler, it has no workers, or these compute with other
        versions, so that the results might be others.
    """

    def __init__(self, address: str, implementation: str, limit: float) -> None:
        try:
            from distributed import Client
            from distributed.comm.addressing import get_address_host_port
        except ImportError:
            raise ClusterError("--scheduler needs dask.distributed: pip install 'backproof[distributed]'") from None
        self.address = address
        self._on_worker = partial(_on_worker, implementation, limit)
        try:
            get_address_host_port(address)  # a client that is given none takes long to give up
            self._client = Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler at {address}: {error}") from None
        try:
            self._check_workers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; what is still to be done there is cancelled."""
        self._client.close(timeout=CONNECT)

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT)
        except TimeoutError:
            raise ClusterError(f"the Dask scheduler at {self.address} has no workers") from None
        try:
            found: Mapping[str, Mapping[str, str]] = self._client.run(environment)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise ClusterError(f"the workers of {self.address} cannot load backproof: {told}") from None
        for worker, there in found.items():
            for name, here in environment().items():
                if there.get(name) != here:
                    raise ClusterError(f"{worker} has {name} {there.get(name)}, here it is {here}: results may differ")

    def outcomes(self, function: Callable[[Any], Any], batches: Iterable[Sequence[Any]]) -> Iterator[Outcome]:
        """Call a function with every argument of every batch, in no certain order.

        Raises
        ------
        ClusterError
            The scheduler is lost, or again and again the workers of the same batch.
        """
        from distributed import KilledWorker, as_completed

        coming = iter(batches)
        running: dict[Any, tuple[Sequence[Any], int]] = {}
        completed = as_completed(loop=self._client.loop)

        def submit(batch: Sequence[Any], tries: int = 1) -> None:
            future = self._client.submit(self._on_worker, function, list(batch), pure=False)
            running[future] = batch, tries
            completed.add(future)

        def fill() -> None:
            room = 2 * max(1, sum(self._client.nthreads().values()))  # workers come and go
            while len(running) < room and (batch := next(coming, None)):
                submit(batch)

        try:
            fill()
            for future in completed:
                batch, tries = running.pop(future)
                try:
                    found = future.result()
                except KilledWorker:
                    if tries == TRIES:
                        raise ClusterError(f"{self.address} loses every worker that tries {list(batch)}") from None
                    submit(batch, tries + 1)
                    continue
                fill()
                yield from found
        except (CancelledError, OSError) as error:
            raise ClusterError(f"the Dask scheduler at {self.address} is lost: {error}") from None


_of_thread = threading.local()


def _on_worker(implementation: str, limit: float, function: Callable[[Any], Any], batch: list[Any]) -> list[Outcome]:
    """Do a batch on a worker of the cluster, which keeps its process for the next one."""
    if getattr(_of_thread, "key", None) != (implementation, limit):
        if hasattr(_of_thread, "pool"):
            _of_thread.pool.close()
        # A worker is a daemon to the nanny that starts it anew; one that is may have no children of its own.
        multiprocessing.current_process().daemon = False
        _of_thread.key, _of_thread.pool = (implementation, limit), Pool(1, partial(ready, implementation), limit)
    return list(_of_thread.pool.outcomes(function, [batch]))
