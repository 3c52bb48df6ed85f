"""Three witnesses on one architecture: the implementation, PyTorch autograd, finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from backproof.differencing import along_one_direction, at_every_coordinate
from backproof.evidence import gather
from backproof.implementations import Completed, Implementation, load
from backproof.running import ImplementationFailed, WrongArray, forward, run
from reference import Architecture, Node, Reference, Run, Tensor, Twin, Values, draw_values
from reference.differences import Estimate
from reference.run import Array, magnitude
from reference.values import representable
from reports import Agreement, Suspect, TensorAgreement, measure, most_telling

SAFETY = 64.0
"""How many times the rounding that sensitivity predicts is still called agreement; docs/verdicts.md derives it."""

CERTAIN, VAGUE = 0.1, 1e-3
"""A bound above the first share of a tensor's scale leaves it no certain digit; one below the second share of the terms
that cancelled in it says that it is zero but for rounding."""

DTYPES = ("float64", "float32", "float16")


class Unsupported(ValueError):
    """The implementation does not run this architecture, or not in this dtype."""


class Blame(NamedTuple):
    """Which node is wrong, and why."""

    node: Node | None
    diagnosis: str | None


def verify(
    architecture: Architecture, implementation: str | Implementation = "numpy", dtype: str = "float64"
) -> Agreement:
    """Verify an implementation on one architecture.

    Parameters
    ----------
    architecture
        What to run.
    implementation
        A name (``numpy``, ``torch``, ``package.module:object``, an entry point) or an object.
    dtype
        ``float64``, ``float32`` or ``float16``: the precision in which the implementation runs. The reference always
        runs in float64, on the same numbers.

    Raises
    ------
    Unsupported
        The implementation does not support a node of the architecture, or the dtype is unknown.
    reference.ArchitectureError
        PyTorch refuses the architecture.
    backproof.implementations.UnknownImplementation
        There is no such implementation.
    """
    return Verification(architecture, implementation).agreement(dtype)


class Verification:
    """All that verifying one architecture needs, computed once and shared by the dtypes."""

    def __init__(self, architecture: Architecture, implementation: str | Implementation = "numpy") -> None:
        self.architecture = architecture
        self.implementation = Completed(load(implementation) if isinstance(implementation, str) else implementation)
        for node in architecture.nodes:
            if not self.implementation.supports(node):
                raise Unsupported(f"{self.implementation.name} does not support node {node.name} ({node.op})")
        self.twin = Twin(architecture)
        self.reference = Reference(self.twin, draw_values(architecture, self.twin))

    @cached_property
    def alone(self) -> dict[str, Reference]:
        """Every node alone, on PyTorch's own inputs and with fresh random cotangents.

        An error upstream reaches nobody here, and no gradient is small because the layers after it made it so.
        """
        lonely = {}
        for node in self.architecture.nodes:
            twin = self.twin.alone(node.name)
            slots = [self.architecture.slot(reference) for reference in node.inputs]
            inputs = [self._flowing(name, index) for name, index in slots]
            given = {i.name: x for i, x in zip(twin.architecture.inputs, inputs)}
            rng = np.random.default_rng([self.architecture.seed, crc32(f"alone/{node.name}".encode())])
            values = self.reference.values
            lonely[node.name] = Reference(
                twin,
                Values(
                    {node.name: values.parameters.get(node.owner, {})},
                    given,
                    {
                        f"{node.name}.{i}": representable(rng.standard_normal(y.shape))
                        for i, y in enumerate(self.twin.outputs[node.name])
                        if y.is_floating_point()
                    },
                    values.noise,
                ),
            )
        return lonely

    def _flowing(self, name: str, index: int) -> Array:
        if name in self.reference.values.inputs:
            return self.reference.values.inputs[name]
        array = self.reference.run.tensors[Tensor("output", name, str(index))]
        return representable(array) if array.dtype.kind == "f" else array

    @cached_property
    def estimates(self) -> dict[str, dict[Tensor, Estimate]]:
        """Derivatives of the implementation's own forward, node by node, at every coordinate."""
        return {
            node.name: at_every_coordinate(self.implementation, node, self.alone[node.name])
            for node in self.architecture.nodes
        }

    def agreement(self, dtype: str) -> Agreement:
        """Verify in one dtype."""
        if dtype not in DTYPES:
            raise Unsupported(f"no dtype {dtype!r}: known are {', '.join(DTYPES)}")
        started = perf_counter()
        tensors: tuple[TensorAgreement, ...] = ()
        blame, failure = Blame(None, None), None
        with np.errstate(all="ignore"):  # overflow and NaN are findings, compared by place, not warnings
            try:
                tensors = tuple(self._compare(dtype))
                if any(t.verdict == "disagree" for t in tensors):
                    blame = self._blame(dtype)
            except ImplementationFailed as error:
                blame, failure = Blame(error.node, None), str(error)
            except WrongArray as error:
                blame = Blame(error.node, f"{_called(error.kind, error.name)} {error}")
                tensors = (self._malformed(error, dtype),)
        return Agreement(
            architecture=self.architecture.to_dict(),
            digest=self.architecture.digest,
            implementation=self.implementation.name,
            dtype=dtype,
            seconds=perf_counter() - started,
            tensors=tensors,
            culprit=blame.node.name if blame.node else None,
            op=blame.node.op if blame.node else None,
            diagnosis=blame.diagnosis,
            failure=failure,
        )

    def _compare(self, dtype: str) -> Iterator[TensorAgreement]:
        found = run(self.implementation, self.twin, self.reference.values, dtype).run
        yield from self._against_autograd(self.reference, found, dtype)
        for node in self.architecture.nodes:
            yield from self._against_differences(node, dtype)
        if dtype == "float64":
            yield from self._end_to_end(found)

    def _against_autograd(self, reference: Reference, found: Run, dtype: str) -> list[TensorAgreement]:
        results = {name: self._measured(reference, name, found, dtype) for name in reference.run.tensors}
        suspects = [name for name, result in results.items() if result.verdict == "disagree"]
        if suspects:
            # Where the reference itself jumps within a few units of rounding, either side of the jump is right.
            jumping = reference.kinked(32 * float(np.finfo(dtype).eps))
            for name in jumping.intersection(suspects):
                results[name] = self._measured(reference, name, found, dtype, jumping=True)
        return list(results.values())

    def _measured(
        self, reference: Reference, name: Tensor, found: Run, dtype: str, jumping: bool = False
    ) -> TensorAgreement:
        want, got = reference.run.tensors[name], found.tensors.get(name)
        if got is None and not want.any():
            got = np.zeros(want.shape, dtype)  # "no gradient flows" and zeros are one statement
        bound = rounding(self._sensitivity(reference, name), dtype)
        return judged(
            got,
            want,
            bound=np.asarray(bound),
            terms=reference.magnitude(name.kind),
            dtype=dtype,
            labels=self._labels(name),
            against="autograd",
            jumping=jumping,
        )

    def _labels(self, name: Tensor) -> dict[str, Any]:
        for node in self.architecture.nodes:
            if name.node == node.name:
                return {"node": node.name, "op": node.op, "kind": name.kind, "name": name.name}
            if name.node.startswith(f"{node.name}_input"):  # an input of this node alone
                number = name.node.removeprefix(f"{node.name}_input")
                return {"node": node.name, "op": node.op, "kind": name.kind, "name": number}
        return {"node": name.node, "op": "", "kind": name.kind, "name": name.name}

    def _sensitivity(self, reference: Reference, name: Tensor) -> float:
        """How far one unit of rounding may move an array: measured, or passed on from where it arrived."""
        measured = reference.sensitivity[name]
        if reference is not self.reference or name.kind in ("output", "update"):
            return measured
        passed_on = 0.0
        for node in self.architecture.nodes:
            alone = self.alone[node.name].sensitivity
            if name.kind == "parameter" and node.owner == name.node:
                passed_on += self._arriving(node) * alone[Tensor("parameter", node.name, name.name)]
            elif name.kind != "parameter":
                for i, used in enumerate(node.inputs):
                    if self.architecture.slot(used) == (name.node, int(name.name)):
                        key = Tensor("input", f"{node.name}_input{i}", "0")
                        passed_on += self._arriving(node) * alone.get(key, 0.0)
        return max(measured, passed_on)

    def _arriving(self, node: Node) -> float:
        """Size of the gradient that arrives at a node, with what cancelled in it; alone, it is about 1."""
        return max(
            (
                max(magnitude(array), self.reference.sensitivity[name])
                for name, array in self.reference.run.tensors.items()
                if name[:2] == ("adjoint", node.name)
            ),
            default=0.0,
        )

    def _against_differences(self, node: Node, dtype: str) -> Iterator[TensorAgreement]:
        """Is the backward of a node the derivative of its own forward? Every coordinate of every array."""
        reference = self.alone[node.name]
        estimates = self.estimates[node.name]
        found = run(self.implementation, reference.twin, reference.values, dtype).run
        for name, estimate in estimates.items():
            got = found.tensors.get(name)
            want = estimate.value
            if not _finite(self.alone[node.name].run) and not np.isfinite(want).all():
                continue  # a function that is not finite has no derivative: its gradients are autograd's to judge
            if got is not None and got.shape == want.shape:
                # At a kink every number between the one-sided derivatives is a subgradient.
                want = np.where(estimate.kinks, np.clip(got.astype(float), estimate.lower, estimate.upper), want)
            terms = max(reference.sensitivity[name], float(estimate.size.max(initial=0.0)))
            yield judged(
                np.zeros(want.shape, dtype) if got is None and not want.any() else got,
                want,
                bound=estimate.bound + rounding(terms, dtype),
                terms=terms,
                dtype=dtype,
                labels=self._labels(name),
                against="differences",
            )

    def _end_to_end(self, found: Run) -> Iterator[TensorAgreement]:
        """Is the whole gradient the derivative of the whole network? One random direction, for both witnesses.

        The nodes alone say nothing of the wiring; here an error in it shows, and an error of PyTorch's does.
        """
        if not _finite(self.reference.run):
            return
        for gradients, outputs, against in (
            (found, self._outputs, "differences"),
            (self.reference.run, self.twin.forward, "autograd against differences"),
        ):
            estimate, claimed, sensitivity = along_one_direction(outputs, gradients, self.reference)
            yield judged(
                np.asarray(claimed),
                np.clip(claimed, estimate.lower[0], estimate.upper[0]),
                bound=estimate.bound[0] + rounding(sensitivity, "float64"),
                terms=float(estimate.size[0]),
                dtype="float64",
                labels={"node": "", "op": "", "kind": "direction", "name": "all"},
                against=against,
            )

    def _outputs(self, values: Values) -> dict[str, Array]:
        step = forward(self.implementation, self.twin, values, "float64")
        several = step.output if isinstance(step.output, tuple) else (step.output,)
        return dict(zip(self.architecture.outputs, several))

    def _blame(self, dtype: str) -> Blame:
        """Find the first node that is wrong even when it runs alone, on PyTorch's own numbers."""
        for node in self.architecture.nodes:
            reference = self.alone[node.name]
            found = run(self.implementation, reference.twin, reference.values, dtype).run
            compared = zip(reference.run.tensors, self._against_autograd(reference, found, dtype))
            wrong = [name for name, result in compared if result.verdict == "disagree"]
            if wrong:
                return Blame(node, self._why(node, reference, found, wrong, dtype))
        for node in self.architecture.nodes:
            if any(t.verdict == "disagree" for t in self._against_differences(node, dtype)):
                return Blame(node, "it agrees with PyTorch, but is not the derivative of its own forward")
        return Blame(None, "every node agrees alone: the composition is wrong")

    def _why(self, node: Node, reference: Reference, found: Run, wrong: list[Tensor], dtype: str) -> str | None:
        """Diagnose the wrong arrays of a node: what goes forward, or else what comes back."""
        ahead = [name for name in wrong if name.kind in ("output", "update")]
        wrong.sort(key=lambda name: name.kind != "parameter")  # a gate or a head has its own rows in a parameter
        return most_telling(
            Suspect(
                _called(name.kind, self._labels(name)["name"]),
                found.tensors.get(name),
                reference.run.tensors[name],
                rounding(self._sensitivity(reference, name), dtype),
                gather(node, reference, name),
            )
            for name in ahead or wrong
        )

    def _malformed(self, error: WrongArray, dtype: str) -> TensorAgreement:
        label = Tensor(error.kind, error.node.name, error.name)
        nothing = np.zeros(0)
        return measure(
            None,
            nothing,
            bound=0.0,
            scale=0.0,
            dtype=dtype,
            **self._labels(label),
            against="autograd",
            note=str(error),
        )


def _called(kind: str, name: str) -> str:
    """What to call an array of one node."""
    return (
        f"{ {'output': 'output', 'update': 'new', 'parameter': 'gradient of'}.get(kind, 'gradient of input') } {name}"
    )


def _finite(run: Run) -> bool:
    """Whether all that goes forward is finite."""
    return all(np.isfinite(y).all() for name, y in run.tensors.items() if name.kind == "output")


def rounding(sensitivity: float, dtype: str) -> float:
    """The largest absolute error that rounding explains, with the smallest number of all for underflow."""
    limits = np.finfo(dtype)
    return SAFETY * (float(limits.eps) * sensitivity + float(limits.smallest_subnormal))


def judged(
    got: Array | None,
    want: Array,
    *,
    bound: Array,
    terms: float,
    dtype: str,
    labels: dict[str, Any],
    against: str,
    jumping: bool = False,
) -> TensorAgreement:
    """Measure an array, and say so where none of its digits is certain.

    Either it is zero but for rounding: then the bound is small beside the ``terms`` that cancelled in it, both must be
    that small, and digits are not counted. Or it is too ill-conditioned to be judged: inconclusive.
    """
    widest, own = float(bound.max(initial=0.0)), magnitude(want)
    vanishing = widest > CERTAIN * own and widest <= VAGUE * terms
    scale = terms if vanishing else own
    note = "a kink lies within rounding" if jumping else "zero but for rounding" if vanishing and own else ""
    uncertain = jumping or (not vanishing and widest > CERTAIN * scale and scale > 0)
    result = measure(
        got,
        want,
        bound=bound,
        scale=scale,
        dtype=dtype,
        **labels,
        against=against,
        note=note,
        uncertain=uncertain,
    )
    return replace(result, digits=None) if vanishing and result.verdict == "agree" else result
