"""Normalisations of each channel: BatchNorm over all samples of a batch, InstanceNorm over each sample alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.layers.normalization import affine_shapes, ones_and_zeros, scale_and_shift
from impl.pooling import wide

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


@dataclass(frozen=True, eq=False)
class _ChannelNorm(Layer):
    """Standardise each channel, with its own statistics or with running ones, and scale and shift it."""

    num_features: int
    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True
    _: KW_ONLY
    bias: bool = True

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return affine_shapes((self.num_features,), self.affine, self.bias)

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        arrays = ones_and_zeros(self, dtype)
        if self.track_running_stats:
            arrays |= {
                "running_mean": np.zeros(self.num_features, dtype),
                "running_var": np.ones(self.num_features, dtype),
                "num_batches_tracked": np.zeros((), np.int64),
            }
        return arrays

    def normalised(
        self, parameters: Mapping[str, Array], x: Array, axes: tuple[int, ...], rate: float, training: bool
    ) -> Step:
        """Standardise x ``(N, C, *)`` over ``axes``, and move the running statistics by ``rate`` towards its own."""
        shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
        if self.track_running_stats:
            for name in ("running_mean", "running_var"):
                check_shape(self, name, parameters[name], (self.num_features,))
            if not training:
                scale = 1 / np.sqrt(parameters["running_var"].reshape(shape) + self.eps)
                z = (x - parameters["running_mean"].reshape(shape)) * scale
                return scale_and_shift(self, parameters, z, shape, lambda g: g * scale)
        count = prod(x.shape[axis] for axis in axes)
        if count == 1:
            raise reject(self, "the shape of its input", x.shape, "at least 2 values per channel to take statistics of")
        if x.size == 0:  # of nothing there is no mean
            return scale_and_shift(self, parameters, x, shape, lambda g: g)
        step, mean, variance = self._by_its_own(parameters, x, axes, shape, count)
        if not self.track_running_stats:
            return step
        own = {"running_mean": mean, "running_var": variance * (count / (count - 1))}
        updates = {}
        for name, statistic in own.items():
            average = statistic.reshape(-1, x.shape[1]).mean(axis=0)
            moved = (1 - rate) * parameters[name] + rate * average
            updates[name] = moved.astype(np.result_type(parameters[name], x), copy=False)
        return replace(step, updates=updates)

    def _by_its_own(
        self, parameters: Mapping[str, Array], x: Array, axes: tuple[int, ...], shape: Shape, count: int
    ) -> tuple[Step, Array, Array]:
        """``y = weight c / s + bias``, where ``c = x - mean`` and ``s = sqrt(variance + eps)``; mean and variance, too.

        Backward: ``dE/dx = weight (g - mean(g) - c mean(g c) / s^2) / s``, ``dE/dweight = sum g c / s``,
        ``dE/dbias = sum g``. Here weight and bias are the same for all that a mean is taken over.
        """
        for name, wanted in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], wanted)
        laid = {name: parameters[name].reshape(shape) for name in self.parameter_shapes}
        values = wide(x)
        mean = values.mean(axis=axes, keepdims=True)
        centred = values - mean
        variance = (centred * centred).mean(axis=axes, keepdims=True)
        scale = 1 / np.sqrt(variance + self.eps)
        slope = scale * laid["weight"] if "weight" in laid else scale
        y = centred * slope
        if "bias" in laid:
            y = y + laid["bias"]

        def backward(g: Array) -> Gradients:
            arriving = wide(g)
            total = arriving.sum(axis=axes, keepdims=True)
            dx = arriving * centred
            along = dx.sum(axis=axes, keepdims=True) * scale
            np.multiply(centred, along * scale / count, out=dx)
            dx += total / count
            np.subtract(arriving, dx, out=dx)
            dx *= slope
            sums = {"weight": along, "bias": total}
            own = {n: sums[n].sum(axis=0).reshape(s).astype(g.dtype) for n, s in self.parameter_shapes.items()}
            return Gradients((dx.astype(g.dtype, copy=False),), own)

        narrow = np.result_type(x, *laid.values())
        return Step(y.astype(narrow, copy=False), backward), mean, variance


class _BatchNorm(_ChannelNorm):
    """Standardise each channel over the batch: ``y = weight (x - mean) / sqrt(variance + eps) + bias``.

    Shapes: x and y ``(N, num_features, *)``; weight, bias, running_mean, running_var ``(num_features,)``.

    In training, and always without ``track_running_stats``, mean and (biased) variance are the batch's, and
    the gradient goes through them; in evaluation they are the running ones, and the map is affine. A training
    step moves the running statistics by ``momentum`` towards the batch's, the variance now unbiased; with
    momentum None by ``1 / num_batches_tracked``, which makes them plain averages. The step's ``updates`` are
    the new values. A batch of nothing is only counted.

    Backward, with ``h = weight g``, ``u = (x - mean) / s`` and ``s = sqrt(variance + eps)``: with the batch's
    statistics ``dE/dx = (h - mean h - u mean(h u)) / s``, with the running ones ``h / s``; ``dE/dweight = sum g u``,
    ``dE/dbias = sum g``, means and sums over all but the channel.

    Source: Ioffe and Szegedy, ICML (2015), algorithms 1 and 2 and the gradients of section 3.
    """

    ranks: ClassVar[tuple[int, ...]]

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            wanted = " or ".join(f"(N, {self.num_features}{', *' * (rank - 2)})" for rank in self.ranks)
            raise reject(self, "the shape of its input", x.shape, wanted)
        axes = (0, *range(2, x.ndim))
        if not self.track_running_stats or not training:
            return self.normalised(parameters, x, axes, 0.0, training)
        batches = parameters["num_batches_tracked"] + 1
        step = self.normalised(parameters, x, axes, 1 / int(batches) if self.momentum is None else self.momentum, True)
        return replace(step, updates={**step.updates, "num_batches_tracked": np.asanyarray(batches)})


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)``."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``(N, C, H, W)``."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of ``(N, C, D, H, W)``."""

    ranks = (5,)


@dataclass(frozen=True, eq=False)
class _InstanceNorm(_ChannelNorm):
    """Standardise each channel of each sample: ``y = weight (x - mean) / sqrt(variance + eps) + bias``.

    Shapes: x and y ``(N, num_features, *)`` or ``(num_features, *)``; weight, bias, running_mean, running_var
    ``(num_features,)``. Where there are none of these, any number of channels will do, as in torch.

    Mean, (biased) variance and backward are those of batch normalisation with each sample a batch of its own:
    ``dE/dx = (h - mean h - u mean(h u)) / s`` with ``h = weight g`` and u the standardised x, s its divisor. A
    training step moves the running statistics by ``momentum`` (None: 0, they stay) towards the averages over the
    samples, the variance unbiased; batches are not counted.

    Source: Ulyanov, Vedaldi and Lempitsky, arXiv:1607.08022 (2016), eq. 2.
    """

    affine: bool = False
    track_running_stats: bool = False

    spatial: ClassVar[int]

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        batched = x.ndim == self.spatial + 2
        per_channel = self.affine or self.track_running_stats
        fits = x.ndim in (self.spatial + 1, self.spatial + 2)
        if not fits or (per_channel and x.shape[-self.spatial - 1] != self.num_features):
            wanted = f"{self.num_features if per_channel else '*'}{', *' * self.spatial}"
            raise reject(self, "the shape of its input", x.shape, f"(N, {wanted}) or ({wanted})")
        if self.affine and batched and x.shape[0] == 0:
            raise reject(self, "the shape of its input", x.shape, "at least one sample")
        batch = x if batched else x[None]
        axes = tuple(range(2, batch.ndim))
        step = self.normalised(parameters, batch, axes, self.momentum or 0.0, training)
        if batched and len(x) == 0 and self.track_running_stats and training:  # torch averages over no samples
            averages = {name: np.full(self.num_features, np.nan, x.dtype) for name in ("running_mean", "running_var")}
            return replace(step, updates=averages)
        if batched:
            return step

        def backward(g: Array) -> Gradients:
            gradients = step.backward(g[None])
            return replace(gradients, inputs=tuple(None if g_x is None else g_x[0] for g_x in gradients.inputs))

        return replace(step, output=np.asanyarray(step.output)[0], backward=backward)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of ``(N, C, L)`` or ``(C, L)``."""

    spatial = 1


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of ``(N, C, H, W)`` or ``(C, H, W)``."""

    spatial = 2


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    spatial = 3
