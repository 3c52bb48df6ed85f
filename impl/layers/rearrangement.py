"""The same numbers in another order or shape: PixelShuffle, PixelUnshuffle, ChannelShuffle, Unflatten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Step, reject

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle", "Unflatten"]


def _shuffled(x: Array, r: int) -> Array:
    """Deal ``(*, C r^2, H, W)`` out to blocks of r by r pixels: ``(*, C, H r, W r)``."""
    *lead, channels, height, width = x.shape
    blocks = x.reshape(*lead, channels // r**2, r, r, height, width)
    return np.moveaxis(blocks, (-4, -3), (-3, -1)).reshape(*lead, channels // r**2, height * r, width * r)


def _unshuffled(x: Array, r: int) -> Array:
    """Collect blocks of r by r pixels in channels: the inverse of :func:`_shuffled`."""
    *lead, channels, height, width = x.shape
    blocks = x.reshape(*lead, channels, height // r, r, width // r, r)
    return np.moveaxis(blocks, (-3, -1), (-4, -3)).reshape(*lead, channels * r**2, height // r, width // r)


@dataclass(frozen=True, eq=False)
class PixelShuffle(Layer):
    """Make pixels of channels: ``y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w]``, r being ``upscale_factor``.

    Shapes: x ``(*, C r^2, H, W)``, y ``(*, C, H r, W r)``. Backward puts g back: PixelUnshuffle.

    Source: Shi et al., CVPR (2016), eq. 4.
    """

    upscale_factor: int

    holomorphic = True

    def __post_init__(self) -> None:
        if self.upscale_factor < 1:
            raise reject(self, "upscale_factor", self.upscale_factor, "at least 1")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        r = self.upscale_factor
        if x.ndim < 3 or x.shape[-3] % r**2:
            raise reject(self, "the shape of its input", x.shape, f"(*, C * {r**2}, H, W)")
        return Step(_shuffled(x, r), lambda g: Gradients((_unshuffled(g, r),)))


@dataclass(frozen=True, eq=False)
class PixelUnshuffle(Layer):
    """Make channels of pixels: ``y[c r^2 + i r + j, h, w] = x[c, h r + i, w r + j]``, r being ``downscale_factor``.

    Shapes: x ``(*, C, H r, W r)``, y ``(*, C r^2, H, W)``. Backward puts g back: PixelShuffle.

    Source: Shi et al., CVPR (2016), eq. 4, the other way round.
    """

    downscale_factor: int

    holomorphic = True

    def __post_init__(self) -> None:
        if self.downscale_factor < 1:
            raise reject(self, "downscale_factor", self.downscale_factor, "at least 1")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        r = self.downscale_factor
        if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
            raise reject(self, "the shape of its input", x.shape, f"(*, C, H * {r}, W * {r})")
        return Step(_unshuffled(x, r), lambda g: Gradients((_shuffled(g, r),)))


@dataclass(frozen=True, eq=False)
class ChannelShuffle(Layer):
    """Deal the channels of ``groups`` groups out in turn: a table of groups by C / groups, transposed.

    Shapes: x and y ``(N, C, *)`` with at least one axis behind C. Backward transposes the table of g back.

    Source: Zhang et al., CVPR (2018), section 3.1 (ShuffleNet).
    """

    groups: int

    holomorphic = True

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise reject(self, "groups", self.groups, "at least 1")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if x.ndim < 3 or x.shape[1] % self.groups:
            raise reject(self, "the shape of its input", x.shape, f"(N, C * {self.groups}, *)")
        n, channels, *rest = x.shape
        table = (n, self.groups, channels // self.groups, *rest)
        y = x.reshape(table).swapaxes(1, 2)

        def backward(g: Array) -> Gradients:
            return Gradients((g.reshape(y.shape).swapaxes(1, 2).reshape(x.shape),))

        return Step(y.reshape(x.shape), backward)


@dataclass(frozen=True, eq=False)
class Unflatten(Layer):
    """Unfold the axis ``dim`` into several of the sizes ``unflattened_size``, one of which may be -1; backward folds g.

    Shapes: x ``(*, S_1 ... S_k, *)``, y ``(*, S_1, ..., S_k, *)``.
    """

    dim: int
    unflattened_size: tuple[int, ...]

    holomorphic = True

    def __post_init__(self) -> None:
        if not isinstance(self.dim, int | np.integer):
            raise reject(self, "dim", self.dim, "an integer: the axes of arrays have no names")
        sizes = self.unflattened_size
        integers = isinstance(sizes, tuple | list) and all(isinstance(n, int | np.integer) and n >= -1 for n in sizes)
        if not integers or not sizes or sizes.count(-1) > 1:
            raise reject(self, "unflattened_size", sizes, "a tuple of sizes, at most one of them -1")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        if not -x.ndim <= self.dim < x.ndim:
            raise reject(self, "dim", self.dim, f"an axis of its input {x.shape}")
        dim, size = self.dim % x.ndim, x.shape[self.dim]
        known = prod(n for n in self.unflattened_size if n != -1)
        if known != size if -1 not in self.unflattened_size else (not known or size % known):
            raise reject(self, "unflattened_size", self.unflattened_size, f"sizes that multiply up to {size}")
        sizes = (size // known if n == -1 else n for n in self.unflattened_size)
        return Step(x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :]), lambda g: Gradients((g.reshape(x.shape),)))
