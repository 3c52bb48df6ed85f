"""Running a whole architecture through an implementation that runs single nodes.

The composition is :class:`impl.Network`'s: order, sums over branches and tied weights are the same for every
implementation, and are themselves verified by running them against PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from backproof.implementations import Completed, Implementation, Pass
from backproof.whereabouts import tell
from impl.layer import Array, Gradients, Layer, Step
from impl.network import Network, NetworkGradients, NetworkStep
from impl.network import Node as NetworkNode
from reference import Architecture, Node, Run, Tensor, Twin, Values
from reference.ops import torch_layers
from reference.run import Kind
from reports.agreement import shown

MESSAGE = 2000
"""Characters of a stranger's message that are kept."""


class ImplementationFailed(Exception):
    """The implementation under test raised: a finding, with the node and the pass in which it happened."""

    def __init__(self, node: Node, phase: str, error: Exception, inputs: tuple[Array, ...] = ()) -> None:
        said = f"node {node.name} ({node.op}), {phase}: {type(error).__name__}: {str(error)[:MESSAGE]}"
        super().__init__(said + _hint(node, inputs))
        self.node, self.phase = node, phase


def _hint(node: Node, inputs: tuple[Array, ...]) -> str:
    """Say so where targets hold a number that is no class: who reads the formula of a loss alone stumbles over it."""
    ignored = node.all_arguments.get("ignore_index") if node.op in torch_layers() else None
    held = ignored is not None and any(x.dtype.kind == "i" and (x == ignored).any() for x in inputs)
    return f" (targets that are ignore_index, here {ignored}, count for nothing: leave them out)" if held else ""


class WrongArray(Exception):
    """The implementation returned something that cannot be compared: no array, or one of another shape."""

    def __init__(self, node: Node, kind: Kind, name: str, message: str, found: Any = None) -> None:
        super().__init__(message)
        self.node, self.kind, self.name, self.found = node, kind, name, found


@dataclass(frozen=True)
class Traced:
    """A run, and which way its layers decided (equal branches: the same smooth piece)."""

    run: Run
    branches: tuple[Array, ...]


def call(
    implementation: Implementation,
    node: Node,
    parameters: Mapping[str, Array],
    inputs: tuple[Array, ...],
    training: bool,
    noise: tuple[Array, ...],
) -> Pass:
    """Run one node forward; whatever it raises becomes :class:`ImplementationFailed`."""
    tell(node=node.name, op=node.op, phase="forward")
    try:
        found = implementation.forward(node, parameters, inputs, training=training, noise=noise)
        outputs, backward, *more = _pair(node, "output", found, "(y,), backward")
        outputs = _several(node, "output", outputs, "(y,), backward")
    except WrongArray:
        raise
    except Exception as error:
        raise ImplementationFailed(node, "forward", error, inputs) from error
    return Pass(tuple(_array(node, "output", str(i), y) for i, y in enumerate(outputs)), backward, *more)


def _pair(node: Node, kind: Kind, found: Any, right: str) -> tuple[Any, ...]:
    """Take what a pass returns; an array would be taken apart along its first axis."""
    if isinstance(found, tuple | list) and 2 <= len(found) <= len(Pass._fields):
        return tuple(found)
    raise WrongArray(node, kind, "0", f"is not to be found: the pass returns {shown(found)}, wanted {right}")


def _several(node: Node, kind: Kind, found: Any, right: str) -> tuple[Any, ...]:
    if isinstance(found, Iterable) and not isinstance(found, str | Mapping) and not hasattr(found, "__array__"):
        return tuple(found)
    raise WrongArray(node, kind, "0", f"is {shown(found)} where a tuple of arrays belongs: return {right}")


def _array(node: Node, kind: Kind, name: str, found: Any, shape: tuple[int, ...] | None = None) -> Array:
    if isinstance(found, np.generic | float | complex):  # what a sum over all axes gives, and float() makes of it
        found = np.asarray(found)
    if not isinstance(found, np.ndarray):
        raise WrongArray(node, kind, name, f"is {shown(found)}, wanted an array")
    if shape is not None and found.shape != shape:
        raise WrongArray(node, kind, name, f"has shape {found.shape}, wanted {shape}", found)
    return found


class _Composed(Layer):
    """One node of an implementation, with the contract of a layer of :mod:`impl`."""

    def __init__(self, implementation: Implementation, node: Node, twin: Twin, noise: tuple[Array, ...]) -> None:
        self.implementation, self.node, self.noise = implementation, node, noise
        self.shapes = [tuple(y.shape) for y in twin.outputs[node.name]]

    def forward(self, parameters: Mapping[str, Array], *inputs: Array, **options: Any) -> Step:
        node = self.node
        done = call(self.implementation, node, parameters, inputs, options["training"], self.noise)
        if len(done.outputs) != len(self.shapes):
            raise WrongArray(node, "output", "0", f"is one of {len(done.outputs)}, wanted {len(self.shapes)}")
        for i, (y, shape) in enumerate(zip(done.outputs, self.shapes)):
            _array(node, "output", str(i), y, shape)

        def backward(grad_output: tuple[Array | None, ...]) -> Gradients:
            grads, own = go_back(node, done, grad_output, inputs, parameters)
            return Gradients(grads, own)

        return Step(done.outputs, backward, done.updates, done.branches)


def go_back(
    node: Node,
    done: Pass,
    grad_outputs: tuple[Array | None, ...],
    inputs: tuple[Array, ...],
    parameters: Mapping[str, Array],
) -> tuple[tuple[Array | None, ...], dict[str, Array]]:
    """Run one node backward and check that what comes back can be compared."""
    tell(node=node.name, op=node.op, phase="backward")
    try:
        grads, own = _pair(node, "input", done.backward(grad_outputs), "(grad_x,), {parameter: grad}")
        grads, own = _several(node, "input", grads, "(grad_x,), {parameter: grad}"), dict(own)
    except WrongArray:
        raise
    except Exception as error:
        raise ImplementationFailed(node, "backward", error, inputs) from error
    if len(grads) != len(inputs):
        raise WrongArray(node, "input", "0", f"is one of {len(grads)} that came back, wanted {len(inputs)}")
    for name in own:
        if name not in parameters:
            raise WrongArray(node, "parameter", str(name), "is the gradient of no parameter")
    return (
        tuple(
            None if g is None else _array(node, "input", str(i), g, x.shape)
            for i, (g, x) in enumerate(zip(grads, inputs))
        ),
        {name: _array(node, "parameter", name, g, parameters[name].shape) for name, g in own.items()},
    )


def forward(implementation: Implementation, twin: Twin, values: Values, dtype: str | None) -> NetworkStep:
    """Run the twin's architecture forward in ``dtype``, node by node.

    Raises
    ------
    ImplementationFailed
        The implementation raised.
    WrongArray
        It returned something that cannot be compared.
    """
    nodes = [
        NetworkNode(n.name, _Composed(implementation, n, twin, values.noise.get(n.name, ())), n.inputs, n.shares)
        for n in twin.architecture.nodes
    ]
    network = Network([i.name for i in twin.architecture.inputs], nodes, twin.architecture.outputs)
    parameters = {f"{o}.{n}": cast(a, dtype) for o, arrays in values.parameters.items() for n, a in arrays.items()}
    inputs = [cast(values.inputs[i.name], dtype) for i in twin.architecture.inputs]
    return network.forward(parameters, *inputs, training=twin.architecture.training)


def cast(array: Array, dtype: str | None) -> Array:
    """Bring real numbers to the working precision, if it is a real one; complex numbers and integers stay."""
    real = dtype is not None and np.dtype(dtype).kind == "f"
    return array.astype(dtype) if real and array.dtype.kind == "f" else array


def outputs(implementation: Completed, twin: Twin, values: Values, dtype: str) -> dict[str, Array]:
    """Return the outputs of the twin's architecture, by reference; it raises what :func:`forward` raises."""
    ends = twin.architecture.outputs
    if implementation.runs_whole_networks:
        found = _run_whole(implementation, twin, values, dtype).tensors
        slots = (twin.architecture.slot(end) for end in ends)
        return {end: found[Tensor("output", name, str(index))] for end, (name, index) in zip(ends, slots)}
    step = forward(implementation, twin, values, dtype)
    return dict(zip(ends, step.output if isinstance(step.output, tuple) else (step.output,)))


def run(implementation: Completed, twin: Twin, values: Values, dtype: str | None) -> Traced:
    """Run the twin's architecture forward and backward; it raises what :func:`forward` raises.

    In ``dtype``; None: on the values as they are.
    """
    if implementation.runs_whole_networks:
        return Traced(_run_whole(implementation, twin, values, dtype), ())
    step = forward(implementation, twin, values, dtype)
    cotangents = [
        cast(values.cotangents[r], dtype) if r in values.cotangents else None for r in twin.architecture.outputs
    ]
    gradients = step.backward(cotangents if len(cotangents) > 1 else cotangents[0])
    assert isinstance(gradients, NetworkGradients)
    tensors: dict[Tensor, Array] = {}
    for name, node_step in step.steps.items():
        outputs = node_step.output if isinstance(node_step.output, tuple) else (node_step.output,)
        tensors |= {Tensor("output", name, str(i)): y for i, y in enumerate(outputs)}
    for owner, arrays in values.parameters.items():
        for name, array in arrays.items():
            key = f"{owner}.{name}"
            if name in twin.buffers[owner]:
                tensors[Tensor("update", owner, name)] = step.updates.get(key, cast(array, dtype))
            elif key in gradients.parameters:
                tensors[Tensor("parameter", owner, name)] = gradients.parameters[key]
    for name, adjoints in gradients.adjoints.items():
        kind: Kind = "input" if name in values.inputs else "adjoint"
        tensors |= {Tensor(kind, name, str(i)): g for i, g in enumerate(adjoints) if g is not None}
    return Traced(Run(tensors), step.branches)


@lru_cache(maxsize=256)
def in_short(architecture: Architecture) -> Architecture:
    """Name first outputs by their nodes alone, as whoever reads ``outputs`` expects: most nodes have no other."""
    return replace(architecture, outputs=tuple(end.removesuffix(".0") for end in architecture.outputs))


def _run_whole(implementation: Completed, twin: Twin, values: Values, dtype: str | None) -> Run:
    """Let the implementation compose the network itself."""
    ours = Values(
        {owner: {n: cast(a, dtype) for n, a in arrays.items()} for owner, arrays in values.parameters.items()},
        {name: cast(x, dtype) for name, x in values.inputs.items()},
        {reference.removesuffix(".0"): cast(c, dtype) for reference, c in values.cotangents.items()},
        values.noise,
    )
    tell(node=twin.architecture.nodes[0].name, op=twin.architecture.nodes[0].op, phase="the whole network")
    try:
        found = implementation.run(in_short(twin.architecture), ours)
        tensors = {Tensor(*name): array for name, array in found.tensors.items()}
    except Exception as error:
        raise ImplementationFailed(twin.architecture.nodes[0], "the whole network", error) from error
    for reference in twin.architecture.outputs:
        name, index = twin.architecture.slot(reference)
        node = next((n for n in twin.architecture.nodes if n.name == name), twin.architecture.nodes[0])
        shape = tuple(twin.outputs[name][index].shape)
        _array(node, "output", str(index), tensors.get(Tensor("output", name, str(index))), shape)
    return Run(tensors)
