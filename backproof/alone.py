"""One node alone on its own values, as a function of its arrays: what is differentiated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from backproof.implementations import Implementation, Pass
from backproof.running import ImplementationFailed, WrongArray, call
from reference import Node, Reference
from reference.differences import Terms, Together
from reference.duals import Dual
from reference.run import Array

Key = TypeVar("Key", str, int)
Samples: TypeAlias = Mapping[str | int, tuple[Array, Array]]
"""By array, which coordinates of it are looked at, and the signs of the directions for the others."""

BESIDE = 2.0**-30
"""So far from a point lies what is beside it."""


def called(name: str) -> str:
    """Say which input, by its number where a node of an architecture runs alone."""
    own = name.rpartition("_input")[2]
    return own if own == "input" else f"input {own}"


@dataclass(frozen=True)
class Given:
    """What one node is given: parameters, inputs by name, the gradient of each output (None: none flows), and noise."""

    parameters: Mapping[str, Array]
    inputs: Mapping[str, Array]
    cotangents: tuple[Array | None, ...]
    noise: tuple[Array, ...] = ()
    training: bool = True
    seed: int = 0

    @classmethod
    def of(cls, node: Node, alone: Reference) -> Given:
        """What the reference of a node alone runs on."""
        values, architecture = alone.values, alone.twin.architecture
        flowing = {int(end.rpartition(".")[2]): c for end, c in values.cotangents.items()}
        return cls(
            values.parameters[node.name],
            values.inputs,
            tuple(flowing.get(i) for i in range(len(architecture.outputs))),
            values.noise.get(node.name, ()),
            architecture.training,
            architecture.seed,
        )

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield all of them, by what they are called."""
        yield from self.parameters.items()
        yield from ((called(name), x) for name, x in self.inputs.items())
        yield from ((f"the gradient of output {i}", c) for i, c in enumerate(self.cotangents) if c is not None)

    def changed(self, forward: Callable[[Array], Array], back: Callable[[Array], Array]) -> Given:
        """Return the same with a function applied to all that goes forward, and one to what comes back."""
        return replace(
            self,
            parameters={name: forward(array) for name, array in self.parameters.items()},
            inputs={name: forward(x) for name, x in self.inputs.items()},
            cotangents=tuple(None if c is None else back(c) for c in self.cotangents),
        )


@runtime_checkable
class Several(Protocol):
    """An implementation of one function that runs it on many values of one of its arrays at once."""

    def many(
        self, parameters: Mapping[str, Array], inputs: tuple[Array, ...], key: str | int, stack: Array
    ) -> tuple[Array, ...] | None:
        """Return its outputs, stacked likewise; ``key`` is a parameter's name, or the number of an input.

        None where that cannot be done.
        """


class Alone:
    """The forward of one node on its own values, as a function of one of its arrays at a time."""

    def __init__(self, implementation: Implementation, node: Node, given: Given) -> None:
        self.implementation, self.node = implementation, node
        self.training, self.seed, self.noise = given.training, given.seed, given.noise
        self.cotangents = {i: c for i, c in enumerate(given.cotangents) if c is not None}
        self.parameters = dict(given.parameters)
        self.inputs = dict(enumerate(given.inputs.values()))

    def terms(self, parameters: Mapping[str, Array], inputs: Mapping[int, Array]) -> Array:
        """The outputs times their cotangents: their sum is what backward differentiates."""
        outputs = self._run(parameters, inputs).outputs
        shapes = {i: outputs[i].shape if i < len(outputs) else None for i in self.cotangents}
        for i, c in self.cotangents.items():
            if shapes[i] != c.shape:
                raise WrongArray(self.node, "output", str(i), f"has shape {shapes[i]} elsewhere, here {c.shape}")
        terms = np.concatenate([_product(c, outputs[i]).reshape(-1) for i, c in self.cotangents.items()])
        return terms if self._used is None else np.asarray(terms[self._used])

    @cached_property
    def _used(self) -> Array | None:
        """All terms but those whose cotangent is 0, for the output may be infinite there; None: all."""
        used = np.concatenate([np.ravel(c != 0) for c in self.cotangents.values()])
        return None if used.all() else used

    def _run(self, parameters: Mapping[str, Array], inputs: Mapping[int, Array]) -> Pass:
        # Copies, for an implementation that writes into what it is given is to be found out, not to spoil the numbers.
        own = {name: _copied(array) for name, array in parameters.items()}
        given = tuple(map(_copied, inputs.values()))
        return call(self.implementation, self.node, own, given, self.training, self.noise)

    @property
    def every(self) -> dict[str | int, Array]:
        """All its arrays."""
        every: list[tuple[str | int, Array]] = [*self.parameters.items(), *self.inputs.items()]
        return dict(every)

    def floating(self) -> dict[str | int, Array]:
        """Its real arrays."""
        return {key: array for key, array in self.every.items() if array.dtype.kind == "f"}

    def of(self, given: Mapping[str | int, Array]) -> Array:
        """The terms of other arrays than its own."""
        return self.terms(
            {name: given.get(name, array) for name, array in self.parameters.items()},
            {i: given.get(i, x) for i, x in self.inputs.items()},
        )

    def moving(self, key: str | int) -> Terms:
        """The terms as a function of one array; beyond what the forward takes there is no value."""
        return lambda z: self._defined(partial(self._moved, key, z)) if z.dtype.kind == "f" else self._moved(key, z)

    def moving_together(self, key: str | int) -> Together | None:
        """The terms of many values of one array at once, where the implementation runs them so."""
        several = self.implementation
        return partial(self._together, several, key) if isinstance(several, Several) else None

    def _together(self, several: Several, key: str | int, stack: Array) -> Array | None:
        outputs = several.many(self.parameters, tuple(self.inputs.values()), key, stack)
        if outputs is None or any(
            i >= len(outputs) or outputs[i].shape != (len(stack), *c.shape) for i, c in self.cotangents.items()
        ):
            return None
        products = [_product(c, outputs[i]).reshape(len(stack), -1) for i, c in self.cotangents.items()]
        terms = np.concatenate(products, axis=1)
        return terms if self._used is None else np.asarray(terms[:, self._used])

    def _defined(self, terms: Callable[[], Array]) -> Array:
        try:
            return terms()
        except (ImplementationFailed, WrongArray):  # a variance below 0, say
            return np.full(sum(int(np.count_nonzero(c)) for c in self.cotangents.values()), np.nan)

    def _moved(self, key: str | int, z: Array) -> Array:
        """All run in longdouble where ``z`` does."""
        return self.of({**(self._in_longdouble() if z.dtype == np.longdouble else {}), key: z})

    def _in_longdouble(self) -> dict[str | int, Array]:
        return {key: array.astype(np.longdouble) for key, array in self.floating().items()}

    def moving_parts(self, key: str | int) -> Terms:
        """The terms as a function of the real and imaginary parts of one array, along a last axis."""
        return lambda z: self._defined(partial(self._moved, key, z[..., 0] + 1j * z[..., 1]))

    def all_moving(self, directions: Mapping[str | int, Array]) -> Terms:
        """The terms as a function of one distance, by which all arrays move along their directions."""
        return lambda t: self._defined(lambda: self.terms(*self._at(float(t[0]), directions)))

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
