"""Interpolation: Upsample in all its modes, UpsamplingNearest2d, UpsamplingBilinear2d."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Layer, Noise, Step, reject
from impl.pooling import Along, adaptive, interpolated, mean, wide

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]

RANKS = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "bicubic": (4,),
    "trilinear": (5,),
}
"""The modes, and which ranks of the input each is for."""

SLOPE = -0.75
"""Of the cubic kernel, at distance 1."""


@dataclass(frozen=True, eq=False)
class _Resized(Layer):
    size: int | tuple[int, ...] | None = None
    scale_factor: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.size is None) == (self.scale_factor is None):
            raise reject(self, "scale_factor", self.scale_factor, f"either it or size, which is {self.size!r}")
        given = np.atleast_1d(np.asanyarray(self.scale_factor if self.size is None else self.size))
        if self.size is not None and not (given.dtype.kind == "i" and given.min() >= 0):
            raise reject(self, "size", self.size, "an integer, or one for each axis, at least 0")
        if not given.min() >= 0 or (self.size is None and 0 in given):
            raise reject(self, "scale_factor", self.scale_factor, "a positive number, or one for each axis")

    def _resized(self, x: Array, mode: str, align_corners: bool, recompute: bool) -> Step:
        if x.ndim not in RANKS[mode]:
            wanted = " or ".join(f"(N, C, {', '.join('DHW'[5 - rank :])})" for rank in RANKS[mode])
            raise reject(self, "the shape of its input", x.shape, f"{wanted} for the mode {mode}")
        spatial = x.shape[2:]
        name = "scale_factor" if self.size is None else "size"
        given = np.asanyarray(getattr(self, name))
        if given.shape not in ((), (len(spatial),)):
            raise reject(self, name, getattr(self, name), f"one number or {len(spatial)} for the shape {x.shape}")
        each = np.broadcast_to(given, len(spatial)).tolist()
        sizes = [int(n * factor) for n, factor in zip(spatial, each)] if self.size is None else each
        # An average over areas gives nothing at all as well, and one of nothing.
        if (0 in spatial and set(sizes) != {1}) if mode == "area" else 0 in (x.shape[1], *spatial, *sizes):
            wanted = f"at least one channel and one element along each axis, also of the {sizes} that come out"
            raise reject(self, "the shape of its input", x.shape, wanted)
        if mode == "area":
            return mean(x, [adaptive(n, m) for n, m in zip(spatial, sizes)])
        factors = each if self.size is None and not recompute else [None] * len(spatial)
        dtype = wide(x.real).dtype
        return interpolated(
            x, [_along(n, m, f, mode, align_corners, dtype) for n, m, f in zip(spatial, sizes, factors)]
        )


def _along(n: int, m: int, factor: float | None, mode: str, align_corners: bool, dtype: DTypeLike) -> Along:
    """Make the map from n to m elements, computing in the precision in which torch does."""
    i = np.arange(m).astype(dtype)
    scale = np.asanyarray((n / m) if factor is None else 1 / factor, dtype)
    # Rounded once, as by the one instruction that torch's compiler makes of it.
    middle = (scale.astype(np.longdouble) * (i + 0.5) - 0.5).astype(dtype)
    if mode.startswith("nearest"):
        at = scale * i if mode == "nearest" else np.maximum(middle, 0) + np.float64(0.5)
        # torch rounds to float32 before it takes the floor, whatever the dtype.
        at = np.floor(at.astype(np.float32)).astype(np.int64)
        return Along(n, np.minimum(at, n - 1)[None], np.ones((1, m)))
    source = i * np.asanyarray((n - 1) / max(m - 1, 1), dtype) if align_corners else middle
    if mode != "bicubic":
        source = i if n == m else np.maximum(source, 0)
    first = np.minimum(np.floor(source).astype(np.int64), n - 1)
    t = np.clip(source - first, 0, 1)
    if mode == "bicubic":
        taps = first + np.arange(-1, 3)[:, None]
        return Along(n, np.clip(taps, 0, n - 1), np.stack([_far(t + 1), _near(t), _near(1 - t), _far(2 - t)]))
    return Along(n, np.minimum(first + np.arange(2)[:, None], n - 1), np.stack([1 - t, t]))


def _near(t: Array) -> Array:
    return np.asanyarray(((SLOPE + 2) * t - (SLOPE + 3)) * t * t + 1)


def _far(t: Array) -> Array:
    return np.asanyarray(((SLOPE * t - 5 * SLOPE) * t + 8 * SLOPE) * t - 4 * SLOPE)


@dataclass(frozen=True, eq=False)
class Upsample(_Resized):
    """Interpolate to ``size`` or ``floor(scale_factor L)``: ``y = W x`` along each axis; backward ``dE/dx = W^T g``.

    Output i looks at ``u = (i + 1/2) s - 1/2`` with ``s = L / m`` or, as long as it is not to be recomputed,
    ``1 / scale_factor``; with ``align_corners`` at ``u = i (L - 1) / (m - 1)``. With j = floor(u), t = u - j:

    - linear, bilinear, trilinear: ``(1 - t) x[j] + t x[j + 1]``, u being at least 0, and u = i where m = L;
    - bicubic: ``c(1 + t) x[j - 1] + c(t) x[j] + c(1 - t) x[j + 1] + c(2 - t) x[j + 2]``, where c is Keys' kernel with
      a = -3/4: ``(a + 2) t^3 - (a + 3) t^2 + 1`` up to 1, ``a t^3 - 5 a t^2 + 8 a t - 4 a`` up to 2;
    - nearest: ``x[floor(i s)]``; nearest-exact: ``x[floor((i + 1/2) s)]``; area: AdaptiveAvgPool.

    Beyond the ends the last element goes on. Shapes: x ``(N, C, *spatial)`` with 1 axis for linear, 2 for bilinear and
    bicubic, 3 for trilinear, 1 to 3 for the others; y ``(N, C, *sizes)``.

    Source: Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981), eq. (7); torch's conventions.
    """

    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in RANKS:
            raise reject(self, "mode", self.mode, f"one of {', '.join(RANKS)}")
        if self.align_corners is not None and not self.mode.endswith(("linear", "cubic")):
            raise reject(self, "align_corners", self.align_corners, f"None for the mode {self.mode}")
        if self.recompute_scale_factor and self.size is not None:
            raise reject(self, "recompute_scale_factor", True, "None or False, size being given")

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        return self._resized(x, self.mode, bool(self.align_corners), bool(self.recompute_scale_factor))


class UpsamplingNearest2d(_Resized):
    """:class:`Upsample` with ``mode="nearest"``, backward too.

    Shapes: x ``(N, C, H, W)``, y ``(N, C, *sizes)``; 1 or 3 axes as in torch.
    """

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        return self._resized(x, "nearest", align_corners=False, recompute=False)


class UpsamplingBilinear2d(_Resized):
    """:class:`Upsample` with ``mode="bilinear", align_corners=True``, backward too.

    Shapes: x ``(N, C, H, W)``, y ``(N, C, *sizes)``.
    """

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        return self._resized(x, "bilinear", align_corners=True, recompute=False)
