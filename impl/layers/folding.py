"""Windows written as columns, and added up again: Unfold, Fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, reject
from impl.padding import Margins, pad, unpad
from impl.windows import Grid, per_axis, with_batch

__all__ = ["Fold", "Unfold"]


class _Windows(Layer):
    """What Unfold and Fold share: how windows lie on ``(N, C, H, W)`` with zeros around it."""

    kernel_size: int | tuple[int, ...]
    dilation: int | tuple[int, ...]
    padding: int | tuple[int, ...]
    stride: int | tuple[int, ...]

    holomorphic = True

    def __post_init__(self) -> None:
        Grid.of(self, 2)
        per_axis(self, "padding", 2, 0)

    @property
    def grid(self) -> Grid:
        return Grid.of(self, 2)

    @property
    def margins(self) -> Margins:
        """Zeros before and after each axis."""
        return [(p, p) for p in per_axis(self, "padding", 2, 0)]

    def padded(self, spatial: Shape) -> Shape:
        """Return the sizes with the zeros."""
        return tuple(n + before + after for n, (before, after) in zip(spatial, self.margins))

    def columns(self, x: Array) -> Array:
        """Write the windows of ``(N, C, H, W)`` as columns ``(N, C kernel, L)``."""
        return self.grid.columns(pad(x, self.margins, "zeros"))[:, 0]

    def spread(self, columns: Array, spatial: Shape) -> Array:
        """Add the columns up in ``(N, C, *spatial)``: the adjoint of :meth:`columns`."""
        return unpad(self.grid.spread(columns[:, None], self.padded(spatial)), self.margins, "zeros")


@dataclass(frozen=True, eq=False)
class Unfold(_Windows):
    """Write each window as a column, ``y[ck, p] = x[c, p stride + k dilation]``: the im2col of a convolution.

    Shapes: x ``(N, C, H, W)`` or without N, y ``(N, C kernel, L)`` or without N, L windows in row-major order.

    Backward is Fold: an element gathers the gradients of all windows that saw it.

    Source: Chellapilla et al., IWFHR (2006), section 3.
    """

    kernel_size: int | tuple[int, ...]
    dilation: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    stride: int | tuple[int, ...] = 1

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        batch = with_batch(self, x, 2)
        if 0 in batch.shape[1:] or min(self.grid.counts(self.padded(batch.shape[2:]))) < 1:
            raise reject(self, "the shape of its input", x.shape, "room for a window, and no empty axis but the batch")
        columns = self.columns(batch)

        def backward(g: Array) -> Gradients:
            return Gradients((self.spread(g.reshape(columns.shape), batch.shape[2:]).reshape(x.shape),))

        return Step(columns.reshape(x.shape[:-3] + columns.shape[1:]), backward)


@dataclass(frozen=True, eq=False)
class Fold(_Windows):
    """Add columns to the places where their windows lay, ``y[c, p stride + k dilation] += x[ck, p]``.

    Shapes: x ``(N, C kernel, L)`` or without N, y ``(N, C, *output_size)`` or without N; L is how many windows an
    array of output_size has.

    Backward is Unfold: each column hands on what its window sees of dE/dy.

    Source: Chellapilla et al., IWFHR (2006), section 3.
    """

    output_size: int | tuple[int, ...]
    kernel_size: int | tuple[int, ...]
    dilation: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    stride: int | tuple[int, ...] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        per_axis(self, "output_size", 2, 1)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        spatial = per_axis(self, "output_size", 2, 1)
        places = self.grid.counts(self.padded(spatial))
        seen, count = prod(self.grid.kernel), prod(places)
        if x.ndim not in (2, 3) or x.shape[-2] < 1 or x.shape[-2] % seen or min(places) < 1 or x.shape[-1] != count:
            wanted = f"(N, C * {seen}, {count}) or (C * {seen}, {count}), with windows {places}"
            raise reject(self, "the shape of its input", x.shape, wanted)
        batch = x if x.ndim == 3 else x[None]
        y = self.spread(batch, spatial)

        def backward(g: Array) -> Gradients:
            return Gradients((self.columns(g.reshape(y.shape)).reshape(x.shape),))

        return Step(y.reshape(x.shape[:-2] + y.shape[1:]), backward)
