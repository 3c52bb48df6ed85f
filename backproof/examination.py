"""All comparisons of one implementation on one architecture in one dtype, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backproof.behaviour import Misbehaviour, misbehaviour
from backproof.differencing import along_one_direction
from backproof.judging import judged, rounding
from backproof.running import outputs, run
from reference import Node, Reference, Run, Tensor, Values
from reference.run import Array, magnitude
from reports import TensorAgreement
from reports.agreement import Verdict

if TYPE_CHECKING:
    from backproof.verification import Verification

ALONE = "autograd, node alone"
ITSELF = "itself"
Verdicts = dict[Tensor, TensorAgreement]


class Examination:
    """What is compared, for :meth:`tensors` to show and for :mod:`backproof.blame` to draw conclusions from.

    Parameters
    ----------
    verification
        Implementation, architecture, reference and finite differences.
    dtype
        In which the implementation runs.
    """

    def __init__(self, verification: Verification, dtype: str) -> None:
        self.verification = verification
        self.implementation, self.reference = verification.implementation, verification.reference
        self.nodes = verification.architecture.nodes
        self.dtype = dtype
        self._runs: dict[str, Run] = {}
        self._alone: dict[str, Verdicts] = {}
        self._differences: dict[str, Verdicts] = {}
        self._misbehaviour: dict[str, Misbehaviour | None] = {}
        self._rounded: set[Tensor] = set()

    def tensors(self) -> Iterator[TensorAgreement]:
        """Compare everything: the whole network, every node alone, its behaviour, the whole gradient."""
        yield from self.whole_verdicts.values()
        for node in self.nodes:
            yield from self.alone(node).values()
            yield from self.differences(node).values()
            yield self._behaviour(node)
        if self.dtype == "float64":
            yield from self._end_to_end()

    @cached_property
    def whole(self) -> Run:
        """The implementation's run of the whole network."""
        return run(self.implementation, self.verification.twin, self.reference.values, self.dtype).run

    def single(self, node: Node) -> Run:
        """The implementation's run of one node alone, on PyTorch's own numbers."""
        if node.name not in self._runs:
            alone = self.verification.alone[node.name]
            self._runs[node.name] = run(self.implementation, alone.twin, alone.values, self.dtype).run
        return self._runs[node.name]

    @cached_property
    def whole_verdicts(self) -> Verdicts:
        """Every array of the whole network against autograd."""
        verdicts = self._against_autograd(self.reference, self.whole, self._doubted)
        if not self.implementation.runs_whole_networks:
            return verdicts
        shown = {Tensor("output", *map(str, slot)) for slot in map(self._slot, self.verification.architecture.outputs)}
        # What goes on inside is not everybody's to show.
        return {
            name: verdict
            for name, verdict in verdicts.items()
            if name in self.whole.tensors or name in shown or name.kind in ("parameter", "input", "update")
        }

    def _slot(self, reference: str) -> tuple[str, int]:
        return self.verification.architecture.slot(reference)

    def alone(self, node: Node) -> Verdicts:
        """Every array of one node alone against autograd."""
        if node.name not in self._alone:
            reference = self.verification.alone[node.name]
            verdicts = self._against_autograd(reference, self.single(node), partial(self._outvoted, node))
            self._alone[node.name] = {
                name: replace(verdict, against=ALONE) for name, verdict in verdicts.items() if name.kind != "adjoint"
            }
        return self._alone[node.name]

    def _outvoted(self, node: Node, suspects: Sequence[Tensor]) -> set[Tensor]:
        """Gradients that differ from autograd's, but are the derivative of a forward that is PyTorch's.

        Then it is PyTorch that rounds: a saturated gate loses in 1 - y what no small disturbance shows.
        """
        if any(name.kind in ("output", "update") for name in suspects):
            return set()
        differences = self.differences(node)
        return {name for name in suspects if name in differences and differences[name].verdict == "agree"}

    def _doubted(self, suspects: Sequence[Tensor]) -> set[Tensor]:
        """Gradients of nodes alone in which PyTorch is outvoted."""
        for node in self.nodes:
            self.alone(node)
        return self._rounded

    def _against_autograd(
        self, reference: Reference, found: Run, outvoted: Callable[[Sequence[Tensor]], set[Tensor]]
    ) -> Verdicts:
        """Judge all arrays, and again, ever more thoroughly, those that seem to disagree."""
        measured = partial(self._measured, reference, found)
        verdicts = {name: measured(name) for name in reference.run.tensors}
        suspects = [name for name, verdict in verdicts.items() if verdict.verdict == "disagree"]
        suspects = self._again(verdicts, suspects, partial(measured, thorough=True))
        if suspects:
            self._rounded |= outvoted(suspects)
            suspects = self._again(verdicts, suspects, partial(measured, thorough=True))
        if suspects:
            # Where the reference itself jumps within a few units of rounding, either side of the jump is right.
            jumping = reference.kinked(32 * float(np.finfo(self.dtype).eps)).intersection(suspects)
            self._again(verdicts, jumping, partial(measured, thorough=True, jumping=True))
        return verdicts

    @staticmethod
    def _again(verdicts: Verdicts, suspects: Any, measured: Callable[[Tensor], TensorAgreement]) -> list[Tensor]:
        verdicts |= {name: measured(name) for name in suspects}
        return [name for name in suspects if verdicts[name].verdict == "disagree"]

    def _measured(
        self, reference: Reference, found: Run, name: Tensor, *, thorough: bool = False, jumping: bool = False
    ) -> TensorAgreement:
        want, got = reference.run.tensors[name], found.tensors.get(name)
        if got is None and not want.any():
            got = np.zeros(want.shape, self.dtype)  # "no gradient flows" and zeros are one statement
        return judged(
            got,
            want,
            bound=self.bound(reference, name, thorough),
            terms=reference.magnitude(name.kind),
            dtype=self.dtype,
            labels=self.labels(name),
            against="autograd",
            jumping=jumping,
            overflowing=reference.may_overflow(self.dtype),
        )

    def bound(self, reference: Reference, name: Tensor, thorough: bool = True) -> Array:
        """How far rounding may move each entry of an array."""
        sensitivity = self.verification.sensitivity(reference, name, self.dtype, thorough, self._rounded)
        return rounding(sensitivity, self.dtype, reference.accumulation)

    def labels(self, name: Tensor) -> dict[str, Any]:
        """What to call an array, in the words of :class:`reports.TensorAgreement`."""
        for node in self.nodes:
            if name.node == node.name:
                return {"node": node.name, "op": node.op, "kind": name.kind, "name": name.name}
            if name.node.startswith(f"{node.name}_input"):  # an input of this node alone
                number = name.node.removeprefix(f"{node.name}_input")
                return {"node": node.name, "op": node.op, "kind": name.kind, "name": number}
        return {"node": name.node, "op": "", "kind": name.kind, "name": name.name}

    def differences(self, node: Node) -> Verdicts:
        """Is the backward of a node the derivative of its own forward? Every coordinate of every array."""
        if node.name not in self._differences:
            self._differences[node.name] = dict(self._against_differences(node))
        return self._differences[node.name]

    def _against_differences(self, node: Node) -> Iterator[tuple[Tensor, TensorAgreement]]:
        reference, found = self.verification.alone[node.name], self.single(node)
        for name, derivative in self.verification.estimates[node.name].items():
            if not finite(reference.run) and not np.isfinite(derivative.coordinates.value).all():
                continue  # a function that is not finite has no derivative: its gradients are autograd's to judge
            for thorough in (False, True):
                sensitivity = self.verification.sensitivity(reference, name, self.dtype, thorough)
                size = np.maximum(sensitivity, float(derivative.coordinates.size.max(initial=0.0)))
                terms = float(size.max(initial=0.0))
                verdicts = [
                    claim.told(
                        judged(
                            claim.got,
                            claim.want,
                            bound=claim.bound,
                            terms=terms * claim.terms,
                            dtype=self.dtype,
                            labels=self.labels(name),
                            against="differences",
                            overflowing=reference.may_overflow(self.dtype),
                        )
                    )
                    for claim in derivative.claims(
                        found.tensors.get(name), rounding(size, self.dtype, reference.accumulation)
                    )
                ]
                verdict = max(verdicts, key=lambda v: ("agree", "inconclusive", "disagree").index(v.verdict))
                if verdict.verdict != "disagree":
                    break
            yield name, verdict

    def misbehaviour(self, node: Node) -> Misbehaviour | None:
        """What one node does besides computing."""
        if node.name not in self._misbehaviour:
            alone = self.verification.alone[node.name]
            self._misbehaviour[node.name] = misbehaviour(
                self.implementation, node, alone, self.dtype, lambda name, thorough: self.bound(alone, name, thorough)
            )
        return self._misbehaviour[node.name]

    def _behaviour(self, node: Node) -> TensorAgreement:
        found = self.misbehaviour(node)
        verdict: Verdict = "disagree" if found else "agree"
        return TensorAgreement(node.name, node.op, "behaviour", "", ITSELF, verdict, note=found.words if found else "")

    def _end_to_end(self) -> Iterator[TensorAgreement]:
        """Is the whole gradient the derivative of the whole network? One random direction, for both witnesses.

        The nodes alone say nothing of the wiring; here an error in it shows, and an error of PyTorch's does.
        """
        if not finite(self.reference.run):
            return
        for gradients, forward, against in (
            (self.whole, self._outputs, "differences"),
            (self.reference.run, self.verification.twin.forward, "autograd against differences"),
        ):
            estimate, claimed, sensitivity = along_one_direction(forward, gradients, self.reference)
            yield judged(
                np.asarray(claimed),
                np.clip(claimed, estimate.lower[0], estimate.upper[0]),
                bound=estimate.bound[0] + rounding(np.asarray(sensitivity), "float64", self.reference.accumulation),
                terms=float(estimate.size[0]),
                dtype="float64",
                labels={"node": "", "op": "", "kind": "direction", "name": "all"},
                against=against,
            )

    def _outputs(self, values: Values) -> dict[str, Array]:
        return outputs(self.implementation, self.verification.twin, values, "float64")


def finite(run: Run) -> bool:
    """Whether all that goes forward is finite."""
    return all(np.isfinite(y).all() for name, y in run.tensors.items() if name.kind == "output")


def arriving(reference: Reference, node: Node, thorough: bool) -> float:
    """Size of the gradient that arrives at a node, with what cancelled in it; alone, it is about 1."""
    sensitivity = reference.thorough if thorough else reference.sensitivity
    return max(
        (
            max(magnitude(array), sensitivity.moved[name])
            for name, array in reference.run.tensors.items()
            if name[:2] == ("adjoint", node.name)
        ),
        default=0.0,
    )
