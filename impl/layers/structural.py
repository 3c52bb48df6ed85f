"""How branches join and part: what torch has functions for, but no module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import ClassVar

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, reject

__all__ = ["Add", "Cat", "Chunk", "MatMul", "Mean", "Mul", "Reshape", "Transpose"]


def fold(gradient: Array, shape: Shape) -> Array:
    """Sum over the axes along which broadcasting had repeated an array of ``shape``."""
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1)
    return np.asanyarray(gradient.sum(axis=axes).reshape(shape) if axes else gradient)


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """``y = x_1 + x_2 + ...`` with broadcasting; backward hands g to every summand, summed where it was repeated."""

    holomorphic: ClassVar[bool] = True

    def forward(self, parameters: Mapping[str, Array], *xs: Array, training: bool = True, noise: Noise = None) -> Step:
        y = reduce(np.add, xs)
        return Step(np.asanyarray(y), lambda g: Gradients(tuple(fold(g, x.shape) for x in xs)))


@dataclass(frozen=True, eq=False)
class Mul(Layer):
    """``y = a b`` element by element with broadcasting (gating); backward: ``g b`` and ``g a``."""

    holomorphic: ClassVar[bool] = True

    def forward(
        self,
        parameters: Mapping[str, Array],
        a: Array,
        b: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        def backward(g: Array) -> Gradients:
            return Gradients((fold(g * b.conj(), a.shape), fold(g * a.conj(), b.shape)))

        return Step(np.asanyarray(a * b), backward)


@dataclass(frozen=True, eq=False)
class MatMul(Layer):
    """``Y = A B`` for ``(*, N, K)`` and ``(*, K, M)``, leading axes broadcast; backward: ``G B^T`` and ``A^T G``."""

    holomorphic: ClassVar[bool] = True

    def forward(
        self,
        parameters: Mapping[str, Array],
        a: Array,
        b: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
            raise reject(self, "the shapes of its inputs", (a.shape, b.shape), "(*, N, K) and (*, K, M)")

        def backward(g: Array) -> Gradients:
            left, right = (x.swapaxes(-1, -2).conj() for x in (a, b))
            return Gradients((fold(g @ right, a.shape), fold(left @ g, b.shape)))

        return Step(a @ b, backward)


@dataclass(frozen=True, eq=False)
class Cat(Layer):
    """Concatenate along ``dim``; backward cuts g where the pieces met."""

    holomorphic: ClassVar[bool] = True

    dim: int = 0

    def forward(self, parameters: Mapping[str, Array], *xs: Array, training: bool = True, noise: Noise = None) -> Step:
        ends = np.cumsum([x.shape[self.dim] for x in xs])[:-1]
        return Step(np.concatenate(xs, axis=self.dim), lambda g: Gradients(tuple(np.split(g, ends, axis=self.dim))))


@dataclass(frozen=True, eq=False)
class Chunk(Layer):
    """Cut into at most ``chunks`` pieces of equal size along ``dim``, the last one smaller, as torch.chunk does.

    Backward joins the pieces of g; a piece without a gradient counts as zeros.
    """

    holomorphic: ClassVar[bool] = True

    chunks: int
    dim: int = 0

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if self.chunks < 1:
            raise reject(self, "chunks", self.chunks, "at least 1")
        length = x.shape[self.dim]
        size = -(-length // self.chunks)
        # Of nothing torch makes as many pieces as were asked for.
        cuts = range(size, length, size) if length else [0] * (self.chunks - 1)
        pieces = tuple(np.split(x, cuts, axis=self.dim))

        def backward(grads: tuple[Array | None, ...]) -> Gradients:
            whole = [np.zeros_like(piece) if g is None else g for piece, g in zip(pieces, grads)]
            return Gradients((np.concatenate(whole, axis=self.dim),))

        return Step(pieces, backward)


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The same numbers, in C order, in another ``shape`` (one size may be -1); backward shapes g back."""

    holomorphic: ClassVar[bool] = True

    shape: tuple[int, ...]

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        known = prod(self.shape)
        if known != x.size if -1 not in self.shape else (not known or x.size % known):
            raise reject(self, "shape", self.shape, f"as many elements as its input {x.shape}")
        return Step(x.reshape(self.shape), lambda g: Gradients((g.reshape(x.shape),)))


@dataclass(frozen=True, eq=False)
class Transpose(Layer):
    """Swap the axes ``dim0`` and ``dim1``; backward swaps them back."""

    holomorphic: ClassVar[bool] = True

    dim0: int
    dim1: int

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        return Step(x.swapaxes(self.dim0, self.dim1), lambda g: Gradients((g.swapaxes(self.dim0, self.dim1),)))


@dataclass(frozen=True, eq=False)
class Mean(Layer):
    """Mean over ``dim`` (one axis, several, or None for all); backward spreads ``g / n`` over what was averaged."""

    holomorphic: ClassVar[bool] = True

    dim: int | tuple[int, ...] | None = None
    keepdim: bool = False

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        axes = tuple(range(x.ndim)) if self.dim is None else self.dim
        axes = tuple(axis % x.ndim for axis in ((axes,) if isinstance(axes, int) else axes))
        kept = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
        count = prod(x.shape[axis] for axis in axes)
        total = x.sum(axis=axes, keepdims=self.keepdim)

        def backward(g: Array) -> Gradients:
            return Gradients((np.broadcast_to(np.reshape(g, kept) / count, x.shape).astype(g.dtype),))

        return Step(np.asanyarray(total / count), backward)
