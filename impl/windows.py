"""Windows that slide over the last axes of an array: what convolutions and poolings of every rank share."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from impl.layer import Array, Layer, Shape, reject


def per_axis(layer: Layer, argument: str, rank: int, least: int | None = None) -> Shape:
    """Return an argument that is one integer, or ``rank`` of them, as ``rank`` of them.

    Raises
    ------
    ValueError
        It is neither, or one is smaller than ``least``.
    """
    value = getattr(layer, argument)
    sizes = (value,) * rank if np.ndim(value) == 0 else tuple(value)
    integers = all(isinstance(n, int | np.integer) for n in sizes)
    if len(sizes) != rank or not integers or (least is not None and min(sizes) < least):
        wanted = f"{rank} integers or a single one"
        raise reject(layer, argument, value, wanted if least is None else f"{wanted}, at least {least}")
    return sizes


def with_batch(layer: Layer, x: Array, rank: int, channels: int | None = None) -> Array:
    """Return ``(N, C, *spatial)`` as it is, and ``(C, *spatial)`` as a batch of one.

    Raises
    ------
    ValueError
        It has another rank or, where ``channels`` is given, another C.
    """
    if x.ndim not in (rank + 1, rank + 2) or channels not in (None, x.shape[-rank - 1]):
        spatial = ("L",) if rank == 1 else ("D", "H", "W")[-rank:]
        wanted = ", ".join(["C" if channels is None else str(channels), *spatial])
        raise reject(layer, "the shape of its input", x.shape, f"(N, {wanted}) or ({wanted})")
    return x if x.ndim == rank + 2 else x[None]


def counts(spatial: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """How many windows there are along each axis."""
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(spatial, kernel, stride, dilation))


def windows(x: Array, kernel: Shape, stride: Shape, dilation: Shape) -> Array:
    """View ``(N, C, *spatial)`` as ``(N, C, *kernel, *out)``: (k, o) shows ``x[o stride + k dilation]``."""
    out = counts(x.shape[2:], kernel, stride, dilation)
    along_kernel = tuple(step * d for step, d in zip(x.strides[2:], dilation))
    along_out = tuple(step * s for step, s in zip(x.strides[2:], stride))
    steps = (*x.strides[:2], *along_kernel, *along_out)
    return np.lib.stride_tricks.as_strided(x, (*x.shape[:2], *kernel, *out), steps, writeable=False)


def overlap_add(total: Array, pieces: Array, stride: Shape, dilation: Shape) -> None:
    """Add windows ``(N, C, *kernel, *out)`` to ``(N, C, *spatial)``: the adjoint of :func:`windows`."""
    rank = len(stride)
    for offset in np.ndindex(pieces.shape[2 : 2 + rank]):
        starts = [k * d for k, d in zip(offset, dilation)]
        reach = (slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, stride, pieces.shape[2 + rank :]))
        place: tuple[Any, ...] = (..., *reach)
        total[place] += pieces[(slice(None), slice(None), *offset)]


class Grid(NamedTuple):
    """Where a kernel lies on an array, and which channels it sees: each group of them by itself."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    groups: int = 1

    @classmethod
    def of(cls, layer: Layer, rank: int, groups: int = 1) -> Grid:
        """Read it from a layer's kernel_size, stride and dilation."""
        kernel, stride, dilation = (per_axis(layer, name, rank, 1) for name in ("kernel_size", "stride", "dilation"))
        return cls(kernel, stride, dilation, groups)

    def counts(self, spatial: Shape) -> Shape:
        """How many windows there are along each axis; less than 1 where the kernel finds no room."""
        return counts(spatial, self.kernel, self.stride, self.dilation)

    def columns(self, x: Array) -> Array:
        """Write each window of ``(N, C, *spatial)`` as a column: ``(N, groups, C / groups * kernel, windows)``."""
        view = windows(x, self.kernel, self.stride, self.dilation)
        seen = x.shape[1] // self.groups * prod(self.kernel)
        return view.reshape(len(x), self.groups, seen, prod(view.shape[-len(self.kernel) :]))

    def spread(self, columns: Array, spatial: Shape) -> Array:
        """Add columns to the places where their windows lay: the adjoint of :meth:`columns`."""
        channels = self.groups * columns.shape[2] // prod(self.kernel)
        total = np.zeros((len(columns), channels, *spatial), columns.dtype)
        pieces = columns.reshape(len(columns), channels, *self.kernel, *self.counts(spatial))
        overlap_add(total, pieces, self.stride, self.dilation)
        return total
