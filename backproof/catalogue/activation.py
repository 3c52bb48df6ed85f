"""Rows of the activations that are curves."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Row, Shape

ANY = (2, 3, 4, 1)
"""Ranks of the first input: activations take all."""


def plain(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Nothing to choose. Never in place: in torch that would rewrite what other nodes still read."""
    return Draw()


def elu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Alpha 1 (smooth), others (a kink at 0), 0 and negative ones."""
    return Draw({"alpha": choose.one_of((1.0, 0.5, 2.0, 0.0, -1.0))})


def celu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Bent soon, late, and upwards."""
    return Draw({"alpha": choose.one_of((1.0, 0.25, 3.0, -8.0))})


def gelu(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Exact and approximate."""
    return Draw({"approximate": choose.one_of(("none", "tanh"))})


def softplus(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Steep, flat and mirrored curves; the threshold at 0.6 is often passed, where the function jumps."""
    return Draw({"beta": choose.one_of((1.0, 5.0, 0.25, -1.5)), "threshold": choose.one_of((20.0, 0.6))})


def glu(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Any axis that can be halved, from either end; most often the last one."""
    rank = len(shape)
    even = [dim for i in reversed(range(rank)) for dim in (i - rank, i) if shape[i] % 2 == 0]
    return Draw({"dim": choose.one_of(even)}) if even else None


ROWS = (
    *(
        Row(op, ANY, plain)
        for op in ("LogSigmoid", "Mish", "SELU", "Sigmoid", "SiLU", "Softsign", "Tanh", "Tanhshrink")
    ),
    Row("CELU", ANY, celu),
    Row("ELU", ANY, elu),
    Row("GELU", ANY, gelu),
    Row("GLU", ANY, glu),
    Row("Softplus", ANY, softplus),
)
