"""Poolings whose windows fit the output that is wanted: adaptive and fractional ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from impl.layer import Array, Layer, Noise, Shape, Step, draw, reject
from impl.pooling import adaptive, check_spatial, greatest, mean
from impl.windows import per_axis, with_batch

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
]


@dataclass(frozen=True, eq=False)
class _Adaptive(Layer):
    output_size: int | tuple[int | None, ...]

    rank: ClassVar[int]

    def __post_init__(self) -> None:
        self._counts((0,) * self.rank)

    def _counts(self, spatial: Shape) -> Shape:
        wanted = self.output_size
        sizes = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,) * self.rank
        # torch takes None for one of several axes, not for the only one.
        kept = spatial if isinstance(wanted, tuple | list) and self.rank > 1 else (None,) * self.rank
        found = [n if size is None else size for size, n in zip(sizes, kept)]
        counts = tuple(n for n in found if isinstance(n, int | np.integer) and n >= 0)
        if not len(counts) == len(sizes) == self.rank:
            stays = ", or None in a tuple for an axis that stays" if self.rank > 1 else ""
            raise reject(self, "output_size", wanted, f"{self.rank} integers or a single one, at least 0{stays}")
        return counts

    def _windows(self, x: Array) -> list[Array]:
        spatial = x.shape[-self.rank :]
        return [adaptive(size, count) for size, count in zip(spatial, self._counts(spatial))]


@dataclass(frozen=True, eq=False)
class _AdaptiveAvgPool(_Adaptive):
    """The mean of each of ``output_size`` windows, which share out the axis; backward adds ``g / n`` to its n elements.

    Window i goes from ``floor(i L / m)`` to ``ceil((i + 1) L / m)``, so that neighbours overlap where m is no divisor
    of L. Shapes: x ``(N, C, *spatial)`` or without N; y likewise, ``output_size`` in place of spatial, where None keeps
    an axis.

    Source: He et al., ECCV (2014), section 3.1 (spatial pyramid pooling: the very windows).
    """

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        with_batch(self, x, self.rank)
        axes = self._windows(x)
        # One window for all is a plain mean to torch, be it of nothing.
        check_spatial(self, x, self.rank, x.ndim if all(places.shape[1] == 1 for places in axes) else -self.rank)
        return mean(x, axes)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3


@dataclass(frozen=True, eq=False)
class _AdaptiveMaxPool(_Adaptive):
    """The greatest element of each of ``output_size`` windows, which share out the axis; g goes to where it was.

    The windows are those of adaptive averages; shapes, ties, NaN and ``return_indices`` as for MaxPool.
    Backward: ``dE/dx[j] = sum of g[i]`` over the windows i of which j is the greatest.

    Source: He et al., ECCV (2014), section 3.1.
    """

    return_indices: bool = False

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        check_spatial(self, x, self.rank, 1)
        return greatest(x, self._windows(x), self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3


@dataclass(frozen=True, eq=False)
class _FractionalMaxPool(Layer):
    """The greatest element of each window; the windows, all of one size, begin at random places, in training or not.

    With u uniform in [0, 1), one for each plane and axis, window i of m begins at ``floor(a (i + u)) - floor(a u)``,
    where ``a = (L - k) / (m - 1)``, and the last one ends where x does. Shapes: x ``(N, C, *spatial)`` or without N; y
    likewise, ``output_size`` or ``floor(output_ratio L)`` in place of spatial; noise ``(N, C, rank)``, N being 1 where
    there is none. Ties, NaN and ``return_indices`` as for MaxPool.

    Backward: ``dE/dx[j] = sum of g[i]`` over the windows i of which j is the greatest.

    Source: Graham, arXiv:1412.6071 (2014), section 2 (pseudorandom, overlapping).
    """

    kernel_size: int | tuple[int, ...]
    output_size: int | tuple[int, ...] | None = None
    output_ratio: float | tuple[float, ...] | None = None
    return_indices: bool = False

    rank: ClassVar[int]
    drawn: ClassVar[Shape]
    """Which column of the noise is for which axis."""
    spare: ClassVar[int]
    """How many elements torch wants beyond those that windows at different places need."""

    def __post_init__(self) -> None:
        per_axis(self, "kernel_size", self.rank, 1)
        if (self.output_size is None) == (self.output_ratio is None):
            raise reject(self, "output_size", self.output_size, "either it or output_ratio")
        if self.output_size is not None:
            per_axis(self, "output_size", self.rank, 1)
        elif len(self._ratios()) != self.rank or not all(0 < ratio < 1 for ratio in self._ratios()):
            raise reject(self, "output_ratio", self.output_ratio, f"{self.rank} numbers in (0, 1) or a single one")

    def _ratios(self) -> tuple[float, ...]:
        ratios = self.output_ratio
        return tuple(ratios) if isinstance(ratios, tuple | list) else (ratios or 0.0,) * self.rank

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        check_spatial(self, x, self.rank, 1)
        spatial, kernel = x.shape[-self.rank :], per_axis(self, "kernel_size", self.rank, 1)
        if self.output_size is None:
            counts = tuple(int(n * ratio) for n, ratio in zip(spatial, self._ratios()))
        else:
            counts = per_axis(self, "output_size", self.rank, 1)
        if any(m + k - 1 + self.spare > n for m, k, n in zip(counts, kernel, spatial)):
            wanted = f"at least output_size {counts} + kernel_size {kernel} - {1 - self.spare} along each axis"
            raise reject(self, "the shape of its input", x.shape, wanted)
        batch = x.shape[0] if x.ndim == self.rank + 2 else 1
        u = draw(self, noise, (batch, x.shape[-self.rank - 1], self.rank)).reshape(-1, self.rank)
        axes = []
        for column, n, k, m in zip(self.drawn, spatial, kernel, counts):
            apart = (n - k) / max(m - 1, 1)
            begins = np.floor((np.arange(m) + u[:, column, None]) * apart) - np.floor(u[:, column, None] * apart)
            begins[:, -1:] = n - k
            axes.append(begins.astype(np.int64)[:, None] + np.arange(k)[:, None])
        return greatest(x, axes, self.return_indices)


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maximum over random windows of ``(N, C, H, W)`` or ``(C, H, W)``; W takes the first number of the noise."""

    rank = 2
    drawn = (1, 0)
    spare = 0


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maximum over random windows of ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3
    drawn = (0, 1, 2)
    spare = 1
