"""What the figures of a report are drawn from that no table shows: counts in bins, in memory that does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.agreement import Agreement
from reports.samples import ALONE, MOST_DIGITS, PER_DIGIT, THOUSANDTHS

PAIRS = ("autograd", ALONE, "differences", "autograd against differences")
"""The pairs of witnesses of which limits are counted: what errors a comparison would have caught."""


@dataclass
class Pictured:
    """Counts over agreements.

    Attributes
    ----------
    limits
        By dtype and pair of witnesses: how many arrays have a limit in each bin of digits. An error at least as large
        as its limit is caught in whatever entry of the array it is.
    three_way
        By dtype: architectures by the bins of the fewest digits that the implementation's nodes have with autograd, and
        with finite differences; of each such pair of bins, how many there are, of how many of them PyTorch's
        autograd was held against differences, and the sum of the digits of that in thousandths.
    """

    limits: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)
    three_way: dict[str, dict[tuple[int, int], list[int]]] = field(default_factory=dict)

    def add(self, agreement: Agreement) -> None:
        """Take in what one architecture gave in one dtype."""
        fewest: dict[str, float] = {}
        for tensor in agreement.tensors:
            if tensor.against in PAIRS and tensor.limit is not None and tensor.verdict != "inconclusive":
                self.limits.setdefault((agreement.dtype, tensor.against), Counter())[_bin(tensor.limit)] += 1
            if tensor.digits is not None and tensor.verdict != "inconclusive":
                fewest[tensor.against] = min(tensor.digits, fewest.get(tensor.against, tensor.digits))
        if ALONE in fewest and "differences" in fewest:
            at = _bin(fewest[ALONE]), _bin(fewest["differences"])
            counted = self.three_way.setdefault(agreement.dtype, {}).setdefault(at, [0, 0, 0])
            counted[0] += 1
            if (reference := fewest.get(PAIRS[-1])) is not None:
                counted[1] += 1
                counted[2] += round(THOUSANDTHS * reference)

    def include(self, document: Mapping[str, Any]) -> None:
        """Take in what another counted, from its document."""
        for counts in document["limits"]:
            mine = self.limits.setdefault((counts["dtype"], counts["against"]), Counter())
            mine.update({bin: count for bin, count in enumerate(counts["histogram"]) if count})
        for dtype, places in document["three_way"].items():
            for x, y, *counts in places:
                counted = self.three_way.setdefault(dtype, {}).setdefault((x, y), [0, 0, 0])
                for i, count in enumerate(counts):
                    counted[i] += count

    def document(self) -> dict[str, Any]:
        """Return plain JSON, sorted."""
        return {
            "limits": [
                {"dtype": dtype, "against": pair, "histogram": [counts[i] for i in range(MOST_DIGITS * PER_DIGIT)]}
                for (dtype, pair), counts in sorted(self.limits.items())
            ],
            "three_way": {
                dtype: [[x, y, *counted] for (x, y), counted in sorted(places.items())]
                for dtype, places in sorted(self.three_way.items())
            },
        }


def _bin(digits: float) -> int:
    return min(int(digits * PER_DIGIT), MOST_DIGITS * PER_DIGIT - 1)
