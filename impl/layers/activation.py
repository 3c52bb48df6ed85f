"""Activations, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Step


@dataclass(frozen=True, eq=False)
class ReLU(Layer):
    """``y = max(x, 0)``; backward ``dE/dx = g [x > 0]``, and 0 at x = 0, as torch chooses.

    Shapes: x and y ``(*)``.
    """

    inplace: bool = False

    def forward(
        self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None
    ) -> Step:
        off = x.real <= 0  # not the complement of x > 0: a NaN passes on, as in torch

        def backward(g: Array) -> Gradients:
            return Gradients((np.where(off, 0, g),))

        return Step(np.where(off, 0, x), backward, branches=(off,))
