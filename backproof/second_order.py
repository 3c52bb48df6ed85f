"""The gradient of the gradient: how a hand-written backward changes along a line, beside PyTorch's double backward.

docs/second-order.md says how, and what it adds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
from numpy.exceptions import ComplexWarning

from backproof.catalogue import convention
from backproof.implementations import Backward, Completed, Pass
from backproof.judging import finite, judged, rounding, within
from backproof.running import ImplementationFailed, WrongArray, run
from backproof.whole import behind_conventions
from backproof.witnesses import Witnesses
from reference import Curvature, Node, Reference, Refused, Tensor, Values
from reference.differences import COMPLEX_STEP, EPS, UNDERFLOW, Estimate, derivative_of_each
from reference.run import Array
from reference.sensitivity import LOOK, THOROUGH
from reference.steps import CENTRAL, NODES
from reference.values import representable
from reports import TensorAgreement
from reports.agreement import REFUSED, SECOND_ORDER

ALONE = f"{SECOND_ORDER}, node alone"
PYTORCH = "PyTorch's double backward is not the derivative of its own backward, or loses its digits"
STENCILS = tuple(2.0**exponent for exponent in range(-30, 0, 3))
"""Steps at which two backwards are compared, as shares of what moves."""

SPREAD = float(np.abs(CENTRAL / NODES).sum())
"""What a stencil makes of an error in its values, over its step."""

Arrays: TypeAlias = Mapping[Tensor, Array]
Gradients: TypeAlias = Callable[[Values], Arrays]
Labels: TypeAlias = Callable[[Tensor], dict[str, Any]]


class Line:
    """A straight line through the values of a network: all real numbers move at once, gradients of outputs included.

    Each entry moves in proportion to its own size, so that what is positive or small stays so; zeros move by what is
    typical of their array. What has no gradient, or by convention one that is not the derivative, stays, for where
    it goes no second pass of autograd follows.
    """

    def __init__(self, reference: Reference) -> None:
        self.values = reference.values
        architecture = reference.twin.architecture
        unmoved = {("parameter", node.owner, name) for node in architecture.nodes for name in convention(node)}
        behind = behind_conventions(architecture)
        moved = {name for name in reference.twin.reached(reference.values) - unmoved if name.node not in behind}

        def along(array: Array, kind: Any, node: str, name: str) -> Array:
            if kind != "cotangent" and Tensor(kind, node, name) not in moved:
                return np.zeros(array.shape)
            key = f"second order/{kind}/{node}/{name}"
            rng = np.random.default_rng([architecture.seed, crc32(key.encode())])
            sizes = np.abs(array)
            typical = np.median(sizes[sizes > 0]) if (sizes > 0).any() else 1.0
            return representable(rng.standard_normal(array.shape) * np.where(sizes, sizes, typical))

        self._along = {key: along(array, *key) for key, array in self.values.flat().items()}
        self.direction = self.values.filled(self._along)

    def at(self, t: complex | np.longdouble | float) -> Values:
        """Return the values at a distance, in the dtype of ``t``; what does not move becomes no complex number."""

        def moved(array: Array, along: Array) -> Array:
            if array.dtype.kind != "f" or (isinstance(t, complex) and not along.any()):
                return array
            return np.asarray(array + t * along)

        return self.values.filled({key: moved(array, self._along[key]) for key, array in self.values.flat().items()})

    def differences(self, gradients: Gradients, names: Iterable[Tensor], dtype: Any) -> dict[Tensor, Estimate]:
        """Differentiate gradients along the line by extrapolated central differences, every entry by itself."""
        both = (self.values.flat().values(), self._along.values())
        x, direction = (np.concatenate([a.astype(dtype).reshape(-1) for a in arrays]) for arrays in both)
        memory: dict[float, Arrays] = {}
        here = gradients(self.at(dtype(0)))

        def at(name: Tensor, t: float) -> Array:
            if t not in memory:
                try:
                    memory[t] = gradients(self.at(dtype(t)))
                except (ImplementationFailed, WrongArray, RuntimeError, ValueError):  # outside the domain of a function
                    memory[t] = {n: np.full(g.shape, np.nan) for n, g in here.items()}
            return memory[t][name]

        return {name: derivative_of_each(partial(at, name), x, direction) for name in names}

    def complex_step(self, gradients: Gradients) -> Arrays | None:
        """Differentiate them by a complex step; None where they do not run on complex numbers."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ComplexWarning)
                found = gradients(self.at(1j * COMPLEX_STEP))
        except (ImplementationFailed, WrongArray):
            return None
        return {name: np.asarray(g.imag / COMPLEX_STEP, np.float64) for name, g in found.items()}


class Analytic(Completed):
    """An implementation whose backward is analytic: of chosen nodes it is told the conjugate, and conjugated.

    The backward of a holomorphic layer gives ``g conj(f')``, by PyTorch's convention. Told ``conj g``, it gives the
    conjugate of ``g f'``, which is an analytic function again.
    """

    def __init__(self, implementation: Completed, conjugated: frozenset[str]) -> None:
        Completed.__init__(self, implementation.own)
        self.conjugated = conjugated

    def forward(self, node: Node, *given: Any, **options: Any) -> Pass:
        """Run one node."""
        done = Pass(*Completed.forward(self, node, *given, **options))
        return done._replace(backward=_conjugated(done.backward)) if node.name in self.conjugated else done


def _conjugated(backward: Backward) -> Backward:
    def told(grad_outputs: tuple[Array | None, ...]) -> tuple[list[Array | None], dict[str, Array]]:
        grads, own = backward(tuple(None if g is None else g.conj() for g in grad_outputs))
        return [None if g is None else g.conj() for g in grads], {name: g.conj() for name, g in own.items()}

    return told


@dataclass(frozen=True)
class Found:
    """How the gradients of an implementation change along a line.

    Attributes
    ----------
    values, bounds
        The derivative, and how far the method itself may be off.
    unknown
        Where differences know no derivative: a kink or a jump of the gradient.
    steps
        Whether ``values`` come from a complex step, which does not care about kinks.
    conjugated
        Of which nodes the backward conjugates; None where no complex step speaks for all of them.
    """

    values: Arrays
    bounds: Arrays
    unknown: Arrays
    steps: bool
    conjugated: frozenset[str] | None


class SecondOrder:
    """What is compared of second order, in float64: every node alone, and the whole network.

    Parameters
    ----------
    witnesses
        Implementation, architecture and reference.
    labels
        What to call an array.
    """

    def __init__(self, witnesses: Witnesses, labels: Labels) -> None:
        self.witnesses, self.labels = witnesses, labels
        self.implementation = witnesses.implementation
        self.nodes = witnesses.architecture.nodes
        self._alone: dict[str, _Side] = {}

    def tensors(self) -> Iterator[TensorAgreement]:
        """Compare everything."""
        for node in self.nodes:
            yield from self.alone(node).verdicts.values()
        yield from self.whole.verdicts.values()

    def alone(self, node: Node) -> _Side:
        """One node alone."""
        if node.name not in self._alone:
            readings = (frozenset[str](), frozenset({node.name})) if self.implementation.complex_clean(node) else ()
            self._alone[node.name] = _Side(self, self.witnesses.alone[node.name], readings, ALONE)
        return self._alone[node.name]

    @property
    def torch_is_wrong(self) -> bool:
        """Whether PyTorch's double backward of some node alone is not the derivative of its own backward."""
        return any(v.note == PYTORCH for node in self.nodes for v in self.alone(node).verdicts.values())

    @cached_property
    def whole(self) -> _Side:
        """The whole network; by complex steps if each node can be read so, in the way in which it was read alone."""
        each = [self.alone(node).conjugated for node in self.nodes]
        known = [conjugated for conjugated in each if conjugated is not None]
        readings = [frozenset[str]().union(*known)] if len(known) == len(each) else []
        return _Side(self, self.witnesses.reference, readings, SECOND_ORDER)


class _Side:
    """A network, or a node alone: how its gradients change along one line, by the implementation and by PyTorch.

    ``readings`` are ways to read its backward on complex numbers: of which nodes it conjugates.
    """

    def __init__(
        self, second: SecondOrder, reference: Reference, readings: Iterable[frozenset[str]], against: str
    ) -> None:
        self.second, self.first, self.against = second, reference, against
        self.implementation, self.twin = second.implementation, reference.twin
        self.line = Line(reference)
        self.readings = tuple(readings)
        self._distances: dict[float, Arrays] = {}
        self.curvature = Curvature(reference.twin, reference.values, self.line.direction)

    @cached_property
    def refusal(self) -> Refused | None:
        """Why PyTorch has no second derivative, where it has none."""
        try:
            self.curvature.run.tensors.items()
        except Refused as refusal:
            return refusal
        return None

    @cached_property
    def verdicts(self) -> dict[Tensor, TensorAgreement]:
        """A verdict for every gradient."""
        if not finite(self.first.run):
            return {}  # a function that is not finite has no derivatives
        if self.refusal:
            return {Tensor("parameter", "", ""): self._unanswered()}
        names = self.curvature.run.tensors
        verdicts = {name: self._measured(name) for name in names}
        suspects = self._again(verdicts, names, partial(self._measured, look=THOROUGH))
        if suspects:
            jumping = self.curvature.kinked("float64").intersection(suspects)
            self._again(verdicts, jumping, partial(self._measured, look=THOROUGH, jumping=True))
            self._again(verdicts, suspects, self._smooth)
            self._again(verdicts, suspects, self._unless_torch_is_wrong)
        return verdicts

    def _unanswered(self) -> TensorAgreement:
        node = self.twin.architecture.nodes[0]
        name, op = (node.name, node.op) if self.against == ALONE else ("", "")
        return TensorAgreement(name, op, "curvature", "", self.against, "inconclusive", note=f"{REFUSED}{self.refusal}")

    @staticmethod
    def _again(
        verdicts: dict[Tensor, TensorAgreement], names: Iterable[Tensor], judge: Callable[[Tensor], TensorAgreement]
    ) -> list[Tensor]:
        suspects = [name for name in names if verdicts[name].verdict == "disagree"]
        verdicts |= {name: judge(name) for name in suspects}
        return [name for name in suspects if verdicts[name].verdict == "disagree"]

    @property
    def conjugated(self) -> frozenset[str] | None:
        """Of which nodes the backward conjugates; None where complex steps do not speak for it."""
        return None if self.refusal else self.found.conjugated

    @cached_property
    def found(self) -> Found:
        """What the implementation says."""
        names = list(self.curvature.run.tensors)
        plain = partial(self._gradients, self.implementation)
        estimates = self.line.differences(plain, names, np.longdouble if self._precise() else np.float64)
        unknown = {name: ~np.isfinite(e.bound) | e.kinks for name, e in estimates.items()}
        steps: list[tuple[frozenset[str], Arrays]] = []
        for conjugated in self.readings:
            read = self.line.complex_step(partial(self._gradients, Analytic(self.implementation, conjugated)))
            if read is not None and self._holds(read, estimates, unknown):
                steps.append((conjugated, read))
        if steps and all(self._near(steps[0][1][name], steps[-1][1][name], name).all() for name in names):
            conjugated, read = steps[0]
            bounds = {name: np.full(g.shape, UNDERFLOW * max(g.size, 1)) for name, g in read.items()}
            return Found(read, bounds, unknown, True, conjugated)
        values = {name: e.value for name, e in estimates.items()}
        return Found(values, {name: e.bound for name, e in estimates.items()}, unknown, False, None)

    def _gradients(self, implementation: Completed, values: Values) -> Arrays:
        found = run(implementation, self.twin, values, None).run.tensors
        zeros = {name: np.zeros(g.shape) for name, g in self.curvature.run.tensors.items()}
        return {name: found.get(name, zero) for name, zero in zeros.items()}

    def _precise(self) -> bool:
        """Whether the gradients come in longdouble, too, and are the same there within rounding.

        Where they are not, longdouble keeps what float64 loses, in a probability of 1 - 1e-17, say: it is another line.
        """
        try:
            exact = self._gradients(self.implementation, self.line.at(np.longdouble(0)))
        except (ImplementationFailed, WrongArray):
            return False
        plain = self._gradients(self.implementation, self.line.at(0.0))
        return all(within(g, plain[name], self._rounding(name, look=LOOK)) for name, g in exact.items())

    def _holds(self, read: Arrays, estimates: Mapping[Tensor, Estimate], unknown: Arrays) -> bool:
        """Whether differences contradict a complex step nowhere."""
        return all(
            (self._near(read[name], e.value, name, e.bound) | unknown[name]).all() for name, e in estimates.items()
        )

    def _near(self, a: Array, b: Array, name: Tensor, bound: float | Array = 0.0) -> Array:
        return np.asarray(np.abs(a - b) <= bound + self._noise(name, look=LOOK))

    def _rounding(self, name: Tensor, look: int) -> float:
        """How far rounding may move a gradient itself."""
        return rounding(self.first.moves(name, "float64", look), "float64", self.first.accumulation)

    def _noise(self, name: Tensor, look: int) -> float:
        moved = self.curvature.moves(name, "float64", look)
        return rounding(moved, "float64", self.first.accumulation)

    def _measured(self, name: Tensor, look: int = LOOK, jumping: bool = False) -> TensorAgreement:
        return self._judged(name, self._noise(name, look), unknown=not self.found.steps, jumping=jumping)

    def _judged(self, name: Tensor, noise: float, unknown: bool, jumping: bool = False) -> TensorAgreement:
        """Compare an array; some entries are left out, and then it does not agree.

        Always those that PyTorch does not know (a norm at 0, say); if ``unknown``, those that differences do not.
        """
        found, want = self.found, self.curvature.run.tensors[name]
        out = ~np.isfinite(want)
        if unknown:
            out = out | found.unknown[name]
        verdict = judged(
            np.where(out, want, found.values[name]),
            want,
            bound=np.where(out, 0.0, found.bounds[name]) + noise,
            terms=self.curvature.magnitude(name.kind),
            dtype="float64",
            labels=self.second.labels(name),
            against=self.against,
            jumping=jumping,
        )
        if not out.any() or verdict.verdict != "agree":
            return verdict
        note = f"{out.sum()} of {out.size} entries: a kink of the gradient, or nobody knows its derivative"
        return replace(verdict, verdict="inconclusive", note="; ".join(filter(None, (verdict.note, note))))

    def _smooth(self, name: Tensor) -> TensorAgreement:
        """Where the gradient has a kink, either side is right."""
        return self._judged(name, self._noise(name, look=THOROUGH), unknown=True)

    def _unless_torch_is_wrong(self, name: Tensor) -> TensorAgreement:
        """Ask the third witness: PyTorch's own backward.

        Where it is the implementation's within rounding on a stencil and on all smaller ones, both have the same
        derivative, within what the largest makes of how far apart they were seen, or of one rounding; then a double
        backward farther off is not the derivative of its own backward. And what is known to be wrong of a node alone
        excuses the network.
        """
        noise = self._noise(name, look=THOROUGH)
        equal = self._rounding(name, look=THOROUGH)
        verdict = self._judged(name, noise, unknown=True)
        nearest, apart = np.inf, EPS * float(np.abs(self.first.run.tensors[name]).max(initial=0.0))
        for step in STENCILS:
            seen = [self._apart(sign * step * float(a))[name].max(initial=0.0) for a in NODES for sign in (-1, 1)]
            apart = float(np.max([apart, *seen]))  # NaN wins, beyond what a layer takes
            if not apart <= equal:
                break
            nearest = SPREAD * apart / step
        off = np.abs(self.curvature.run.tensors[name] - self.found.values[name])
        wrong = (off > self.found.bounds[name] + noise + nearest)[~self.found.unknown[name]].any()
        if wrong or (self.against == SECOND_ORDER and self.second.torch_is_wrong):
            return replace(verdict, verdict="inconclusive", note=PYTORCH)
        return verdict

    def _apart(self, t: float) -> Arrays:
        """How far the gradients of PyTorch and of the implementation lie apart at a distance."""
        if t not in self._distances:
            values = self.line.at(t)
            try:
                ours, theirs = self._gradients(self.implementation, values), self.twin.run(values).tensors
                self._distances[t] = {name: np.abs(theirs[name] - g) for name, g in ours.items()}
            except (ImplementationFailed, WrongArray, RuntimeError, ValueError):
                self._distances[t] = {name: np.array(np.nan) for name in self.curvature.run.tensors}
        return self._distances[t]
