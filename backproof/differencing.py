"""Finite differences through an implementation's own forward, and through PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from backproof.catalogue import convention
from backproof.implementations import Completed
from backproof.running import call
from reference import Node, Reference, Run, Tensor, Values
from reference.differences import Estimate, complex_step, finite_difference
from reference.run import Array

Forward = Callable[[Values], Mapping[str, Array]]


def at_every_coordinate(implementation: Completed, node: Node, alone: Reference) -> dict[Tensor, Estimate]:
    """Differentiate the forward of one node along every coordinate of its parameters and floating inputs.

    By complex steps where the implementation says that its forward is complex-clean, else by central differences. What
    the op's convention keeps from being a derivative (the padding row of an embedding) is left out.
    """
    values = alone.values
    noise = values.noise.get(node.name, ())
    cotangents = {int(reference.rpartition(".")[2]): c for reference, c in values.cotangents.items()}
    parameters = dict(values.parameters[node.name])
    inputs = list(values.inputs.values())
    differentiate = complex_step if implementation.complex_clean(node) else finite_difference

    def terms() -> Array:
        done = call(implementation, node, parameters, tuple(inputs), alone.twin.architecture.training, noise)
        return np.concatenate([(c * done.outputs[i]).reshape(-1) for i, c in cotangents.items()])

    def estimate(place: Any, key: str | int) -> Estimate:
        original = place[key]

        def shifted(z: Array) -> Array:
            place[key] = z
            return terms()

        found = differentiate(shifted, original)
        place[key] = original
        return found

    estimates = {
        Tensor("parameter", node.name, name): estimate(parameters, name)
        for name in values.parameters[node.name]
        if name not in alone.twin.buffers.get(node.name, ()) and name not in convention(node)
    }
    for i, (name, x) in enumerate(values.inputs.items()):
        if x.dtype.kind == "f":
            estimates[Tensor("input", name, "0")] = estimate(inputs, i)
    return estimates


def along_one_direction(forward: Forward, gradients: Run, reference: Reference) -> tuple[Estimate, float, float]:
    """Differentiate a whole network along one random direction through all its parameters and inputs at once.

    Inputs that sit on kinks on purpose, and what conventions keep from being a derivative, are not moved.

    Returns
    -------
    estimate, claimed, sensitivity
        What the forward says; what ``gradients`` say; how far rounding may move the latter.
    """
    values, architecture = reference.values, reference.twin.architecture
    still = {i.name for i in architecture.inputs if i.domain == "ties"}
    unmoved = {(node.owner, name) for node in architecture.nodes for name in convention(node)}
    directions: dict[Tensor, Array] = {}
    claimed = sensitivity = 0.0
    for name in reference.run.tensors:
        if name.kind not in ("parameter", "input") or name.node in still or (name.node, name.name) in unmoved:
            continue
        rng = np.random.default_rng([architecture.seed, crc32(f"direction/{name.node}/{name.name}".encode())])
        directions[name] = rng.standard_normal(reference.run.tensors[name].shape)
        if name in gradients.tensors:
            claimed += float((gradients.tensors[name] * directions[name]).sum())
        sensitivity += reference.sensitivity[name] * float(np.abs(directions[name]).sum())

    def at(t: float) -> Array:
        parameters = {
            owner: {
                n: a + t * directions[key] if (key := Tensor("parameter", owner, n)) in directions else a
                for n, a in arrays.items()
            }
            for owner, arrays in values.parameters.items()
        }
        inputs = {
            n: x + t * directions[key] if (key := Tensor("input", n, "0")) in directions else x
            for n, x in values.inputs.items()
        }
        outputs = forward(replace(values, parameters=parameters, inputs=inputs))
        return np.concatenate([(c * outputs[r]).reshape(-1) for r, c in values.cotangents.items()])

    estimate = finite_difference(lambda t: at(float(t[0])), np.zeros(1), [np.ones(1)])
    return estimate, claimed, sensitivity
