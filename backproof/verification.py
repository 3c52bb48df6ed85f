"""Three witnesses on one architecture: the implementation, PyTorch autograd, finite differences."""

from __future__ import annotations

from functools import cached_property
from time import perf_counter

import numpy as np

from backproof.blame import Blame, blame, malformed
from backproof.examination import Examination
from backproof.implementations import Verifiable
from backproof.listening import tell
from backproof.running import ImplementationFailed, WrongArray
from backproof.witnesses import Unsupported, Witnesses
from reference import Architecture, Refused
from reports import Agreement, TensorAgreement, measure
from reports.agreement import REFUSED

DTYPES = ("float64", "float32", "float16", "complex128")


def verify(
    architecture: Architecture,
    implementation: str | Verifiable = "numpy",
    dtype: str = "float64",
    second_order: bool = False,
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
        runs in float64, on the same numbers. In ``complex128`` both run on these with imaginary parts.
    second_order
        Compare the gradient of the gradient, too, in float64.

    Raises
    ------
    Unsupported
        The implementation does not support a node of the architecture, or the dtype, or the dtype is unknown.
    reference.ArchitectureError
        PyTorch refuses the architecture.
    backproof.implementations.UnknownImplementation
        There is no such implementation.
    """
    agreement = Verification(architecture, implementation).agreement(dtype, second_order=second_order)
    tell(agreement)
    return agreement


class Verification(Witnesses):
    """The witnesses on one architecture, and what they say in each dtype."""

    @cached_property
    def _imaginary(self) -> Witnesses:
        return Witnesses(self.architecture, self.implementation.verified, imaginary=True)

    def agreement(self, dtype: str, explain: bool = True, second_order: bool = False) -> Agreement:
        """Verify in one dtype; a diagnosis, which takes longest where something is wrong, can be left out."""
        if dtype not in DTYPES:
            raise Unsupported(f"no dtype {dtype!r}: known are {', '.join(DTYPES)}")
        started = perf_counter()
        witnesses = self._imaginary if dtype == "complex128" else self
        examination = Examination(witnesses, dtype, second_order)
        tensors: tuple[TensorAgreement, ...] = ()
        values: dict[str, tuple[float | None, ...]] = {}
        found, failure = Blame(), None
        with np.errstate(all="ignore"):  # overflow and NaN are findings, compared by place, not warnings
            try:
                tensors = tuple(examination.tensors())
                values = witnesses.values_in_brief
                if any(t.verdict == "disagree" for t in tensors):
                    found = blame(examination)
            except Refused as refusal:
                tensors = (_refused(refusal),)
            except ImplementationFailed as error:
                found, failure = Blame(error.node), str(error)
            except WrongArray as error:
                found = malformed(examination, error)
                tensors = (_malformed(error, dtype),)
            diagnosis = found.diagnosis() if explain else None
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
            diagnosis=diagnosis,
            failure=failure,
            shapes=self.twin.shapes,
            values=values,
        )


def _refused(refusal: Refused) -> TensorAgreement:
    return TensorAgreement("", "", "output", "", "autograd", "inconclusive", note=f"{REFUSED}{refusal}")


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
