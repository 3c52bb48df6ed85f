"""Normalisations: BatchNorm1d, BatchNorm2d, LayerNorm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject


class Normal(NamedTuple):
    """What was standardised, with the way back through it and the statistics (axes kept)."""

    values: Array
    backward: Callable[[Array], Array]
    mean: Array
    variance: Array


def standardise(x: Array, axes: tuple[int, ...], eps: float) -> Normal:
    """``z = (x - mean) / sqrt(variance + eps)``, biased variance, over ``axes``.

    Backward, as mean and variance depend on x, too: ``dE/dx = (g - mean(g) - z mean(g z)) / sqrt(variance + eps)``.
    """
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    scale = 1 / np.sqrt(variance + eps)
    z = centred * scale

    def backward(g: Array) -> Array:
        along = (g * z).mean(axis=axes, keepdims=True)
        return (g - g.mean(axis=axes, keepdims=True) - z * along) * scale

    return Normal(z, backward, mean, variance)


def affine(
    layer: Layer, parameters: Mapping[str, Array], z: Array, shape: Shape, back: Callable[[Array], Array]
) -> Callable[]
