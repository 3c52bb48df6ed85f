"""Rows of the poolings."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from backproof.catalogue.convolution import each_axis, window
from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape

LP_LIMITS = (
    "an infinite norm_type is not drawn, for JSON has no infinity; with one that is not even, inputs are positive: "
    "others have no real root, or a sum of 0, at which torch passes no gradient by definition"
)
UNPOOL_LIMITS = "repeated indices are not drawn: torch leaves open which element stays"


def max_pool(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Windows that overlap or leave gaps, remainders dropped or not, dilation, padding; indices or none."""
    arguments = each_axis(choose, shape[-rank:], partial(window, pooling=True))
    if choose.boolean():
        arguments["stride"] = None
    return Draw(arguments | {"return_indices": choose.boolean(), "ceil_mode": choose.boolean()})


def avg_pool(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """The same without dilation; every divisor, a negative one included."""

    def along(choose: Chooser, size: int) -> dict[str, int]:
        if rank < 3:
            return window(choose, size, pooling=True, dilations=1)
        # Over 3 axes torch wants a kernel that fits the input without its padding.
        drawn = window(choose, size, reach=size // 2, pooling=True, dilations=1)
        return drawn | {"kernel_size": min(drawn["kernel_size"], size)}

    arguments = each_axis(choose, shape[-rank:], along)
    del arguments["dilation"]
    # AvgPool1d takes no None.
    if choose.boolean():
        del arguments["stride"]
    arguments |= {"ceil_mode": choose.boolean(), "count_include_pad": choose.boolean()}
    return Draw(arguments | ({"divisor_override": choose.one_of((None, 1, 3, -2))} if rank > 1 else {}))


def lp_pool(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Even, odd and fractional powers; the latter two of positive numbers."""
    p = choose.one_of((2.0, 1.0, 3.0, 4.0, 1.5, 0.5))
    along = partial(window, reach=0, pooling=True, dilations=1)
    arguments = along(choose, shape[-1]) if rank == 1 else each_axis(choose, shape[-rank:], along)
    kept: dict[str, Any] = {name: arguments[name] for name in ("kernel_size", "stride")}
    if choose.boolean():
        kept["stride"] = None
    first = None if p % 2 == 0 else Need(shape, "positive")
    return Draw({"norm_type": p, **kept, "ceil_mode": choose.boolean()}, first=first)


def adaptive(rank: int, indices: bool, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Divisors of a size and others, more windows than elements, axes that stay."""
    spatial = shape[-rank:]
    size: Any = choose.integer(1, min(spatial) + 1)
    if choose.boolean():
        kept: tuple[None, ...] = (None,) if rank > 1 else ()
        size = [choose.one_of((*range(1, n + 2), *kept)) for n in spatial]
    return Draw({"output_size": size} | ({"return_indices": choose.boolean()} if indices else {}))


def fractional(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Sizes or ratios; kernels that just fit, and such that leave gaps."""
    # Over 3 axes torch wants one element more than the windows need.
    spatial = [n - 1 if rank == 3 else n for n in shape[-rank:]]
    wanted: dict[str, Any] = {}
    if min(shape[-rank:]) > 1 and choose.boolean():
        wanted["output_ratio"] = choose.one_of((0.5, 0.75, [choose.one_of((0.5, 0.9)) for _ in spatial]))
        ratios = np.broadcast_to(wanted["output_ratio"], rank)
        counts = [int(n * ratio) for n, ratio in zip(shape[-rank:], ratios)]
    else:
        wanted["output_size"] = choose.integer(1, min(spatial))
        if choose.boolean():
            wanted["output_size"] = [choose.integer(1, n) for n in spatial]
        counts = np.broadcast_to(wanted["output_size"], rank).tolist()
    room = [n - m + 1 for n, m in zip(spatial, counts)]
    kernel: Any = choose.integer(1, min(3, *room))
    if choose.boolean():
        kernel = [choose.integer(1, min(3, n)) for n in room]
    return Draw({"kernel_size": kernel, **wanted, "return_indices": choose.boolean()})


def volume(choose: Chooser, shape: Shape) -> Need:
    """Make an input with more than one element along each of 3 axes."""
    lead = choose.one_of(((2, 1), (1, 2), (2,), (1,)))
    return Need((*lead, *(choose.integer(2, 4) for _ in range(3))))


def max_unpool(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Any distinct places, also such as no pooling gives; the usual size, or one less than a stride off."""

    def along(choose: Chooser, size: int) -> dict[str, int]:
        kernel = choose.integer(1, 3)
        return {"kernel_size": kernel, "stride": choose.integer(1, 3), "padding": choose.integer(0, kernel // 2)}

    arguments = each_axis(choose, shape[-rank:], along)
    kernel, stride, padding = (np.broadcast_to(arguments[name], rank) for name in ("kernel_size", "stride", "padding"))
    if choose.boolean():
        arguments["stride"], stride = None, kernel
    size = [int(n) for n in (np.asarray(shape[-rank:]) - 1) * stride + kernel - 2 * padding]
    options: dict[str, Any] = {}
    if choose.boolean():
        size = [n + choose.integer(1 - int(s), int(s) - 1) for n, s in zip(size, stride)]
        options["output_size"] = [*(shape[:2] if len(shape) == rank + 2 and choose.boolean() else ()), *size]
    if min(size) < 1 or prod(size) < prod(shape[-rank:]):
        return None
    return Draw(arguments, (Need(shape, "distinct", below=prod(size), axes=rank),), options)


RANKS = {1: (3, 2), 2: (4, 3), 3: (5, 4)}

ROWS = (
    *(Row(f"MaxPool{rank}d", ranks, partial(max_pool, rank)) for rank, ranks in RANKS.items()),
    *(Row(f"AvgPool{rank}d", ranks, partial(avg_pool, rank)) for rank, ranks in RANKS.items()),
    *(Row(f"LPPool{rank}d", ranks, partial(lp_pool, rank), limits=LP_LIMITS) for rank, ranks in RANKS.items()),
    *(Row(f"AdaptiveAvgPool{rank}d", ranks, partial(adaptive, rank, False)) for rank, ranks in RANKS.items()),
    *(Row(f"AdaptiveMaxPool{rank}d", ranks, partial(adaptive, rank, True)) for rank, ranks in RANKS.items()),
    Row("FractionalMaxPool2d", RANKS[2], partial(fractional, 2)),
    Row("FractionalMaxPool3d", RANKS[3], partial(fractional, 3), first=volume),
    *(
        Row(f"MaxUnpool{rank}d", ranks, partial(max_unpool, rank), limits=UNPOOL_LIMITS)
        for rank, ranks in RANKS.items()
    ),
)
