"""Initializers: what weights are before the first step. Functions of a generator and a shape.

They carry the names, arguments and defaults of torch.nn.init, without the underscore, for nothing is filled in place:
each returns a new array. Those that draw take a ``numpy.random.Generator`` first; they give torch's distribution, not
its bits.

A weight of shape ``(out, in, *kernel)`` has ``fan_in = in * prod(kernel)`` terms in each sum forward, and
``fan_out = out * prod(kernel)`` in each sum backward.
"""

from __future__ import annotations

from math import ceil, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from impl import special
from impl.layer import Array, Layer, Shape

__all__ = [
    "calculate_gain",
    "constant",
    "dirac",
    "eye",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "ones",
    "orthogonal",
    "sparse",
    "trunc_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

GAINS = {
    **dict.fromkeys(["linear", "sigmoid", *(f"conv{n}d" for n in "123"), *(f"conv_transpose{n}d" for n in "123")], 1.0),
    "tanh": 5.0 / 3,
    "relu": sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return what a weight is scaled by so that what passes the nonlinearity keeps its variance, or nearly.

    For "leaky_relu", whose negative slope ``param`` is (None: 0.01), ``sqrt(2 / (1 + slope^2))``.

    Raises
    ------
    ValueError
        The nonlinearity is unknown.
    """
    if nonlinearity == "leaky_relu":
        return sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ValueError(
            f"calculate_gain: nonlinearity is {nonlinearity!r}, wanted leaky_relu or one of {', '.join(GAINS)}"
        )
    return GAINS[nonlinearity]


def uniform(
    rng: np.random.Generator, shape: Shape, a: float = 0.0, b: float = 1.0, *, dtype: DTypeLike = np.float64
) -> Array:
    """Draw from U(a, b)."""
    return rng.uniform(a, b, shape).astype(dtype)


def normal(
    rng: np.random.Generator, shape: Shape, mean: float = 0.0, std: float = 1.0, *, dtype: DTypeLike = np.float64
) -> Array:
    """Draw from N(mean, std^2)."""
    return (mean + std * rng.standard_normal(shape)).astype(dtype)


def all_uniform(
    layer: Layer, rng: np.random.Generator, bound: float, *, dtype: DTypeLike = np.float64
) -> dict[str, Array]:
    """Draw every parameter of a layer from U(-bound, bound), as most of torch.nn's layers start."""
    return {name: uniform(rng, shape, -bound, bound, dtype=dtype) for name, shape in layer.parameter_shapes.items()}


def trunc_normal(
    rng: np.random.Generator,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Draw from N(mean, std^2) where it lies in [a, b].

    By inverting the distribution, in logarithms: exact however far out in a tail [a, b] lies, and nothing is rejected.

    Raises
    ------
    ValueError
        std is not positive, or a is not below b.
    """
    if not std > 0:
        raise ValueError(f"trunc_normal: std is {std}, wanted more than 0")
    if not a < b:
        raise ValueError(f"trunc_normal: a is {a}, wanted less than b, which is {b}")
    lowest, highest = (a - mean) / std, (b - mean) / std
    # In the left tail the logarithm has all digits; the right one is its mirror image.
    mirrored = lowest > 0
    if mirrored:
        lowest, highest = -highest, -lowest
    least, most = special.log_ndtr(lowest), special.log_ndtr(highest)
    ratio = np.exp(least - most)
    z = special.ndtri_exp(most + np.log(ratio + rng.random(shape) * (1 - ratio)))
    drawn = (mean + std * (-z if mirrored else z)).astype(dtype)
    return np.asarray(np.clip(drawn, np.asarray(a, dtype), np.asarray(b, dtype)))


def constant(shape: Shape, val: float, *, dtype: DTypeLike = np.float64) -> Array:
    """Fill with one number."""
    return np.full(shape, val, dtype)


def ones(shape: Shape, *, dtype: DTypeLike = np.float64) -> Array:
    """Fill with 1."""
    return np.ones(shape, dtype)


def zeros(shape: Shape, *, dtype: DTypeLike = np.float64) -> Array:
    """Fill with 0."""
    return np.zeros(shape, dtype)


def eye(shape: Shape, *, dtype: DTypeLike = np.float64) -> Array:
    """Return the identity, cut or filled up with zeros to ``shape``: a Linear then hands on what it can.

    Raises
    ------
    ValueError
        The shape has not two axes.
    """
    rows, columns = _matrix("eye", shape)
    return np.eye(rows, columns, dtype=dtype)


def dirac(shape: Shape, groups: int = 1, *, dtype: DTypeLike = np.float64) -> Array:
    """Return a convolution's weight that hands on its channels: 1 at the middle of the kernel, in each group.

    Raises
    ------
    ValueError
        The shape has not three to five axes, or its first is not divisible by groups.
    """
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"dirac: shape is {shape}, wanted three to five axes")
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"dirac: groups is {groups}, wanted a divisor of {shape[0]}, the first axis of {shape}")
    made = np.zeros(shape, dtype)
    each = shape[0] // groups
    channels = np.arange(min(each, shape[1]))
    for group in range(groups):
        place: tuple[Any, ...] = (group * each + channels, channels, *(size // 2 for size in shape[2:]))
        made[place] = 1
    return made


def xavier_uniform(
    rng: np.random.Generator, shape: Shape, gain: float = 1.0, *, dtype: DTypeLike = np.float64
) -> Array:
    """Draw from U(-a, a) with ``a = gain sqrt(6 / (fan_in + fan_out))``.

    Source: Glorot and Bengio, AISTATS (2010), eq. 16.

    Raises
    ------
    ValueError
        The shape has fewer than two axes.
    """
    bound = sqrt(3.0) * gain * sqrt(2.0 / max(sum(_fans("xavier_uniform", shape)), 1))
    return uniform(rng, shape, -bound, bound, dtype=dtype)


def xavier_normal(rng: np.random.Generator, shape: Shape, gain: float = 1.0, *, dtype: DTypeLike = np.float64) -> Array:
    """Draw from N(0, std^2) with ``std = gain sqrt(2 / (fan_in + fan_out))``.

    Source: Glorot and Bengio, AISTATS (2010), eq. 12.

    Raises
    ------
    ValueError
        The shape has fewer than two axes.
    """
    return normal(rng, shape, 0.0, gain * sqrt(2.0 / max(sum(_fans("xavier_normal", shape)), 1)), dtype=dtype)


def kaiming_uniform(
    rng: np.random.Generator,
    shape: Shape,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Draw from U(-bound, bound) with ``bound = gain sqrt(3 / fan)``; a is the negative slope of "leaky_relu".

    Source: He et al., ICCV (2015), eq. 10 and 14.

    Raises
    ------
    ValueError
        The shape has fewer than two axes, or mode or nonlinearity is unknown.
    """
    bound = sqrt(3.0) * _kaiming("kaiming_uniform", shape, a, mode, nonlinearity)
    return uniform(rng, shape, -bound, bound, dtype=dtype)


def kaiming_normal(
    rng: np.random.Generator,
    shape: Shape,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Draw from N(0, std^2) with ``std = gain / sqrt(fan)``; a is the negative slope of "leaky_relu".

    Source: He et al., ICCV (2015), eq. 10 and 14.

    Raises
    ------
    ValueError
        The shape has fewer than two axes, or mode or nonlinearity is unknown.
    """
    return normal(rng, shape, 0.0, _kaiming("kaiming_normal", shape, a, mode, nonlinearity), dtype=dtype)


def orthogonal(rng: np.random.Generator, shape: Shape, gain: float = 1, *, dtype: DTypeLike = np.float64) -> Array:
    """Draw a matrix with orthonormal rows (or columns, if fewer), uniformly, times gain; axes from 1 on are one.

    Source: Saxe, McClelland and Ganguli, ICLR (2014); uniform by the signs of R: Mezzadri, Notices AMS 54 (2007).

    Raises
    ------
    ValueError
        The shape has fewer than two axes.
    """
    _fans("orthogonal", shape)
    if 0 in shape:
        return np.zeros(shape, dtype)
    rows, columns = shape[0], prod(shape[1:])
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return np.asarray(gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def sparse(
    rng: np.random.Generator, shape: Shape, sparsity: float, std: float = 0.01, *, dtype: DTypeLike = np.float64
) -> Array:
    """Draw from N(0, std^2), but set ``ceil(sparsity * rows)`` numbers of each column to 0.

    Source: Martens, ICML (2010), section 5.

    Raises
    ------
    ValueError
        The shape has not two axes.
    """
    rows, columns = _matrix("sparse", shape)
    zero = np.repeat(np.arange(rows)[:, None] < ceil(sparsity * rows), columns, axis=1)
    return np.where(rng.permuted(zero, axis=0), 0, normal(rng, shape, 0.0, std)).astype(dtype)


def _matrix(name: str, shape: Shape) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"{name}: shape is {shape}, wanted two axes")
    return shape[0], shape[1]


def _fans(name: str, shape: Shape) -> tuple[int, int]:
    """Return fan_in and fan_out."""
    if len(shape) < 2:
        raise ValueError(f"{name}: shape is {shape}, wanted two axes or more")
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _kaiming(name: str, shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(name, shape)))
    if mode.lower() not in fans:
        raise ValueError(f"{name}: mode is {mode!r}, wanted 'fan_in' or 'fan_out'")
    return calculate_gain(nonlinearity, a) / sqrt(max(fans[mode.lower()], 1))
