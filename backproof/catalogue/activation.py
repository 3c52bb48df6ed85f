"""Rows of the activations."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Row, Shape, axis

ANY = (2, 3, 4, 1)
"""Ranks of the first input: activations take all."""


def plain(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Nothing to choose. Never in place: in torch that would rewrite what other nodes still read."""
    return Draw()


def leaky_relu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Slopes 0 (a ReLU), 1 (no kink), negative (a bend back)."""
    return Draw({"negative_slope": choose.one_of((0.01, 0.3, 0.0, 1.0, -0.5))})


def elu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Alpha 1 (smooth), others (a kink at 0), 0 and negative ones."""
    return Draw({"alpha": choose.one_of((1.0, 0.5, 2.0, 0.0, -1.0))})


def gelu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Exact and approximate."""
    return Draw({"approximate": choose.one_of(("none", "tanh"))})


def softplus(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Steep, flat and mirrored curves; the threshold at 0.6 is often passed, where the function jumps."""
    return Draw({"beta": choose.one_of((1.0, 5.0, 0.25, -1.5)), "threshold": choose.one_of((20.0, 0.6))})


def along_axis(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any axis, from either end, one of a single element included; torch's implicit choice."""
    return Draw({"dim": choose.one_of((axis(choose, shape), None))})


ROWS = (
    *(Row(op, ANY, plain) for op in ("ReLU", "Sigmoid", "SiLU", "Tanh")),
    Row("ELU", ANY, elu),
    Row("GELU", ANY, gelu),
    Row("LeakyReLU", ANY, leaky_relu),
    Row("LogSoftmax", ANY, along_axis),
    Row("Softmax", ANY, along_axis),
    Row("Softplus", ANY, softplus),
)
