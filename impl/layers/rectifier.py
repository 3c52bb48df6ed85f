"""Activations that are piecewise straight: rectifiers, clips, shrinks and thresholds, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from impl.choice import choose, keep
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, draw, reject
from impl.layers.activation import _Elementwise
from impl.layers.structural import fold

__all__ = [
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Softshrink",
    "Threshold",
]


def clip(x: Array, low: float, high: float) -> tuple[Array, Array, Array]:
    """Return x kept within its bounds, and where it lies below and above, or on them."""
    below, above = x.real <= low, x.real >= high
    kept = np.clip(x, low, high) if x.dtype.kind != "c" else np.where(below, low, np.where(above, high, x))
    return kept, below, above


@dataclass(frozen=True, eq=False)
class ReLU(_Elementwise):
    """``y = max(x, 0)``; backward ``dE/dx = g [x > 0]``, and 0 at x = 0, as torch chooses.

    Source: Nair and Hinton, ICML (2010).
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        on = ~(x.real <= 0)  # not x > 0: a NaN passes on, as in torch
        return keep(on, x), lambda g: keep(on, g), on


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
            choose(on, x, x * self.negative_slope),
            lambda g: choose(on, g, g * self.negative_slope),
            on,
        )


@dataclass(frozen=True, eq=False)
class PReLU(Layer):
    """``y = x`` where x > 0, else ``w x``; backward ``g``, else ``w g``, at 0 too; ``dE/dw = sum g x`` over the latter.

    Shapes: x and y ``(*)`` with one w for all, or ``(N, num_parameters, *)`` with one for each channel; weight w
    ``(num_parameters,)``. All of it starts at ``init``.

    Source: He, Zhang, Ren and Sun, ICCV (2015), eq. 1 to 3.
    """

    num_parameters: int = 1
    init: float = 0.25

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return {"weight": (self.num_parameters,)}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        return {"weight": np.full(self.num_parameters, self.init, dtype)}

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        count = self.num_parameters
        if count != 1 and (x.ndim < 2 or x.shape[1] != count):
            raise reject(self, "the shape of its input", x.shape, f"(N, {count}, *)")
        check_shape(self, "weight", parameters["weight"], (count,))
        shape = tuple(count if axis == 1 else 1 for axis in range(x.ndim))
        w = parameters["weight"].reshape(shape)
        on = x.real > 0

        def backward(g: Array) -> Gradients:
            own = fold(keep(~on, g * x), shape).reshape(count)
            return Gradients((choose(on, g, g * w),), {"weight": own})

        return Step(choose(on, x, x * w), backward, branches=(on,))


@dataclass(frozen=True, eq=False)
class RReLU(Layer):
    """``y = x`` where x > 0, else ``a x``; backward ``g``, else ``a g``, at 0 too. Shapes: x, y and the noise ``(*)``.

    In training each element has its own ``a = lower + (upper - lower) noise``, in evaluation a is the mean of the two.

    Source: Xu, Wang, Chen and Li, arXiv:1505.00853.
    """

    lower: float = 1 / 8
    upper: float = 1 / 3
    inplace: bool = False

    def __post_init__(self) -> None:
        if self.lower > self.upper:
            raise reject(self, "lower", self.lower, f"at most upper, {self.upper}")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if not training:
            return LeakyReLU((self.lower + self.upper) / 2).forward(parameters, x)
        off = x.real <= 0
        drawn = self.lower + (self.upper - self.lower) * draw(self, noise, x.shape)
        slopes = np.where(off, drawn, 1).astype(x.real.dtype)
        return Step(np.asarray(x * slopes), lambda g: Gradients((np.asarray(g * slopes),)), branches=(off,))


@dataclass(frozen=True, eq=False)
class Threshold(_Elementwise):
    """``y = x`` where x is beyond ``threshold``, else ``value``; backward ``g``, else 0, at the threshold too.

    The function jumps there, unless the two are equal.
    """

    threshold: float
    value: float
    inplace: bool = False

    def curve(self, x: Array) -> Any:
        on = ~(x.real <= self.threshold)
        return choose(on, x, np.asarray(self.value, x.dtype)), lambda g: keep(on, g), on


@dataclass(frozen=True, eq=False)
class Hardtanh(_Elementwise):
    """``y = x``, kept within ``min_val`` and ``max_val``; backward g strictly between them, else 0.

    ``min_value`` and ``max_value`` are older names of the bounds, and are taken where they are given.

    Source: Collobert, Large Scale Machine Learning, Paris 6 (2004).
    """

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False
    min_value: float | None = None
    max_value: float | None = None

    def __post_init__(self) -> None:
        low, high = self.bounds
        if high <= low:
            raise reject(self, "max_val", high, f"more than min_val, {low}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest y."""
        low = self.min_val if self.min_value is None else self.min_value
        return low, self.max_val if self.max_value is None else self.max_value

    def curve(self, x: Array) -> Any:
        y, below, above = clip(x, *self.bounds)
        return y, lambda g: keep(~(below | above), g), below, above


@dataclass(frozen=True, eq=False)
class ReLU6(_Elementwise):
    """``y = min(max(x, 0), 6)``; backward g strictly between 0 and 6, else 0.

    Source: Krizhevsky, Convolutional Deep Belief Networks on CIFAR-10 (2010).
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        y, below, above = clip(x, 0, 6)
        return y, lambda g: keep(~(below | above), g), below, above


@dataclass(frozen=True, eq=False)
class Hardsigmoid(_Elementwise):
    """``y = (c + 3) / 6``, c being x kept within -3 and 3; backward ``g / 6`` strictly between them, else 0.

    Source: Courbariaux, Bengio and David, NIPS 28 (2015), with the slope of Howard et al., ICCV (2019), section 5.2.
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        c, below, above = clip(x, -3, 3)
        return (c + 3) / 6, lambda g: keep(~(below | above), g / 6), below, above


@dataclass(frozen=True, eq=False)
class Hardswish(_Elementwise):
    """``y = x (c + 3) / 6``, c being x kept within -3 and 3; backward ``g (2 x + 3) / 6``, 0 from -3 down, g from 3 up.

    Source: Howard et al., ICCV (2019), section 5.2.
    """

    inplace: bool = False

    def curve(self, x: Array) -> Any:
        c, below, above = clip(x, -3, 3)
        slope = keep(~below, choose(above, np.ones((), c.dtype), (2 * c + 3) / 6))
        return x * ((c + 3) / 6), lambda g: g * slope, below, above


@dataclass(frozen=True, eq=False)
class Hardshrink(_Elementwise):
    """``y = x`` where x lies outside of ``[-lambd, lambd]``, else 0; backward ``g``, else 0, at both ends too.

    Source: Donoho and Johnstone, Biometrika 81 (1994): hard thresholding.
    """

    lambd: float = 0.5

    def curve(self, x: Array) -> Any:
        on = ~((x.real >= -self.lambd) & (x.real <= self.lambd))
        return keep(on, x), lambda g: keep(on, g), on


@dataclass(frozen=True, eq=False)
class Softshrink(_Elementwise):
    """``y = x - l`` above l, ``x + l`` below -l, else 0, l being ``lambd``; backward ``g``, else 0, at both ends too.

    Source: Donoho and Johnstone, Biometrika 81 (1994): soft thresholding.
    """

    lambd: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.lambd < inf:
            raise reject(self, "lambd", self.lambd, "a number, at least 0")

    def curve(self, x: Array) -> Any:
        above, below = x.real > self.lambd, x.real < -self.lambd
        outside = choose(above, x - self.lambd, x + self.lambd)
        y = choose(above | below, outside, x * 0)  # so that a NaN stays one
        return y, lambda g: keep(above | below, g), above, below
