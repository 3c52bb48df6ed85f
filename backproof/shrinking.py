"""Shrinking: from an architecture that fails to the smallest that still fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import process_time
from typing import NamedTuple

from backproof.implementations import Verifiable
from backproof.simplifying import PASSES, Document, Pass, size
from backproof.verification import Verification
from reference import Architecture, ArchitectureError, Twin
from reports import Agreement
from reports.agreement import Fault

TRIES, SECONDS = 600, 20.0
"""Verifications after which shrinking stops, and seconds of computing: a busy machine is not to change the result."""


class Shrunk(NamedTuple):
    """What shrinking came to: ``finished`` where no single step makes it any smaller."""

    architecture: Architecture
    tries: int
    finished: bool


class _Stopped(Exception):
    """A limit is reached."""


def shrink(
    architecture: Architecture,
    fails: Callable[[Architecture], bool],
    tries: int = TRIES,
    seconds: float = SECONDS,
) -> Shrunk:
    """Find a smallest architecture that still fails: by every pass in turn, until none finds anything smaller.

    Every step lowers :func:`~backproof.simplifying.size`, so it ends. The same architecture gives the same result,
    unless time runs out.

    Parameters
    ----------
    architecture
        One that fails.
    fails
        Whether an architecture fails in the same way. It is asked about valid ones only.
    tries, seconds
        After so many questions, or so much computing, what was found by then is returned.
    """
    best, seen = architecture, {architecture}
    asked, until = 0, process_time() + seconds

    def accepted(document: Document, least: tuple[int, ...]) -> Architecture | None:
        nonlocal asked
        try:
            candidate = Architecture.from_dict(document)
            if candidate in seen or size(candidate) >= least:
                return None
            seen.add(candidate)
            Twin(candidate, device="cpu")
        except ArchitectureError:
            return None
        if asked >= tries or process_time() > until:
            raise _Stopped
        asked += 1
        return candidate if fails(candidate) else None

    def smaller(simpler: Pass) -> Architecture | None:
        least = size(best)
        candidates = simpler(best.to_dict(), Twin(best, device="cpu"))
        found = (accepted(document, least) for document in candidates)
        return next((candidate for candidate in found if candidate), None)

    try:
        improved = True
        while improved:
            improved = False
            for simpler in PASSES:
                while (found := smaller(simpler)) is not None:
                    best, improved = found, True
    except _Stopped:
        return Shrunk(best, asked, finished=False)
    return Shrunk(best, asked, finished=True)


class Symptom(NamedTuple):
    """How an implementation fails: on which op, in which arrays, or raising what. Shrinking must not slip onto another.

    Attributes
    ----------
    op
        Of the culprit; None: the composition is to blame.
    arrays
        Kind and name of the culprit's arrays that disagree.
    fault
        Where it lies in no array of a node: ``state``, ``composition`` or ``reference``.
    raised
        The exception and its message, without names of nodes and numbers.
    """

    op: str | None
    arrays: frozenset[tuple[str, str]]
    fault: Fault | None
    raised: str

    @classmethod
    def of(cls, agreement: Agreement) -> Symptom:
        """Return the symptom of an agreement that does not agree."""
        wrong = {(t.kind, t.name) for t in agreement.disagreements if t.node == agreement.culprit}
        # The message but for the node's name and the sizes.
        raised = re.sub(r"^node \w+ |\d+", "", agreement.failure or "")
        beyond = agreement.fault if agreement.fault in ("state", "composition", "reference") else None
        return cls(agreement.op, frozenset(wrong), beyond, raised)

    def shown_by(self, agreement: Agreement) -> bool:
        """Whether an agreement fails in the same way: at least one array of the same op is wrong again."""
        if agreement.agrees:
            return False
        other = Symptom.of(agreement)
        same = self.arrays & other.arrays or not self.arrays
        return bool(same) and (self.op, self.fault, self.raised) == (other.op, other.fault, other.raised)


def shrink_failure(
    architecture: Architecture, implementation: str | Verifiable, dtype: str, second_order: bool = False
) -> Shrunk:
    """Shrink an architecture on which an implementation fails, keeping the culprit's op and the dtype.

    Raises
    ------
    ValueError
        It does not fail.
    """

    def verified(candidate: Architecture) -> Agreement:
        return Verification(candidate, implementation).agreement(dtype, explain=False, second_order=second_order)

    first = verified(architecture)
    if first.agrees:
        raise ValueError(f"architecture {architecture.digest[:12]} does not fail again")
    symptom = Symptom.of(first)

    def fails(candidate: Architecture) -> bool:
        try:
            return symptom.shown_by(verified(candidate))
        except Exception:  # PyTorch refuses the values, or the implementation the architecture: not this failure
            return False

    return shrink(architecture, fails)
