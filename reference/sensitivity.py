"""How far rounding can move the results of a network: measured, not typed in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import count

import numpy as np
import torch

from reference.disturbance import Blur, Disturbance, Perturbation, Rounding
from reference.ops import OVERFLOWS
from reference.run import Array, Kind, Run, Tensor, is_numeric, magnitude
from reference.twin import Twin
from reference.values import Values, representable

PROBE = 2.0**-30
QUICK, MANY = (0, 1, 2), tuple(range(3, 24))
"""Phases of the disturbances: a few are enough for most arrays, many settle a suspicion."""
NEAR = 2.0**-12
LOST = 1e-3
AHEAD = ("output", "update")
GLANCE, LOOK, THOROUGH = LOOKS = range(3)
"""How closely rounding is measured: not at all, by a few disturbances, by many."""
EPS = float(np.finfo(np.float64).eps)
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

    def _run(self, values: Values, dtype: str = "float64", perturb: Disturbance | None = None) -> Run:
        return self.twin.run(values, dtype, perturb)

    @cached_property
    def run(self) -> Run:
        """The reference itself."""
        return self._run(self.values)

    @cached_property
    def accumulation(self) -> int:
        """Elements of the largest array: no more terms than that are added up for one entry."""
        given = (a for arrays in self.values.parameters.values() for a in arrays.values())
        return max((array.size for array in (*given, *self.run.tensors.values())), default=1)

    @cached_property
    def sensitivity(self) -> dict[Tensor, float]:
        """Largest movement over the entries of each array, per unit of relative rounding; seen a few times."""
        between = _largest(self._moved(Perturbation(PROBE, phase) for phase in QUICK))
        within = self._within(self.values)
        return {name: max(far, within[name], magnitude(self.run.tensors[name])) for name, far in between.items()}

    @cached_property
    def cancelled(self) -> dict[Tensor, float]:
        """Where float32 keeps less than three digits of an entry, how much may have cancelled there; else 0.

        In the tail of ``1 + erf x``, say, the error in float32 cannot grow any further, so it says too little of
        float64, where it is a few units of the 1: what cancels is at most as large as its like. Where that happens to
        an output of a node alone, a term of its gradients may be lost as a whole, in both dtypes alike.
        """
        lost = {name: not magnitude(array) for name, array in self.run.tensors.items()}
        for phase in QUICK:
            coarse = self._run(self.values, "float32", Perturbation(ULP, phase)).tensors
            for name, array in self.run.tensors.items():
                lost[name] |= bool((_gaps(array, coarse[name]) > LOST * np.abs(array)).any())
        alone = len(self.twin.architecture.nodes) == 1
        if alone and any(gone for name, gone in lost.items() if name.kind == "output"):
            lost |= {name: True for name in lost if name.kind not in AHEAD}
        return {name: self.magnitude(name.kind) if gone else 0.0 for name, gone in lost.items()}

    @cached_property
    def thorough(self) -> dict[Tensor, float]:
        """The same, seen many times and at other values nearby: for a suspicion.

        The largest of three movements may by chance be far too small for one number, or short numbers may be rounded
        well; the largest of twenty is not. And where nearly all cancelled in an array, equal numbers are told apart: of
        two equal vectors PyTorch's roundings may cancel where those of another formula do not.
        """
        between = _largest(self._moved(Perturbation(PROBE, phase) for phase in MANY))
        gone = [n for n, a in self.run.tensors.items() if magnitude(a) < LOST * self.magnitude(n.kind)]
        if gone:
            apart = _largest(self._moved(Perturbation(PROBE, phase, True, count()) for phase in MANY[::3]))
            between |= {name: max(between[name], apart[name]) for name in gone}
        nearby = [self._within(_nearby(self.values, phase)) for phase in MANY[::4]]
        return {
            name: max(quick, between[name], *(within[name] for within in nearby))
            for name, quick in self.sensitivity.items()
        }

    def moves(self, name: Tensor, dtype: str, look: int) -> float:
        """How far one unit of rounding moves an array, for what runs in ``dtype``; at a glance, as far as itself."""
        if look == GLANCE:
            return magnitude(self.run.tensors[name])
        if look == LOOK:
            return self.sensitivity[name]
        # What cancelled in the reference is rounded in float64, whatever the dtype that is compared with it.
        return max(self.thorough[name], self.cancelled[name] * EPS / float(np.finfo(dtype).eps))

    def _within(self, values: Values) -> dict[Tensor, float]:
        """What PyTorch loses in float32, on values changed by about one ulp."""
        exact = self.run if values is self.values else self._run(values)
        return _largest(self._moved((Perturbation(ULP, phase) for phase in QUICK), "float32", values, exact))

    def magnitude(self, kind: Kind) -> float:
        """Largest magnitude in the run among arrays of that kind: of what goes forward, or of what comes back."""
        return self._magnitudes[kind in AHEAD]

    @cached_property
    def _magnitudes(self) -> dict[bool, float]:
        found = {}
        for ahead, given in ((True, self.values.inputs), (False, self.values.cotangents)):
            alike = (a for name, a in self.run.tensors.items() if (name.kind in AHEAD) == ahead)
            found[ahead] = max(map(magnitude, (*given.values(), *alike)), default=0.0)
        return found

    def kinked(self, dtype: str) -> set[Tensor]:
        """Return the arrays that jump when all is disturbed by 4 or 32 units of rounding: so near lies a kink or a tie.

        They move ten times farther than their sensitivity says; integers move at all, now or (for dtypes no finer) in
        PyTorch's own float32. Half of the disturbances tell equal numbers apart: where a tie is computed, not given,
        rounding may break it. One rounds to the dtype. And some move what has lost digits in float64 by what cancelled
        in it: a tail that underflows is not on a kink.
        """
        eps = float(np.finfo(dtype).eps)
        relative = [
            Perturbation(units * eps, phase, apart)
            for units in (4, 32)
            for apart in (False, True)
            for phase in range(4)
        ]
        amounts = {n.node: 8 * EPS * x for n, x in self.cancelled.items() if x and n.kind == "output"}
        blurred = [Blur(amounts, phase, EPS) for phase in range(4)] if amounts else []
        moved = self._moved([*relative, Rounding(dtype), *blurred])
        real = {name: is_numeric(self.run.tensors[name]) for name in moved}
        seen = {name: max(*far, self.thorough[name] * (eps >= ULP)) for name, far in moved.items()}
        return {name for name, far in seen.items() if far > 10 * self.thorough[name] * real[name]}

    def near_kink(self, size: float) -> bool:
        """Whether some array moves much farther than in proportion when all is disturbed by ``size``: a quick look."""
        little = self._moved(Perturbation(PROBE, phase) for phase in range(1))
        more = self._moved(Perturbation(size, phase) for phase in range(1, 4))
        return any(
            max(far) > 100 * max(little[name]) and max(far) * size > PROBE * magnitude(self.run.tensors[name])
            for name, far in more.items()
        )

    @cached_property
    def _largest_of_all(self) -> float:
        return max(map(magnitude, (*self.values.inputs.values(), *self.run.tensors.values())), default=0.0)

    @cached_property
    def beyond_nan(self) -> frozenset[str]:
        """The nodes and inputs whose gradients come back through a node that NaN goes into or comes out of.

        What PyTorch's gradients are there depends on how a kernel compares.
        """
        architecture = self.twin.architecture
        ahead = ((name.node, array) for name, array in self.run.tensors.items() if name.kind == "output")
        strange = {name for name, array in (*self.values.inputs.items(), *ahead) if np.isnan(array).any()}
        beyond: set[str] = set()
        for node in reversed(architecture.nodes):
            taken = {architecture.slot(reference)[0] for reference in node.inputs}
            if node.name in beyond or strange & {node.name, *taken}:
                beyond |= {node.name, *taken}
        return frozenset(beyond | {node.owner for node in architecture.nodes if node.name in beyond})

    @cached_property
    def overflows(self) -> bool:
        """Whether infinity comes of an op whose formula in PyTorch overflows where the function does not."""
        known = [node.name for node in self.twin.architecture.nodes if node.op in OVERFLOWS]
        return any(np.isinf(self.run.tensors[Tensor("output", name, "0")]).any() for name in known)

    def may_overflow(self, dtype: str) -> bool:
        """Whether a sum of squares of what is in the run is beyond the largest number of a dtype."""
        return self._largest_of_all * self._largest_of_all * self.accumulation > float(np.finfo(dtype).max)

    def _moved(
        self,
        disturbances: Iterable[Disturbance],
        dtype: str = "float64",
        values: Values | None = None,
        exact: Run | None = None,
    ) -> dict[Tensor, list[float]]:
        exact = exact or self.run
        moved: dict[Tensor, list[float]] = {name: [] for name in exact.tensors}
        for disturbance in disturbances:
            disturbed = self._run(values or self.values, dtype, disturbance).tensors
            for name, array in exact.tensors.items():
                moved[name].append(float(_gaps(array, disturbed[name]).max(initial=0.0)) / disturbance.size)
        return moved


class Curvature(Reference):
    """The same of second order: how PyTorch's gradients change along a direction, by its double backward."""

    def __init__(self, twin: Twin, values: Values, along: Values) -> None:
        Reference.__init__(self, twin, values)
        self.along = along

    def _run(self, values: Values, dtype: str = "float64", perturb: Disturbance | None = None) -> Run:
        return self.twin.curvature(values, self.along, dtype, perturb)


def _largest(moved: dict[Tensor, list[float]]) -> dict[Tensor, float]:
    return {name: max(far) for name, far in moved.items()}


def _nearby(values: Values, phase: float) -> Values:
    """Other real numbers, close to the given ones; none is spared, for nothing is compared across a kink."""

    def near(array: Array) -> Array:
        if not is_numeric(array):
            return array
        return representable(Perturbation(NEAR, phase).saved(torch.from_numpy(array)).numpy())

    return values.filled({key: near(array) for key, array in values.flat().items()})


def _gaps(a: Array, b: Array) -> Array:
    """How far the entries lie apart; 0 for what is not a finite number, 1 between different integers."""
    if not is_numeric(a):
        return np.asarray(a != b, np.float64)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(a - b)
    return np.where(np.isfinite(gaps), gaps, 0.0)
