"""The numbers that an architecture runs on, drawn from its seed: the same on every machine and in every dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

import numpy as np

from reference.architecture import Architecture, Input
from reference.run import Array

if TYPE_CHECKING:
    from reference.twin import Twin

Key: TypeAlias = tuple[str, str, str]
EQUAL = 8
"""One parameter in so many is made of a few numbers, zero among them."""

FAR = 4
"""One input in so many that is made to hit kinks hits those at 3 and 6 (Hardswish, ReLU6)."""


@dataclass(frozen=True)
class Values:
    """All numbers of a run; real ones in float64, but exactly representable in float32.

    Attributes
    ----------
    parameters
        Parameters and buffers: ``{"conv": {"weight": ...}}``, by the node that owns them.
    inputs
        By the name of the graph input.
    cotangents
        The upstream gradient of every output of the architecture, by reference; integer outputs have none.
    noise
        By node: uniform [0, 1) arrays in the order in which torch draws.
    """

    parameters: Mapping[str, Mapping[str, Array]]
    inputs: Mapping[str, Array]
    cotangents: Mapping[str, Array]
    noise: Mapping[str, tuple[Array, ...]]

    def flat(self) -> dict[Key, Array]:
        """Return every array but the noise by kind, node and name, inputs and cotangents by reference and ``"0"``."""
        return {
            **{("parameter", owner, n): a for owner, arrays in self.parameters.items() for n, a in arrays.items()},
            **{("input", name, "0"): x for name, x in self.inputs.items()},
            **{("cotangent", reference, "0"): c for reference, c in self.cotangents.items()},
        }

    def filled(self, flat: Mapping[Key, Array]) -> Values:
        """Return values with other arrays, called as in :meth:`flat`, and the same noise."""
        return Values(
            {owner: {n: flat["parameter", owner, n] for n in arrays} for owner, arrays in self.parameters.items()},
            {name: flat["input", name, "0"] for name in self.inputs},
            {reference: flat["cotangent", reference, "0"] for reference in self.cotangents},
            self.noise,
        )


def draw_values(architecture: Architecture, twin: Twin) -> Values:
    """Draw the values of an architecture. Every array has a stream of its own, keyed by its name.

    So a node that is added or removed (as in shrinking) leaves all other values as they were.
    """

    def stream(*name: str) -> np.random.Generator:
        return np.random.default_rng([architecture.seed, crc32("/".join(name).encode())])

    return Values(
        {
            owner: {name: _parameter(stream("parameter", owner, name), name, shape) for name, shape in shapes.items()}
            for owner, shapes in twin.parameter_shapes.items()
        },
        {i.name: _input(stream("input", i.name), i) for i in architecture.inputs},
        {
            reference: representable(stream("cotangent", reference).standard_normal(twin.outputs[name][index].shape))
            for reference, (name, index) in ((r, architecture.slot(r)) for r in architecture.outputs)
            if twin.outputs[name][index].is_floating_point()
        },
        {
            node: tuple(stream("noise", node, str(i)).random(shape) for i, shape in enumerate(shapes))
            for node, shapes in twin.noise_shapes.items()
        },
    )


def with_imaginary_parts(values: Values, architecture: Architecture, twin: Twin) -> Values:
    """Give all real numbers but those of buffers imaginary parts, drawn as they were, from streams of their own."""

    def stream(*name: str) -> np.random.Generator:
        return np.random.default_rng([architecture.seed, crc32("/".join(("imaginary", *name)).encode())])

    def parameter(owner: str, name: str, array: Array) -> Array:
        if name in twin.buffers[owner] or array.dtype.kind != "f":
            return array
        return complex_of(array, _parameter(stream("parameter", owner, name), name, array.shape))

    def given(i: Input, x: Array) -> Array:
        return x if x.dtype.kind != "f" else complex_of(x, _input(stream("input", i.name), i))

    return Values(
        {
            owner: {name: parameter(owner, name, array) for name, array in arrays.items()}
            for owner, arrays in values.parameters.items()
        },
        {i.name: given(i, values.inputs[i.name]) for i in architecture.inputs},
        {
            end: complex_of(c, representable(stream("cotangent", end).standard_normal(c.shape)))
            for end, c in values.cotangents.items()
        },
        values.noise,
    )


def complex_of(real: Array, imaginary: Array) -> Array:
    """Put two parts together; an array even where they are single numbers."""
    return np.asarray(real + 1j * imaginary)


def representable(array: Array) -> Array:
    """Round to the nearest float32 and return it as float64, so that every dtype runs on the same numbers."""
    short, long = (np.complex64, np.complex128) if np.iscomplexobj(array) else (np.float32, np.float64)
    return np.asarray(array).astype(short).astype(long)


def _parameter(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.asarray(rng.integers(0, 5), dtype=np.int64)
    if kind == "running_var":
        return representable(rng.uniform(0.5, 1.5, shape))
    if rng.integers(EQUAL) == 0:  # equal weights and zeros, as a user may well choose them
        return _ties(rng, shape)
    # Matrices shrink with their fan-in, so that deep networks neither explode nor die out.
    fan_in = prod(shape[1:]) if len(shape) > 1 else 1
    return representable(rng.standard_normal(shape) / max(fan_in, 1) ** 0.5)


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.integers(-2, 3, shape) / 2.0)


def _input(rng: np.random.Generator, graph_input: Input) -> Array:
    shape = graph_input.shape
    if graph_input.domain == "ties":
        return np.asarray(_ties(rng, shape) * (6 if rng.integers(FAR) == 0 else 1))
    if graph_input.domain == "wide":
        return representable(rng.standard_normal(shape) * 100.0 ** rng.integers(-1, 2, shape))
    if graph_input.domain == "unit":
        return representable(rng.random(shape))
    if graph_input.domain == "simplex":
        positive = rng.exponential(size=shape) + 0.01
        return representable(positive / positive.sum(axis=min(1, len(shape) - 1), keepdims=True))
    if graph_input.domain == "index":
        index = rng.integers(0, graph_input.below, shape)
        ignored = rng.random(shape) < (0.0 if graph_input.ignore is None else 0.25)
        return np.asarray(np.where(ignored, graph_input.ignore or 0, index), dtype=np.int64)
    if graph_input.domain == "distinct":
        planes = (*shape[: -(graph_input.axes or 1)], prod(shape[-(graph_input.axes or 1) :]))
        choices = np.broadcast_to(np.arange(graph_input.below or 0), (*planes[:-1], graph_input.below or 0))
        return np.asarray(rng.permuted(choices, axis=-1)[..., : planes[-1]].reshape(shape))
    if graph_input.domain == "sign":
        return np.asarray(2 * rng.integers(0, 2, shape) - 1, dtype=np.int64)
    if graph_input.domain == "positive":
        return representable(rng.exponential(size=shape) + 0.125)
    if graph_input.domain == "probability":
        return representable(rng.uniform(0.0625, 0.9375, shape))
    if graph_input.domain == "log_simplex":
        scores = rng.standard_normal(shape)
        return representable(scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True)))
    return representable(rng.standard_normal(shape))
