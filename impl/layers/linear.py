"""Linear maps: Linear, Bilinear, Identity, Flatten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from impl.init import all_uniform
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.product import as_rows, product

__all__ = ["Bilinear", "Flatten", "Identity", "Linear"]


def matrix_gradient(g: Array, x: Array) -> Array:
    """Return dE/dW of ``y = x W^T``, ``(*, out)`` from ``(*, in)``: outer products of g and x, summed over the rest."""
    return product(as_rows(g).T, as_rows(x).conj())


@dataclass(frozen=True, eq=False)
class Linear(Layer):
    """Affine map of the last axis: ``y = x W^T + b``.

    Shapes: x ``(*, in_features)``, weight W ``(out_features, in_features)``, bias b ``(out_features,)``,
    y ``(*, out_features)``.

    Backward, with g = dE/dy and the leading axes folded into one: ``dE/dx = g W``, ``dE/dW = g^T x``,
    ``dE/db = sum g``.

    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), eq. 4-7.
    """

    holomorphic: ClassVar[bool] = True

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
        return all_uniform(self, rng, bound, dtype=dtype)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise reject(self, "the shape of its input", x.shape, f"(*, {self.in_features})")
        weight = parameters["weight"]
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        y = product(x, weight.T)
        if self.bias:
            bias = parameters["bias"]
            y = np.add(y, bias, out=y if bias.dtype == y.dtype else None)

        def own(g: Array) -> dict[str, Array]:
            gradients = {"weight": matrix_gradient(g, x)}
            if self.bias:
                gradients["bias"] = as_rows(g).sum(axis=0)
            return gradients

        return Step(y, lambda g: Gradients((product(g, weight.conj()),), own(g)), parameters_only=own)


@dataclass(frozen=True, eq=False)
class Bilinear(Layer):
    """A bilinear form for each output: ``y_o = sum_ij x1_i W_oij x2_j + b_o``.

    Shapes: x1 ``(*, in1_features)``, x2 ``(*, in2_features)`` with the same leading axes, weight W
    ``(out_features, in1_features, in2_features)``, bias b ``(out_features,)``, y ``(*, out_features)``.

    Backward: the form is linear in each factor, so each gradient is the same sum with g = dE/dy in its place.

    Source: Tenenbaum and Freeman, Neural Computation 12 (2000), eq. 2.
    """

    in1_features: int
    in2_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        if self.in1_features < 1:
            raise reject(self, "in1_features", self.in1_features, "at least 1")

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"weight": (self.out_features, self.in1_features, self.in2_features)}
        if self.bias:
            shapes["bias"] = (self.out_features,)
        return shapes

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        bound = self.in1_features**-0.5
        return all_uniform(self, rng, bound, dtype=dtype)

    def forward(
        self,
        parameters: Mapping[str, Array],
        x1: Array,
        x2: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        check_shape(self, "its first input", x1, (*(None,) * (x1.ndim - 1), self.in1_features))
        check_shape(self, "its second input", x2, (*x1.shape[:-1], self.in2_features))
        weight = parameters["weight"]
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        y = np.einsum("...i,oij,...j->...o", x1, weight, x2)
        if self.bias:
            y = y + parameters["bias"]

        def backward(g: Array) -> Gradients:
            rows, rows1, rows2 = (a.reshape(prod(g.shape[:-1]), a.shape[-1]) for a in (g, x1, x2))
            gradients = {"weight": np.einsum("no,ni,nj->oij", rows, rows1, rows2)}
            if self.bias:
                gradients["bias"] = rows.sum(axis=0)
            grad1 = np.einsum("...o,oij,...j->...i", g, weight, x2)
            return Gradients((grad1, np.einsum("...o,...i,oij->...j", g, x1, weight)), gradients)

        return Step(y, backward)


class Identity(Layer):
    """``y = x``, whatever arguments it is given; backward hands g on."""

    holomorphic: ClassVar[bool] = True

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Take and ignore any arguments, as torch's does."""

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        return Step(x, lambda g: Gradients((g,)))


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """Fold the axes ``start_dim`` to ``end_dim``, both included, into one; backward unfolds g.

    Shapes: x ``(*, S_start, ..., S_end, *)``, y ``(*, S_start ... S_end, *)``.
    """

    holomorphic: ClassVar[bool] = True

    start_dim: int = 1
    end_dim: int = -1

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        rank = max(x.ndim, 1)  # a number counts as one axis of one element, as in torch
        for argument in ("start_dim", "end_dim"):
            if not -rank <= getattr(self, argument) < rank:
                raise reject(self, argument, getattr(self, argument), f"an axis of its input {x.shape}")
        start, end = self.start_dim % rank, self.end_dim % rank
        if start > end:
            raise reject(self, "start_dim", self.start_dim, f"no axis behind end_dim {self.end_dim}")
        shape = (*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :])
        return Step(x.reshape(shape), lambda g: Gradients((g.reshape(x.shape),)))
