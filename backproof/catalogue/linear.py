"""Rows of the linear maps."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape


def linear(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any number of leading axes; a bias or none."""
    return Draw({"in_features": shape[-1], "out_features": choose.integer(1, 6), "bias": choose.boolean()})


def bilinear(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A second input of another width, down to one feature on every side."""
    width = choose.integer(1, 4)
    arguments = {"in1_features": shape[-1], "in2_features": width, "out_features": choose.integer(1, 4)}
    return Draw(arguments | {"bias": choose.boolean()}, needs=(Need((*shape[:-1], width)),))


def identity(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Nothing to choose: torch ignores whatever arguments it is given."""
    return Draw()


def flatten(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """From any axis to any later one, a single one included, counted from either end."""
    rank = len(shape)
    start = choose.integer(0, rank - 1)
    end = choose.integer(start, rank - 1)
    return Draw({"start_dim": choose.one_of((start, start - rank)), "end_dim": choose.one_of((end - rank, end))})


ROWS = (
    Row("Linear", (2, 1, 3, 4), linear),
    Row("Bilinear", (2, 1, 3, 4), bilinear),
    Row("Identity", (2, 1, 3, 4), identity),
    Row("Flatten", (3, 2, 4, 1), flatten),
)
