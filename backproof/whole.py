"""The gradient of a whole network along one random direction, by its forward alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias
from zlib import crc32

import numpy as np

from backproof.catalogue import convention
from backproof.judging import rounding
from backproof.running import ImplementationFailed
from reference import Architecture, Reference, Run, Tensor, Values
from reference.differences import Estimate, complex_step, finite_difference
from reference.run import Array
from reference.sensitivity import GLANCE

Forward: TypeAlias = Callable[[Values], Mapping[str, Array]]

SHORT = 2.0**8
"""Directions are multiples of 1/256."""


def behind_conventions(architecture: Architecture) -> set[str]:
    """Inputs of the graph, and owners of parameters, from which a path leads to a gradient that is a convention."""
    reached: set[str] = set()
    for node in reversed(architecture.nodes):
        by_convention = convention(node)
        taken = [r for i, r in enumerate(node.inputs) if node.name in reached or i in by_convention]
        reached |= {architecture.slot(reference)[0] for reference in taken}
    return reached | {node.owner for node in architecture.nodes if node.name in reached}


def along_one_direction(
    forward: Forward, gradients: Run, reference: Reference, analytic: bool
) -> tuple[Estimate, float, Callable[[int], float]]:
    """Differentiate a whole network along one random direction through all its parameters and inputs at once.

    By a complex step where the forward is ``analytic``, unless a central difference has to decide. Inputs that sit on
    kinks on purpose, and what conventions keep from being a derivative, are not moved.

    Returns
    -------
    estimate, claimed, sensitivity
        What the forward says; what ``gradients`` say; how far rounding may move the latter, by how closely one looks.
    """
    values, architecture = reference.values, reference.twin.architecture
    still = {i.name for i in architecture.inputs if i.domain == "ties"} | behind_conventions(architecture)
    unmoved = {(node.owner, name) for node in architecture.nodes for name in convention(node)}
    directions: dict[Tensor, Array] = {}
    claimed = 0.0
    for name in reference.run.tensors:
        if name.kind not in ("parameter", "input") or name.node in still or (name.node, name.name) in unmoved:
            continue
        rng = np.random.default_rng([architecture.seed, crc32(f"direction/{name.node}/{name.name}".encode())])
        # Short numbers, as the values are, so that a step along them is not rounded.
        drawn = np.asarray(np.rint(SHORT * rng.standard_normal(reference.run.tensors[name].shape)) / SHORT)
        directions[name] = np.where(drawn == 0, 1 / SHORT, drawn)
        if name in gradients.tensors:
            claimed += float((gradients.tensors[name] * directions[name]).sum())

    size = sum(c.size for c in values.cotangents.values())

    def at(t: float | complex) -> Array:
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
        try:
            outputs = forward(replace(values, parameters=parameters, inputs=inputs))
        except (ImplementationFailed, ValueError, RuntimeError):
            return np.full(size, np.nan)  # beyond what a layer takes (a variance below 0) there is no value
        return np.concatenate([(c * outputs[r]).reshape(-1) for r, c in values.cotangents.items()])

    def sensitivity(look: int) -> float:
        return sum(
            reference.moves(name, "float64", look) * float(np.abs(direction).sum())
            for name, direction in directions.items()
        )

    if analytic:
        estimate = complex_step(lambda t: at(complex(t[0])), np.zeros(1))
        near = estimate.bound[0] + rounding(sensitivity(GLANCE), "float64", reference.accumulation)
        if abs(estimate.value[0] - claimed) <= near:
            return estimate, claimed, sensitivity
    estimate = finite_difference(lambda t: at(float(t[0])), np.zeros(1), [np.ones(1)], expected=[claimed])
    return estimate, claimed, sensitivity
