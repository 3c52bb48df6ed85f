"""Verification as a test asks for it: of many architectures, with all that is wrong in one exception."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import torch
from threadpoolctl import threadpool_limits

from backproof import terminal
from backproof.campaign import Campaign, shrunk
from backproof.gathering import about
from backproof.implementations import Completed, Verifiable, load
from backproof.verification import Verification
from backproof.witnesses import Unsupported
from reference import Architecture, Reference, Twin, draw_values
from reports import DisagreementError, Summary, distinct
from reports.scope import never_drawn


class Work(NamedTuple):
    """What is to be verified: so many networks, in these dtypes; of an op it may be wanted that it is its ``own``.

    Each of the layers that were ``chosen`` by name must be in one of them.
    """

    implementation: Verifiable
    dtypes: Sequence[str]
    references: Iterator[Reference]
    examples: int
    own: str | None = None
    chosen: Sequence[str] = ()


def work(
    implementation: str | Verifiable,
    dtypes: Sequence[str],
    layers: Sequence[str] | None,
    examples: int,
    seed: int,
    architecture: Architecture | None = None,
) -> Work:
    """Check what was asked for, and draw it: the same random architectures as ``backproof verify``, or the one given.

    Raises
    ------
    ValueError
        Something of it is unknown, unsupported or malformed.
    """
    for name, value in (("layers", layers), ("dtypes", dtypes)):
        if isinstance(value, str) or not all(isinstance(entry, str) for entry in value or ()):
            raise ValueError(f"{name}: is {value!r}, wanted a list of names")
    for name, number, least, most in (("examples", examples, 1, 10**7), ("seed", seed, 0, 2**32 - 1)):
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"{name}: is {number!r}, wanted an integer from {least} to {most}")
    found = load(implementation) if isinstance(implementation, str) else implementation
    found = found() if isinstance(found, type) else found
    if architecture is not None:
        twin = Twin(architecture)
        return Work(found, dtypes, iter([Reference(twin, draw_values(architecture, twin))]), 1)
    campaign = Campaign(found, examples, seed, tuple(dtypes), tuple(layers) if layers else None).checked()
    return Work(found, dtypes, map(campaign.reference, range(examples)), examples, chosen=tuple(layers or ()))


def verify_each(asked: Work, hear: Callable[[dict[str, Any]], None]) -> Summary:
    """Verify an implementation on all these networks; the first failures of different kinds are shrunk.

    Whatever was verified is heard, however it ends.

    Raises
    ------
    DisagreementError
        It disagrees: the text says where and why, with the smallest architectures that show it.
    Unsupported
        It supports none of the networks, or none with one of the layers that were chosen by name.
    """
    __tracebackhide__ = True
    implementation, dtypes, references, requested, own, chosen = asked
    completed, unsupported = Completed(implementation), Counter[str]()
    summary = Summary(dtypes)
    started = perf_counter()
    try:
        with _one_thread():
            for reference in references:
                nodes = reference.twin.architecture.nodes
                runs = (implementation if node.op == own else completed for node in nodes)
                missing = next((node.op for node, by in zip(nodes, runs) if not by.supports(node)), None)
                if missing:
                    unsupported[missing] += 1
                    continue
                verification = Verification(reference.twin.architecture, implementation, reference=reference)
                summary.add([verification.agreement(dtype) for dtype in dtypes])
            told = distinct(summary.failures)[: terminal.SHOWN]
            for failure, found in zip(told, shrunk(told, implementation)):
                failure |= found
    finally:
        summary.seconds = perf_counter() - started
        summary.about = about(implementation.name, requested, unsupported)
        document = summary.document()
        hear(document)
    if not summary.architectures:
        raise Unsupported(f"{implementation.name} does not support {', '.join(sorted(unsupported)) or 'anything'}")
    if summary.failed:
        raise DisagreementError(terminal.in_text(document))
    if never := never_drawn(document | {"chosen": chosen}):
        seen = f"in none of the {summary.architectures} architectures that {implementation.name} was verified on"
        hint = "take more examples, or these layers alone, or see whether supports() or takes() refuses all of them"
        raise Unsupported(f"NOT VERIFIED: {', '.join(never)}: {seen}: {hint}")
    return summary


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, for the arrays are small, and leave the threads of the tests as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
