"""Rows of the softmaxes."""

from __future__ import annotations

from backproof.catalogue.activation import ANY, plain
from backproof.catalogue.row import Chooser, Draw, Row, Shape, axis


def along_axis(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any axis, from either end, one of a single element included; torch's implicit choice."""
    return Draw({"dim": choose.one_of((axis(choose, shape), None))})


ROWS = (
    *(Row(op, ANY, along_axis) for op in ("LogSoftmax", "Softmax", "Softmin")),
    Row("Softmax2d", (4, 3), plain),
)
