"""Rows of the losses with a margin, and of the distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backproof.catalogue.loss import broadcast, reduction, weights_or_none
from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row, Shape, axis

ANY = (2, 1, 3, 4)
INFINITE = "infinite p is not drawn, for JSON has no infinity: the tests hold it beside torch"
SHORT = "a vector shorter than eps keeps the gradient of its length"
MARGINS = (1.0, 0.5, 0.0, -0.5)


def _power(choose: Chooser) -> float:
    return choose.one_of((2.0, 1.0, 3.0, 1.5, 0.5, 0.0, -1.0))


def _eps(choose: Chooser) -> float:
    return choose.one_of((1e-6, 0.1, 0.0))


def hinge_embedding(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Margins that ties lie on."""
    arguments = {"margin": choose.one_of(MARGINS), "reduction": reduction(choose)}
    return Draw(arguments, (Need(broadcast(choose, shape), "sign"),))


def soft_margin(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Targets that broadcast to the input."""
    return Draw({"reduction": reduction(choose)}, (Need(broadcast(choose, shape), "sign"),))


def margin_ranking(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Equal scores at margin 0, which lie on the kink; any number as target, for torch has its gradient."""
    target = Need(broadcast(choose, shape), choose.one_of(("sign", "real")))
    arguments = {"margin": choose.one_of(MARGINS), "reduction": reduction(choose)}
    return Draw(arguments, (Need(broadcast(choose, shape)), target))


def cosine_embedding(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Margins between which the cosine lies, and one beyond; never 1, which parallel vectors just miss."""
    arguments = {"margin": choose.one_of((0.0, 0.5, -0.5, 1.5)), "reduction": reduction(choose)}
    return Draw(arguments, (Need(shape), Need(shape[:-1], "sign")))


def multi_label_margin(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Lists of no class, of some, and of one twice, up to the first -1."""
    return Draw({"reduction": reduction(choose)}, (Need(shape, "index", shape[-1], -1),))


def multi_margin(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Both powers; weights, zeros included; one class alone."""
    classes = shape[-1]
    arguments = {
        "p": choose.one_of((1, 2)),
        "margin": choose.one_of(MARGINS),
        "weight": weights_or_none(choose, classes),
        "reduction": reduction(choose),
    }
    return Draw(arguments, (Need(shape[:-1] or choose.one_of(((), (1,))), "index", classes),))


def triplet(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Negatives that may be swapped, every norm, positives that broadcast."""
    arguments = {
        "margin": choose.one_of((1.0, 0.5, 4.0)),
        "p": _power(choose),
        "eps": _eps(choose),
        "swap": choose.boolean(),
        "reduction": reduction(choose),
    }
    return Draw(arguments, (Need(broadcast(choose, shape)), Need(shape)))


def triplet_with_distance(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Both distances. Cosines are not swapped: those of short vectors are equal but for rounding."""
    pairwise = {"op": "PairwiseDistance", "arguments": {"p": _power(choose), "eps": _eps(choose)}}
    cosine = {"op": "CosineSimilarity", "arguments": {"dim": axis(choose, shape)}}
    distance = choose.one_of((None, pairwise, cosine))
    arguments = {
        "distance_function": distance,
        "margin": choose.one_of((1.0, 0.5, 4.0)),
        "swap": distance is not cosine and choose.boolean(),
        "reduction": reduction(choose),
    }
    return Draw(arguments, (Need(shape), Need(broadcast(choose, shape))))


def pairwise_distance(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Every norm; equal entries, which lie on its kinks without eps."""
    arguments = {"p": _power(choose), "eps": _eps(choose), "keepdim": choose.boolean()}
    return Draw(arguments, (Need(broadcast(choose, shape)),))


def cosine_similarity(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Any axis, from either end; vectors shorter than a large eps."""
    arguments = {"dim": axis(choose, shape), "eps": choose.one_of((1e-8, 0.75))}
    return Draw(arguments, (Need(broadcast(choose, shape)),))


def clamped(arguments: Mapping[str, Any]) -> Convention:
    """Vectors shorter than eps keep the gradient of their length."""
    return {0: SHORT, 1: SHORT} if arguments.get("eps", 1e-8) > 0 else {}


def distant(arguments: Mapping[str, Any]) -> Convention:
    """The same of cosines as a distance."""
    distance = arguments.get("distance_function")
    cosines = distance is not None and distance["op"] == "CosineSimilarity" and clamped(distance["arguments"])
    return dict.fromkeys(range(3), SHORT) if cosines else {}


ROWS = (
    Row("CosineEmbeddingLoss", (2, 1), cosine_embedding, loss=True),
    Row("CosineSimilarity", ANY, cosine_similarity, convention=clamped),
    Row("HingeEmbeddingLoss", ANY, hinge_embedding, loss=True),
    Row("MarginRankingLoss", ANY, margin_ranking, loss=True),
    Row("MultiLabelMarginLoss", (2, 1), multi_label_margin, loss=True),
    Row("MultiMarginLoss", (2, 1), multi_margin, loss=True),
    Row("PairwiseDistance", ANY, pairwise_distance, limits=INFINITE),
    Row("SoftMarginLoss", ANY, soft_margin, loss=True),
    Row("TripletMarginLoss", ANY, triplet, loss=True, limits=INFINITE),
    Row(
        "TripletMarginWithDistanceLoss",
        ANY,
        triplet_with_distance,
        convention=distant,
        loss=True,
        limits="distance_function is a layer, for no function knows its own backward",
    ),
)
