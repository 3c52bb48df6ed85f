"""How far rounding can move the results of a network: measured, not typed in."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from reference.run import Array, Run, Tensor
from reference.twin import Perturbation, Twin
from reference.values import Values

PROBE = 2.0**-30
PHASES = (0.0, 1.0, 2.0)


class Reference:
    """What PyTorch says on given values, in float64, and how much of it rounding may move.

    Every number that passes between nodes, forward and backward, is disturbed by a relative ``PROBE``. How far an array
    moves, divided by ``PROBE``, is its sensitivity: the sum, to first order, of what relative errors of one unit at
    all those places do to it. Times the epsilon of a dtype it is the error to expect of any implementation
    that rounds as well as it can.
    """

    def __init__(self, twin: Twin, values: Values) -> None:
        self.twin = twin
        self.values = values

    @cached_property
    def run(self) -> Run:
        """The reference itself."""
        return self.twin.run(self.values)

    @cached_property
    def sensitivity(self) -> dict[Tensor, float]:
        """Largest movement over the entries of each array, per unit of relative rounding."""
        return self._moved(PROBE, PHASES)

    def kinked(self, size: float) -> set[Tensor]:
        """Return the arrays that jump when everything is disturbed by ``size``: a kink or a tie lies that near.

        They move a hundred times farther than their sensitivity says.
        """
        moved = self._moved(size, tuple(range(3, 19)))
        return {name for name, far in moved.items() if far > 100 * self.sensitivity[name]}

    def _moved(self, size: float, phases: tuple[float, ...]) -> dict[Tensor, float]:
        moved = dict.fromkeys(self.run.tensors, 0.0)
        for phase in phases:
            disturbed = self.twin.run(self.values, perturb=Perturbation(size, phase)).tensors
            for name, array in self.run.tensors.items():
                moved[name] = max(moved[name], _distance(array, disturbed[name]) / size)
        return moved


def _distance(a: Array, b: Array) -> float:
    if a.dtype.kind != "f":
        return 0.0
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    return float(np.max(gap, initial=0.0, where=np.isfinite(gap)))
