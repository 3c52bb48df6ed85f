"""All comparisons of one implementation on one architecture in one dtype, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from backproof.alone import Given
from backproof.behaviour import Misbehaviour, misbehaviour
from backproof.differencing import judged_by_differences
from backproof.judging import AT_A_KINK, finite, judged, looked_at, rounding
from backproof.running import cast, outputs, run
from backproof.second_order import SecondOrder
from backproof.whole import along_one_direction
from backproof.witnesses import Witnesses
from reference import Node, Reference, Run, Tensor, Values
from reference.differences import Estimate
from reference.run import Array, is_numeric, magnitude
from reference.sensitivity import AHEAD, THOROUGH
from reports import TensorAgreement
from reports.agreement import Verdict

ALONE = "autograd, node alone"
ITSELF = "itself"
PYTORCH = "autograd against differences"
NOT_FINITE = "entries: PyTorch is not finite there, and what comes of infinities in complex numbers is nobody's rule"
ORDER = "entries: infinities come back there, and whether they add up to NaN depends on the order"
NOT_A_NUMBER = "NaN goes forward, and what comes back of it is nobody's rule"
Verdicts = dict[Tensor, TensorAgreement]


class Examination:
    """What is compared, for :meth:`tensors` to show and for :mod:`backproof.blame` to draw conclusions from.

    Parameters
    ----------
    witnesses
        Implementation, architecture, reference and finite differences.
    dtype
        In which the implementation runs.
    second_order
        Whether gradients of gradients are compared, too; that is done in float64 alone.
    """

    def __init__(self, witnesses: Witnesses, dtype: str, second_order: bool = False) -> None:
        self.witnesses = witnesses
        self.implementation, self.reference = witnesses.implementation, witnesses.reference
        self.nodes = witnesses.architecture.nodes
        self.dtype = dtype
        self.second_order = SecondOrder(witnesses, self.labels) if second_order and dtype == "float64" else None
        self._runs: dict[str, Run] = {}
        self._verdicts: dict[str, tuple[Verdicts, Verdicts]] = {}
        self._misbehaviour: dict[str, Misbehaviour | None] = {}

    def tensors(self) -> Iterator[TensorAgreement]:
        """Compare all: the whole network, every node alone, its behaviour, the whole gradient, the second order."""
        yield from self.whole_verdicts.values()
        for node in self.nodes:
            yield from self.alone(node).values()
            yield from self.differences(node).values()
            yield self._behaviour(node)
        yield from self.end_to_end.values()
        if self.second_order:
            yield from self.second_order.tensors()

    @cached_property
    def whole(self) -> Run:
        """The implementation's run of the whole network."""
        return run(self.implementation, self.witnesses.twin, self.reference.values, self.dtype).run

    def single(self, node: Node) -> Run:
        """The implementation's run of one node alone, on PyTorch's own numbers."""
        if node.name not in self._runs:
            alone = self.witnesses.alone[node.name]
            self._runs[node.name] = run(self.implementation, alone.twin, alone.values, self.dtype).run
        return self._runs[node.name]

    @cached_property
    def whole_verdicts(self) -> Verdicts:
        """Every array of the whole network against autograd, which runs first: what it refuses nobody has to run."""
        reference, _ = self.reference, self.reference.run
        verdicts = self._against_autograd(reference, self.whole)
        if not self.implementation.runs_whole_networks:
            return verdicts
        shown = {Tensor("output", *map(str, slot)) for slot in map(self._slot, self.witnesses.architecture.outputs)}
        # What goes on inside is not everybody's to show.
        return {
            name: verdict
            for name, verdict in verdicts.items()
            if name in self.whole.tensors or name in shown or name.kind in ("parameter", "input", "update")
        }

    def _slot(self, reference: str) -> tuple[str, int]:
        return self.witnesses.architecture.slot(reference)

    def alone(self, node: Node) -> Verdicts:
        """Every array of one node alone against autograd."""
        return self._numbers(node)[0]

    def differences(self, node: Node) -> Verdicts:
        """Is the backward of a node the derivative of its own forward? Every coordinate of every array."""
        return self._numbers(node)[1]

    def _numbers(self, node: Node) -> tuple[Verdicts, Verdicts]:
        """What autograd and differences say of one node alone."""
        if node.name not in self._verdicts:
            autograd = self._against_autograd(self.witnesses.alone[node.name], self.single(node))
            differences = dict(self._against_differences(node, autograd))
            # In one run for all coordinates, tiny parts may get lost beside large ones: a suspicion is looked into.
            if any(v.verdict == "disagree" for v in differences.values()) and self.witnesses.look_closer(node):
                differences = dict(self._against_differences(node, autograd))
            for name, verdict in differences.items():
                if verdict.verdict == "disagree" and autograd[name].note == AT_A_KINK:
                    differences[name] = replace(verdict, verdict="inconclusive", note=AT_A_KINK)
            autograd = {name: replace(v, against=ALONE) for name, v in autograd.items() if name.kind != "adjoint"}
            self._verdicts[node.name] = autograd, differences
        return self._verdicts[node.name]

    def _against_autograd(self, reference: Reference, found: Run) -> Verdicts:
        """Judge all arrays at a glance, and look again, more and more closely, at those that seem to disagree."""
        measured = partial(self._measured, reference, found)
        verdicts = {name: looked_at(partial(measured, name)) for name in reference.run.tensors}
        suspects = [name for name, verdict in verdicts.items() if verdict.verdict == "disagree"]
        if suspects:
            # Where the reference itself jumps within a few units of rounding, either side of the jump is right.
            jumping = reference.kinked(self.dtype).intersection(suspects)
            verdicts |= {name: measured(name, THOROUGH, jumping=True) for name in jumping}
        return verdicts

    def _measured(
        self, reference: Reference, found: Run, name: Tensor, look: int, jumping: bool = False
    ) -> TensorAgreement:
        want, got = reference.run.tensors[name], found.tensors.get(name)
        if got is None and not want.any():
            got = np.zeros(want.shape, self.dtype)  # "no gradient flows" and zeros are one statement
        unknown = self._undecided(name, got, want)
        if unknown.any() and got is not None and got.shape == want.shape:
            got = np.where(unknown, want, got)
        verdict = judged(
            got,
            want,
            bound=np.asarray(self.bound(reference, name, look)),
            terms=reference.magnitude(name.kind),
            dtype=self.dtype,
            labels=self.labels(name),
            against="autograd",
            jumping=jumping,
            excuse=self._excuse(reference, name),
        )
        if unknown.any() and verdict.verdict == "agree":
            note = NOT_FINITE if self.witnesses.imaginary else ORDER
            return replace(verdict, verdict="inconclusive", note=f"{unknown.sum()} of {unknown.size} {note}")
        return verdict

    def _undecided(self, name: Tensor, got: Any, want: Array) -> Array:
        """Where infinities come together, and no order of adding them up is more right than another."""
        strange = np.asarray(~np.isfinite(want))
        if self.witnesses.imaginary or not strange.any():
            return strange
        alike = isinstance(got, np.ndarray) and got.shape == want.shape and is_numeric(got)
        if not alike or name.kind in AHEAD:
            return np.zeros_like(strange)
        return np.asarray(strange & ~np.isfinite(got) & (np.isnan(got) != np.isnan(want)))

    def _excuse(self, reference: Reference, name: Tensor) -> str:
        """Why an array that seems to disagree need not be wrong, if so."""
        if reference.may_overflow(self.dtype):
            return f"numbers on the way may be beyond {self.dtype}"
        if reference.overflows:
            return "PyTorch overflows on the way"
        back = name.kind not in AHEAD and not self.witnesses.imaginary
        return NOT_A_NUMBER if back and name.node in reference.beyond_nan else ""

    def bound(self, reference: Reference, name: Tensor, look: int = THOROUGH) -> float:
        """How far rounding may move an array."""
        return rounding(self._sensitivity(reference, name, look), self.dtype, reference.accumulation)

    def _sensitivity(self, reference: Reference, name: Tensor, look: int = THOROUGH) -> float:
        own = reference.moves(name, self.dtype, look)
        if look < THOROUGH or reference is not self.reference or name.kind in AHEAD:
            return own
        return max(own, sum(self._passed_on(node, name) for node in self.nodes))

    def _passed_on(self, node: Node, name: Tensor) -> float:
        """What a gradient inherits of what was lost before it arrived at a node that uses the array."""
        alone, used = self.witnesses.alone[node.name], [self._slot(reference) for reference in node.inputs]
        takes = [Tensor("parameter", node.name, name.name)] if name[:2] == ("parameter", node.owner) else []
        if name.kind != "parameter":
            here = (name.node, int(name.name))
            takes = [Tensor("input", f"{node.name}_input{i}", "0") for i, slot in enumerate(used) if slot == here]
        arrived = [
            max(magnitude(array), self.reference.moves(adjoint, self.dtype, THOROUGH))
            for adjoint, array in self.reference.run.tensors.items()
            if adjoint[:2] == ("adjoint", node.name)
        ]
        own = sum(self._sensitivity(alone, take) for take in takes if take in alone.run.tensors)
        return max(arrived, default=0.0) * own

    def labels(self, name: Tensor) -> dict[str, Any]:
        """What to call an array, in the words of :class:`reports.TensorAgreement`."""
        for node in self.nodes:
            if name.node == node.name:
                return {"node": node.name, "op": node.op, "kind": name.kind, "name": name.name}
            if name.node.startswith(f"{node.name}_input"):  # an input of this node alone
                number = name.node.removeprefix(f"{node.name}_input")
                return {"node": node.name, "op": node.op, "kind": name.kind, "name": number}
        return {"node": name.node, "op": "", "kind": name.kind, "name": name.name}

    def _against_differences(self, node: Node, autograd: Verdicts) -> Iterator[tuple[Tensor, TensorAgreement]]:
        finite_forward = finite(self.witnesses.alone[node.name].run)
        for name, derivative in self.witnesses.estimates[node.name].items():
            if not finite_forward and (self.witnesses.imaginary or not np.isfinite(derivative.coordinates.value).all()):
                continue  # a function that is not finite has no derivative: its gradients are autograd's to judge
            agrees = name in autograd and autograd[name].verdict == "agree"
            yield name, looked_at(partial(self._derivative, node, name, agrees))

    def _derivative(self, node: Node, name: Tensor, agrees: bool, look: int) -> TensorAgreement:
        reference, derivative = self.witnesses.alone[node.name], self.witnesses.estimates[node.name][name]
        return judged_by_differences(
            self.single(node).tensors.get(name),
            derivative,
            sensitivity=self._sensitivity(reference, name, look),
            accumulation=reference.accumulation,
            dtype=self.dtype,
            labels=self.labels(name),
            excuse=self._excuse(reference, name),
            tolerance=(self._hidden(node, name) if agrees and look == THOROUGH else 0.0, 0.0),
        )

    def _hidden(self, node: Node, name: Tensor) -> float:
        """What a forward hides of a slope that it makes of terms as large as its outputs, even from a complex step.

        ``t log(1 + exp(-x)) + (1 - t) log(1 + exp(x))`` has the slope -x along t, and computes it as a difference of
        numbers near 0.69. What they lost is no more than rounding of the outputs, over the array's own scale.
        """
        reference = self.witnesses.alone[node.name]
        values, outputs = reference.values, reference.run.tensors
        array = values.parameters[node.name][name.name] if name.kind == "parameter" else values.inputs[name.node]
        slots = {end: Tensor("output", node.name, end.rpartition(".")[2]) for end in values.cotangents}
        terms = sum(float(np.abs(c * outputs[slots[end]]).sum()) for end, c in values.cotangents.items())
        return rounding(terms / (magnitude(array) or 1.0), "float64", reference.accumulation)

    def misbehaviour(self, node: Node) -> Misbehaviour | None:
        """What one node does besides computing."""
        if node.name not in self._misbehaviour:
            alone, working = self.witnesses.alone[node.name], partial(cast, dtype=self.dtype)
            given = Given.of(node, alone).changed(working, working)
            self._misbehaviour[node.name] = misbehaviour(self.implementation, node, given, partial(self.bound, alone))
        return self._misbehaviour[node.name]

    def _behaviour(self, node: Node) -> TensorAgreement:
        found = self.misbehaviour(node)
        verdict: Verdict = "disagree" if found else "agree"
        return TensorAgreement(node.name, node.op, "behaviour", "", ITSELF, verdict, note=found.words if found else "")

    @cached_property
    def end_to_end(self) -> dict[str, TensorAgreement]:
        """Is the whole gradient the derivative of the whole network? One random direction, for both witnesses.

        The nodes alone say nothing of the wiring; here an error in it shows, or one of PyTorch's. In float64 alone.
        """
        found: dict[str, TensorAgreement] = {}
        if self.dtype != "float64" or not finite(self.reference.run):
            return found
        ours = self.implementation
        analytic = not ours.runs_whole_networks and all(map(ours.complex_clean, self.nodes))
        for gradients, forward, steps, against in (
            (self.whole, self._outputs, analytic, "differences"),
            (self.reference.run, self.witnesses.twin.forward, False, PYTORCH),
        ):
            estimate, claimed, sensitivity = along_one_direction(forward, gradients, self.reference, steps)
            found[against] = looked_at(partial(self._along, estimate, claimed, sensitivity, against))
            told = self._contradicts_nothing(estimate) if found[against].verdict == "disagree" else ""
            if told:
                found[against] = replace(found[against], verdict="inconclusive", note=told)
        return found

    def _along(
        self, estimate: Estimate, claimed: float, sensitivity: Callable[[int], float], against: str, look: int
    ) -> TensorAgreement:
        moved = sensitivity(look)
        return judged(
            np.asarray(claimed),
            np.clip(claimed, estimate.lower[0], estimate.upper[0]),
            bound=estimate.bound[0] + rounding(moved, "float64", self.reference.accumulation),
            terms=max(moved, float(estimate.size[0])),
            dtype="float64",
            labels={"node": "", "op": "", "kind": "direction", "name": "all"},
            against=against,
        )

    def _contradicts_nothing(self, estimate: Estimate) -> str:
        """Why a difference of the whole contradicts nothing, if it does not."""
        if estimate.kinks[0]:  # several numbers may sit on kinks: autograd's choice need not lie between the sides then
            return AT_A_KINK
        # Asked for last: what cancelled takes runs of its own, and hardly ever matters.
        if any(x for name, x in self.reference.cancelled.items() if name.kind == "output"):
            return "the forward rounds more coarsely than its size tells"
        return ""

    def _outputs(self, values: Values) -> dict[str, Array]:
        return outputs(self.implementation, self.witnesses.twin, values, "float64")
