"""Normalisations: BatchNorm1d, BatchNorm2d, LayerNorm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm"]


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
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    scale = 1 / np.sqrt(variance + eps)
    z = centred * scale

    def backward(g: Array) -> Array:
        along = (g * z).mean(axis=axes, keepdims=True)
        return np.asarray((g - g.mean(axis=axes, keepdims=True) - z * along) * scale)

    return Normal(z, backward, mean, variance)


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
        terms = {"weight": g * z, "bias": g}
        gradients = {name: terms[name].sum(axis=spread).reshape(trainable[name]) for name in trainable}
        return Gradients((back(g if weight is None else g * weight),), gradients)

    return Step(y, backward)


@dataclass(frozen=True, eq=False)
class _BatchNorm(Layer):
    """Standardise each channel over the batch: ``y = weight (x - mean) / sqrt(variance + eps) + bias``.

    Shapes: x and y ``(N, num_features, *)``; weight, bias, running_mean, running_var ``(num_features,)``.

    In training, and always without ``track_running_stats``, mean and (biased) variance are the batch's, and
    the gradient goes through them; in evaluation they are the running ones, and the map is affine. A training
    step moves the running statistics by ``momentum`` towards the batch's, the variance now unbiased; with
    momentum None by ``1 / num_batches_tracked``, which makes them plain averages. The step's ``updates`` are
    the new values.

    Source: Ioffe and Szegedy, ICML (2015), algorithms 1 and 2 and the gradients of section 3.
    """

    num_features: int
    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True
    _: KW_ONLY
    bias: bool = True

    ranks: ClassVar[tuple[int, ...]]

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        names = ("weight", "bias") if self.bias else ("weight",)
        return {name: (self.num_features,) for name in names if self.affine}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        ones, zeros = np.ones(self.num_features, dtype), np.zeros(self.num_features, dtype)
        arrays = {name: (ones if name == "weight" else zeros).copy() for name in self.parameter_shapes}
        if self.track_running_stats:
            arrays |= {
                "running_mean": zeros,
                "running_var": ones,
                "num_batches_tracked": np.zeros((), np.int64),
            }
        return arrays

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            wanted = " or ".join(f"(N, {self.num_features}{', *' * (rank - 2)})" for rank in self.ranks)
            raise reject(self, "the shape of its input", x.shape, wanted)
        shape = (1, self.num_features, *(1,) * (x.ndim - 2))
        if self.track_running_stats:
            for name in ("running_mean", "running_var"):
                check_shape(self, name, parameters[name], (self.num_features,))
            if not training:
                scale = 1 / np.sqrt(parameters["running_var"].reshape(shape) + self.eps)
                z = (x - parameters["running_mean"].reshape(shape)) * scale
                return scale_and_shift(self, parameters, z, shape, lambda g: g * scale)
        count = x.size // self.num_features
        if count == 1:
            raise reject(self, "the shape of its input", x.shape, "at least 2 values per channel to take statistics of")
        if count:
            normal = standardise(x, (0, *range(2, x.ndim)), self.eps)
            step = scale_and_shift(self, parameters, normal.values, shape, normal.backward)
        else:
            step = scale_and_shift(self, parameters, x, shape, lambda g: g)
        if not self.track_running_stats:
            return step
        batches = parameters["num_batches_tracked"] + 1
        if not count:  # an empty batch is counted, but says nothing of the statistics
            return replace(step, updates={"num_batches_tracked": np.asarray(batches)})
        rate = 1 / int(batches) if self.momentum is None else self.momentum
        batch = {"running_mean": normal.mean, "running_var": normal.variance * (count / (count - 1))}
        updates = {
            name: (1 - rate) * parameters[name] + rate * statistic.reshape(-1) for name, statistic in batch.items()
        }
        return replace(step, updates=updates | {"num_batches_tracked": np.asarray(batches)})


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)``."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``(N, C, H, W)``."""

    ranks = (4,)


@dataclass(frozen=True, eq=False)
class LayerNorm(Layer):
    """Standardise each sample over its last axes: ``y = weight (x - mean) / sqrt(variance + eps) + bias``.

    Shapes: x and y ``(*, *normalized_shape)``; weight and bias ``normalized_shape``. The variance is the
    biased one; the gradient goes through mean and variance.

    Source: Ba, Kiros and Hinton, arXiv:1607.06450 (2016), eq. 3 and 4.
    """

    normalized_shape: int | Sequence[int]
    eps: float = 1e-5
    elementwise_affine: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        if np.ndim(self.normalized_shape) and not len(self._shape):
            raise reject(self, "normalized_shape", self.normalized_shape, "at least one axis")

    @property
    def _shape(self) -> Shape:
        return tuple(np.atleast_1d(self.normalized_shape).tolist())

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        names = ("weight", "bias") if self.bias else ("weight",)
        return {name: self._shape for name in names if self.elementwise_affine}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        starts = {"weight": np.ones, "bias": np.zeros}
        return {name: starts[name](shape, dtype) for name, shape in self.parameter_shapes.items()}

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        leading = x.ndim - len(self._shape)
        if leading < 0 or x.shape[leading:] != self._shape:
            raise reject(self, "the shape of its input", x.shape, f"(*, {', '.join(map(str, self._shape))})")
        normal = standardise(x, tuple(range(leading, x.ndim)), self.eps)
        return scale_and_shift(self, parameters, normal.values, (1,) * leading + self._shape, normal.backward)
