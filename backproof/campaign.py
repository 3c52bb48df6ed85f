"""Many architectures, over several processes, in an order that does not depend on them."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import active_children, get_context
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from backproof.catalogue import Row
from backproof.generator import drawable, random_reference, sample
from backproof.implementations import Completed, Verifiable, load
from backproof.reproduction import reproduction
from backproof.shrinking import shrink_failure
from backproof.verification import DTYPES, Verification
from backproof.witnesses import Unsupported
from reference import Architecture, Reference
from reference.ops import STRUCTURAL
from reports import Agreement
from reports.agreement import SECOND_ORDER

PROBES = 200
"""Draws of an op's arguments after which one is taken to be unsupported."""

BATCH = 8
"""Architectures handed to a process at a time."""

PATIENCE = 120.0
"""Seconds after which a process that shrinks a failure is taken to hang: it should have ended by itself long before."""


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
    second_order
        Whether gradients of gradients are compared, too, in float64.
    device
        Where the reference runs; architectures and values are drawn on the CPU, so they are the same everywhere.
    """

    implementation: str = "numpy"
    examples: int = 500
    seed: int = 0
    dtypes: tuple[str, ...] = ("float64", "float32")
    layers: tuple[str, ...] | None = None
    second_order: bool = False
    device: str = "cpu"

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
        check_second_order(self.dtypes, self.second_order)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise Unsupported("PyTorch finds no CUDA device here: without --device the reference runs on the CPU")
        implementation = load(self.implementation)
        supported = [row.op for row in drawable(self.layers) if _supports(implementation, row, self.dtypes)]
        for name in self.layers or ():
            if name not in supported:
                numbers = " in complex numbers" if "complex128" in self.dtypes else ""
                raise Unsupported(f"{implementation.name} does not support {name}{numbers}")
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
        executor = _processes(workers)
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
            _end(executor)

    def _batch(self, start: int) -> list[list[Agreement]]:
        return [self.example(i) for i in range(start, min(start + BATCH, self.examples))]

    def example(self, number: int) -> list[Agreement]:
        """Verify one example."""
        implementation = _loaded(self.implementation)
        reference = random_reference((self.seed << 32) + number, self.layers, takes=Completed(implementation).takes)
        if self.device != "cpu":
            reference = Reference(reference.twin.on(self.device), reference.values)
        verification = Verification(reference.twin.architecture, implementation, reference=reference)
        return _agreements(verification, self.dtypes, self.second_order)


def check_second_order(dtypes: Sequence[str], second_order: bool) -> None:
    """Refuse what would compare nothing.

    Raises
    ------
    ValueError
        The second order is asked for without float64.
    """
    if second_order and "float64" not in dtypes:
        raise Unsupported(f"the second order is compared in float64, which is not among {', '.join(dtypes)}")


def agreements(
    architecture: Architecture, implementation: Verifiable, dtypes: Sequence[str], second_order: bool = False
) -> list[Agreement]:
    """Verify one architecture in several dtypes, which share the reference and the finite differences."""
    return _agreements(Verification(architecture, implementation), dtypes, second_order)


def _agreements(verification: Verification, dtypes: Sequence[str], second_order: bool) -> list[Agreement]:
    return [verification.agreement(dtype, second_order=second_order) for dtype in dtypes]


def shrunk(failures: Sequence[Mapping[str, Any]], implementation: str, isolated: bool) -> Generator[dict[str, Any]]:
    """Shrink failures of a summary one after the other: what is to be filled into each.

    Parameters
    ----------
    failures
        Entries of :attr:`reports.Summary.failures`.
    implementation
        By name.
    isolated
        In another process: the implementation may crash or hang on what it is given here, and costs no other failure.
    """
    if not isolated:
        yield from (_shrunk(failure, implementation) for failure in failures)
        return
    executor = _processes(1)
    try:
        for failure in failures:
            try:
                executor.submit(one_thread).result()  # the start of the process takes its time, too
                yield executor.submit(_shrunk, failure, implementation).result(timeout=PATIENCE)
                continue
            except BrokenExecutor:
                reason = "the process died in the implementation"
            except TimeoutError:
                reason = f"the implementation did not come back within {PATIENCE:.0f} s"
            _end(executor)
            executor = _processes(1)
            yield {"shrinking": reason}
    finally:
        _end(executor)


def _shrunk(failure: Mapping[str, Any], implementation: str) -> dict[str, Any]:
    dtype, architecture = failure["dtype"], Architecture.from_dict(failure["architecture"])
    second_order = any(tensor["against"].startswith(SECOND_ORDER) for tensor in failure["tensors"])
    try:
        found = shrink_failure(architecture, _loaded(implementation), dtype, second_order)
    except ValueError as error:
        return {"shrinking": str(error)}
    return {
        "minimal": found.architecture.to_dict(),
        "reproduction": reproduction(found.architecture, implementation, dtype, second_order),
        "shrinking": "" if found.finished else f"stopped after {found.tries} tries",
    }


def _supports(implementation: Verifiable, row: Row, dtypes: Sequence[str]) -> bool:
    """Whether an implementation runs an op in all these dtypes, with some of the arguments that are drawn."""
    completed = Completed(implementation)
    for node in sample(row, PROBES):
        try:
            supported = row.op in STRUCTURAL or completed.supports(node)
        except Exception as error:
            told = f"supports() raised {type(error).__name__}: {error}"
            raise Unsupported(f"{implementation.name} on {node.op}({dict(node.arguments)}): {told}") from error
        if supported and ("complex128" not in dtypes or completed.holomorphic(node)):
            return True
    return False


@cache
def _loaded(name: str) -> Verifiable:
    return load(name)


def one_thread() -> None:
    """Compute on one thread: the arrays are small, and several processes already fill the machine."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def _processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_child)


def _end(executor: ProcessPoolExecutor) -> None:
    executor.shutdown(wait=False, cancel_futures=True)
    for child in active_children():  # after Ctrl-C nobody waits for what they were at
        child.terminate()


def _child() -> None:
    """Begin a process: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    one_thread()
