"""Rows of the poolings."""

from __future__ import annotations

from functools import partial

from backproof.catalogue.convolution import each_axis, window
from backproof.catalogue.row import Chooser, Draw, Row, Shape


def max_pool(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Windows that overlap or leave gaps, remainders dropped or not, dilation, padding; indices or none."""
    arguments = each_axis(choose, shape[-rank:], partial(window, pooling=True))
    if choose.boolean():
        arguments["stride"] = None
    return Draw(arguments | {"return_indices": choose.boolean(), "ceil_mode": choose.boolean()})


def avg_pool(rank: int, choose: Chooser, shape: Shape, training: bool) -> Draw:
    """The same without dilation; every divisor, a negative one included."""
    arguments = each_axis(choose, shape[-rank:], partial(window, pooling=True, dilations=1))
    del arguments["dilation"]
    if choose.boolean():
        arguments["stride"] = None
    divisors = {"count_include_pad": choose.boolean(), "divisor_override": choose.one_of((None, 1, 3, -2))}
    return Draw(arguments | {"ceil_mode": choose.boolean()} | divisors)


ROWS = (
    Row("MaxPool2d", (4, 3), partial(max_pool, 2)),
    Row("AvgPool2d", (4, 3), partial(avg_pool, 2)),
)
