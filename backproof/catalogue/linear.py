"""Rows of the linear maps."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Row, Shape


def linear(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any number of leading axes; a bias or none."""
    return Draw({"in_features": shape[-1], "out_features": choose.integer(1, 6), "bias": choose.boolean()})


ROWS = (Row("Linear", (2, 1, 3, 4), linear),)
