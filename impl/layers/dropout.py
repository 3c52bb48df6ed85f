"""Layers that drop at random: single elements or whole channels, to zero or to where SELU saturates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, draw, reject
from impl.layers.activation import SELU_ALPHA, SELU_SCALE

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """``y = m x``, where ``m = 1 / (1 - p)`` if the noise is below 1 - p, else 0; backward ``dE/dx = m g``.

    Shapes: x, y and the noise ``(*)``. In evaluation y = x. A product both ways, not a choice, as in torch:
    an infinity that is dropped becomes NaN.

    Source: Srivastava et al., JMLR 15 (2014), in its inverted form (section 10).
    """

    p: float = 0.5
    inplace: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise reject(self, "p", self.p, "a probability, 0 to 1")

    def noise_shape(self, x: Array) -> Shape:
        """Return the shape of the noise; along axes of size 1 all is kept or dropped together."""
        return x.shape

    def affine(self, kept: Array) -> tuple[Array, Array | None]:
        """Return m and b of ``y = m x + b``, from 1 where x is kept, else 0; None for b = 0."""
        return kept / (1 - self.p), None

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if not training or self.p == 0 or x.size == 0:
            return Step(x, lambda g: Gradients((g,)))
        if self.p == 1:
            return Step(np.asarray(x * 0), lambda g: Gradients((np.asarray(g * 0),)))
        shape = self.noise_shape(x)
        kept = (draw(self, noise, shape) < 1 - self.p).astype(x.real.dtype)
        m, b = self.affine(kept.reshape(shape[-x.ndim :]))  # without the batch axis that torch adds
        y = x * m if b is None else x * m + b
        return Step(np.asarray(y), lambda g: Gradients((np.asarray(g * m),)))


class _ChannelDropout(Dropout):
    """What dropouts of whole channels share: noise of shape ``(N, C, 1, ...)``, N = 1 where there is no batch."""

    def batched(self, x: Array) -> bool:
        """Whether axis 0 is the batch, and axis 1 the channels; else axis 0 is the channels."""
        return True

    def noise_shape(self, x: Array) -> Shape:
        shape = x.shape if self.batched(x) else (1, *x.shape)
        if len(shape) < 2:
            raise reject(self, "the shape of its input", x.shape, "a batch and channels")
        return (*shape[:2], *(1 for _ in shape[2:]))


class Dropout1d(_ChannelDropout):
    """Dropout of whole channels: one m for each. Shapes: x and y ``(N, C, L)`` or ``(C, L)``, noise ``(N, C, 1)``.

    Source: Tompson et al., CVPR (2015).
    """

    def batched(self, x: Array) -> bool:
        return x.ndim == 3

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim not in (2, 3):
            raise reject(self, "the shape of its input", x.shape, "(N, C, L) or (C, L)")
        return super().forward(parameters, x, training=training, noise=noise)


class Dropout2d(_ChannelDropout):
    """Dropout of whole channels: one m for each. Shapes: x and y ``(N, C, H, W)``, noise ``(N, C, 1, 1)``.

    As torch has it, an input of any other rank has a batch and channels, too: ``(N, C, *)``.

    Source: Tompson et al., CVPR (2015).
    """


class Dropout3d(_ChannelDropout):
    """Dropout of whole channels: one m for each. Shapes: x and y ``(N, C, D, H, W)``, noise ``(N, C, 1, 1, 1)``.

    As torch has it, an input of any other rank has channels and no batch: ``(C, *)``, noise ``(1, C, *)``.

    Source: Tompson et al., CVPR (2015).
    """

    def batched(self, x: Array) -> bool:
        return x.ndim == 5


class AlphaDropout(Dropout):
    """``y = a (m x + (1 - m) s) + b``: what the noise drops (m = 0, else 1) becomes s; backward ``dE/dx = a m g``.

    s is where SELU saturates, ``a = 1 / sqrt((1 - p) (1 + p s^2))`` and ``b = -a p s`` keep mean 0 and variance 1.
    Shapes: x, y and the noise ``(*)``. In evaluation y = x; with p = 1 all is 0, as in torch.

    Source: Klambauer et al., NIPS 30 (2017), section 3.
    """

    def affine(self, kept: Array) -> tuple[Array, Array | None]:
        s = -SELU_SCALE * SELU_ALPHA
        a = 1 / sqrt((1 - self.p) * (1 + self.p * s * s))
        return a * kept, a * s * (1 - kept) - a * self.p * s


class FeatureAlphaDropout(AlphaDropout, _ChannelDropout):
    """AlphaDropout of whole channels: one m for each. Shapes: x and y ``(N, C, *)``, noise ``(N, C, 1, ...)``.

    Source: as AlphaDropout and Dropout2d.
    """
