"""Many architectures, each verified in a process of its own, in an order that the result does not depend on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import count, takewhile
from time import sleep
from typing import Any, Protocol

import torch
from threadpoolctl import threadpool_limits

from backproof.catalogue import Row as Drawable
from backproof.catalogue import facts
from backproof.environment import environment
from backproof.generator import drawable, random_reference, sample
from backproof.implementations import Completed, UnknownImplementation, Verifiable, load
from backproof.isolation import START, Outcome, Pool
from backproof.reproduction import reproduction
from backproof.shrinking import shrink_failure
from backproof.verification import DTYPES, Verification
from backproof.whereabouts import tell
from backproof.witnesses import Unsupported
from reference import Architecture, Reference
from reference.ops import STRUCTURAL
from reports import Agreement
from reports.agreement import SECOND_ORDER
from reports.packing import unpack
from reports.row import Row
from reports.store import STRETCH, Store

PROBES = 200
"""Draws of an op's arguments after which one is taken to be unsupported."""

BATCH = STRETCH
"""Architectures handed to a process at a time: what is claimed in a store at a time."""

PATIENCE = 120.0
"""Seconds after which a process that shrinks a failure is taken to hang: it should have ended by itself long before."""

TIME_LIMIT = 60.0
"""Seconds that one architecture may take."""

MISTAKES = 8
"""Errors of ours after which a campaign is given up."""


class Processes(Protocol):
    """Where a campaign runs: :class:`backproof.isolation.Pool`, or a cluster."""

    def outcomes(self, function: Callable[[Any], Any], batches: Iterable[Sequence[Any]]) -> Iterator[Outcome]:
        """Call a function with every argument of every batch, in no certain order."""


@dataclass(frozen=True)
class Campaign:
    """What to verify: ``examples`` random architectures, each in every dtype.

    Attributes
    ----------
    implementation
        By name, for every process loads its own; an object runs in this process only.
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

    implementation: str | Verifiable = "numpy"
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
        implementation = loaded(self.implementation)
        supported = [row.op for row in drawable(self.layers) if _supports(implementation, row, self.dtypes)]
        for name in self.layers or ():
            if name not in supported:
                numbers = " in complex numbers" if "complex128" in self.dtypes else ""
                raise Unsupported(f"{implementation.name} does not support {name}{numbers}")
        if all(op in STRUCTURAL for op in self.layers or supported) and self.layers is None:
            raise Unsupported(f"{implementation.name} supports no layer of the catalogue")
        return replace(self, layers=self.layers or tuple(supported))

    def definition(self) -> dict[str, Any]:
        """Return, as plain JSON, all that the results depend on, and what there was to draw."""
        drawn = facts({*(self.layers or ()), *STRUCTURAL})
        return {
            "implementation": named(self.implementation),
            "seed": self.seed,
            "dtypes": list(self.dtypes),
            "layers": list(self.layers or ()),
            "second_order": self.second_order,
            "device": self.device,
            "chosen": None,
            "unsupported": [],
            "environment": environment(),
            "facts": {op: asdict(known) for op, known in drawn.items()},
        }

    def agreements(self, workers: int, limit: float = TIME_LIMIT) -> Generator[list[Agreement]]:
        """Verify example after example: for each, one agreement per dtype, in order."""
        waiting: dict[int, list[Agreement]] = {}
        following = count()
        number = next(following)
        with self.pool(workers, limit) as pool:
            batches = (range(i, min(i + BATCH, self.examples)) for i in range(0, self.examples, BATCH))
            for outcome in pool.outcomes(self.row, batches):
                waiting[outcome.argument] = unpack(row_of(outcome).packed)
                while number in waiting:
                    yield waiting.pop(number)
                    number = next(following)

    def rows(self, store: Store, processes: Processes) -> Generator[Row | None]:
        """Verify what the store has not, sharing it with other processes that write there; the caller adds the rows.

        None: commit what there is by now; others may be waiting for it, as this process waits for theirs.

        Raises
        ------
        Exception
            A mistake of ours, after all else is done; its example stays missing.
        """
        mistakes: list[Exception] = []
        while True:
            claims = takewhile(bool, (store.claim(self.examples) for _ in count()))
            worked = False
            for outcome in processes.outcomes(self.row, claims):
                worked = True
                if outcome.error is None:
                    yield row_of(outcome)
                    continue
                mistakes.append(outcome.error)
                if len(mistakes) == MISTAKES:
                    raise outcome.error
            yield None
            if store.claimed_by_others():
                sleep(0.5)
            elif not worked:  # looked through once more: another may have given back what it had claimed
                break
        if mistakes:
            raise mistakes[0]

    def pool(self, workers: int, limit: float) -> Pool:
        """Return the processes of this machine that verify examples."""
        return Pool(min(workers, -(-self.examples // BATCH)), partial(ready, self.implementation), limit)

    def row(self, number: int) -> Row:
        """Verify one example, packed."""
        return Row.of(number, self.example(number))

    def reference(self, number: int) -> Reference:
        """Draw one example, of what the implementation takes."""
        takes = Completed(loaded(self.implementation)).takes
        return random_reference((self.seed << 32) + number, self.layers, takes=takes)

    def example(self, number: int) -> list[Agreement]:
        """Verify one example."""
        reference = self.reference(number)
        if self.device != "cpu":
            reference = Reference(reference.twin.on(self.device), reference.values)
        verification = Verification(reference.twin.architecture, loaded(self.implementation), reference=reference)
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
    architecture = verification.architecture
    tell(
        architecture=architecture.to_dict(),
        digest=architecture.digest,
        shapes=verification.twin.shapes,
        implementation=verification.implementation.name,
    )
    found = []
    for dtype in dtypes:
        tell(dtype=dtype)
        found.append(verification.agreement(dtype, second_order=second_order))
    return found


def replayed(
    architecture: Architecture, implementation: str, dtypes: Sequence[str], second_order: bool, limit: float
) -> Row:
    """Verify one architecture in a process of its own, as example 0."""
    verified = partial(_replayed, implementation=implementation, dtypes=dtypes, second_order=second_order)
    with Pool(1, partial(ready, implementation), limit) as pool:
        (outcome,) = pool.outcomes(verified, [[architecture]])
    return row_of(replace(outcome, argument=0))


def _replayed(architecture: Architecture, implementation: str, dtypes: Sequence[str], second_order: bool) -> Row:
    return Row.of(0, agreements(architecture, loaded(implementation), dtypes, second_order))


def row_of(outcome: Outcome) -> Row:
    """Return the row of an example from what came of it; a process that was lost is a finding.

    Raises
    ------
    Exception
        What the example raised: a mistake of ours.
    """
    if outcome.error is not None:
        raise outcome.error
    if not outcome.lost:
        row: Row = outcome.value
        return replace(row, notes=outcome.notes)
    return Row.of(outcome.argument, [lost(outcome)], outcome.notes)


def lost(outcome: Outcome) -> Agreement:
    """Return the agreement on an architecture with which the process was lost."""
    place = dict(outcome.place)
    if "dtype" not in place:
        raise RuntimeError(f"{outcome.lost} before anything was verified")
    where = "node {node} ({op}), {phase}: ".format_map(place) if "node" in place else ""
    return Agreement(
        architecture=place["architecture"],
        digest=place["digest"],
        implementation=place["implementation"],
        dtype=place["dtype"],
        seconds=0.0,
        tensors=(),
        culprit=place.get("node"),
        op=place.get("op"),
        failure=f"{where}{outcome.lost}",
        shapes=place["shapes"],
    )


def checked(campaign: Campaign) -> Campaign:
    """Return the campaign with its layers filled in, for which its implementation is loaded in another process.

    Raises
    ------
    ValueError
        A layer, dtype or implementation is unknown or unsupported, or the implementation takes its process down.
    """
    with Pool(1, one_thread, START, confirm=False) as pool:
        (outcome,) = pool.outcomes(Campaign.checked, [[campaign]])
    if outcome.lost:
        raise UnknownImplementation(f"{campaign.implementation}: cannot be loaded: {outcome.lost}")
    if outcome.error is not None:
        raise outcome.error
    found: Campaign = outcome.value
    return found


def shrunk(failures: Sequence[Mapping[str, Any]], implementation: str | Verifiable) -> Generator[dict[str, Any]]:
    """Shrink failures of a summary one after the other: what is to be filled into each.

    Parameters
    ----------
    failures
        Entries of :attr:`reports.Summary.failures`.
    implementation
        By name: then in another process, for it may crash or hang on what it is given here, and that costs no other
        failure. Or an object, in this process.
    """
    if not isinstance(implementation, str):
        yield from (_shrunk(implementation, failure) for failure in failures)
        return
    with Pool(1, partial(ready, implementation), PATIENCE, confirm=False) as pool:
        for outcome in pool.outcomes(partial(_shrunk, implementation), ([failure] for failure in failures)):
            yield outcome.value or {"shrinking": str(outcome.error or outcome.lost)}


def _shrunk(implementation: str | Verifiable, failure: Mapping[str, Any]) -> dict[str, Any]:
    if ": the process d" in (failure["failure"] or ""):
        return {"shrinking": "every attempt would take the process down"}
    dtype, architecture = failure["dtype"], Architecture.from_dict(failure["architecture"])
    second_order = any(tensor["against"].startswith(SECOND_ORDER) for tensor in failure["tensors"])
    try:
        found = shrink_failure(architecture, loaded(implementation), dtype, second_order)
    except ValueError as error:
        return {"shrinking": str(error)}
    return {
        "minimal": found.architecture.to_dict(),
        "reproduction": reproduction(found.architecture, implementation, dtype, second_order),
        "shrinking": "" if found.finished else f"stopped after {found.tries} tries",
    }


def _supports(implementation: Verifiable, row: Drawable, dtypes: Sequence[str]) -> bool:
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


_by_name = cache(load)


def loaded(implementation: str | Verifiable) -> Verifiable:
    """Load an implementation by name, once in a process; an object is what it is."""
    return _by_name(implementation) if isinstance(implementation, str) else implementation


def named(implementation: str | Verifiable) -> str:
    """Return the name by which an implementation was asked for, or its own."""
    return implementation if isinstance(implementation, str) else implementation.name


def one_thread() -> None:
    """Compute on one thread: the arrays are small, and several processes already fill the machine."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def ready(implementation: str | Verifiable) -> None:
    """Make a process ready to verify."""
    one_thread()
    loaded(implementation)
