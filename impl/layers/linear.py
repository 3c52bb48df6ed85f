"""Linear maps: Linear, Bilinear, Identity, Flatten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject, uniform


@dataclass(frozen=True, eq=False)
class Linear(Layer):
    """Affine map of the last axis: ``y = x W^T + b``.

    Shapes: x ``(*, in_features)``, weight W ``(out_features, in_features)``, bias b ``(out_features,)``,
    y ``(*, out_features)``.

    Backward, with g = dE/dy and the leading axes folded into one: ``dE/dx = g W``, ``dE/dW = g^T x``,
    ``dE/db = sum g``.

    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), eq. 4-7.
    """

    in_features: int
    out_features: int
    bias: bool = True

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"weight": (self.out_features, self.in_features)}
        if self.bias:
            shapes["bias"] = (self.out_features,)
        return shapes

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        bound = self.in_features**-0.5 if self.in_features else 0.0
        return {name: uniform(rng, bound, shape, dtype) for name, shape in self.parameter_shapes.items()}

    def forward(
        self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None
    ) -> Step:
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise reject(self, "the shape of its input", x.shape, f"(*, {self.in_features})")
        weight = parameters["weight"]
        check_shape(self, "weight", weight, (self.out_features, self.in_features))
        y = x @ weight.T
        if self.bias:
            y = y + parameters["bias"]

        def backward(g: Array) -> Gradients:
            rows = g.reshape(-1, self.out_features)
            gradients = {"weight": rows.T @ x.reshape(-1, self.in_features)}
            if self.bias:
                gradients["bias"] = rows.sum(axis=0)
            return Gradients((g @ weight,), gradients)

        return Step(y, backward)
