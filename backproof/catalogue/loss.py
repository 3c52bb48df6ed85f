"""Rows of the losses."""

from __future__ import annotations

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape


def reduction(choose: Chooser) -> str:
    """Mean, sum, or the loss of every element."""
    return choose.one_of(("mean", "sum", "none"))


def weights(choose: Chooser, count: int) -> list[float]:
    """Positive weights and sometimes zeros."""
    return [choose.one_of((1.0, 0.5, 3.0, 0.0)) for _ in range(count)]


def mse(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """All reductions; the target may be what another branch computes."""
    return Draw({"reduction": reduction(choose)}, (Need(shape),))


def cross_entropy(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Indices (some ignored, one class alone) and probabilities; class weights, zeros included; smoothing up to 1."""
    classes = shape[min(1, len(shape) - 1)]
    samples = (*shape[:1], *shape[2:]) if len(shape) > 1 else ()
    arguments = {
        "reduction": reduction(choose),
        "label_smoothing": choose.one_of((0.0, 0.1, 1.0)),
        "weight": weights(choose, classes) if choose.boolean() else None,
    }
    if choose.boolean():
        return Draw(arguments, (Need(shape, "simplex"),))
    ignore = choose.one_of((-100, 0, classes))
    return Draw(arguments | {"ignore_index": ignore}, (Need(samples, "index", classes, ignore),))


def bce_with_logits(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Targets between 0 and 1; weights per element, per column or one for all, positive weights alike."""

    def broadcast() -> list[float] | None:
        return choose.one_of((None, weights(choose, shape[-1]), weights(choose, 1)))

    arguments = {"weight": broadcast(), "reduction": reduction(choose), "pos_weight": broadcast()}
    return Draw(arguments, (Need(shape, "unit"),))


ROWS = (
    Row("BCEWithLogitsLoss", (2, 1, 3, 4), bce_with_logits, loss=True),
    Row("CrossEntropyLoss", (2, 1, 3, 4), cross_entropy, loss=True),
    Row(
        "MSELoss",
        (2, 1, 3, 4),
        mse,
        loss=True,
        limits="input and target of unequal shapes are refused: torch warns",
    ),
)
