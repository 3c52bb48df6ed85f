"""Normalisations across neighbouring channels: LocalResponseNorm, CrossMapLRN2d."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Step, check_shape, reject

__all__ = ["CrossMapLRN2d", "LocalResponseNorm"]


class _AcrossChannels(Layer):
    """Divide each channel by a power of the sum of squares of its neighbours. A subclass says which they are."""

    size: int
    alpha: float
    beta: float
    k: float

    def __post_init__(self) -> None:
        if self.size < 1:
            raise reject(self, "size", self.size, "at least 1")

    def neighbours(self, channel: Array, other: Array) -> Array:
        """Return whether the square of one channel counts for another."""
        raise TypeError(f"{type(self).__name__} defines no neighbours")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim < 3:
            raise reject(self, "the shape of its input", x.shape, "(N, C, *, ...), at least 3 axes")
        count = self.neighbours(*np.indices((x.shape[1], x.shape[1]))).astype(x.dtype)

        def across(weights: Array, values: Array) -> Array:
            return np.asanyarray(np.einsum("cj,nj...->nc...", weights, values))

        with np.errstate(divide="ignore", invalid="ignore"):  # k may be 0, and so may all neighbours
            d = self.k + self.alpha / self.size * across(count, x * x)
            y = x / d**self.beta

        def backward(g: Array) -> Gradients:
            with np.errstate(divide="ignore", invalid="ignore"):
                direct = g / d**self.beta
                along = across(count.T, direct * x / d)
                return Gradients((direct - 2 * self.beta * self.alpha / self.size * x * along,))

        return Step(y, backward)


@dataclass(frozen=True, eq=False)
class LocalResponseNorm(_AcrossChannels):
    """``y_c = x_c / d_c^beta``, ``d_c = k + alpha / size * sum of x_j^2`` over the ``size`` channels j around c.

    They are ``c - size // 2`` to ``c + (size - 1) // 2``, as far as there are such channels.

    Backward: ``dE/dx_j = g_j / d_j^beta - 2 alpha beta / size * x_j sum of g_c x_c / d_c^(beta + 1)`` over all c
    that j counts for.

    Shapes: x and y ``(N, C, *)`` with at least 3 axes.

    Source: Krizhevsky, Sutskever and Hinton, NIPS 25 (2012), section 3.3.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def neighbours(self, channel: Array, other: Array) -> Array:
        return (channel - self.size // 2 <= other) & (other <= channel + (self.size - 1) // 2)


@dataclass(frozen=True, eq=False)
class CrossMapLRN2d(_AcrossChannels):
    """The equations of :class:`LocalResponseNorm`, with neighbours as torch's forward takes them.

    They are less than ``(size + 1) // 2`` channels away; and channel 0 counts for every channel, because torch, which
    slides its window, never takes it out again. Backward is the derivative of that; torch's own is another sum, right
    only where ``size >= 2 C`` (docs/findings.md).

    Shapes: x and y ``(N, C, H, W)``.

    Source: as LocalResponseNorm.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1

    def neighbours(self, channel: Array, other: Array) -> Array:
        return np.asanyarray((abs(channel - other) < (self.size + 1) // 2) | (other == 0))

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        check_shape(self, "its input", x, (None,) * 4)
        return super().forward(parameters, x, training=training, noise=noise)
