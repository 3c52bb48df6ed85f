"""Poolings: MaxPool2d, AvgPool2d."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, reject
from impl.windows import overlap_add, per_axis, windows, with_batch

__all__ = ["AvgPool2d", "MaxPool2d"]


class _Axis(NamedTuple):
    """How windows lie along one axis; ``windows`` of them."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    windows: int

    def starts(self) -> Array:
        """Where the windows begin, padding being negative."""
        return np.arange(self.windows) * self.stride - self.padding


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

    def _axes(self, x: Array, dilation: Shape, ceil_mode: bool) -> list[_Axis]:
        """Count the windows; with ``ceil_mode`` one more for a rest, unless it begins in the padding behind.

        Raises
        ------
        ValueError
            x has another rank, or no window fits.
        """
        axes = []
        for size, kernel, stride, padding, spread in zip(
            with_batch(self, x, self.rank).shape[2:],
            per_axis(self, "kernel_size", self.rank, 1),
            per_axis(self, "kernel_size" if self.stride is None else "stride", self.rank, 1),
            per_axis(self, "padding", self.rank, 0),
            dilation,
        ):
            room = size + 2 * padding - spread * (kernel - 1) - 1
            count = 1 + (-(-room // stride) if ceil_mode else room // stride)
            if ceil_mode and (count - 1) * stride >= size + padding:
                count -= 1
            if size < 1 or count < 1:
                raise reject(self, "the shape of its input", x.shape, "room for a window along each axis")
            axes.append(_Axis(size, kernel, stride, padding, spread, count))
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
        lead, spatial = x.shape[: -self.rank], x.shape[-self.rank :]
        axes = self._axes(x, per_axis(self, "dilation", self.rank, 1), self.ceil_mode)
        places = self._places(axes)
        rows = x.reshape(prod(lead), prod(spatial))
        candidates = rows.real[:, places]
        winner = candidates.argmax(axis=1)
        nan = np.isnan(candidates)
        if nan.any():
            winner = np.where(nan.any(axis=1), len(places) - 1 - nan[:, ::-1].argmax(axis=1), winner)
        indices = places[winner, np.arange(places.shape[1])]
        y = np.take_along_axis(rows, indices, axis=1).reshape(*lead, *(axis.windows for axis in axes))

        def backward(g: Any) -> Gradients:
            arriving: Array = g[0] if self.return_indices else g
            gradient = np.zeros(rows.shape, arriving.dtype)
            np.add.at(gradient, (np.arange(len(rows))[:, None], indices), arriving.reshape(indices.shape))
            return Gradients((gradient.reshape(x.shape),))

        output = (y, indices.reshape(y.shape)) if self.return_indices else y
        return Step(output, backward, branches=(indices,))

    def _places(self, axes: list[_Axis]) -> Array:
        """Where in the flattened input the windows look: ``(elements of the kernel, windows)``.

        Padding stands for a neighbour in its window, which cannot win over itself.

        Raises
        ------
        ValueError
            A window holds nothing but padding: torch answers -inf, with an index beyond the input.
        """
        size = prod(axis.size for axis in axes)
        places = np.zeros((1, 1), dtype=np.int64)
        for axis in axes:
            along = np.arange(axis.kernel)[:, None] * axis.dilation + axis.starts()
            # So far below zero that no later axis brings it back.
            along = np.where((along >= 0) & (along < axis.size), along, -size)
            places = places[:, None, :, None] * axis.size + along[:, None]
            places = places.reshape(-1, places.shape[-2] * axis.windows)
        first = np.where(places < 0, size, places).min(axis=0)
        if first.max() == size:
            raise reject(self, "dilation", self.dilation, "one with which every window meets the input")
        places = np.maximum.accumulate(places, axis=0)
        return np.where(places < 0, first, places)


class MaxPool2d(_MaxPool):
    """Maximum over windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


@dataclass(frozen=True, eq=False)
class _AvgPool(_Pooling):
    """The mean of each window: ``y = sum x / divisor``; backward adds ``g / divisor`` to its elements.

    Shapes: x ``(N, C, *spatial)`` or without N; y likewise, with the number of windows along each axis. The
    divisor is ``divisor_override``, or how much of the window lies in the padded input, or (with
    ``count_include_pad=False``) in the input itself; what ``ceil_mode`` adds behind the padding never counts.

    Source: LeCun et al., Proc. IEEE 86 (1998), section II.B (subsampling).
    """

    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.divisor_override == 0:
            raise reject(self, "divisor_override", 0, "None or an integer other than 0")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        ones = (1,) * self.rank
        axes = self._axes(x, ones, self.ceil_mode)
        kernel, stride = tuple(axis.kernel for axis in axes), tuple(axis.stride for axis in axes)
        # As much behind as the last window needs: floor mode may need less than the padding, ceil mode more.
        margins = [(a.padding, max(a.padding, a.starts()[-1] + a.kernel - a.size)) for a in axes]
        padded = np.pad(with_batch(self, x, self.rank), [(0, 0), (0, 0), *margins])
        view = windows(padded, kernel, stride, ones)
        counts = reduce(np.multiply.outer, map(self._counts, axes))
        divisor = np.asarray(self.divisor_override or counts, x.real.dtype)
        y = view.sum(axis=tuple(range(2, 2 + self.rank))) / divisor

        def backward(g: Array) -> Gradients:
            share = (g / divisor).reshape(*padded.shape[:2], *ones, *y.shape[2:])
            spread = overlap_add(np.broadcast_to(share, view.shape), padded.shape[2:], stride, ones)
            inner: tuple[Any, ...] = (..., *(slice(axis.padding, axis.padding + axis.size) for axis in axes))
            return Gradients((spread[inner].reshape(x.shape),))

        return Step(y.reshape(x.shape[: -self.rank] + y.shape[2:]), backward)

    def _counts(self, axis: _Axis) -> Array:
        border = axis.padding if self.count_include_pad else 0
        ends = np.minimum(axis.starts() + axis.kernel, axis.size + border)
        return np.asarray(ends - np.maximum(axis.starts(), -border))


class AvgPool2d(_AvgPool):
    """Mean over windows of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2
