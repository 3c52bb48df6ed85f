"""Rows of what writes windows as columns, or brings numbers into another order or shape."""

from __future__ import annotations

from math import gcd

from backproof.catalogue.convolution import each_axis, window
from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape, axis


def divisors(n: int) -> list[int]:
    """All of them, in order."""
    return [d for d in range(1, n + 1) if n % d == 0]


def unfold(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Windows that overlap or leave gaps, dilated, padded, remainders dropped."""
    return Draw(each_axis(choose, shape[-2:], window))


def columns(choose: Chooser, shape: Shape) -> Need:
    """What is there, above all if its columns can stand for a kernel of two axes, or new columns."""
    if len(shape) in (2, 3) and (len(divisors(shape[-2])) > 2 or choose.boolean()):
        return Need(shape)
    kernel = choose.integer(1, 3) * choose.integer(1, 3)
    lead = choose.one_of(((2,), (), (1,)))
    return Need((*lead, choose.integer(1, 2) * kernel, choose.one_of((4, 6, 1, 3))))


def fold(choose: Chooser, shape: Shape, training: bool) -> Draw:
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


def image(choose: Chooser, shape: Shape, fits: bool, blocks: Shape) -> Need:
    """What is there, if it ``fits`` (or at times with a factor of 1), or a new image that is made of ``blocks``."""
    if len(shape) in (3, 4, 5) and (fits or choose.one_of((False, False, True))):
        return Need(shape)
    lead = choose.one_of(((2,), (), (1, 2)))
    return Need((*lead, *(n * choose.integer(1, 2) for n in blocks)))


def many_channels(choose: Chooser, shape: Shape) -> Need:
    """An image whose channels can be dealt out to pixels."""
    factor = choose.one_of((2, 3))
    return image(choose, shape, len(shape) > 2 and pixels(shape) > 1, (factor**2, 1, 1))


def pixels(shape: Shape) -> int:
    """How many pixels along each axis the channels can be dealt out to."""
    return max(r for r in (1, 2, 3) if shape[-3] % r**2 == 0)


def pixel_shuffle(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """The largest factor that the channels allow; 1 changes nothing."""
    return Draw({"upscale_factor": pixels(shape)})


def many_pixels(choose: Chooser, shape: Shape) -> Need:
    """An image whose pixels can be collected in channels."""
    factor = choose.one_of((2, 3))
    return image(choose, shape, len(shape) > 2 and gcd(*shape[-2:]) > 1, (1, factor, factor))


def pixel_unshuffle(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Every factor that height and width allow, 1 only where there is no other: it changes nothing."""
    return Draw({"downscale_factor": choose.one_of(divisors(gcd(*shape[-2:]))[1:] or [1])})


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
    Row("Fold", (3, 2), fold, first=columns),
    Row("PixelShuffle", (4, 3, 5), pixel_shuffle, first=many_channels),
    Row("PixelUnshuffle", (4, 3, 5), pixel_unshuffle, first=many_pixels),
    Row("ChannelShuffle", (3, 4, 5), channel_shuffle),
    Row(
        "Unflatten",
        (2, 3, 4, 1),
        unflatten,
        limits="dim by name is refused: the axes of arrays have no names",
    ),
)
