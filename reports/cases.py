"""The single architectures of a run, for a report in which one can look at each: a line of all, the whole of some."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.agreement import Agreement
from reports.packing import pack
from reports.row import verdict
from reports.samples import ALONE

LINES = 100_000
"""Architectures that are listed."""

WHOLE_CASES = 1000
"""Architectures of which everything is kept, of the first ones; beyond them, those that are worth a look."""

WORTH = 50
"""Failing and inconclusive architectures, of each so many, that are kept wherever they stand."""

COMPARED = ("autograd", ALONE)
"""Witnesses of the implementation against PyTorch, in the network and node by node."""


@dataclass
class Cases:
    """Gathers architectures one at a time, in memory that is bounded.

    Of the first 1,000 everything is kept; of later ones, if they disagree, have an inconclusive array, or
    have the fewest digits of an op in a dtype so far.
    """

    lines: list[list[Any]] = field(default_factory=list)
    count: int = 0
    ops: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, None] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    _least: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    _lasting: set[str] = field(default_factory=set)
    _strange: dict[str, int] = field(default_factory=lambda: {"disagree": 0, "inconclusive": 0})

    def add(self, number: int, agreements: Sequence[Agreement]) -> None:
        """Take in the agreements on one architecture, one per dtype."""
        first, digest, line = agreements[0], agreements[0].digest[:12], _line(agreements)
        self.count += 1
        self.dtypes |= dict.fromkeys(a.dtype for a in agreements)
        if len(self.lines) < LINES:
            used = dict.fromkeys(node["op"] for node in first.architecture["nodes"])
            self.lines.append([number, digest, *line, [self.ops.setdefault(op, len(self.ops)) for op in used]])
        strange = "disagree" if line[0] != "agree" else "inconclusive" if line[1] else ""
        if strange:
            self._strange[strange] += 1
        if self.count <= WHOLE_CASES or (strange and self._strange[strange] <= WORTH):
            self._lasting.add(digest)
        if self._has_least(agreements) or digest in self._lasting:
            self.whole[digest] = base64.b64encode(pack(agreements)).decode()

    def _has_least(self, agreements: Sequence[Agreement]) -> bool:
        found = False
        for agreement in agreements:
            for tensor in agreement.tensors:
                if tensor.op and tensor.digits is not None and tensor.against in COMPARED and tensor.verdict == "agree":
                    key = tensor.op, agreement.dtype
                    if key not in self._least or tensor.digits < self._least[key][0]:
                        self._least[key] = tensor.digits, agreement.digest[:12]
                        found = True
        return found

    def document(self) -> dict[str, Any]:
        """Return plain JSON: lines of all, the packed agreements of some, and who has the fewest digits of each op."""
        least = {digest for _, digest in self._least.values()}
        return {
            "count": self.count,
            "ops": list(self.ops),
            "dtypes": list(self.dtypes),
            "lines": self.lines,
            "whole": {digest: packed for digest, packed in self.whole.items() if digest in self._lasting | least},
            "least": [[op, dtype, digest] for (op, dtype), (_, digest) in sorted(self._least.items())],
        }


def _line(agreements: Sequence[Agreement]) -> list[Any]:
    """Return the verdict, how many arrays are inconclusive, the seconds, and the fewest digits by dtype and witness."""
    unsure = sum(t.verdict == "inconclusive" for a in agreements for t in a.tensors)
    least = []
    for agreement in agreements:
        for pairs in (COMPARED, ("differences",)):
            counted = (t for t in agreement.tensors if t.against in pairs and t.verdict != "inconclusive")
            digits = [t.digits for t in counted if t.digits is not None]
            least.append(round(min(digits), 1) if digits else None)
    return [verdict(agreements), unsure, round(sum(a.seconds for a in agreements), 3), least]
