"""One node alone on its own values, as a function of its arrays: what is differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np

from backproof.implementations import Completed, Pass
from backproof.running import ImplementationFailed, WrongArray, call
from reference import Node, Reference
from reference.differences import Terms
from reference.duals import Dual
from reference.run import Array

Key = TypeVar("Key", str, int)
Samples: TypeAlias = Mapping[str | int, tuple[Array, Array]]
"""By array, which coordinates of it are looked at, and the signs of the directions for the others."""

BESIDE = 2.0**-30
"""So far from a point lies what is beside it."""


class Alone:
    """The forward of one node on its own values, as a function of one of its arrays at a time."""

    def __init__(self, implementation: Completed, node: Node, alone: Reference) -> None:
        self.implementation, self.node = implementation, node
        self.training = alone.twin.architecture.training
        self.seed = alone.twin.architecture.seed
        self.noise = alone.values.noise.get(node.name, ())
        self.cotangents = {int(r.rpartition(".")[2]): c for r, c in alone.values.cotangents.items()}
        self.parameters = dict(alone.values.parameters[node.name])
        self.inputs = dict(enumerate(alone.values.inputs.values()))

    def terms(self, parameters: Mapping[str, Array], inputs: Mapping[int, Array]) -> Array:
        """The outputs times their cotangents: their sum is what backward differentiates."""
        done = self._run(parameters, inputs)
        return np.concatenate([_product(c, done.outputs[i]).reshape(-1) for i, c in self.cotangents.items()])

    def _run(self, parameters: Mapping[str, Array], inputs: Mapping[int, Array]) -> Pass:
        # Copies, for an implementation that writes into what it is given is to be found out, not to spoil the numbers.
        own = {name: _copied(array) for name, array in parameters.items()}
        given = tuple(map(_copied, inputs.values()))
        return call(self.implementation, self.node, own, given, self.training, self.noise)

    def floating(self) -> dict[str | int, Array]:
        """Its real arrays."""
        every: list[tuple[str | int, Array]] = [*self.parameters.items(), *self.inputs.items()]
        return {key: array for key, array in every if array.dtype.kind == "f"}

    def of(self, given: Mapping[str | int, Array]) -> Array:
        """The terms of other arrays than its own."""
        return self.terms(
            {name: given.get(name, array) for name, array in self.parameters.items()},
            {i: given.get(i, x) for i, x in self.inputs.items()},
        )

    def moving(self, key: str | int) -> Terms:
        """The terms as a function of one array."""
        return partial(self._moved, key)

    def _moved(self, key: str | int, z: Array) -> Array:
        """All run in longdouble where ``z`` does."""
        return self.of({**(self._in_longdouble() if z.dtype == np.longdouble else {}), key: z})

    def _in_longdouble(self) -> dict[str | int, Array]:
        return {key: array.astype(np.longdouble) for key, array in self.floating().items()}

    def moving_parts(self, key: str | int) -> Terms:
        """The terms as a function of the real and imaginary parts of one array, along a last axis."""
        return lambda z: self._moved(key, z[..., 0] + 1j * z[..., 1])

    def all_moving(self, directions: Mapping[str | int, Array]) -> Terms:
        """The terms as a function of one distance, by which all arrays move along their directions."""

        def moved(t: Array) -> Array:
            try:
                return self.terms(*self._at(float(t[0]), directions))
            except ImplementationFailed:  # beyond what it takes (a variance below 0) there is no value
                return np.full(sum(c.size for c in self.cotangents.values()), np.nan)

        return moved

    def _at(
        self, distance: float, directions: Mapping[str | int, Array]
    ) -> tuple[Mapping[str, Array], Mapping[int, Array]]:
        def at(arrays: Mapping[Key, Array]) -> dict[Key, Array]:
            return {k: a + distance * directions[k] if k in directions else a for k, a in arrays.items()}

        return at(self.parameters), at(self.inputs)

    def bends(self, directions: Mapping[str | int, Array]) -> bool:
        """Whether it decides otherwise as soon as all arrays move along their directions: a kink lies here."""
        here, *beside = (self._run(*self._at(t, directions)).branches for t in (0.0, BESIDE, -BESIDE))
        return any(not np.array_equal(a, b) for other in beside for a, b in zip(here, other))

    def precise(self) -> bool:
        """Whether the forward runs in longdouble, too, and says the same there."""
        try:
            found = self.of(self._in_longdouble())
        except (ImplementationFailed, WrongArray):
            return False
        plain = self.of({})
        return found.dtype == np.longdouble and np.allclose(found.astype(np.float64), plain, equal_nan=True)


def _copied(array: Array) -> Array:
    return array if isinstance(array, Dual) else array.copy()  # dual numbers are made for one run anyway


def _product(c: Array, y: Array) -> Array:
    """``c y``; for complex numbers the real part of ``conj(c) y``, whose slopes torch's gradients hold."""
    return np.asanyarray((c.conj() * y).real if np.iscomplexobj(c) else c * y)
