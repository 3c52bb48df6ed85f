"""Activations: element by element, and the softmaxes along an axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from scipy.special import ndtr

from impl.layer import Array, Gradients, Layer, Noise, Step, reject

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


def sigmoid(x: Array) -> tuple[Array, Array]:
    """Return ``s = 1 / (1 + exp(-x))`` and its derivative ``s (1 - s)``, accurate in both tails."""
    negative = x.real < 0
    e = np.exp(np.where(negative, x, -x))  # never overflows
    return np.where(negative, e, 1) / (1 + e), e / ((1 + e) * (1 + e))


def tanh(x: Array) -> tuple[Array, Array]:
    """Return ``tanh x`` and its derivative, which ``1 - y^2`` would leave no digit where y is close to 1."""
    return np.tanh(x), 4 * sigmoid(2 * x)[1]


def softplus(x: Array) -> Array:
    """Return ``log(1 + exp(x))`` without overflow."""
    positive = x.real > 0
    return np.where(positive, x, 0) + np.log1p(np.exp(np.where(positive, -x, x)))


def softmax(x: Array, axis: int) -> Array:
    """Return ``exp(x) / sum exp(x)`` along an axis; the shift by the maximum is a constant that cancels."""
    e = np.exp(x - x.real.max(axis, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis, keepdims=True))


def log_softmax(x: Array, axis: int) -> Array:
    """Return ``x - log sum exp(x)`` along an axis."""
    z = x - x.real.max(axis, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore"):  # the sum over an empty axis is 0
        return np.asarray(z - np.log(np.exp(z).sum(axis, keepdims=True)))


class _Elementwise(Layer):
    """An activation that acts on each element alone. Shapes: x and y ``(*)``."""

    def curve(self, x: Array) -> tuple[Array, Callable[[Array], Array], *tuple[Array, ...]]:
        """Return y, the function that takes dE/dy to dE/dx, and the branches taken."""
        raise TypeError(f"{type(self).__name__} defines no curve")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        y, back, *branches = self.curve(x)
        return Step(np.asarray(y), lambda g: Gradients((np.asarray(back(g)),)), branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class ReLU(_Elementwise):
    """``y = max(x, 0)``; backward ``dE/dx = g [x > 0]``, and 0 at x = 0, as torch chooses.

    Source: Nair and Hinton, ICML (2010).
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        off = x.real <= 0  # not the complement of x > 0: a NaN passes on, as in torch
        return np.where(off, 0, x), lambda g: np.where(off, 0, g), off


@dataclass(frozen=True, eq=False)
class LeakyReLU(_Elementwise):
    """``y = x`` where x > 0, else ``a x``, a the negative slope; backward the same on g, slope a at x = 0.

    Source: Maas, Hannun and Ng, ICML workshop (2013).
    """

    negative_slope: float = 0.01
    inplace: bool = False

    def curve(self, x: Array) -> Any:
        on = x.real > 0
        return (
            np.where(on, x, x * self.negative_slope),
            lambda g: np.where(on, g, g * self.negative_slope),
            on,
        )


@dataclass(frozen=True, eq=False)
class ELU(_Elementwise):
    """``y = x`` where x > 0, else ``alpha (exp(x) - 1)``; backward ``g``, else ``g alpha exp(x)``, at 0 too.

    Source: Clevert, Unterthiner and Hochreiter, ICLR (2016), eq. 15.
    """

    alpha: float = 1.0
    inplace: bool = False

    def curve(self, x: Array) -> Any:
        on = x.real > 0
        low = np.where(on, 0, x)
        return (
            np.where(on, x, self.alpha * np.expm1(low)),
            lambda g: np.where(on, g, g * (self.alpha * np.exp(low))),
            on,
        )


@dataclass(frozen=True, eq=False)
class Sigmoid(_Elementwise):
    """``y = 1 / (1 + exp(-x))``; backward ``dE/dx = g y (1 - y)``.

    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), eq. 2 and 5.
    """

    def curve(self, x: Array) -> Any:
        y, slope = sigmoid(x)
        return y, lambda g: g * slope


@dataclass(frozen=True, eq=False)
class Tanh(_Elementwise):
    """``y = tanh x``; backward ``dE/dx = g (1 - y^2)``, computed from exponentials.

    Source: LeCun et al., Efficient BackProp (1998), section 4.4.
    """

    def curve(self, x: Array) -> Any:
        y, slope = tanh(x)
        return y, lambda g: g * slope


@dataclass(frozen=True, eq=False)
class GELU(_Elementwise):
    """``y = x P(x)``, P the normal distribution function; backward ``g (P(x) + x P'(x))``.

    With ``approximate="tanh"``, ``P(x) = sigmoid(2 u)``, ``u = sqrt(2/pi) (x + 0.044715 x^3)``, which is
    ``(1 + tanh u) / 2``. Without, P is SciPy's: longdouble is computed in float64, float16 in float32.

    Source: Hendrycks and Gimpel, arXiv:1606.08415, section 2.
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise reject(self, "approximate", self.approximate, "'none' or 'tanh'")

    def curve(self, x: Array) -> Any:
        if self.approximate == "tanh":
            p, slope = sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 * x * x * x))
            density = slope * (2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x))
        else:
            p = ndtr(x.astype(float) if x.dtype == np.longdouble else x).astype(x.dtype)
            density = np.exp(-x * x / 2) / sqrt(2 * pi)
        return x * p, lambda g: g * (p + x * density)


@dataclass(frozen=True, eq=False)
class SiLU(_Elementwise):
    """``y = x s(x)``, s the sigmoid; backward ``dE/dx = g (s + x s (1 - s))``.

    Source: Elfwing, Uchibe and Doya, Neural Networks 107 (2018), eq. 2 and 3.
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        s, slope = sigmoid(x)
        return x * s, lambda g: g * (s + x * slope)


@dataclass(frozen=True, eq=False)
class Softplus(_Elementwise):
    """``y = log(1 + exp(beta x)) / beta``, but y = x where ``beta x > threshold``; backward ``g s(beta x)``, g there.

    The function jumps at the threshold, by what the logarithm differs from its argument there, as torch's does.

    Source: Dugas et al., NIPS 13 (2000).
    """

    beta: float = 1.0
    threshold: float = 20.0

    def curve(self, x: Array) -> Any:
        z = self.beta * x
        linear = z.real > self.threshold
        slope, _ = sigmoid(z)
        return np.where(linear, x, softplus(z) / self.beta), lambda g: np.where(linear, g, g * slope), linear


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
        axis = self.axis(x)
        y = softmax(x, axis)

        def backward(g: Array) -> Gradients:
            return Gradients((np.asarray(y * (g - (g * y).sum(axis, keepdims=True))),))

        return Step(y, backward)


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
            return Gradients((np.asarray(g - np.exp(y) * g.sum(axis, keepdims=True)),))

        return Step(y, backward)
