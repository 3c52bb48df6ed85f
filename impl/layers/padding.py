"""Paddings with a constant, zeros, and mirrored, repeated or circular copies, over one to three axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from impl.layer import Array, Gradients, Layer, Noise, Step, reject
from impl.padding import Margins, PaddingMode, check_margins, pad, unpad
from impl.windows import per_axis, with_batch

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


@dataclass(frozen=True, eq=False)
class _Padding(Layer):
    """Each place of the output is a copy, ``y[i] = x[source(i)]``, or a constant.

    ``padding`` is one integer for all sides, or ``(left, right, top, bottom, front, back)``, the last axis first;
    a negative one takes elements away. Shapes: x ``(N, C, *spatial)`` or without N, y the same, its last ``rank``
    axes longer by what was added to them.

    Backward: an element gathers the gradients of its copies, ``dE/dx[j] = sum of g[i] over source(i) = j``. A constant
    has no source, so its gradient is dropped; what was taken away has no copy, so it gets zero.
    """

    padding: int | tuple[int, ...]

    rank: ClassVar[int]
    mode: ClassVar[PaddingMode] = "zeros"
    holomorphic = True

    def __post_init__(self) -> None:
        per_axis(self, "padding", 2 * self.rank)

    @property
    def margins(self) -> Margins:
        """Before and after each axis, the first axis first."""
        sides = per_axis(self, "padding", 2 * self.rank)
        return [*zip(sides[0::2], sides[1::2])][::-1]

    @property
    def fill(self) -> float:
        """What stands where nothing is copied."""
        return 0.0

    def check(self, x: Array) -> None:
        """Raise ValueError for a rank that torch does not take."""
        with_batch(self, x, self.rank)

    def forward(self, parameters: Mapping[str, Array], x: Array, *, training: bool = True, noise: Noise = None) -> Step:
        self.check(x)
        check_margins(self, x.shape[-self.rank :], self.margins, self.mode)
        y = pad(x, self.margins, self.mode, self.fill)
        return Step(y, lambda g: Gradients((unpad(g, self.margins, self.mode),)))


class _ZeroPad(_Padding):
    def check(self, x: Array) -> None:
        if x.ndim < self.rank:
            raise reject(self, "the shape of its input", x.shape, f"at least {self.rank} axes")


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis of ``(*, W)``."""

    rank = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two axes of ``(*, H, W)``."""

    rank = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three axes of ``(*, D, H, W)``."""

    rank = 3


@dataclass(frozen=True, eq=False)
class _ConstantPad(_ZeroPad):
    value: float

    @property
    def fill(self) -> float:
        return self.value


class ConstantPad1d(_ConstantPad):
    """``value`` around the last axis of ``(*, W)``."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two axes of ``(*, H, W)``."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three axes of ``(*, D, H, W)``."""

    rank = 3


class _CopyingPad(_Padding):
    """Torch refuses an input without channels, or with an empty axis; a batch of nothing it takes."""

    def check(self, x: Array) -> None:
        batch = with_batch(self, x, self.rank)
        if 0 in batch.shape[1:]:
            raise reject(self, "the shape of its input", x.shape, "no empty axis but the batch")


class ReflectionPad1d(_CopyingPad):
    """The input mirrored at its ends, which are not repeated: ``x[-i] = x[i]``. Shapes: ``(N, C, W)``, ``(C, W)``."""

    rank, mode = 1, "reflect"


class ReflectionPad2d(_CopyingPad):
    """The input mirrored at its borders, which are not repeated. Shapes: ``(N, C, H, W)``, ``(C, H, W)``."""

    rank, mode = 2, "reflect"


class ReflectionPad3d(_CopyingPad):
    """The input mirrored at its borders, which are not repeated. Shapes: ``(N, C, D, H, W)``, ``(C, D, H, W)``."""

    rank, mode = 3, "reflect"


class ReplicationPad1d(_CopyingPad):
    """The first and the last element repeated. Shapes: ``(N, C, W)``, ``(C, W)``."""

    rank, mode = 1, "replicate"


class ReplicationPad2d(_CopyingPad):
    """The border repeated outwards. Shapes: ``(N, C, H, W)``, ``(C, H, W)``."""

    rank, mode = 2, "replicate"


class ReplicationPad3d(_CopyingPad):
    """The border repeated outwards. Shapes: ``(N, C, D, H, W)``, ``(C, D, H, W)``."""

    rank, mode = 3, "replicate"


class CircularPad1d(_Padding):
    """The other end goes on where the input stops: ``x[-i] = x[W - i]``. Shapes: ``(N, C, W)``, ``(C, W)``."""

    rank, mode = 1, "circular"


class CircularPad2d(_Padding):
    """The other side goes on where the input stops. Shapes: ``(N, C, H, W)``, ``(C, H, W)``."""

    rank, mode = 2, "circular"


class CircularPad3d(_Padding):
    """The other side goes on where the input stops. Shapes: ``(N, C, D, H, W)``, ``(C, D, H, W)``."""

    rank, mode = 3, "circular"
