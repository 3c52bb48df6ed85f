"""Convolutions and transposed convolutions over one to three axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from impl.correlation import adjoint, batch_last, both_gradients, correlate, weight_gradient
from impl.init import all_uniform
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.padding import Margins, PaddingMode, check_margins, pad, unpad
from impl.windows import Grid, per_axis, with_batch

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _Kernel(Layer):
    """What convolutions of both directions share: the weight ``(rows, columns / groups, *kernel)`` of a linear map.

    Its matrix meets the windows of the larger array, written as columns: a convolution takes them to rows, the
    transposed one rows to them.
    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...]
    dilation: int | tuple[int, ...]
    groups: int
    bias: bool

    rank: ClassVar[int]
    holomorphic = True

    def __post_init__(self) -> None:
        Grid.of(self, self.rank)
        if self.groups < 1:
            raise reject(self, "groups", self.groups, "at least 1")
        for argument in ("in_channels", "out_channels"):
            if getattr(self, argument) < 1 or getattr(self, argument) % self.groups:
                raise reject(self, argument, getattr(self, argument), f"a multiple of groups, {self.groups}")

    @property
    def ends(self) -> tuple[int, int]:
        """Channels of the rows and of the columns."""
        return self.out_channels, self.in_channels

    @property
    def grid(self) -> Grid:
        return Grid.of(self, self.rank, self.groups)

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        rows, columns = self.ends
        shapes: dict[str, Shape] = {"weight": (rows, columns // self.groups, *self.grid.kernel)}
        if self.bias:
            shapes["bias"] = (self.out_channels,)
        return shapes

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        bound = prod(self.parameter_shapes["weight"][1:]) ** -0.5
        return all_uniform(self, rng, bound, dtype=dtype)

    def matrices(self, parameters: Mapping[str, Array]) -> Array:
        """Write the weight as a matrix for each group: ``(groups, rows / groups, columns / groups * kernel)``.

        Raises
        ------
        ValueError
            A parameter has another shape.
        """
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        weight = parameters["weight"]
        return weight.reshape(self.groups, len(weight) // self.groups, prod(weight.shape[1:]))

    def batch(self, x: Array) -> Array:
        """Return the input with a batch axis; ValueError where a kernel finds nothing in it."""
        batch = with_batch(self, x, self.rank, self.in_channels)
        if 0 in batch.shape[2:]:
            raise reject(self, "the shape of its input", x.shape, "no empty axis but the batch")
        return batch

    def shifted(self, y: Array, parameters: Mapping[str, Array]) -> Array:
        """Add the bias, where there is one, to an output that is ours alone."""
        if not self.bias:
            return y
        bias = parameters["bias"].reshape(-1, *(1,) * self.rank)
        return np.add(y, bias, out=y if np.can_cast(bias.dtype, y.dtype) else None)

    def gradients(self, weight: Array, g: Array) -> dict[str, Array]:
        """Return the gradients of the parameters: that of the weight, given as matrices, and of the bias."""
        found = {"weight": weight.reshape(self.parameter_shapes["weight"])}
        if self.bias:
            found["bias"] = np.moveaxis(g, 0, -1).reshape(self.out_channels, -1).sum(axis=1)
        return found


@dataclass(frozen=True, eq=False)
class _Convolution(_Kernel):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        modes = get_args(PaddingMode)
        if self.padding_mode not in modes:
            raise reject(self, "padding_mode", self.padding_mode, f"one of {', '.join(modes)}")
        if not isinstance(self.padding, str):
            per_axis(self, "padding", self.rank, 0)
        elif self.padding not in ("same", "valid"):
            raise reject(self, "padding", self.padding, "integers, 'same' or 'valid'")
        elif self.padding == "same" and max(self.grid.stride) > 1:
            raise reject(self, "stride", self.stride, "1, because padding is 'same'")

    @property
    def margins(self) -> Margins:
        """Elements to add before and after each axis; 'same' adds the odd one after."""
        if not isinstance(self.padding, str):
            return [(p, p) for p in per_axis(self, "padding", self.rank, 0)]
        sizes = [d * (k - 1) if self.padding == "same" else 0 for k, d in zip(self.grid.kernel, self.grid.dilation)]
        return [(size // 2, size - size // 2) for size in sizes]

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        weight, batch, grid = self.matrices(parameters), self.batch(x), self.grid
        margins, mode = self.margins, self.padding_mode
        check_margins(self, batch.shape[2:], margins, mode)
        padded = batch_last(pad(batch, margins, mode))
        spatial = padded.shape[2:]
        if min(grid.counts(spatial)) < 1:
            raise reject(self, "the shape of its padded input", padded.shape, "room for the dilated kernel")
        y = self.shifted(correlate(weight, padded, grid), parameters)

        def own(g: Array) -> dict[str, Array]:
            arriving = batch_last(g.reshape(y.shape))
            return self.gradients(weight_gradient(arriving, padded.conj(), grid), arriving)

        def backward(g: Array) -> Gradients:
            arriving = batch_last(g.reshape(y.shape))
            cut = margins if mode == "zeros" else [(0, 0)] * self.rank
            gradient, gradient_of_weight = both_gradients(weight, arriving, padded, grid, cut)
            gradient = gradient if mode == "zeros" else unpad(gradient, margins, mode)
            return Gradients((gradient.reshape(x.shape),), self.gradients(gradient_of_weight, arriving))

        return Step(y.reshape(x.shape[: -self.rank - 1] + y.shape[1:]), backward, parameters_only=own)


class Conv1d(_Convolution):
    """Convolution over ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class Conv2d(_Convolution):
    """Convolution over ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class Conv3d(_Convolution):
    """Convolution over ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3


@dataclass(frozen=True, eq=False)
class _ConvolutionTranspose(_Kernel):
    """Lay a kernel down at each element, times it: ``y[o, p stride + k dilation] += sum_c x[c, p] W[c, o, k]``, plus b.

    This is the adjoint of the convolution with the same weight: its backward is our forward and our backward its
    forward. Shapes: x ``(N, in_channels, *spatial)`` or without N, y the same with out_channels, each axis
    ``(n - 1) stride + dilation (kernel - 1) + 1 - 2 padding + output_padding`` long; weight W
    ``(in_channels, out_channels / groups, *kernel)``, bias b ``(out_channels,)``. ``output_size`` asks for a size
    of y, with or without N and C, instead of output_padding.

    Backward, with the windows of dE/dy as the columns of a matrix G, and the elements of x as rows of X:
    ``dE/dX = W G`` and ``dE/dW = X G^T``, summed over the batch.

    Source: Zeiler et al., CVPR (2010), section 3; Dumoulin and Visin, arXiv:1603.07285, section 4.
    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    output_padding: int | tuple[int, ...] = 0
    groups: int = 1
    bias: bool = True
    dilation: int | tuple[int, ...] = 1
    padding_mode: Literal["zeros"] = "zeros"

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("padding", "output_padding"):
            per_axis(self, argument, self.rank, 0)
        if self.padding_mode != "zeros":
            raise reject(self, "padding_mode", self.padding_mode, "'zeros'")

    @property
    def ends(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        *,
        output_size: Sequence[int] | None = None,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        weight, batch, grid = self.matrices(parameters), self.batch(x), self.grid
        sizes = zip(batch.shape[2:], grid.kernel, grid.stride, grid.dilation)
        full = tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in sizes)
        margins = self._margins(x, full, output_size)
        y = self.shifted(adjoint(weight, batch, grid, full, margins), parameters)

        def backward(g: Array) -> Gradients:
            arriving = batch_last(g.reshape(y.shape))
            padded = pad(arriving, margins, "zeros")
            parameters = self.gradients(weight_gradient(batch.conj(), padded, grid), arriving)
            return Gradients((correlate(weight.conj(), padded, grid).reshape(x.shape),), parameters)

        return Step(y.reshape(x.shape[: -self.rank - 1] + y.shape[1:]), backward)

    def _margins(self, x: Array, full: Shape, output_size: Sequence[int] | None) -> Margins:
        """By how much ``full``, where kernels were laid, goes beyond y before and after each axis."""
        grid, padding = self.grid, per_axis(self, "padding", self.rank, 0)
        extra = per_axis(self, "output_padding", self.rank, 0)
        if output_size is None:
            if any(e >= max(s, d) for e, s, d in zip(extra, grid.stride, grid.dilation)):
                wanted = "less than stride or less than dilation along each axis"
                raise reject(self, "output_padding", self.output_padding, wanted)
        else:
            least = [n - 2 * p for n, p in zip(full, padding)]
            extra = tuple(size - n for size, n in zip(output_size[-self.rank :], least))
            fits = all(0 <= e < s for e, s in zip(extra, grid.stride))
            if len(output_size) not in (self.rank, x.ndim) or not fits:
                most = [n + s - 1 for n, s in zip(least, grid.stride)]
                raise reject(
                    self, "output_size", output_size, f"{least} to {most}, or those behind {x.ndim - self.rank} others"
                )
        margins = [(p, p - e) for p, e in zip(padding, extra)]
        if any(n <= sum(pair) for n, pair in zip(full, margins)):
            raise reject(self, "padding", self.padding, f"less than what takes away all of {full}")
        return margins


class ConvTranspose1d(_ConvolutionTranspose):
    """Transposed convolution over ``(N, C, L)`` or ``(C, L)``."""

    rank = 1


class ConvTranspose2d(_ConvolutionTranspose):
    """Transposed convolution over ``(N, C, H, W)`` or ``(C, H, W)``."""

    rank = 2


class ConvTranspose3d(_ConvolutionTranspose):
    """Transposed convolution over ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    rank = 3
