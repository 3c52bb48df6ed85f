"""Rows of the activations that are piecewise straight. Inputs made of halves hit their kinks."""

from __future__ import annotations

from backproof.catalogue.activation import ANY, plain
from backproof.catalogue.row import Chooser, Draw, Row, Shape


def leaky_relu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Slopes 0 (a ReLU), 1 (no kink), negative (a bend back)."""
    return Draw({"negative_slope": choose.one_of((0.01, 0.3, 0.0, 1.0, -0.5))})


def prelu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A slope for all, or one for each channel, a single channel included."""
    count = choose.one_of((1, shape[1])) if len(shape) > 1 else 1
    return Draw({"num_parameters": count, "init": choose.one_of((0.25, -0.5))})


def rrelu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Slopes that are drawn, slopes that are all the same, slopes of either sign."""
    lower, upper = choose.one_of(((1 / 8, 1 / 3), (0.3, 0.3), (-0.5, 0.5), (0.0, 1.0)))
    return Draw({"lower": lower, "upper": upper})


def threshold(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A ReLU, and jumps, up and down."""
    return Draw({"threshold": choose.one_of((0.0, 0.5, -1.0)), "value": choose.one_of((0.0, 1.5, -0.5))})


def hardtanh(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Bounds on both sides of 0, at 0, and on one side."""
    low, high = choose.one_of(((-1.0, 1.0), (-0.5, 2.0), (0.0, 1.0), (-1.0, -0.5)))
    return Draw({"min_val": low, "max_val": high})


def hardshrink(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A narrow and a wide gap, and none (a negative lambd). Not 0: there torch's gradient is 0, the derivative 1."""
    return Draw({"lambd": choose.one_of((0.5, 1.0, -0.5))})


def softshrink(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """A narrow and a wide gap. Not 0, as with Hardshrink."""
    return Draw({"lambd": choose.one_of((0.5, 1.0, 0.125))})


ROWS = (
    *(Row(op, ANY, plain) for op in ("Hardsigmoid", "Hardswish", "ReLU", "ReLU6")),
    Row("Hardshrink", ANY, hardshrink),
    Row("Hardtanh", ANY, hardtanh),
    Row("LeakyReLU", ANY, leaky_relu),
    Row("PReLU", ANY, prelu),
    Row("RReLU", ANY, rrelu),
    Row("Softshrink", ANY, softshrink),
    Row("Threshold", ANY, threshold),
)
