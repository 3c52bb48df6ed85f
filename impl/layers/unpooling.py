"""Back to the places from which maxima came: MaxUnpool1d, MaxUnpool2d, MaxUnpool3d."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.pooling import check_spatial
from impl.windows import per_axis

__all__ = ["MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]


@dataclass(frozen=True, eq=False)
class _MaxUnpool(Layer):
    """Put x where ``indices`` say, zeros elsewhere: ``y[indices] = x``; backward ``dE/dx = g[indices]``.

    Shapes: x and the integer indices ``(N, C, *spatial)`` or without N; y likewise, along each axis ``output_size`` or
    ``(L - 1) stride + kernel - 2 padding``. An index counts in the flattened spatial axes of y, as those from a MaxPool
    with ``return_indices`` do. Where an index is repeated, the last x stays (torch leaves open which), and all of them
    get that g.

    Source: Zeiler, Taylor and Fergus, ICCV (2011), section 2.2.
    """

    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    padding: int | tuple[int, ...] = 0

    rank: ClassVar[int]

    def __post_init__(self) -> None:
        per_axis(self, "kernel_size", self.rank, 1)
        per_axis(self, "padding", self.rank, 0)
        if self.stride is not None:
            per_axis(self, "stride", self.rank, 1)

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        indices: Array,
        output_size: Sequence[int] | None = None,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        check_spatial(self, x, self.rank, 1)
        check_shape(self, "indices", indices, x.shape)
        spatial = self._spatial(x.shape[-self.rank :], output_size)
        size = prod(spatial)
        if indices.dtype.kind not in "iu":
            raise reject(self, "the dtype of indices", str(indices.dtype), "integers")
        wrong = indices[(indices < 0) | (indices >= size)]
        if wrong.size:
            raise reject(self, "an element of indices", int(wrong[0]), f"one in [0, {size})")
        planes = prod(x.shape[: -self.rank])
        at = (np.arange(planes)[:, None], indices.reshape(planes, prod(x.shape[-self.rank :])))
        y = np.zeros_like(x, order="C", shape=(planes, size))
        y[at] = x.reshape(at[1].shape)

        def backward(g: Array) -> Gradients:
            return Gradients((g.reshape(planes, size)[at].reshape(x.shape), None))

        return Step(y.reshape(*x.shape[: -self.rank], *spatial), backward)

    def _spatial(self, sizes: Shape, wanted: Sequence[int] | None) -> Shape:
        kernel, padding = per_axis(self, "kernel_size", self.rank, 1), per_axis(self, "padding", self.rank, 0)
        stride = per_axis(self, "kernel_size" if self.stride is None else "stride", self.rank, 1)
        usual = tuple((n - 1) * s + k - 2 * p for n, s, k, p in zip(sizes, stride, kernel, padding))
        if wanted is not None:
            last = tuple(wanted)[2:] if len(wanted) == self.rank + 2 else tuple(wanted)
            if len(last) != self.rank or not all(abs(n - m) < s for n, m, s in zip(last, usual, stride)):
                raise reject(self, "output_size", wanted, f"{usual}, each by less than the stride {stride} off")
            usual = last
        if min(usual) < 0:
            raise reject(self, "padding", self.padding, f"one that leaves a size of 0 or more, not {usual}")
        return usual


class MaxUnpool1d(_MaxUnpool):
    """Undo the maxima of ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class MaxUnpool2d(_MaxUnpool):
    """Undo the maxima of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class MaxUnpool3d(_MaxUnpool):
    """Undo the maxima of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3
