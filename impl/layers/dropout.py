"""Layers that drop at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Step, draw, reject

__all__ = ["Dropout"]


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

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if not training or self.p == 0 or x.size == 0:
            return Step(x, lambda g: Gradients((g,)))
        if self.p == 1:
            m = np.zeros((), x.real.dtype)
        else:
            m = (draw(self, noise, x.shape) < 1 - self.p).astype(x.real.dtype) / (1 - self.p)
        return Step(x * m, lambda g: Gradients((g * m,)))
