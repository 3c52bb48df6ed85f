"""Distances between vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Step, reject
from impl.layers.loss import joint_shape
from impl.layers.structural import fold

__all__ = ["CosineSimilarity", "PairwiseDistance"]


def norm(d: Array, p: float, axis: int) -> tuple[Array, Array, Array]:
    """Return ``n = (sum |d|^p)^(1/p)`` along an axis, kept, its derivative ``sign(d) (|d| / n)^(p - 1)``, its branches.

    ``p = 0`` counts what is not 0; infinite p take the largest or the smallest, and where several are equally large
    share the derivative among them. It is 0 where d or n is 0, as torch chooses.
    """
    sign = np.sign(d.real)
    zero, a = sign == 0, sign * d
    if p == 0:
        return (~zero).sum(axis, keepdims=True).astype(d.dtype), np.zeros_like(d), zero
    if abs(p) == inf:
        extreme = (a.real.max if p > 0 else a.real.min)(axis, keepdims=True)
        chosen = a.real == extreme
        share = chosen / chosen.sum(axis, keepdims=True, dtype=d.real.dtype)
        return (a * share).sum(axis, keepdims=True), sign * share, chosen
    gone = (zero.all if p > 0 else zero.any)(axis, keepdims=True)
    # In units of a power of two near the entry that counts most: then no power overflows, and nothing is rounded.
    largest = a.real.max(axis, keepdims=True, initial=0) if p > 0 else a.real.min(axis, keepdims=True)
    unit = np.ldexp(d.real.dtype.type(1), np.frexp(largest)[1] - 1)
    safe = np.where(zero, 1, a / unit)
    powers = np.where(zero, 0, safe * safe if p == 2 else safe**p)
    total = np.where(gone, 1, powers.sum(axis, keepdims=True))
    length = np.sqrt(total) if p == 2 else total ** (1 / p)
    slope = np.where(zero | gone, 0, sign * (safe / length) ** (p - 1))
    return np.where(gone, 0, length * unit), slope, sign


@dataclass(frozen=True, eq=False)
class PairwiseDistance(Layer):
    """``y = |x1 - x2 + eps|_p`` along the last axis, eps added to every entry.

    Backward: ``dE/dx1 = g sign(d) (|d| / y)^(p - 1) = -dE/dx2``, with ``d = x1 - x2 + eps``, and 0 where d or y is 0.

    Shapes: x1 and x2 ``(*, D)``, which broadcast; y ``(*)``, or ``(*, 1)`` with ``keepdim``.

    Source: Minkowski, Geometrie der Zahlen (1896).
    """

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False

    def forward(
        self, parameters: Mapping[str, Array], x1: Array, x2: Array, *, training: bool = True, noise: Noise = None
    ) -> Step:
        joint_shape(self, x1, x2)
        d = np.asanyarray(x1 - x2 + self.eps)
        rows = np.atleast_1d(d)
        if rows.shape[-1] == 0 and (self.p < 0 or self.p == inf):
            raise reject(self, "the shape of its inputs", d.shape, f"at least one entry to take the norm {self.p} of")
        y, slope, branch = norm(rows, self.p, -1)

        def backward(g: Array) -> Gradients:
            gradient = (g.reshape(y.shape) * slope).reshape(d.shape)
            return Gradients((fold(gradient, x1.shape), fold(-gradient, x2.shape)))

        kept = self.keepdim and d.ndim > 0
        return Step(y if kept else y.reshape(d.shape[:-1]), backward, branches=(branch,))


@dataclass(frozen=True, eq=False)
class CosineSimilarity(Layer):
    """``y = u1 . u2`` along ``dim``, ``u = x / c``, ``c = max(|x|, eps)``: the cosine of the angle between x1 and x2.

    Backward: ``dE/dx1 = g (u2 - y x1 / |x1|) / c1`` and its like, 0 for ``x / |x|`` where x is 0. So it is below eps,
    too, where the derivative would be ``u2 / c1``: by torch's convention the maximum counts forward only.

    Shapes: x1 and x2 ``(*)``, which broadcast; y without the axis ``dim``.

    Source: Salton, Wong and Yang, Communications of the ACM 18 (1975).
    """

    dim: int = 1
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if self.eps < 0:
            raise reject(self, "eps", self.eps, "a number from 0")

    def forward(
        self, parameters: Mapping[str, Array], x1: Array, x2: Array, *, training: bool = True, noise: Noise = None
    ) -> Step:
        shape = joint_shape(self, x1, x2) or (1,)
        if not -len(shape) <= self.dim < len(shape):
            raise reject(self, "dim", self.dim, f"an axis of its inputs {shape}")
        units, factors, directions, branches = [], [], [], []
        for x in (x1, x2):
            wide = np.broadcast_to(x, shape)
            length, direction, branch = norm(wide, 2, self.dim)
            # An eps that is 0 in float16 would divide by it.
            eps = max(self.eps, float(np.finfo(length.real.dtype).tiny)) if self.eps else 0.0
            short = length.real < eps
            c = np.where(short, np.asanyarray(eps, length.dtype), length)
            units.append(wide / c)
            factors.append(1 / c)
            directions.append(direction)
            branches += [short, branch]
        y = (units[0] * units[1]).sum(self.dim)

        def backward(g: Array) -> Gradients:
            kept, cosine = (np.expand_dims(a.reshape(y.shape), self.dim) for a in (g, y))
            first, second = (kept * (units[1 - i] - cosine * directions[i]) * factors[i] for i in (0, 1))
            return Gradients((fold(first, x1.shape), fold(second, x2.shape)))

        return Step(np.asanyarray(y), backward, branches=tuple(branches))
