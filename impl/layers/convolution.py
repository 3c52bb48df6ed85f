"""Convolutions: Conv1d, Conv2d."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject, uniform
from impl.windows import overlap_add, per_axis, windows, with_batch

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
_PAD: dict[str, Literal["constant", "reflect", "edge", "wrap"]] = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


@dataclass(frozen=True, eq=False)
class _Convolution(Layer):
    """Slide a kernel over ``rank`` axes: ``y[n, o, p] = b[o] + sum_{c, k} W[o, c, k] x[n, c, p stride + k dilation]``.

    Shapes: x ``(N, in_channels, *spatial)`` or without N, weight W ``(out_channels, in_channels / groups, *kernel)``,
    bias b ``(out_channels,)``, y ``(N, out_channels, *out)``. Each of the groups of output channels sees only its own
    group of input channels c. Padding comes first; its adjoint last: what was read twice gathers both gradients.

    Backward, with the windows of one sample as the columns X of a matrix: ``Y = W X``, so ``dE/dW = G X^T`` (summed
    over the batch) and ``dE/dX = W^T G``, whose columns are added back to the places where the windows lay.

    Source: LeCun et al., Proc. IEEE 86 (1998), section II; as matrices: Chellapilla, Puri and Simard, IWFHR (2006).
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
        per_axis(self, "dilation", self.rank, 1)
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

    def forward(
        self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None
    ) -> Step:
        weight = parameters["weight"]
        check_shape(self, "weight", weight, self.parameter_shapes["weight"])
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
        # NumPy would repeat a short axis again and again; torch refuses to.
        short = {"reflect": 1, "circular": 0}.get(self.padding_mode)
        if short is not None and any(max(pair) + short > n for n, pair in zip(spatial, margins)):
            raise reject(self, "the shape of its input", spatial, f"no axis shorter than its {self.padding_mode} padding")
        return margins


class Conv1d(_Convolution):
    """Convolution over ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class Conv2d(_Convolution):
    """Convolution over ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


def _pad(x: Array, margins: list[tuple[int, int]], mode: PaddingMode) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *margins], _PAD[mode]) if np.any(margins) else x


def _unpad(gradient: Array, margins: list[tuple[int, int]], mode: PaddingMode) -> Array:
    """Hand the gradient of each padded element to the element that it was copied from: the adjoint of padding."""
    for axis, (before, after) in enumerate(margins, start=2):
        if before or after:
            size = gradient.shape[axis] - before - after
            lead = (slice(None),) * axis
            source = gradient
            gradient = source[*lead, before : before + size]
            if mode != "zeros":
                origin = np.pad(np.arange(size), (before, after), _PAD[mode])
                gradient = np.zeros_like(gradient)
                np.add.at(gradient, (*lead, origin), source)
    return gradient
