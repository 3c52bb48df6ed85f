"""Three witnesses on one architecture: the implementation, PyTorch autograd, finite differences."""

from __future__ import annotations

from functools import cached_property
from time import perf_counter
from zlib import crc32

import numpy as np

from backproof.blame import Blame, blame, malformed
from backproof.differencing import Derivative, at_every_coordinate
from backproof.examination import Examination
from backproof.implementations import Completed, Verifiable, load
from backproof.running import ImplementationFailed, WrongArray
from reference import Architecture, Reference, Tensor, Twin, Values, draw_values
from reference.run import Array
from reference.values import representable
from reports import Agreement, TensorAgreement, measure

DTYPES = ("float64", "float32", "float16")


class Unsupported(ValueError):
    """The implementation does not run this architecture, or not in this dtype."""


def verify(
    architecture: Architecture,
    implementation: str | Verifiable = "numpy",
    dtype: str = "float64",
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

    def __init__(self, architecture: Architecture, implementation: str | Verifiable = "numpy") -> None:
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
    def estimates(self) -> dict[str, dict[Tensor, Derivative]]:
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
        examination = Examination(self, dtype)
        tensors: tuple[TensorAgreement, ...] = ()
        found, failure = Blame(None, None, None), None
        with np.errstate(all="ignore"):  # overflow and NaN are findings, compared by place, not warnings
            try:
                tensors = tuple(examination.tensors())
                if any(t.verdict == "disagree" for t in tensors):
                    found = blame(examination)
            except ImplementationFailed as error:
                found, failure = Blame(error.node, None, None), str(error)
            except WrongArray as error:
                found = malformed(examination, error)
                tensors = (_malformed(error, dtype),)
        return Agreement(
            architecture=self.architecture.to_dict(),
            digest=self.architecture.digest,
            implementation=self.implementation.name,
            dtype=dtype,
            seconds=perf_counter() - started,
            tensors=tensors,
            culprit=found.node.name if found.node else None,
            op=found.node.op if found.node else None,
            fault=found.fault,
            diagnosis=found.diagnosis,
            failure=failure,
        )


def _malformed(error: WrongArray, dtype: str) -> TensorAgreement:
    return measure(
        None,
        np.zeros(0),
        bound=0.0,
        scale=0.0,
        dtype=dtype,
        node=error.node.name,
        op=error.node.op,
        kind=error.kind,
        name=error.name,
        against="autograd",
        note=str(error),
    )
