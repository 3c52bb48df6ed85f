"""Which layers are verified in complex numbers; of the others, why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backproof.generator import random_architecture
from impl.layers import LAYERS
from reference import Architecture, Refused, Twin, Values, draw_values, with_imaginary_parts
from reference.run import Array

REFUSES = "torch refuses"
DRAWS = 3
STEP = 2.0**-20
ANALYTIC = 2.0**-8
"""A slope along the imaginary axis is i times that along the real one, but for what a step of 2^-20 leaves."""


def complex_numbers(op: str) -> str:
    """Why a layer of ``impl`` is not verified in complex numbers; empty: it is.

    PyTorch is asked on a few random arguments: it refuses, or what it computes is not analytic (it takes a modulus, or
    chooses by it), which no layer that is complex-clean computes.
    """
    if LAYERS[op].holomorphic:
        return ""
    for seed in range(DRAWS):
        architecture = random_architecture(seed, [op], max_nodes=1)
        twin = Twin(architecture, device="cpu")
        values = with_imaginary_parts(draw_values(architecture, twin), architecture, twin)
        if not any(map(np.iscomplexobj, (*values.inputs.values(), *values.cotangents.values()))):
            continue
        try:
            analytic = _analytic(architecture, twin, values)
        except Refused as refusal:
            return f"{REFUSES}: {refusal}"
        if not analytic:
            return "torch computes another function of them, which is not analytic"
    return "impl promises nothing of it"


def _analytic(architecture: Architecture, twin: Twin, values: Values) -> bool:
    """Whether outputs move by i times as much where inputs and parameters move by i times as much."""
    twin.run(values)  # it may refuse to go back

    def at(step: complex) -> dict[str, Array]:
        def moved(array: Array) -> Array:
            return np.asarray(array * (1 + step)) if np.iscomplexobj(array) else array

        return twin.forward(
            replace(
                values,
                parameters={o: {n: moved(a) for n, a in arrays.items()} for o, arrays in values.parameters.items()},
                inputs={name: moved(x) for name, x in values.inputs.items()},
            )
        )

    here, real, imaginary = at(0), at(STEP), at(1j * STEP)
    for end in architecture.outputs:
        along, across = real[end] - here[end], imaginary[end] - here[end]
        if not (np.abs(across - 1j * along) <= ANALYTIC * np.abs(along) + STEP * STEP).all():
            return False
    return True
