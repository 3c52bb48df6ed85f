"""Activations that are curves, element by element, and GLU, which gates one half of an axis with the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any, ClassVar

import numpy as np

from impl import special
from impl.choice import choose, keep
from impl.layer import Array, Gradients, Layer, Noise, Step, reject

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "LogSigmoid",
    "Mish",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
"""With these, layers of SELUs keep mean 0 and variance 1: Klambauer et al., NIPS 30 (2017), section 2."""

FRACTIONS = 12
"""So many terms of the continued fraction of tanh are exact to a longdouble's last digit where |x| is below 1.5."""


def downwards(x: Array) -> Array:
    """Return ``-|x|``; of a complex x, x where its real part is negative, else -x: at 0 as sigmoid decides."""
    return np.where(x.real < 0, x, -x) if x.dtype.kind == "c" else -np.abs(x)


def sigmoid(x: Array) -> tuple[Array, Array]:
    """Return ``s = 1 / (1 + exp(-x))`` and its derivative ``s (1 - s)``, accurate in both tails."""
    e = np.exp(downwards(x))  # never overflows
    rest = 1 + e
    s = choose(x.real < 0, e, np.ones((), e.dtype))
    s /= rest
    rest *= rest
    e /= rest
    return s, e


def tanh(x: Array) -> tuple[Array, Array]:
    """Return ``tanh x`` and its derivative, which ``1 - y^2`` would leave no digit where y is close to 1."""
    e = np.exp(downwards(2 * x))
    rest = 1 + e
    rest *= rest
    e /= rest
    e *= 4
    return np.tanh(x), e


def softplus(x: Array) -> Array:
    """Return ``log(1 + exp(x))`` without overflow."""
    return keep(x.real >= 0, x) + np.log1p(np.exp(downwards(x)))


class _Elementwise(Layer):
    """An activation that acts on each element alone. Shapes: x and y ``(*)``."""

    def curve(self, x: Array) -> tuple[Array, Callable[[Array], Array], *tuple[Array, ...]]:
        """Return y, the function that takes dE/dy to dE/dx, and the branches taken."""
        raise TypeError(f"{type(self).__name__} defines no curve")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        y, back, *branches = self.curve(x)
        return Step(np.asanyarray(y), lambda g: Gradients((np.asanyarray(back(g)),)), branches=tuple(branches))


def exponential_unit(x: Array, alpha: float, scale: float, steepness: float) -> Any:
    """Return the curve ``scale x`` where x > 0, else ``scale alpha (exp(steepness x) - 1)``, of which 0 is part."""
    on = x.real > 0
    low = keep(~on, steepness * x)
    return (
        choose(on, scale * x, scale * alpha * np.expm1(low)),
        lambda g: choose(on, g * scale, g * (scale * alpha * steepness * np.exp(low))),
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
        return exponential_unit(x, self.alpha, 1, 1)


@dataclass(frozen=True, eq=False)
class CELU(_Elementwise):
    """``y = x`` where x > 0, else ``alpha (exp(x / alpha) - 1)``; backward ``g``, else ``g exp(x / alpha)``.

    Source: Barron, arXiv:1704.07483: an ELU without a kink, whatever alpha.
    """

    alpha: float = 1.0
    inplace: bool = False

    def __post_init__(self) -> None:
        if self.alpha == 0:
            raise reject(self, "alpha", self.alpha, "another number than 0")

    def curve(self, x: Array) -> Any:
        return exponential_unit(x, self.alpha, 1, 1 / self.alpha)


@dataclass(frozen=True, eq=False)
class SELU(_Elementwise):
    """``y = s x`` where x > 0, else ``s a (exp(x) - 1)``; backward ``g s``, else ``g s a exp(x)``, at 0 too.

    Source: Klambauer et al., NIPS 30 (2017), eq. 2.
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        return exponential_unit(x, SELU_ALPHA, SELU_SCALE, 1)


@dataclass(frozen=True, eq=False)
class Sigmoid(_Elementwise):
    """``y = 1 / (1 + exp(-x))``; backward ``dE/dx = g y (1 - y)``.

    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), eq. 2 and 5.
    """

    holomorphic: ClassVar[bool] = True

    def curve(self, x: Array) -> Any:
        y, slope = sigmoid(x)
        return y, lambda g: g * slope.conj()


@dataclass(frozen=True, eq=False)
class LogSigmoid(_Elementwise):
    """``y = log s(x) = -log(1 + exp(-x))``, s the sigmoid; backward ``dE/dx = g s(-x)``.

    Source: the derivative of log s is ``s (1 - s) / s = 1 - s(x) = s(-x)``, in which nothing cancels.
    """

    def curve(self, x: Array) -> Any:
        slope, _ = sigmoid(-x)
        return -softplus(-x), lambda g: g * slope


@dataclass(frozen=True, eq=False)
class Tanh(_Elementwise):
    """``y = tanh x``; backward ``dE/dx = g (1 - y^2)``, computed from exponentials.

    Source: LeCun et al., Efficient BackProp (1998), section 4.4.
    """

    holomorphic: ClassVar[bool] = True

    def curve(self, x: Array) -> Any:
        y, slope = tanh(x)
        return y, lambda g: g * slope.conj()


@dataclass(frozen=True, eq=False)
class Tanhshrink(_Elementwise):
    """``y = x - tanh x``; backward ``dE/dx = g tanh^2 x``, for ``1 - (1 - t^2) = t^2``.

    Near 0 the difference, about ``x^3 / 3``, would lose its digits. There ``tanh x = x / (1 + c)`` with Lambert's
    continued fraction ``c = x^2 / (3 + x^2 / (5 + ...))``, so ``y = x c / (1 + c)``, in which nothing cancels.

    Source: NIST Digital Library of Mathematical Functions, eq. 4.39.1, for the fraction.
    """

    holomorphic: ClassVar[bool] = True

    def curve(self, x: Array) -> Any:
        t = np.tanh(x)
        near = (np.abs(x.real) < 1) & (np.abs(x.imag) < 1)  # where both forms hold: no branch of the function
        z = keep(near, x)
        c = z * z / (2 * FRACTIONS + 1)
        for odd in range(2 * FRACTIONS - 1, 1, -2):
            c = z * z / (odd + c)
        return choose(near, z * c / (1 + c), x - t), lambda g: g * (t * t).conj()


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
            p = special.ndtr(x.astype(float) if x.dtype == np.longdouble else x).astype(x.dtype)
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
class Mish(_Elementwise):
    """``y = x t``, ``t = tanh log(1 + exp(x))``; backward ``g (t + x t')``.

    With ``u = (1 + exp(x))^2`` this is ``t = (u - 1) / (u + 1)``. Multiplied out in powers of ``e = exp(-|x|)``,
    nothing cancels or overflows: ``t = n / d``, with ``n = e (e + 2)`` and ``d = n + 2`` where x < 0, else
    ``n = 1 + 2 e`` and ``d = n + 2 e^2``; and ``t' = 4 e (1 + e) / d^2``, with another factor e where x >= 0.

    Source: Misra, BMVC (2020).
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        negative = x.real < 0
        e = np.exp(downwards(x))
        n = choose(negative, e * (e + 2), 1 + 2 * e)
        d = n + choose(negative, np.full((), 2, e.dtype), 2 * e * e)
        t = n / d
        slope = choose(negative, e, e * e) * (4 * (1 + e)) / (d * d)
        return x * t, lambda g: g * (t + x * slope)


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
        return choose(linear, x, softplus(z) / self.beta), lambda g: choose(linear, g, g * slope), linear


@dataclass(frozen=True, eq=False)
class Softsign(_Elementwise):
    """``y = x / (1 + |x|)``; backward ``dE/dx = g / (1 + |x|)^2``, NaN where y is.

    Source: Turian, Bergstra and Bengio, NAACL-HLT (2009).
    """

    def curve(self, x: Array) -> Any:
        s = 1 / (1 - downwards(x))
        y = x * s
        return y, lambda g: g * (s * s + 0 * y), x.real < 0


@dataclass(frozen=True, eq=False)
class GLU(Layer):
    """``y = a s(b)``, a and b the halves of x along ``dim``, s the sigmoid; backward ``g s`` and ``g a s (1 - s)``.

    Shapes: x ``(*, 2 n, *)``, y ``(*, n, *)``.

    Source: Dauphin, Fan, Auli and Grangier, ICML (2017), eq. 1.
    """

    dim: int = -1

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if not -x.ndim <= self.dim < x.ndim:
            raise reject(self, "dim", self.dim, f"an axis of its input {x.shape}")
        if x.shape[self.dim] % 2:
            raise reject(self, "the shape of its input", x.shape, f"an even size along axis {self.dim}")
        a, b = np.split(x, 2, self.dim)
        s, slope = sigmoid(b)
        return Step(a * s, lambda g: Gradients((np.concatenate((g * s, g * a * slope), self.dim),)))
