"""How far rounding can move the results of a network: measured, not typed in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from reference.run import Array, Kind, Run, Tensor, magnitude
from reference.twin import Perturbation, Twin
from reference.values import Values

PROBE = 2.0**-30
PHASES = (0.0, 1.0, 2.0)
LOST = 0.1
ULP = float(np.finfo(np.float32).eps)


class Reference:
    """What PyTorch says on given values, in float64, and how much of it rounding may move.

    Two measurements, for each array the larger one counts. First, every number that passes between nodes, forward and
    backward, is disturbed by a relative ``PROBE``: how far an array moves, divided by ``PROBE``, is what relative
    errors of one unit at all those places do to it. Second, for the rounding inside a node (where a normalisation
    of two samples cancels, say), PyTorch runs in float32 on values changed by about one ulp: how far that is from
    float64, divided by float32's epsilon.

    Times the epsilon of a dtype this is the error to expect of an implementation that rounds as PyTorch does.
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
        between = self._moved(Perturbation(PROBE, phase) for phase in PHASES)
        within = self._moved((Perturbation(ULP, phase) for phase in PHASES), "float32")
        found = {name: max(*between[name], *within[name]) for name in self.run.tensors}
        for name, array in self.run.tensors.items():
            if max(within[name]) * ULP > LOST * magnitude(array):
                # All digits are lost in float32, where tanh saturates to 1, say: the error could not grow any further
                # there, so it says too little of float64. What cancelled was at most as large as its like.
                found[name] = max(found[name], self.magnitude(name.kind))
        return found

    def magnitude(self, kind: Kind) -> float:
        """Largest magnitude in the run among arrays of that kind: of what goes forward, or of what comes back."""
        ahead = ("output", "update")
        alike = (a for name, a in self.run.tensors.items() if (name.kind in ahead) == (kind in ahead))
        return max(map(magnitude, alike), default=0.0)

    def kinked(self, size: float) -> set[Tensor]:
        """Return the arrays that jump when everything is disturbed by ``size``: a kink or a tie lies that near.

        They move a hundred times farther than their sensitivity says.
        """
        moved = self._moved(Perturbation(size, phase) for phase in range(3, 19))
        return {name for name, far in moved.items() if max(far) > 100 * self.sensitivity[name]}

    def _moved(self, disturbances: Iterable[Perturbation], dtype: str = "float64") -> dict[Tensor, list[float]]:
        moved: dict[Tensor, list[float]] = {name: [] for name in self.run.tensors}
        for disturbance in disturbances:
            disturbed = self.twin.run(self.values, dtype, disturbance).tensors
            for name, array in self.run.tensors.items():
                moved[name].append(_distance(array, disturbed[name]) / disturbance.size)
        return moved


def _distance(a: Array, b: Array) -> float:
    if a.dtype.kind != "f":
        return 0.0
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    return float(np.max(gap, initial=0.0, where=np.isfinite(gap)))
