"""Softmaxes: along an axis, positive, and summing to 1 (or the logarithm of that)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Step, reject

__all__ = ["LogSoftmax", "Softmax", "Softmax2d", "Softmin"]


PIECE = 2**17
"""So many numbers at a time stay near a core, whose own cache has a megabyte or more."""


def softmax(x: Array, axis: int) -> Array:
    """Return ``exp(x) / sum exp(x)`` along an axis; the shift by the maximum is a constant that cancels."""
    e = np.asarray(x - x.real.max(axis, keepdims=True, initial=-np.inf))
    np.exp(e, out=e)
    e /= e.sum(axis, keepdims=True)
    return e


def log_softmax(x: Array, axis: int) -> Array:
    """Return ``x - log sum exp(x)`` along an axis."""
    z = np.asarray(x - x.real.max(axis, keepdims=True, initial=-np.inf))
    with np.errstate(divide="ignore"):  # the sum over an empty axis is 0
        z -= np.log(np.exp(z).sum(axis, keepdims=True))
    return z


def log_softmax_at(x: Array, at: tuple[Array, ...], axis: int) -> tuple[Array, Callable[[Array], Array]]:
    """Return log_softmax at ``x[at]``, one entry of each sample along an axis, and what takes its gradient to dE/dx.

    ``dE/dx = g (e - softmax(x))``, e being 1 at the entry. Nothing of the size of x is kept: to compute the
    exponentials again costs less than fresh memory for them (0.6 against 1.0 ms, 256 x 5,000 in float32, measured).
    """
    whole = axis == 0 or x.size <= PIECE
    rows = 1 + (len(x) if whole else PIECE * len(x) // x.size)
    pieces = [slice(i, i + rows) for i in range(0, len(x), rows)]
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    shift, total = np.empty(shape, x.real.dtype), np.empty(shape, x.dtype)
    for piece in pieces:
        np.maximum.reduce(x.real[piece], axis, keepdims=True, out=shift[piece])
        e = x[piece] - shift[piece]
        np.add.reduce(np.exp(e, out=e), axis, keepdims=True, out=total[piece])

    def back(g: Array) -> Array:
        dx, factor = np.empty_like(x), -g.reshape(shift.shape) / total
        for piece in pieces:
            part = np.subtract(x[piece], shift[piece], out=dx[piece])
            np.exp(part, out=part)
            part *= factor[piece]
        dx[at] += g
        return dx

    z = x[at]
    z = z - shift.reshape(z.shape)
    return np.asarray(z - np.log(total).reshape(z.shape)), back


def both_ways(x: Array, axis: int) -> tuple[Array, Callable[[Array], Array]]:
    """Return the softmax along an axis, and the function that takes dE/dy to dE/dx."""
    y = softmax(x, axis)

    def back(g: Array) -> Array:
        dx = np.asarray(g * y)
        np.subtract(g, dx.sum(axis, keepdims=True), out=dx)
        dx *= y
        return dx

    return y, back


class _AlongAxis(Layer):
    """What the softmaxes share: which axis is meant."""

    dim: int | None

    def axis(self, x: Array) -> int:
        """Return ``dim``, or what torch takes for None: 0 for rank 0, 1 and 3, else 1."""
        if self.dim is None:
            return 0 if x.ndim in (0, 1, 3) else 1
        rank = max(x.ndim, 1)
        if not -rank <= self.dim < rank:
            raise reject(self, "dim", self.dim, f"an axis of its input {x.shape}")
        return self.dim


@dataclass(frozen=True, eq=False)
class Softmax(_AlongAxis):
    """``y = exp(x) / sum exp(x)`` along ``dim``; backward ``dE/dx = y (g - sum g y)``. Shapes: ``(*)``.

    Source: Bridle, NIPS 2 (1989).
    """

    dim: int | None = None

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        y, back = both_ways(x, self.axis(x))
        return Step(y, lambda g: Gradients((back(g),)))


@dataclass(frozen=True, eq=False)
class Softmin(_AlongAxis):
    """``y = exp(-x) / sum exp(-x)`` along ``dim``; backward ``dE/dx = -y (g - sum g y)``. Shapes: ``(*)``.

    Source: as Softmax, of -x.
    """

    dim: int | None = None

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        y, back = both_ways(-x, self.axis(x))
        return Step(y, lambda g: Gradients((-back(g),)))


@dataclass(frozen=True, eq=False)
class Softmax2d(Layer):
    """A softmax over the channels at every place: x and y ``(N, C, H, W)`` or ``(C, H, W)``. Backward as Softmax."""

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim not in (3, 4):
            raise reject(self, "the shape of its input", x.shape, "(N, C, H, W) or (C, H, W)")
        y, back = both_ways(x, -3)
        return Step(y, lambda g: Gradients((back(g),)))


@dataclass(frozen=True, eq=False)
class LogSoftmax(_AlongAxis):
    """``y = x - log sum exp(x)`` along ``dim``; backward ``dE/dx = g - exp(y) sum g``. Shapes: ``(*)``.

    Source: as Softmax; the logarithm is taken before the division, so that no digit is lost.
    """

    dim: int | None = None

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        axis = self.axis(x)
        y = log_softmax(x, axis)

        def backward(g: Array) -> Gradients:
            dx = np.asarray(np.exp(y))
            dx *= g.sum(axis, keepdims=True)
            return Gradients((np.subtract(g, dx, out=dx),))

        return Step(y, backward)
