"""What rows of losses share."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Row, Shape

ROWS: tuple[Row, ...] = ()


def reduction(choose: Chooser) -> str:
    """Mean, sum, or the loss of every element."""
    return choose.one_of(("mean", "sum", "none"))


def weights(choose: Chooser, count: int) -> list[float]:
    """Positive weights and sometimes zeros."""
    return [choose.one_of((1.0, 0.5, 3.0, 0.0)) for _ in range(count)]


def weights_or_none(choose: Chooser, count: int) -> list[float] | None:
    """Weights, or nothing, which stands for ones."""
    return weights(choose, count) if choose.boolean() else None


def broadcast(choose: Chooser, shape: Shape) -> Shape:
    """Return a shape that broadcasts to another: it, or some of its axes of size 1."""
    if choose.boolean():
        return tuple(choose.one_of((size, 1)) for size in shape)
    return shape
