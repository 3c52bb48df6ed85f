"""What a comparison of two runs rests on: every architecture counts once, whatever the number of its arrays.

Arrays of one network rise and fall together, so they are no independent observations; architectures are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from reports.agreement import SECOND_ORDER, Agreement, TensorAgreement

WHOLE = "whole network"
"""The op of what belongs to none: gradients of the network's inputs, and of all of it along one direction."""

ALONE = "autograd, node alone"
"""The witnesses whose digits speak of one op: no error upstream reaches it."""

MOST_DIGITS, PER_DIGIT = 16, 4
"""Histograms of digits reach from 0 to the first, with so many bins for each."""

BLOCKS = 64
"""Parts into which architectures fall by their digest, so that two runs of the same ones can be compared in pairs."""

THOUSANDTHS = 1000
"""Sums of digits are kept in thousandths, as integers: they come out the same in whatever order they are added."""

WIDTH = 64
"""Bits of a fingerprint."""


@dataclass
class Sample:
    """Architectures, each counted once, that had arrays of one op and kind in one dtype.

    Attributes
    ----------
    cases
        How many there were.
    unsure
        How many of them had an inconclusive one.
    histogram
        By the mean digits of their arrays, in bins, of those that have digits.
    blocks
        Their number and the sum of their mean digits in thousandths, block by block.
    """

    cases: int = 0
    unsure: int = 0
    histogram: Counter[int] = field(default_factory=Counter)
    blocks: dict[int, list[int]] = field(default_factory=dict)

    def add(self, block: int, digits: list[float], unsure: bool) -> None:
        """Count one architecture, whose arrays have these digits."""
        self.cases += 1
        self.unsure += unsure
        if digits:
            mean = round(THOUSANDTHS * sum(digits) / len(digits))
            self.histogram[min(mean * PER_DIGIT // THOUSANDTHS, MOST_DIGITS * PER_DIGIT - 1)] += 1
            counted = self.blocks.setdefault(block, [0, 0])
            counted[0] += 1
            counted[1] += mean

    def include(self, document: Mapping[str, Any]) -> None:
        """Take in another sample, of other architectures, from its document."""
        self.cases += document["cases"]
        self.unsure += document["unsure"]
        self.histogram.update({int(bin): count for bin, count in document["histogram"].items()})
        for block, (count, total) in document["blocks"].items():
            counted = self.blocks.setdefault(int(block), [0, 0])
            counted[0] += count
            counted[1] += total

    def document(self) -> dict[str, Any]:
        """Return plain JSON, without what is zero."""
        return {
            "cases": self.cases,
            "unsure": self.unsure,
            "histogram": {str(bin): count for bin, count in sorted(self.histogram.items())},
            "blocks": {str(block): counted for block, counted in sorted(self.blocks.items())},
        }


@dataclass
class Samples:
    """One :class:`Sample` for each op, kind of array and dtype, and one of the whole network for each kind and dtype.

    The digits of an op are those of its nodes run alone; the digits of the whole network are those of all its arrays in
    their places. Second derivatives are of the kind ``curvature``.
    """

    samples: dict[tuple[str, str, str], Sample] = field(default_factory=dict)
    drawn: int = 0

    def draw(self, digest: str) -> None:
        """Take note that an architecture was verified."""
        self.drawn = (self.drawn + _number(digest)) % (1 << WIDTH)

    def add(self, agreement: Agreement) -> None:
        """Take in what one architecture gave in one dtype."""
        digits: dict[tuple[str, str], list[float]] = {}
        unsure: set[tuple[str, str]] = set()
        for tensor in agreement.tensors:
            for key, counts in _keys(tensor):
                of_key = digits.setdefault(key, [])
                if tensor.verdict == "inconclusive":
                    unsure.add(key)
                elif counts and tensor.digits is not None:
                    of_key.append(tensor.digits)
        block = _number(agreement.digest) % BLOCKS
        for (op, kind), found in digits.items():
            sample = self.samples.setdefault((op, kind, agreement.dtype), Sample())
            sample.add(block, found, (op, kind) in unsure)

    def include(self, drawn: str, documents: Iterable[Mapping[str, Any]]) -> None:
        """Take in the samples of other architectures, of which this is the fingerprint."""
        self.drawn = (self.drawn + int(drawn, 16)) % (1 << WIDTH)
        for document in documents:
            key = (document["op"], document["kind"], document["dtype"])
            self.samples.setdefault(key, Sample()).include(document)

    def document(self) -> list[dict[str, Any]]:
        """Return plain JSON, sorted."""
        return [
            {"op": op, "kind": kind, "dtype": dtype, **sample.document()}
            for (op, kind, dtype), sample in sorted(self.samples.items())
        ]

    @property
    def fingerprint(self) -> str:
        """The same for the same architectures, in whatever order they came."""
        return f"{self.drawn:0{WIDTH // 4}x}"


def _keys(tensor: TensorAgreement) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield the op and kind under which an array is counted, and whether its digits are."""
    kind = "curvature" if tensor.against.startswith(SECOND_ORDER) else tensor.kind
    if tensor.op:
        yield (tensor.op, kind), tensor.against in (ALONE, f"{SECOND_ORDER}, node alone")
    if tensor.against in ("autograd", SECOND_ORDER) or not tensor.op:
        yield (WHOLE, kind), tensor.against in ("autograd", SECOND_ORDER)


def _number(digest: str) -> int:
    return int.from_bytes(blake2b(digest.encode(), digest_size=WIDTH // 8).digest(), "big")
