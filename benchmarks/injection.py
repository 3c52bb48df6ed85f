"""Errors of a known size: one coordinate of one gradient of one node, wrong by as much as one likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias
from zlib import crc32

import numpy as np

from backproof.generator import random_architecture
from backproof.implementations import NumPyImplementation, Pass
from backproof.running import run
from backproof.verification import Verification
from reference import Node, Tensor
from reference.run import Array, magnitude

Relation: TypeAlias = Literal["value", "scale"]
RELATIONS: tuple[Relation, ...] = ("value", "scale")
"""What the size of an error is relative to: the coordinate's own right value, or its array's largest magnitude."""

ATTEMPTS = 20
"""How many architectures are drawn for one case at most: some ops have arguments under which no gradient flows."""


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of one gradient of a node: of a parameter, by name, or of an input, by number."""

    kind: Literal["parameter", "input"]
    name: str
    index: tuple[int, ...]


class Error(NamedTuple):
    """An error of ``size``, relative to the coordinate's own value or to the scale of its array."""

    coordinate: Coordinate
    size: float
    relation: Relation

    def applied(self, gradient: Array) -> Array:
        """Return the gradient with the error in it: linear in the gradient, as the mistakes of a backward pass are."""
        wrong = gradient.copy()
        index = self.coordinate.index
        sizes = np.abs(np.where(np.isfinite(gradient), gradient, 0))
        unit = gradient[index] if self.relation == "value" else gradient.flat[int(np.argmax(sizes))]
        wrong[index] = float(gradient[index]) + self.size * float(unit)
        return wrong


class Injected(NumPyImplementation):
    """``impl``, and an error in the backward of one node, whether it runs alone or within a network.

    Attributes
    ----------
    node
        Name of the node; None: none.
    error
        What is wrong there, read when backward runs; None: nothing.
    """

    node: str | None = None
    error: Error | None = None

    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Sequence[Array],
    ) -> Pass:
        """Run one layer of impl; its backward commits the error."""
        done = super().forward(node, parameters, inputs, training=training, noise=noise)
        if node.name != self.node:
            return done

        def backward(grad_outputs: tuple[Array | None, ...]) -> tuple[list[Array | None], dict[str, Array]]:
            grads, own = done.backward(grad_outputs)
            grads, own = list(grads), dict(own)
            error = self.error
            if error is not None and error.coordinate.kind == "parameter":
                own[error.coordinate.name] = error.applied(own[error.coordinate.name])
            elif error is not None:
                arrived = grads[number := int(error.coordinate.name)]
                grads[number] = None if arrived is None else error.applied(arrived)
            return grads, own

        return done._replace(backward=backward)


@dataclass(frozen=True)
class Case:
    """One node of one random architecture, ready to be verified with any error in it.

    Attributes
    ----------
    op, seed
        ``random_architecture(seed, layers=[op], max_nodes=1)`` draws the architecture.
    node
        The node of that op.
    implementation, verification
        What is verified; the implementation is told the error.
    coordinates
        Where the error is, drawn at random, by what its size is relative to. A coordinate whose right gradient is
        exactly 0 has no relative error; beside the scale of its array it has one.
    rounding
        What rounding does to the right gradient at that coordinate, in the same units, by dtype: the distance from
        longdouble. An error below it cannot be told from none.
    """

    op: str
    seed: int
    node: Node
    implementation: Injected
    verification: Verification
    coordinates: Mapping[Relation, Coordinate]
    rounding: Mapping[tuple[str, Relation], float]


def cases(op: str, count: int, seed: int, dtypes: Sequence[str]) -> Iterator[Case]:
    """Draw cases of one op: ``count`` of them, or fewer where so many were not found."""
    first = (seed << 32) + crc32(op.encode()) % (1 << 31)
    found = 0
    for number in range(first, first + ATTEMPTS * count):
        case = drawn(op, number, dtypes)
        if case is not None:
            yield case
            found += 1
        if found == count:
            return


def drawn(op: str, seed: int, dtypes: Sequence[str]) -> Case | None:
    """Draw a case; None where the architecture lacks the op, or no finite gradient but 0 flows through it."""
    architecture = random_architecture(seed, layers=[op], max_nodes=1)
    node = next((node for node in architecture.nodes if node.op == op), None)
    if node is None:
        return None
    implementation = Injected()
    implementation.node = node.name
    verification = Verification(architecture, implementation)
    with np.errstate(all="ignore"):
        exact = _gradients(verification, node, "longdouble")
        worked = {dtype: _gradients(verification, node, dtype) for dtype in dtypes}
    rng = np.random.default_rng(seed)
    arrays = {key: g for key, g in exact.items() if np.isfinite(g).all() and g.any()}
    if not arrays:
        return None
    coordinates: dict[Relation, Coordinate] = {}
    rounding: dict[tuple[str, Relation], float] = {}
    for relation in RELATIONS:
        kind, name = list(arrays)[rng.integers(len(arrays))]
        right = arrays[kind, name]
        places = np.argwhere(right if relation == "value" else np.ones(right.shape))
        index = tuple(int(i) for i in places[rng.integers(len(places))])
        coordinates[relation] = Coordinate(kind, name, index)
        unit = abs(float(right[index])) if relation == "value" else magnitude(right)
        for dtype in dtypes:
            off = abs(float(worked[dtype][kind, name][index] - right[index]))
            rounding[dtype, relation] = off / unit if unit else 0.0
    return Case(op, seed, node, implementation, verification, coordinates, rounding)


def _gradients(
    verification: Verification, node: Node, dtype: str
) -> dict[tuple[Literal["parameter", "input"], str], Array]:
    """Return the right gradients of the node alone, by kind and name."""
    alone = verification.alone[node.name]
    found = run(verification.implementation, alone.twin, alone.values, dtype).run.tensors
    gradients: dict[tuple[Literal["parameter", "input"], str], Array] = {
        ("parameter", key.name): g for key, g in found.items() if key.kind == "parameter"
    }
    for number, name in enumerate(alone.values.inputs):
        if (g := found.get(Tensor("input", name, "0"))) is not None:
            gradients["input", str(number)] = g
    return gradients
