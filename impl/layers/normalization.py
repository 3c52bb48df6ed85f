"""Normalisations of each sample: LayerNorm, GroupNorm, RMSNorm; and what they share with those of batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.pooling import wide

__all__ = ["GroupNorm", "LayerNorm", "RMSNorm"]


class Normal(NamedTuple):
    """What was standardised, with the way back through it and the statistics (axes kept)."""

    values: Array
    backward: Callable[[Array], Array]
    mean: Array
    variance: Array


def standardise(x: Array, axes: tuple[int, ...], eps: float) -> Normal:
    """``z = (x - mean) / sqrt(variance + eps)``, biased variance, over ``axes``.

    Backward, mean and variance being functions of x:
    ``dE/dx = (g - mean(g) - z mean(g z)) / sqrt(variance + eps)``.
    """
    if x.size == 0:  # of nothing there is no mean
        return Normal(x, lambda g: g, x, x)
    mean = x.mean(axis=axes, keepdims=True)
    z = x - mean
    variance = (z * z).mean(axis=axes, keepdims=True)
    scale = 1 / np.sqrt(variance + eps)
    z *= scale

    def backward(g: Array) -> Array:
        dx = g * z
        along = dx.mean(axis=axes, keepdims=True)
        np.multiply(z, along, out=dx)
        np.subtract(g, dx, out=dx)
        dx -= g.mean(axis=axes, keepdims=True)
        dx *= scale
        return np.asanyarray(dx)

    return Normal(z, backward, mean, variance)


def affine_shapes(shape: Shape, affine: bool, bias: bool) -> dict[str, Shape]:
    """Return the shapes of what scales and shifts: a weight and a bias, the weight alone, or nothing."""
    return {name: shape for name in ("weight", "bias")[: 1 + bias] if affine}


def ones_and_zeros(layer: Layer, dtype: DTypeLike) -> dict[str, Array]:
    """Return the parameters that every normalisation starts with: weights of 1, and a bias of 0."""
    starts = {"weight": np.ones, "bias": np.zeros}
    return {name: starts[name](shape, dtype) for name, shape in layer.parameter_shapes.items()}


def scale_and_shift(
    layer: Layer, parameters: Mapping[str, Array], z: Array, shape: Shape, back: Callable[[Array], Array]
) -> Step:
    """``y = weight z + bias``, where the layer has them, laid out in ``shape``; ``back`` leads from z to x.

    Backward: ``dE/dz = weight g``, ``dE/dweight = sum g z`` and ``dE/dbias = sum g`` over all other axes.
    """
    spread = tuple(axis for axis, size in enumerate(shape) if size == 1)
    trainable = layer.parameter_shapes
    for name, wanted in trainable.items():
        check_shape(layer, name, parameters[name], wanted)
    weight = parameters["weight"].reshape(shape) if "weight" in trainable else None
    y = z if weight is None else z * weight
    if "bias" in trainable:
        y = y + parameters["bias"].reshape(shape)

    def backward(g: Array) -> Gradients:
        gradients = {}
        if "weight" in trainable:
            gradients["weight"] = (g * z.conj()).sum(axis=spread).reshape(trainable["weight"])
        if "bias" in trainable:
            gradients["bias"] = g.sum(axis=spread).reshape(trainable["bias"])
        return Gradients((back(g if weight is None else g * weight.conj()),), gradients)

    return Step(y, backward)


class _OverLastAxes(Layer):
    """What LayerNorm and RMSNorm share: the axes that they take together, the last ones."""

    normalized_shape: int | Sequence[int]

    def __post_init__(self) -> None:
        if np.ndim(self.normalized_shape) and not len(self.shape):
            raise reject(self, "normalized_shape", self.normalized_shape, "at least one axis")

    @property
    def shape(self) -> Shape:
        """The sizes of these axes."""
        return tuple(np.atleast_1d(self.normalized_shape).tolist())

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        return ones_and_zeros(self, dtype)

    def leading(self, x: Array) -> int:
        """Return how many axes stand before them."""
        leading = x.ndim - len(self.shape)
        if leading < 0 or x.shape[leading:] != self.shape:
            raise reject(self, "the shape of its input", x.shape, f"(*, {', '.join(map(str, self.shape))})")
        return leading


@dataclass(frozen=True, eq=False)
class LayerNorm(_OverLastAxes):
    """Standardise each sample over its last axes: ``y = weight (x - mean) / sqrt(variance + eps) + bias``.

    Shapes: x and y ``(*, *normalized_shape)``; weight and bias ``normalized_shape``. The variance is the
    biased one; the gradient goes through mean and variance.

    Backward, with ``h = weight g``, u the standardised x and s its divisor: ``dE/dx = (h - mean h - u mean(h u)) / s``,
    means over the last axes; ``dE/dweight = sum g u``, ``dE/dbias = sum g`` over the axes before.

    Source: Ba, Kiros and Hinton, arXiv:1607.06450 (2016), eq. 3 and 4.
    """

    normalized_shape: int | Sequence[int]
    eps: float = 1e-5
    elementwise_affine: bool = True
    bias: bool = True

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return affine_shapes(self.shape, self.elementwise_affine, self.bias)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        size = prod(x.shape[self.leading(x) :])
        for name, wanted in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], wanted)
        weight, bias = (np.ravel(parameters[n]) if n in self.parameter_shapes else None for n in ("weight", "bias"))
        rows = wide(x).reshape(x.size // max(size, 1), size)
        # A row's sum is its product with ones: BLAS takes a fifth of the time of a mean.
        ones = np.ones(size, rows.dtype)
        z = rows - ((rows @ ones) / size)[:, None]
        scale = 1 / np.sqrt((z[:, None] @ z[:, :, None])[:, 0] / size + self.eps)
        z *= scale
        y = z if weight is None else z * weight
        y = y if bias is None else y + bias
        narrow = np.result_type(x, *(parameters[name] for name in self.parameter_shapes))

        def backward(g: Array) -> Gradients:
            arriving = wide(g).reshape(rows.shape)
            products, all_rows = arriving * z, np.ones(len(rows), arriving.dtype)
            sums = {"weight": all_rows @ products, "bias": all_rows @ arriving}
            own = {n: sums[n].reshape(shape).astype(g.dtype) for n, shape in self.parameter_shapes.items()}
            weights = ones if weight is None else weight
            dx = z * ((products @ weights) / size)[:, None]
            np.subtract(arriving if weight is None else arriving * weight, dx, out=dx)
            dx -= ((arriving @ weights) / size)[:, None]
            dx *= scale
            return Gradients((dx.reshape(x.shape).astype(g.dtype, copy=False),), own)

        return Step(y.reshape(x.shape).astype(narrow, copy=False), backward)


@dataclass(frozen=True, eq=False)
class RMSNorm(_OverLastAxes):
    """Divide each sample by its root mean square over its last axes: ``y = w x / r``, ``r = sqrt(mean(x^2) + eps)``.

    Backward, r being a function of x: ``dE/dx = (g w - z mean(g w z)) / r``, w the weight, ``z = x / r``.

    Shapes: x and y ``(*, *normalized_shape)``; weight ``normalized_shape``. Without ``eps`` it is the epsilon of x's
    dtype, in float16 that of float32.

    Source: Zhang and Sennrich, NeurIPS (2019), eq. 4.
    """

    holomorphic: ClassVar[bool] = True

    normalized_shape: int | Sequence[int]
    eps: float | None = None
    elementwise_affine: bool = True

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return affine_shapes(self.shape, self.elementwise_affine, bias=False)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        leading = self.leading(x)
        axes = tuple(range(leading, x.ndim))
        eps = float(np.finfo(np.promote_types(x.real.dtype, np.float32)).eps) if self.eps is None else self.eps
        scale = 1 / np.sqrt((x * x).mean(axis=axes, keepdims=True) + eps) if x.size else np.ones((), x.dtype)
        z = x * scale

        def back(g: Array) -> Array:
            along = (g * z.conj()).mean(axis=axes, keepdims=True) if x.size else np.zeros((), x.dtype)
            return np.asanyarray((g - z.conj() * along) * scale.conj())

        return scale_and_shift(self, parameters, z, (1,) * leading + self.shape, back)


@dataclass(frozen=True, eq=False)
class GroupNorm(Layer):
    """Standardise groups of channels, each sample alone: ``y = weight (x - mean) / sqrt(variance + eps) + bias``.

    Shapes: x and y ``(N, num_channels, *)``; weight and bias ``(num_channels,)``. Mean and biased variance are those
    of ``num_channels / num_groups`` neighbouring channels with all that lies behind them; the gradient goes through
    both. Without weight and bias any number of channels will do that the groups divide, as in torch.

    Backward, with ``h = weight g``, u the standardised x and s its divisor: ``dE/dx = (h - mean h - u mean(h u)) / s``,
    means over a group; ``dE/dweight = sum g u``, ``dE/dbias = sum g`` over all but the channel.

    Source: Wu and He, ECCV (2018), eq. 1-6.
    """

    num_groups: int
    num_channels: int
    eps: float = 1e-5
    affine: bool = True
    _: KW_ONLY
    bias: bool = True

    def __post_init__(self) -> None:
        if self.num_groups < 1 or self.num_channels % self.num_groups:
            raise reject(self, "num_groups", self.num_groups, f"a divisor of num_channels ({self.num_channels})")

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return affine_shapes((self.num_channels,), self.affine, self.bias)

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        return ones_and_zeros(self, dtype)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        wanted = f"(N, {self.num_channels if self.affine else f'a multiple of num_groups ({self.num_groups})'}, *)"
        if x.ndim < 2 or (x.shape[1] != self.num_channels if self.affine else x.shape[1] % self.num_groups):
            raise reject(self, "the shape of its input", x.shape, wanted)
        width = x.shape[1] // self.num_groups
        if x.shape[0] * width * prod(x.shape[2:]) == 1:
            raise reject(self, "the shape of its input", x.shape, "at least 2 values per group, or 2 samples")
        grouped = (x.shape[0], self.num_groups, width, *x.shape[2:])
        normal = standardise(x.reshape(grouped), tuple(range(2, len(grouped))), self.eps)
        shape = (1, x.shape[1], *(1,) * (x.ndim - 2))

        def back(g: Array) -> Array:
            return normal.backward(g.reshape(grouped)).reshape(x.shape)

        return scale_and_shift(self, parameters, normal.values.reshape(x.shape), shape, back)
