"""Poolings whose windows slide: maxima, means and p-norms over 1, 2 and 3 axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import isinf, prod
from typing import ClassVar

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, reject
from impl.pooling import check_spatial, elements, greatest, mean, plain, sliding, spread, summed, wide
from impl.windows import per_axis

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]


@dataclass(frozen=True, eq=False)
class _Pooling(Layer):
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: int | tuple[int, ...] = 0

    rank: ClassVar[int]

    def __post_init__(self) -> None:
        kernel, padding = per_axis(self, "kernel_size", self.rank, 1), per_axis(self, "padding", self.rank, 0)
        if any(2 * p > k for p, k in zip(padding, kernel)):
            raise reject(self, "padding", self.padding, f"at most half of kernel_size {self.kernel_size}")
        if self.stride is not None:
            per_axis(self, "stride", self.rank, 1)


def _strides(layer: _Pooling | _LPPool) -> Shape:
    return per_axis(layer, "kernel_size" if layer.stride is None else "stride", layer.rank, 1)


def _windows(layer: _Pooling | _LPPool, x: Array, padding: Shape, dilation: Shape, ceil_mode: bool) -> list[Array]:
    """Place the windows along each axis.

    Raises
    ------
    ValueError
        x has another rank, or no window fits.
    """
    check_spatial(layer, x, layer.rank, -layer.rank - 1)
    kernel = per_axis(layer, "kernel_size", layer.rank, 1)
    sizes = zip(x.shape[-layer.rank :], kernel, _strides(layer), padding, dilation)
    axes = [sliding(*along, ceil_mode) for along in sizes]
    if not all(places.size for places in axes):
        raise reject(layer, "the shape of its input", x.shape, "room for a window along each axis")
    return axes


@dataclass(frozen=True, eq=False)
class _MaxPool(_Pooling):
    """The greatest element of each window; backward hands g to where it was, the first of equal ones.

    Shapes: x ``(N, C, *spatial)`` or without N; y likewise, with the number of windows along each axis. With
    ``return_indices`` a second output says where in the flattened spatial axes each maximum was. Padding
    never wins; a NaN always does, the last one of several, as in torch.

    Source: Scherer, Müller and Behnke, ICANN (2010), section 2.
    """

    dilation: int | tuple[int, ...] = 1
    return_indices: bool = False
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        per_axis(self, "dilation", self.rank, 1)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        padding, dilation = per_axis(self, "padding", self.rank, 0), per_axis(self, "dilation", self.rank, 1)
        axes = _windows(self, x, padding, dilation, self.ceil_mode)
        # torch answers -inf there, with an index beyond the input.
        if any((places.min(axis=0) == size).any() for places, size in zip(axes, x.shape[-self.rank :])):
            raise reject(self, "dilation", self.dilation, "one with which every window meets the input")
        return greatest(x, axes, self.return_indices)


class MaxPool1d(_MaxPool):
    """Maximum over windows of ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class MaxPool2d(_MaxPool):
    """Maximum over windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class MaxPool3d(_MaxPool):
    """Maximum over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3


@dataclass(frozen=True, eq=False)
class _AvgPool(_Pooling):
    """The mean of each window: ``y = sum x / divisor``; backward adds ``g / divisor`` to its elements.

    Shapes: x ``(N, C, *spatial)`` or without N; y likewise, with the number of windows along each axis. The
    divisor is ``divisor_override`` (over 2 and 3 axes), or how much of the window lies in the padded input, or (with
    ``count_include_pad=False``) in the input itself; what ``ceil_mode`` adds behind the padding never counts.

    Source: LeCun et al., Proc. IEEE 86 (1998), section II.B (subsampling).
    """

    ceil_mode: bool = False
    count_include_pad: bool = True

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        axes = _windows(self, x, per_axis(self, "padding", self.rank, 0), (1,) * self.rank, self.ceil_mode)
        return mean(x, axes, self._divisor(x.shape[-self.rank :], axes))

    def _divisor(self, spatial: Shape, axes: list[Array]) -> Array:
        padding = per_axis(self, "padding", self.rank, 0)
        counts = []
        for size, places, stride, before in zip(spatial, axes, _strides(self), padding):
            starts = np.arange(places.shape[1]) * stride - before
            border = before if self.count_include_pad else 0
            ends = np.minimum(starts + len(places), size + border)
            counts.append(ends - np.maximum(starts, -border))
        return np.asanyarray(reduce(np.multiply.outer, counts))


@dataclass(frozen=True, eq=False)
class _AvgPoolBy(_AvgPool):
    divisor_override: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.divisor_override == 0:
            raise reject(self, "divisor_override", 0, "None or an integer other than 0")

    def _divisor(self, spatial: Shape, axes: list[Array]) -> Array:
        return np.asanyarray(self.divisor_override or super()._divisor(spatial, axes))


class AvgPool1d(_AvgPool):
    """Mean over windows of ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class AvgPool2d(_AvgPoolBy):
    """Mean over windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class AvgPool3d(_AvgPoolBy):
    """Mean over windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3


@dataclass(frozen=True, eq=False)
class _LPPool(Layer):
    """The p-norm of each window, with its sign: ``y = s^(1/p)``, ``s = sum x^p``; backward ``g s^(1/p - 1) x^(p-1)``.

    Shapes: x ``(N, C, *spatial)`` or without N; y likewise, with the number of windows along each axis. As in torch, s
    is ``k`` times the mean over a window, k being the elements of the kernel: in a window that ``ceil_mode`` lets hang
    over, each element weighs more. Where s is 0 no gradient flows, though p = 1 makes y a plain sum. With p infinite,
    y is the greatest ``|x|``, with p negatively so the least, and g goes to the first of equal ones times its sign.

    Source: Sermanet, Chintala and LeCun, ICPR (2012), section 2.2.
    """

    norm_type: float
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    ceil_mode: bool = False

    rank: ClassVar[int]

    def __post_init__(self) -> None:
        per_axis(self, "kernel_size", self.rank, 1)
        if self.stride is not None:
            per_axis(self, "stride", self.rank, 1)
        if not abs(self.norm_type) > 0:
            raise reject(self, "norm_type", self.norm_type, "a number other than 0")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        p = float(self.norm_type)
        axes = _windows(self, x, (0,) * self.rank, (1,) * self.rank, self.ceil_mode)
        if isinf(p):
            return self._extreme(x, axes, np.sign(x.real), int(np.sign(p)))
        sums = plain(x.shape, axes)
        kernel = prod(per_axis(self, "kernel_size", self.rank, 1))
        share = (kernel / elements(sums)).astype(wide(x.real).dtype)
        z = wide(x)
        s = share * summed(z**p, sums)
        still = (s if np.isrealobj(z) else share * summed(z.real**p, sums)) == 0
        s = np.where(still, 0, s)

        def backward(g: Array) -> Gradients:
            slope = np.where(still, 0, wide(g) * share * np.where(still, 1, s) ** (1 / p - 1))
            return Gradients(((spread(slope, sums) * z ** (p - 1)).astype(g.dtype),))

        return Step((s ** (1 / p)).astype(x.dtype), backward, branches=(still,))

    def _extreme(self, x: Array, axes: list[Array], sign: Array, side: int) -> Step:
        step = greatest(side * sign * x, axes, return_indices=False)

        def backward(g: Array) -> Gradients:
            (gradient,) = step.backward(g).inputs
            return Gradients((sign * gradient,))

        return Step(side * np.asanyarray(step.output), backward, branches=(sign, *step.branches))


class LPPool1d(_LPPool):
    """p-norm of windows of ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class LPPool2d(_LPPool):
    """p-norm of windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class LPPool3d(_LPPool):
    """p-norm of windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3
