"""Convolutions: Conv1d, Conv2d, Conv3d."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject, uniform
from impl.windows import overlap_add, per_axis, windows, with_batch

__all__ = ["Conv1d", "Conv2d", "Conv3d"]

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
_PAD: dict[str, Literal["constant", "reflect", "edge", "wrap"]] = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


@dataclass(frozen=True, eq=False)
class _Convolution(Layer):
    """Slide a kernel over ``rank`` axes: ``y[o, p] = b[o] + sum_ck W[o, c, k] x[c, p stride + k dilation]``.

    Shapes: x ``(N, in_channels, *spatial)`` or without N, y the same with out_channels, weight W
    ``(out_channels, in_channels / groups, *kernel)``, bias b ``(out_channels,)``. Each group of output
    channels sees only its own group of input channels.

    Backward, with the windows of one sample as the columns of a matrix X: ``Y = W X``, so ``dE/dW = G X^T``,
    summed over the batch, and ``dE/dX = W^T G``, whose columns are added to the places where the windows lay.
    Padding comes before, its adjoint after: an element that was copied gathers the gradients of its copies.

    Source: LeCun et al., Proc. IEEE 86 (1998), section II; as matrices Chellapilla et al., IWFHR (2006).
    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | Literal["same", "valid"] = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    bias: bool = True
    padding_mode: PaddingMode = "zeros"

    rank: ClassVar[int]

    def __post_init__(self) -> None:
        for argument in ("kernel_size", "dilation"):
            per_axis(self, argument, self.rank, 1)
        stride = per_axis(self, "stride", self.rank, 1)
        if self.groups < 1:
            raise reject(self, "groups", self.groups, "at least 1")
        for argument in ("in_channels", "out_channels"):
            if getattr(self, argument) < 1 or getattr(self, argument) % self.groups:
                raise reject(self, argument, getattr(self, argument), f"a multiple of groups, {self.groups}")
        if self.padding_mode not in _PAD:
            raise reject(self, "padding_mode", self.padding_mode, f"one of {', '.join(_PAD)}")
        if not isinstance(self.padding, str):
            per_axis(self, "padding", self.rank, 0)
        elif self.padding not in ("same", "valid"):
            raise reject(self, "padding", self.padding, "integers, 'same' or 'valid'")
        elif self.padding == "same" and max(stride) > 1:
            raise reject(self, "stride", self.stride, "1, because padding is 'same'")

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        kernel = per_axis(self, "kernel_size", self.rank, 1)
        shapes: dict[str, Shape] = {"weight": (self.out_channels, self.in_channels // self.groups, *kernel)}
        if self.bias:
            shapes["bias"] = (self.out_channels,)
        return shapes

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        bound = prod(self.parameter_shapes["weight"][1:]) ** -0.5
        return {name: uniform(rng, bound, shape, dtype) for name, shape in self.parameter_shapes.items()}

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        weight = parameters["weight"]
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        batch = with_batch(self, x, self.rank, self.in_channels)
        kernel, spatial = weight.shape[2:], batch.shape[2:]
        stride = per_axis(self, "stride", self.rank, 1)
        dilation = per_axis(self, "dilation", self.rank, 1)
        margins = self._margins(spatial, kernel, dilation)
        padded = _pad(batch, margins, self.padding_mode)
        if any(n <= d * (k - 1) for n, k, d in zip(padded.shape[2:], kernel, dilation)):
            raise reject(self, "the shape of its padded input", padded.shape, "room for the dilated kernel")
        view = windows(padded, kernel, stride, dilation)
        n, groups, out = len(batch), self.groups, view.shape[-self.rank :]
        grouped_weight = weight.reshape(groups, self.out_channels // groups, -1)
        columns = view.reshape(n, groups, grouped_weight.shape[-1], prod(out))
        y = (grouped_weight @ columns).reshape(n, self.out_channels, *out)
        if self.bias:
            y = y + parameters["bias"].reshape(-1, *(1,) * self.rank)

        def backward(g: Array) -> Gradients:
            grouped = g.reshape(n, groups, self.out_channels // groups, prod(out))
            gradients = {"weight": (grouped @ columns.swapaxes(-1, -2)).sum(axis=0).reshape(weight.shape)}
            if self.bias:
                gradients["bias"] = grouped.sum(axis=(0, -1)).reshape(-1)
            pieces = (grouped_weight.swapaxes(-1, -2) @ grouped).reshape(view.shape)
            gradient = overlap_add(pieces, padded.shape[2:], stride, dilation)
            return Gradients((_unpad(gradient, margins, self.padding_mode).reshape(x.shape),), gradients)

        return Step(y.reshape(x.shape[: -self.rank - 1] + y.shape[1:]), backward)

    def _margins(self, spatial: Shape, kernel: Shape, dilation: Shape) -> list[tuple[int, int]]:
        """Elements to add before and after each axis; 'same' adds the odd one after."""
        if isinstance(self.padding, str):
            sizes = [d * (k - 1) if self.padding == "same" else 0 for k, d in zip(kernel, dilation)]
            margins = [(size // 2, size - size // 2) for size in sizes]
        else:
            margins = [(p, p) for p in per_axis(self, "padding", self.rank, 0)]
        own = {"reflect": 1, "circular": 0}.get(self.padding_mode)
        # NumPy would mirror or repeat a short axis again and again, torch refuses.
        if own is not None and any(n < max(pair) + own for n, pair in zip(spatial, margins)):
            wanted = f"axes that last for {self.padding_mode} padding by {margins}"
            raise reject(self, "the spatial shape of its input", spatial, wanted)
        return margins


class Conv1d(_Convolution):
    """Convolution over ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class Conv2d(_Convolution):
    """Convolution over ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class Conv3d(_Convolution):
    """Convolution over ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3


def _pad(x: Array, margins: list[tuple[int, int]], mode: PaddingMode) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *margins], _PAD[mode]) if np.any(margins) else x


def _unpad(gradient: Array, margins: list[tuple[int, int]], mode: PaddingMode) -> Array:
    """Add the gradient of each copy to that of the element that padding copied: the adjoint of padding."""
    for axis, (before, after) in enumerate(margins, start=2):
        if before or after:
            copies = np.moveaxis(gradient, axis, 0)
            size = len(copies) - before - after
            originals = copies[before : before + size]
            if mode != "zeros":
                originals = np.zeros_like(originals)
                np.add.at(originals, np.pad(np.arange(size), (before, after), _PAD[mode]), copies)
            gradient = np.moveaxis(originals, 0, axis)
    return gradient
