"""What runs forward and backward: the contract of an implementation, the two built in, and how one is found by name."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from impl.layer import Array, Layer
from impl.layers import LAYERS
from reference import Architecture, Input, Node, Tensor, Twin, Values
from reference.ops import STRUCTURAL, constructor_arguments

GROUP = "backproof.implementations"
Backward: TypeAlias = Callable[[tuple[Array | None, ...]], tuple[Sequence[Array | None], Mapping[str, Array]]]


class Pass(NamedTuple):
    """What an implementation's ``forward`` returns; a plain ``(outputs, backward)`` will do.

    ``updates`` are new values of buffers; ``branches`` say who won where the layer decides between pieces.
    """

    outputs: tuple[Array, ...]
    backward: Backward
    updates: Mapping[str, Array] = {}
    branches: tuple[Array, ...] = ()


@runtime_checkable
class Implementation(Protocol):
    """Anything that can run forward and backward, one node at a time; the harness composes networks from it."""

    name: str

    def supports(self, node: Node) -> bool:
        """Whether it can run this node."""

    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Sequence[Array],
    ) -> Pass | tuple[tuple[Array, ...], Backward]:
        """Return the outputs, and ``backward(grad_outputs) -> (grad_inputs, grad_parameters)``."""


class UnknownImplementation(ValueError):
    """A name under which no implementation is found; the message says what was tried."""


class NumPyImplementation:
    """``impl``, the hand-written network that this project ships.

    Parameters
    ----------
    replaced
        Layer classes to use instead of impl's, by op: how a broken copy of a layer is put to the test.
    """

    name = "numpy"

    def __init__(self, replaced: Mapping[str, type[Layer]] | None = None) -> None:
        self.layers: Mapping[str, type[Layer]] = {**LAYERS, **(replaced or {})}
        self._layer = lru_cache(maxsize=256)(self._build)

    def supports(self, node: Node) -> bool:
        """Whether impl has a layer of this name."""
        return node.op in self.layers

    def complex_clean(self, node: Node) -> bool:
        """Whether a complex step may go through the forward of this node."""
        return self.supports(node)

    def _build(self, op: str, arguments: str) -> Layer:
        return self.layers[op](**constructor_arguments(op, json.loads(arguments), np.asarray))

    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Sequence[Array],
    ) -> Pass:
        """Run one layer of impl."""
        layer = self._layer(node.op, json.dumps(node.arguments, sort_keys=True))
        step = layer.forward(parameters, *inputs, training=training, noise=noise, **node.options)
        several = isinstance(step.output, tuple)

        def backward(
            grad_outputs: tuple[Array | None, ...],
        ) -> tuple[Sequence[Array | None], Mapping[str, Array]]:
            gradients = step.backward(grad_outputs if several else grad_outputs[0])
            return gradients.inputs, gradients.parameters

        outputs = step.output if isinstance(step.output, tuple) else (step.output,)
        return Pass(outputs, backward, step.updates, step.branches)


class TorchImplementation:
    """PyTorch run node by node through its own autograd: what verifying the reference against itself looks like."""

    name = "torch"

    def supports(self, node: Node) -> bool:
        """Whether torch.nn has it."""
        return True

    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Sequence[Array],
    ) -> Pass:
        """Run one node; backward runs it again, with the cotangents."""
        twin = _lonely_twin(node, inputs, training)
        dtype = str(np.result_type(*(x for x in (*inputs, *parameters.values()) if x.dtype.kind == "f")))
        given = {i.name: x for i, x in zip(twin.architecture.inputs, inputs)}

        def run(cotangents: Mapping[str, Array]) -> Mapping[Tensor, Array]:
            values = Values({node.name: parameters}, given, cotangents, {node.name: tuple(noise)})
            return twin.run(values, dtype).tensors

        ends = twin.architecture.outputs
        first = run({})
        outputs = tuple(array for name, array in first.items() if name.kind == "output")
        updates = {name.name: array for name, array in first.items() if name.kind == "update"}

        def backward(
            grad_outputs: tuple[Array | None, ...],
        ) -> tuple[Sequence[Array | None], Mapping[str, Array]]:
            found = run({end: g for end, g in zip(ends, grad_outputs) if g is not None})
            grads = [found.get(Tensor("input", name, "0")) for name in given]
            own = {n.name: g for n, g in found.items() if n.kind == "parameter"}
            return grads, own

        return Pass(outputs, backward, updates)


class Completed:
    """An implementation, with impl's structural ops (Add, Reshape ...) where it has none of its own."""

    def __init__(self, own: Implementation) -> None:
        self.own, self.name = own, own.name
        self._numpy = NumPyImplementation()

    def _runs(self, node: Node) -> Implementation:
        return self._numpy if node.op in STRUCTURAL and not self.own.supports(node) else self.own

    def supports(self, node: Node) -> bool:
        """Whether one of the two has it."""
        return self._runs(node).supports(node)

    def complex_clean(self, node: Node) -> bool:
        """Whether a complex step may go through the forward of this node."""
        clean = getattr(self._runs(node), "complex_clean", None)
        return clean is not None and clean(node)

    def forward(self, node: Node, *given: Any, **options: Any) -> Pass | tuple[tuple[Array, ...], Backward]:
        """Run it where it is supported."""
        return self._runs(node).forward(node, *given, **options)


@lru_cache(maxsize=256)
def _twin(architecture: Architecture) -> Twin:
    return Twin(architecture, device="cpu")


def _lonely_twin(node: Node, inputs: Sequence[Array], training: bool) -> Twin:
    given = tuple(
        Input(f"input{i}", x.shape, *(("real",) if x.dtype.kind == "f" else ("index", 1))) for i, x in enumerate(inputs)
    )
    lonely = Node(node.name, node.op, node.arguments, tuple(i.name for i in given), node.options)
    return _twin(Architecture(given, (lonely,), (node.name,), training=training)).alone(node.name)


def load(name: str) -> Implementation:
    """Find an implementation by name: built in, ``package.module:object``, or registered as an entry point.

    Raises
    ------
    UnknownImplementation
        There is none, or what is there lacks the contract.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    module_name, colon, attribute = name.partition(":")
    if not colon and name not in registered:
        known = ", ".join([*BUILT_IN, *registered])
        raise UnknownImplementation(f"no implementation {name!r}: known are {known}, or write package.module:object")
    try:
        if name in registered:
            found: Any = registered[name].load()
        else:
            if str(Path.cwd()) not in sys.path:
                sys.path.append(str(Path.cwd()))  # a script installed elsewhere does not see the user's folder
            found = importlib.import_module(module_name)
            for part in attribute.split("."):
                found = getattr(found, part)
        if isinstance(found, type):
            found = found()
    except Exception as error:  # a stranger's module may raise anything on import
        raise UnknownImplementation(f"{name}: cannot be loaded: {type(error).__name__}: {error}") from error
    missing = [needed for needed in ("name", "supports", "forward") if not hasattr(found, needed)]
    if missing:
        raise UnknownImplementation(f"{name}: {type(found).__name__} has no {', no '.join(missing)}")
    implementation: Implementation = found
    return implementation


BUILT_IN: Mapping[str, Callable[[], Implementation]] = {
    "numpy": NumPyImplementation,
    "torch": TorchImplementation,
}
