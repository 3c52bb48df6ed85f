"""Rows of the layers that drop at random."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Row, Shape


def dropout(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """From none to all dropped. Never in place: in torch that would rewrite what other nodes still read."""
    return Draw({"p": choose.one_of((0.5, 0.3, 0.0, 0.9, 1.0))})


ROWS = (
    *(Row(op, (2, 1, 3, 4), dropout) for op in ("Dropout", "AlphaDropout")),
    Row("Dropout1d", (3, 2), dropout),
    Row("Dropout2d", (4, 3, 2), dropout),
    Row("Dropout3d", (5, 4), dropout),
    Row("FeatureAlphaDropout", (4, 2, 3, 5), dropout),
)
