"""The networks of the suite: of one layer, at its kinks, where its gradient is a convention, and of all layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

from backproof.catalogue import convention, rows
from backproof.generator import random_reference
from reference import Architecture, Input, Reference, Twin, draw_values

FEW = 2
"""Nodes of a network of one layer, besides a Reshape: what is wrong is then seen in small arrays."""
NOT_DRAWN = {"kinks": {"CTCLoss"}, "conventions": {"EmbeddingBag"}}
"""The one takes logarithms of a simplex only, the other is never drawn scaled by frequency."""


def with_kinks() -> list[str]:
    """Ops that can be fed numbers of {-1, -1/2, 0, 1/2, 1}: zeros, equal values, the ends of intervals."""
    return [op for op, row in rows().items() if row.first is None and op not in NOT_DRAWN["kinks"]]


def with_conventions() -> list[str]:
    """Ops of which a gradient is, for some arguments, by PyTorch's convention not the derivative."""
    return [op for op, row in rows().items() if row.convention and op not in NOT_DRAWN["conventions"]]


def of_layer(op: str, examples: int, seed: int) -> Iterator[Reference]:
    """Draw small networks of a layer."""
    return islice(_drawn([op], seed), examples)


def at_kinks(op: str, examples: int, seed: int) -> Iterator[Reference]:
    """Draw small networks of a layer whose inputs lie on kinks and are equal to one another."""
    moved = (_moved(reference.twin.architecture) for reference in islice(_drawn([op], seed), 4 * examples))
    return islice((reference for reference in moved if reference), examples)


def by_convention(op: str, examples: int, seed: int) -> Iterator[Reference]:
    """Draw small networks of a layer with arguments for which a gradient is a convention."""

    def conventional(reference: Reference) -> bool:
        return any(node.op == op and convention(node) for node in reference.twin.architecture.nodes)

    return islice(filter(conventional, islice(_drawn([op], seed), 40 * examples)), examples)


def whole(layers: Sequence[str], examples: int, seed: int) -> Iterator[Reference]:
    """Draw networks of all these layers."""
    return (random_reference((seed << 32) + number, layers) for number in range(examples))


def _drawn(layers: Sequence[str], seed: int) -> Iterator[Reference]:
    return (random_reference((seed << 32) + number, layers, FEW) for number in count())


def _moved(architecture: Architecture) -> Reference | None:
    """Put all real inputs on kinks; None if there are none."""

    def ties(given: Input) -> Input:
        return replace(given, domain="ties") if given.domain in ("real", "wide") else given

    inputs = tuple(map(ties, architecture.inputs))
    if not any(given.domain == "ties" for given in inputs):
        return None
    twin = Twin(replace(architecture, inputs=inputs))
    return Reference(twin, draw_values(twin.architecture, twin))
