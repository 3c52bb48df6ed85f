"""What there is to ask about one architecture: an implementation, PyTorch, and finite differences."""

from __future__ import annotations

from functools import cached_property
from zlib import crc32

import numpy as np

from backproof.differencing import Derivative, at_every_coordinate
from backproof.implementations import Completed, Verifiable, load
from reference import Architecture, Node, Reference, Tensor, Twin, Values, draw_values, with_imaginary_parts
from reference.run import Array, is_numeric
from reference.values import complex_of, representable
from reports.precision import in_short


class Unsupported(ValueError):
    """The implementation does not run this architecture, or not in this dtype."""


class Witnesses:
    """All that verifying one architecture needs, computed once and shared by the dtypes.

    With ``imaginary``, all real numbers get imaginary parts. A ``reference`` that is there already is taken as it is.
    """

    def __init__(
        self,
        architecture: Architecture,
        implementation: str | Verifiable = "numpy",
        imaginary: bool = False,
        reference: Reference | None = None,
    ) -> None:
        self.architecture = architecture
        self.implementation = Completed(load(implementation) if isinstance(implementation, str) else implementation)
        for node in architecture.nodes:
            if not self.implementation.supports(node):
                raise Unsupported(f"{self.implementation.name} does not support node {node.name} ({node.op})")
            if imaginary and not self.implementation.holomorphic(node):
                message = (
                    f"does not say that it computes node {node.name} ({node.op}) of complex numbers as PyTorch does"
                )
                raise Unsupported(f"{self.implementation.name} {message}")
        self.imaginary, self._closer = imaginary, set[str]()
        self.twin = reference.twin if reference else Twin(architecture)
        self._check_shapes()
        if not reference:
            values = draw_values(architecture, self.twin)
            values = with_imaginary_parts(values, architecture, self.twin) if imaginary else values
            reference = Reference(self.twin, values)
        self.reference = reference

    def _check_shapes(self) -> None:
        for node in self.architecture.nodes:
            slots = (self.architecture.slot(reference) for reference in node.inputs)
            shapes = [tuple(self.twin.outputs[name][index].shape) for name, index in slots]
            if not self.implementation.takes(node, shapes):
                shown = ", ".join(map(str, shapes))
                raise Unsupported(f"{self.implementation.name} does not take node {node.name} ({node.op}) of {shown}")

    @cached_property
    def values_in_brief(self) -> dict[str, tuple[float | None, ...]]:
        """What PyTorch's numbers are like, for :class:`reports.Agreement`: of every input and node, there and back."""
        tensors, inputs = self.reference.run.tensors, self.reference.values.inputs
        there = {(name, "0"): (x, tensors.get(Tensor("input", name, "0"))) for name, x in inputs.items()}
        for (kind, node, index), y in tensors.items():
            if kind == "output":
                there[node, index] = y, tensors.get(Tensor("adjoint", node, index))
        return {
            name if index == "0" else f"{name}.{index}": (*_in_brief(y), *_in_brief(back))
            for (name, index), (y, back) in there.items()
        }

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
            values = self.reference.values
            lonely[node.name] = Reference(
                twin,
                Values(
                    {node.name: values.parameters.get(node.owner, {})},
                    given,
                    {f"{node.name}.{i}": c for i, c in self._cotangents(node).items()},
                    values.noise,
                ),
            )
        return lonely

    def _cotangents(self, node: Node) -> dict[int, Array]:
        def drawn(*key: str) -> dict[int, Array]:
            rng = np.random.default_rng([self.architecture.seed, crc32("/".join((*key, node.name)).encode())])
            outputs = enumerate(self.twin.outputs[node.name])
            return {i: representable(rng.standard_normal(y.shape)) for i, y in outputs if y.is_floating_point()}

        real = drawn("alone")
        if not self.imaginary:
            return real
        return {i: complex_of(real[i], c) for i, c in drawn("imaginary", "alone").items()}

    def _flowing(self, name: str, index: int) -> Array:
        if name in self.reference.values.inputs:
            return self.reference.values.inputs[name]
        array = self.reference.run.tensors[Tensor("output", name, str(index))]
        return representable(array) if is_numeric(array) else array

    @cached_property
    def estimates(self) -> dict[str, dict[Tensor, Derivative]]:
        """Derivatives of the implementation's own forward, node by node, at every coordinate."""
        return {
            node.name: at_every_coordinate(self.implementation, node, self.alone[node.name])
            for node in self.architecture.nodes
        }

    def look_closer(self, node: Node) -> bool:
        """Find the derivatives of a node once more, coordinate by coordinate; False where that has been done."""
        if node.name in self._closer:
            return False
        self._closer.add(node.name)
        found = at_every_coordinate(self.implementation, node, self.alone[node.name], together=False)
        self.estimates[node.name] = found
        return True


def _in_brief(array: Array | None) -> tuple[float | None, ...]:
    """Return the least and greatest number and the root mean square, to three digits; of complex ones, the modulus."""
    if array is None or not array.size or array.dtype.kind not in "fciu":
        return (None,) * 3
    numbers = np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)
    with np.errstate(all="ignore"):
        found = numbers.min(), numbers.max(), np.sqrt(np.square(numbers).mean())
    return tuple(in_short(float(x)) for x in found)
