"""Rows of what writes windows as columns, or brings numbers into another order or shape."""

from __future__ import annotations

from backproof.catalogue.convolution import each_axis, window
from backproof.catalogue.row import Chooser, Draw, Row, Shape, axis


def divisors(n: int) -> list[int]:
    """All of them, in order."""
    return [d for d in range(1, n + 1) if n % d == 0]


def unfold(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Windows that overlap or leave gaps, dilated, padded, remainders dropped."""
    return Draw(each_axis(choose, shape[-2:], window))


def fold(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Any kernel that the columns may stand for, and any way to lie for as many windows as there are."""
    seen, count = shape[-2:]
    height = choose.one_of(divisors(seen))
    kernel = (height, choose.one_of(divisors(seen // height)))
    rows = choose.one_of(divisors(count))
    axes = [_along(choose, k, n) for k, n in zip(kernel, (rows, count // rows))]
    return Draw({name: [drawn[name] for drawn in axes] for name in axes[0]})


def _along(choose: Chooser, kernel: int, count: int) -> dict[str, int]:
    stride, dilation = choose.integer(1, min(kernel + 1, 3)), choose.integer(1, 2)
    reach = (count - 1) * stride + dilation * (kernel - 1) + 1
    padding = choose.integer(0, min(2, (reach - 1) // 2))
    rest = choose.integer(0, stride - 1)
    return {
        "output_size": reach - 2 * padding + rest,
        "kernel_size": kernel,
        "dilation": dilation,
        "padding": padding,
        "stride": stride,
    }


def pixel_shuffle(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """The largest factor that the channels allow; 1, which changes nothing, less often."""
    factor = max(r for r in (1, 2, 3) if shape[-3] % r**2 == 0)
    return Draw({"upscale_factor": factor}) if factor > 1 or choose.one_of((True, False, False)) else None


def pixel_unshuffle(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Every factor that height and width allow; 1, which changes nothing, less often."""
    factors = [r for r in divisors(min(shape[-2:])) if r > 1 and not (shape[-2] % r or shape[-1] % r)]
    if not factors and choose.one_of((False, True, True)):
        return None
    return Draw({"downscale_factor": choose.one_of(factors or [1])})


def channel_shuffle(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any number of groups, one and one for each channel included."""
    return Draw({"groups": choose.one_of(divisors(shape[1]))})


def unflatten(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """One to three axes, of size 1 included; one size left to be found."""
    dim = axis(choose, shape)
    sizes = [shape[dim]]
    for _ in range(choose.integer(0, 2)):
        divisor = choose.one_of(divisors(sizes[-1]))
        sizes[-1:] = [divisor, sizes[-1] // divisor]
    if choose.boolean():
        sizes[choose.integer(0, len(sizes) - 1)] = -1
    return Draw({"dim": dim, "unflattened_size": sizes})


ROWS = (
    Row("Unfold", (4, 3), unfold),
    Row("Fold", (3, 2), fold),
    Row("PixelShuffle", (4, 3, 5), pixel_shuffle),
    Row("PixelUnshuffle", (4, 3, 5), pixel_unshuffle),
    Row("ChannelShuffle", (3, 4, 5), channel_shuffle),
    Row(
        "Unflatten",
        (2, 3, 4, 1),
        unflatten,
        limits="dim by name: only tensors with named axes have one, and arrays have none",
    ),
)
