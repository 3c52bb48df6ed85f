"""Many architectures, over several processes, in an order that does not depend on them."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import active_children, get_context

import torch
from threadpoolctl import threadpool_limits

from backproof.generator import drawable, random_architecture
from backproof.implementations import Verifiable, load
from backproof.verification import DTYPES, Unsupported, Verification
from reference import Architecture, Node
from reference.ops import STRUCTURAL
from reports import Agreement

BATCH = 8
"""Architectures handed to a process at a time."""


@dataclass(frozen=True)
class Campaign:
    """What to verify: ``examples`` random architectures, each in every dtype.

    Attributes
    ----------
    implementation
        By name, for every process loads its own.
    examples, seed
        Example i of seed s is ``random_architecture(s * 2**32 + i)``.
    dtypes
        Names of dtypes, the first one first.
    layers
        Ops to draw from; None: all that the implementation supports.
    """

    implementation: str = "numpy"
    examples: int = 500
    seed: int = 0
    dtypes: tuple[str, ...] = ("float64", "float32")
    layers: tuple[str, ...] | None = None

    def checked(self) -> Campaign:
        """Return the campaign with its layers filled in.

        Raises
        ------
        ValueError
            A layer, dtype or implementation is unknown or unsupported.
        """
        for dtype in self.dtypes:
            if dtype not in DTYPES:
                raise Unsupported(f"no dtype {dtype!r}: known are {', '.join(DTYPES)}")
        implementation = load(self.implementation)
        supported = [row.op for row in drawable(self.layers) if _supports(implementation, row.op)]
        for name in self.layers or ():
            if name not in supported:
                raise Unsupported(f"{implementation.name} does not support {name}")
        if all(op in STRUCTURAL for op in self.layers or supported) and self.layers is None:
            raise Unsupported(f"{implementation.name} supports no layer of the catalogue")
        return replace(self, layers=self.layers or tuple(supported))

    def agreements(self, workers: int) -> Generator[list[Agreement]]:
        """Verify example after example: for each, one agreement per dtype.

        Raises
        ------
        BrokenExecutor
            A process died: the implementation took it down.
        """
        workers = min(workers, -(-self.examples // BATCH))
        if workers == 1:
            one_thread()
            yield from (self.example(i) for i in range(self.examples))
            return
        executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_child)
        try:
            waiting: deque[Future[list[list[Agreement]]]] = deque()
            starts = iter(range(0, self.examples, BATCH))
            for start in starts:
                waiting.append(executor.submit(self._batch, start))
                if len(waiting) >= 3 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            for child in active_children():  # after Ctrl-C nobody waits for what they were at
                child.terminate()

    def _batch(self, start: int) -> list[list[Agreement]]:
        return [self.example(i) for i in range(start, min(start + BATCH, self.examples))]

    def example(self, number: int) -> list[Agreement]:
        """Verify one example."""
        architecture = random_architecture((self.seed << 32) + number, self.layers)
        return agreements(architecture, _loaded(self.implementation), self.dtypes)


def agreements(architecture: Architecture, implementation: Verifiable, dtypes: Sequence[str]) -> list[Agreement]:
    """Verify one architecture in several dtypes, which share the reference and the finite differences."""
    verification = Verification(architecture, implementation)
    return [verification.agreement(dtype) for dtype in dtypes]


def _supports(implementation: Verifiable, op: str) -> bool:
    """Whether an implementation runs an op, whatever its arguments."""
    return op in STRUCTURAL or implementation.supports(Node("any", op, {}, ("x",)))


@cache
def _loaded(name: str) -> Verifiable:
    return load(name)


def one_thread() -> None:
    """Compute on one thread: the arrays are small, and several processes already fill the machine."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def _child() -> None:
    """Begin a process: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    one_thread()
