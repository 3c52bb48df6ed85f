"""Rows of the losses of classes."""

from __future__ import annotations

from backproof.catalogue.loss import broadcast, reduction, weights, weights_or_none
from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape

ANY = (2, 1, 3, 4)

WIDEST = 4
"""Features before a linear map of many outputs: each entry of its matrix is differentiated."""


def _features(choose: Chooser, shape: Shape) -> Need:
    """Return a fresh input that is not wide: where a softmax behind a linear map saturates, PyTorch keeps no digit.

    What is left of its gradient then is smaller than one unit of the terms that cancel in it.
    """
    return Need((*shape[:-1], min(shape[-1], WIDEST)), choose.one_of(("probability", "positive", "ties")))


def _samples(shape: Shape) -> Shape:
    return (*shape[:1], *shape[2:]) if len(shape) > 1 else ()


def nll(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Some classes ignored; one class alone; weights, zeros included."""
    classes = shape[min(1, len(shape) - 1)]
    ignore = choose.one_of((-100, 0, classes))
    arguments = {
        "weight": weights_or_none(choose, classes),
        "ignore_index": ignore,
        "reduction": reduction(choose),
    }
    return Draw(arguments, (Need(_samples(shape), "index", classes, ignore),))


def cross_entropy(choose: Chooser, shape: Shape, training: bool) -> Draw | None:
    """Indices (some ignored, one class alone) and probabilities; class weights, zeros included; smoothing up to 1."""
    classes = shape[min(1, len(shape) - 1)]
    arguments = {
        "reduction": reduction(choose),
        "label_smoothing": choose.one_of((0.0, 0.1, 1.0)),
        "weight": weights_or_none(choose, classes),
    }
    if choose.boolean():
        return Draw(arguments, (Need(shape, "simplex"),))
    ignore = choose.one_of((-100, 0, classes))
    return Draw(arguments | {"ignore_index": ignore}, (Need(_samples(shape), "index", classes, ignore),))


def bce(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Probabilities inside (0, 1): at the ends torch's slope is no derivative. Weights per column or one for all."""
    weight = choose.one_of((None, weights(choose, shape[-1]), weights(choose, 1)))
    arguments = {"weight": weight, "reduction": reduction(choose)}
    return Draw(arguments, (Need(shape, "probability"),), first=Need(shape, "probability"))


def bce_with_logits(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Targets between 0 and 1; weights per element, per column or one for all, positive weights alike."""

    def some() -> list[float] | None:
        return choose.one_of((None, weights(choose, shape[-1]), weights(choose, 1)))

    arguments = {"weight": some(), "reduction": reduction(choose), "pos_weight": some()}
    return Draw(arguments, (Need(shape, "unit"),))


def multi_label(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any numbers as targets, for the loss is linear in them; targets and weights that broadcast."""
    weight = choose.one_of((None, weights(choose, shape[-1]), weights(choose, 1)))
    return Draw({"weight": weight, "reduction": reduction(choose)}, (Need(broadcast(choose, shape)),))


def linear_cross_entropy(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """As CrossEntropyLoss, behind a linear map; several losses for each sample."""
    first = _features(choose, shape)
    classes = choose.integer(1, 4)
    outer = choose.one_of(((), (2,), (2, 1))) if len(shape) > 1 else ()
    arguments = {
        "in_features": first.shape[-1],
        "num_classes": classes,
        "out_features": list(outer),
        "bias": choose.boolean(),
        "reduction": reduction(choose),
        "weight": weights_or_none(choose, classes),
        "label_smoothing": choose.one_of((0.0, 0.1, 1.0)),
    }
    if choose.boolean():
        return Draw(arguments, (Need((*shape[:-1], classes, *outer), "simplex"),), first=first)
    ignore = choose.one_of((None, 0, classes))
    target = Need((*shape[:-1], *outer), "index", classes, -100 if ignore is None else ignore)
    return Draw(arguments | {"ignore_index": ignore}, (target,), first=first)


def adaptive(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Clusters of one class and of several, of equal and of shrinking widths, down to none."""
    first = _features(choose, shape)
    bounds = [choose.integer(1, 2)]
    for _ in range(choose.integer(1, 3)):
        bounds.append(bounds[-1] + choose.integer(1, 3))
    arguments = {
        "in_features": first.shape[-1],
        "n_classes": bounds[-1],
        "cutoffs": bounds[:-1],
        "div_value": choose.one_of((4.0, 1.0, 1.5)),
        "head_bias": choose.boolean(),
    }
    return Draw(arguments, (Need(shape[:-1], "index", bounds[-1]),), first=first)


ROWS = (
    Row("AdaptiveLogSoftmaxWithLoss", (2, 1), adaptive, loss=True),
    Row("BCELoss", ANY, bce, loss=True),
    Row("BCEWithLogitsLoss", ANY, bce_with_logits, loss=True),
    Row("CrossEntropyLoss", ANY, cross_entropy, loss=True),
    Row(
        "LinearCrossEntropyLoss",
        (2, 1),
        linear_cross_entropy,
        loss=True,
        limits="options is refused: it saves torch memory, and changes no number",
    ),
    Row("MultiLabelSoftMarginLoss", ANY, multi_label, loss=True),
    Row("NLLLoss", ANY, nll, loss=True),
)
