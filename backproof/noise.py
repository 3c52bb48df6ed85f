"""How far rounding moves the gradients of a function that has no reference: measured on itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial

import numpy as np

from backproof.alone import Given
from reference import Perturbation, Tensor
from reference.run import Array, magnitude
from reference.sensitivity import GLANCE, LOOK, MANY, NEAR, PROBE, QUICK
from reports.precision import precision

Gradients = Mapping[Tensor, Array]

LOST = 64.0
"""Where two precisions differ by so many units of the coarser one, or by a quarter, something cancelled there."""

JUMP = 10.0
"""A gradient that moves so many times farther than it does elsewhere jumps: a kink lies within rounding."""


class Noise:
    """What one-unit changes of all that a function is given do to its own gradients.

    Parameters
    ----------
    gradients
        Runs the function on what it is given, forward and backward; nothing where it fails.
    own, wide
        What it is given in its own dtype; and in a wider one, where it runs in that, too.
    dtype
        The coarsest of its dtypes.
    ahead
        The largest magnitude that goes forward, at least 1.
    """

    def __init__(
        self, gradients: Callable[[Given], Gradients], own: Given, wide: Given, dtype: str, ahead: float
    ) -> None:
        self._gradients, self.own, self.wide, self.dtype = gradients, own, wide, dtype
        self.eps = precision(dtype).eps
        self._ahead = ahead

    @cached_property
    def here(self) -> Gradients:
        """The gradients themselves, in the function's own dtype."""
        return self._gradients(self.own)

    @cached_property
    def exact(self) -> Gradients:
        """The same in the wider dtype."""
        return self.here if self.wide is self.own else self._gradients(self.wide)

    def moves(self, name: Tensor, look: int) -> float:
        """How far one unit of rounding moves a gradient; at a glance, as far as itself."""
        own = magnitude(self.here[name]) if name in self.here else 0.0
        if look == GLANCE:
            return own
        if look == LOOK:
            return max(own, self._quick.get(name, 0.0))
        return max(own, self._thorough.get(name, 0.0), self._cancelled.get(name, 0.0))

    def jumps(self, name: Tensor) -> bool:
        """Whether a gradient jumps when all is changed by 4 or 32 units of its dtype, and so lies at a kink."""
        return self._jumps.get(name, 0.0) > JUMP * max(self.moves(name, LOOK), self._thorough.get(name, 0.0))

    @cached_property
    def _quick(self) -> dict[Tensor, float]:
        return _largest(self._beside(QUICK, self.wide, self.own))

    @cached_property
    def _thorough(self) -> dict[Tensor, float]:
        nearby = (self._beside(QUICK, *(_near(given, phase) for given in (self.wide, self.own))) for phase in MANY[::4])
        return _largest([self._quick, *self._beside(MANY, self.wide, self.own), *(m for some in nearby for m in some)])

    def _beside(self, phases: Iterable[float], wide: Given, own: Given) -> Iterator[dict[Tensor, float]]:
        """Disturb by little enough to be linear, and by one unit, which shows what is rounded inside."""
        yield from self._moved((Perturbation(PROBE, phase) for phase in phases), wide)
        yield from self._moved((Perturbation(self.eps, phase) for phase in phases), own)

    @cached_property
    def _jumps(self) -> dict[Tensor, float]:
        changes = (
            Perturbation(n * self.eps, phase, apart) for n in (4, 32) for apart in (False, True) for phase in QUICK
        )
        return _largest(self._moved(changes, self.own))

    @cached_property
    def _cancelled(self) -> dict[Tensor, float]:
        """Where two precisions differ by more than their rounding, how much may have cancelled there; else 0.

        In the tail of ``1 - y^2`` no change of the input moves the rounding of y, so it is told by comparing two
        precisions: what cancelled was no larger than the cotangents times what goes forward.
        """
        fine, coarse = self.exact, self.here
        if self.wide is self.own:
            coarse = self._gradients(self.own.changed(_in_float32, _in_float32))
        eps = max(self.eps, float(np.finfo(np.float32).eps))
        largest = max((magnitude(c) for c in self.own.cotangents if c is not None), default=0.0) * self._ahead
        found = {}
        for name, array in self.here.items():
            told = name in fine and name in coarse
            far = np.abs(fine[name] - coarse[name]) > min(LOST * eps, 0.25) * np.abs(fine[name]) if told else True
            found[name] = largest if np.any(far) or not magnitude(array) else 0.0
        return found

    def _moved(self, disturbances: Iterable[Perturbation], given: Given) -> Iterator[dict[Tensor, float]]:
        base = self.here if given is self.own else self.exact if given is self.wide else self._gradients(given)
        for disturbance in disturbances:
            found = self._gradients(given.changed(disturbance.array, disturbance.array))
            yield {
                name: magnitude(np.asarray(found[name]) - array) / disturbance.size
                for name, array in base.items()
                if name in found and found[name].shape == array.shape
            }


def _largest(moved: Iterable[Mapping[Tensor, float]]) -> dict[Tensor, float]:
    found: dict[Tensor, float] = {}
    for one in moved:
        found |= {name: max(far, found.get(name, 0.0)) for name, far in one.items()}
    return found


def _near(given: Given, phase: float) -> Given:
    """Other numbers close by; short ones, too, for nothing is compared across a kink."""
    near = partial(Perturbation(NEAR, phase).array, spare_short=False)
    return given.changed(near, near)


def _in_float32(array: Array) -> Array:
    coarse = {"f": np.float32, "c": np.complex64}.get(array.dtype.kind)
    return array.astype(coarse) if coarse else array
