"""What runs forward and backward: the contract of an implementation, the two built in, and how one is found by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from impl.layer import Array, Layer
from impl.layers import LAYERS
from reference import Architecture, Input, Node, Run, Tensor, Twin, Values
from reference.ops import STRUCTURAL, constructor_arguments
from reference.run import is_numeric

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
    """Anything that can run forward and backward, one node at a time; the harness composes networks from it.

    It may also define ``takes(node, shapes) -> bool``: whether it runs a node that it supports on inputs of these
    shapes (a network for samples in rows takes two axes, no more). What it does not take is not drawn.
    """

    name: str

    def supports(self, node: Node) -> bool:
        """Whether it can run this node, with its arguments; ``node.all_arguments`` has torch's defaults, too."""

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


@runtime_checkable
class WholeImplementation(Protocol):
    """Anything that composes whole networks itself, so that its composition is verified, too.

    It may define ``takes``, too, as :class:`Implementation` says.
    """

    name: str

    def supports(self, node: Node) -> bool:
        """Whether it can run this node."""

    def run(self, architecture: Architecture, values: Values) -> Run:
        """Run forward, and backward from ``values.cotangents``; the values come in the working dtype.

        The run holds the outputs of the architecture, new buffers, and the gradients of all parameters and inputs.
        Outputs and adjoints of nodes in between may be absent: then they are not compared.
        """


Verifiable: TypeAlias = Implementation | WholeImplementation
"""What can be put to the test."""


class UnknownImplementation(ValueError):
    """A name under which no implementation is found; the message says what was tried."""


KEPT = 256
"""Layers that are kept for the nodes that they were made for."""


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
        self._kept: dict[int, tuple[Node, Layer]] = {}

    def supports(self, node: Node) -> bool:
        """Whether impl has a layer of this name."""
        return node.op in self.layers

    def complex_clean(self, node: Node) -> bool:
        """Whether a complex step may go through the forward of this node."""
        return self.supports(node)

    def holomorphic(self, node: Node) -> bool:
        """Whether this node takes complex numbers, and goes back in torch's convention."""
        return self.supports(node) and self.layers[node.op].holomorphic

    def layer(self, op: str, arguments: Mapping[str, Any]) -> Layer:
        """Make the layer of an op; ``arguments`` are those of an architecture's node."""
        return self.layers[op](**constructor_arguments(op, arguments, np.asarray, self.layer))

    def _of(self, node: Node) -> Layer:
        """Make the layer of a node once, for as long as the same few nodes run."""
        kept = self._kept.get(id(node))
        if kept is None or kept[0] is not node:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            kept = self._kept[id(node)] = node, self.layer(node.op, node.arguments)
        return kept[1]

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
        layer = self._of(node)
        step = layer.forward(parameters, *inputs, training=training, noise=noise, **node.options)
        several = isinstance(step.output, tuple)

        def backward(
            grad_outputs: tuple[Array | None, ...],
        ) -> tuple[Sequence[Array | None], Mapping[str, Array]]:
            gradients = step.backward(grad_outputs if several else grad_outputs[0])
            return gradients.inputs[: len(inputs)], gradients.parameters  # what came as an option has no gradient

        outputs = step.output if isinstance(step.output, tuple) else (step.output,)
        return Pass(outputs, backward, step.updates, step.branches)


class TorchImplementation:
    """PyTorch run by its own autograd: what verifying the reference against itself looks like."""

    name = "torch"

    def supports(self, node: Node) -> bool:
        """Whether torch.nn has it."""
        return True

    def holomorphic(self, node: Node) -> bool:
        """Whatever torch does, it agrees with itself."""
        return True

    def run(self, architecture: Architecture, values: Values) -> Run:
        """Run a network, in the dtype of its values."""
        arrays = (*values.inputs.values(), *(a for owned in values.parameters.values() for a in owned.values()))
        dtype = str(np.result_type(*(a for a in arrays if is_numeric(a))))
        return _twin(architecture).run(values, dtype)


class _NodeByNode:
    """Runs single nodes through an implementation of whole networks: as networks of one node."""

    def __init__(self, own: WholeImplementation) -> None:
        self.name, self.supports = own.name, own.supports
        self._run = own.run

    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Sequence[Array],
    ) -> Pass:
        """Run one node, with no gradient flowing in; backward runs it again, with the cotangents."""
        architecture, outputs = _lonely(node, inputs, training)
        names = [i.name for i in architecture.inputs]

        def run(cotangents: Mapping[str, Array]) -> Mapping[Tensor, Array]:
            given = dict(zip(names, inputs))
            values = Values({node.name: parameters}, given, cotangents, {node.name: tuple(noise)})
            return self._run(architecture, values).tensors

        dtype = np.result_type(*(x for x in (*inputs, *parameters.values()) if is_numeric(x)))
        zeros = {end: np.zeros(shape, dtype) for end, shape in outputs.items() if shape is not None}
        first = run(zeros)
        results = tuple(first[Tensor("output", node.name, str(i))] for i in range(len(outputs)))
        updates = {name.name: array for name, array in first.items() if name.kind == "update"}

        def backward(grad_outputs: tuple[Array | None, ...]) -> tuple[Sequence[Array | None], Mapping[str, Array]]:
            found = run(zeros | {end: g for end, g in zip(outputs, grad_outputs) if g is not None})
            grads = [found.get(Tensor("input", name, "0")) for name in names]
            return grads, {name.name: g for name, g in found.items() if name.kind == "parameter"}

        return Pass(results, backward, updates)


def _node_by_node(implementation: Verifiable) -> Implementation:
    """Return what runs single nodes: one that runs whole networks may have a ``forward`` that is not the contract's."""
    if isinstance(implementation, Implementation):
        taken = signature(implementation.forward).parameters.values()
        if not hasattr(implementation, "run") or any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in taken):
            return implementation
    assert isinstance(implementation, WholeImplementation)
    return _NodeByNode(implementation)


class Completed:
    """An implementation that runs single nodes and networks, with impl's structural ops where it has none of its own.

    One that composes whole networks itself gets nothing: what it does not support is not drawn.
    """

    def __init__(self, own: Verifiable) -> None:
        self.name = own.name
        self.verified = own
        self._whole = own if isinstance(own, WholeImplementation) else None
        self.own = _node_by_node(own)
        self._numpy = NumPyImplementation()

    @property
    def runs_whole_networks(self) -> bool:
        """Whether it composes networks itself."""
        return self._whole is not None

    def _runs(self, node: Node) -> Implementation:
        ours = node.op in STRUCTURAL and not self.runs_whole_networks and not self.own.supports(node)
        return self._numpy if ours else self.own

    def supports(self, node: Node) -> bool:
        """Whether it has it, or gets it."""
        return self._runs(node).supports(node)

    def takes(self, node: Node, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether it runs the node on inputs of these shapes: where it does not say, it runs it on all."""
        takes = getattr(self.verified, "takes", None)
        if takes is None or self._runs(node) is self._numpy:
            return self.supports(node)
        return self.supports(node) and takes(node, shapes)

    def complex_clean(self, node: Node) -> bool:
        """Whether a complex step may go through the forward of this node."""
        clean = getattr(self._runs(node), "complex_clean", None)
        return clean is not None and clean(node)

    def holomorphic(self, node: Node) -> bool:
        """Whether it says that this node takes complex numbers, and goes back in torch's convention."""
        runs = self._numpy if self._runs(node) is self._numpy else self.verified
        holomorphic = getattr(runs, "holomorphic", None)
        return holomorphic is not None and holomorphic(node)

    def forward(self, node: Node, *given: Any, **options: Any) -> Pass | tuple[tuple[Array, ...], Backward]:
        """Run one node where it is supported."""
        return self._runs(node).forward(node, *given, **options)

    def run(self, architecture: Architecture, values: Values) -> Run:
        """Run a whole network, if it composes them itself."""
        assert self._whole is not None
        return self._whole.run(architecture, values)


@lru_cache(maxsize=256)
def _twin(architecture: Architecture) -> Twin:
    return Twin(architecture, device="cpu")


def _lonely(
    node: Node, inputs: Sequence[Array], training: bool
) -> tuple[Architecture, Mapping[str, tuple[int, ...] | None]]:
    """Return the network of one node, with the shapes of its outputs; None for those that have no gradient."""
    given = tuple(
        Input(f"input{i}", x.shape, *(("real",) if is_numeric(x) else ("index", 1))) for i, x in enumerate(inputs)
    )
    lonely = Node(node.name, node.op, node.arguments, tuple(i.name for i in given), node.options)
    twin = _twin(Architecture(given, (lonely,), (node.name,), training=training))
    shapes = {
        f"{node.name}.{i}" if i else node.name: tuple(y.shape) if y.is_floating_point() else None
        for i, y in enumerate(twin.outputs[node.name])
    }
    return replace(twin.architecture, outputs=tuple(shapes)), shapes


def load(name: str) -> Verifiable:
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
    if module_name.endswith(".py"):
        raise UnknownImplementation(f"{name}: is the name of a file: write {module_name[:-3]}:{attribute or 'object'}")
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
    passes = "run" if hasattr(found, "run") else "forward"
    missing = [needed for needed in ("name", "supports", passes) if not hasattr(found, needed)]
    if missing:
        raise UnknownImplementation(f"{name}: {type(found).__name__} has no {', no '.join(missing)}")
    implementation: Verifiable = found
    return implementation


BUILT_IN: Mapping[str, Callable[[], Verifiable]] = {
    "numpy": NumPyImplementation,
    "torch": TorchImplementation,
}
