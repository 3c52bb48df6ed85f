"""One example of a campaign, verified, as it goes into a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.agreement import Agreement
from reports.packing import pack


@dataclass(frozen=True)
class Row:
    """One example, verified.

    Attributes
    ----------
    number, digest
        Which one, and the digest of its architecture.
    verdict
        ``agree``, ``disagree`` or ``failed``.
    packed
        All of it.
    worst
        The fewest digits against autograd by dtype, for whoever watches; it is not kept.
    notes
        Remarks on what the implementation did besides computing.
    """

    number: int
    digest: str
    verdict: str
    packed: bytes
    worst: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, number: int, agreements: Sequence[Agreement], notes: tuple[str, ...] = ()) -> Row:
        """Pack the agreements on an example, one per dtype."""
        worst = {}
        for agreement in agreements:
            compared = (t for t in agreement.tensors if t.against == "autograd" and t.verdict != "inconclusive")
            if digits := [t.digits for t in compared if t.digits is not None]:
                worst[agreement.dtype] = min(digits)
        return cls(number, agreements[0].digest, verdict(agreements), pack(agreements), worst, notes)


def verdict(agreements: Sequence[Agreement]) -> str:
    """Say what the agreements on one example, one per dtype, come to: ``agree``, ``disagree`` or ``failed``."""
    if any(a.failure is not None for a in agreements):
        return "failed"
    return "agree" if all(a.agrees for a in agreements) else "disagree"


def line(number: int, agreements: Sequence[Agreement]) -> str:
    """What of an example does not depend on where and when it ran."""
    said = [
        [a.dtype, a.failure is not None, [[t.label, t.against, t.verdict, t.digits] for t in a.tensors]]
        for a in agreements
    ]
    return json.dumps([number, agreements[0].digest, said])
