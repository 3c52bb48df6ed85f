"""Rows of the lookup tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row, Shape

LIMITS = "max_norm is refused: it would rewrite the weight in forward, and no layer changes what it was given"
BAG_LIMITS = f"{LIMITS}; scale_grad_by_freq is not compared: PyTorch divides by the count of another row"
FREQUENCY = "each row's gradient is divided by how often it was looked up"
USED = 4
"""Rows of the table that are looked up, so few that most are looked up repeatedly."""


def embedding(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Rows looked up often and never, any of them as padding. Never max_norm: it rewrites the weight."""
    size = choose.integer(USED, USED + 3)
    by_frequency = choose.boolean()
    arguments = {
        "num_embeddings": size,
        "embedding_dim": choose.integer(1, 4),
        "padding_idx": choose.one_of((None, choose.integer(-size, size - 1))),
        "norm_type": choose.one_of((2.0, 1.0)),
        "scale_grad_by_freq": by_frequency,
        "sparse": not by_frequency and choose.boolean(),
    }
    return Draw(arguments)


def index(choose: Chooser, shape: Shape) -> Need:
    """Indices in an array of any rank, as long as it is small."""
    return Need(shape if len(shape) < 4 else shape[:3], "index", below=USED)


def embedding_bag(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """Every mode, weights per sample, bags that are empty and of one, any row as padding. Never scaled by frequency."""
    size = choose.integer(USED, USED + 3)
    mode = choose.one_of(("sum", "mean", "max"))
    include_last = choose.boolean()
    arguments = {
        "num_embeddings": size,
        "embedding_dim": choose.integer(1, 4),
        "norm_type": choose.one_of((2.0, 1.0)),
        "mode": mode,
        "sparse": mode != "max" and choose.boolean(),
        "include_last_offset": include_last,
        "padding_idx": choose.one_of((None, choose.integer(-size, size - 1))),
    }
    needs = (Need(shape),) if mode == "sum" and choose.boolean() else ()
    if len(shape) == 2:
        return Draw(arguments, needs)
    starts = sorted(choose.integer(0, shape[0]) for _ in range(choose.integer(0, 4)))
    return Draw(arguments, needs, {"offsets": [0, *starts, *([shape[0]] if include_last else [])]})


def flat_index(choose: Chooser, shape: Shape) -> Need:
    """Indices in one axis, which offsets cut into bags, or in two."""
    return Need(shape[: choose.integer(1, 2)], "index", below=USED)


def scaled(arguments: Mapping[str, Any]) -> Convention:
    """Of a bag the frequency alone: padding is left out in forward, too."""
    return {"weight": FREQUENCY} if arguments.get("scale_grad_by_freq") else {}


def convention(arguments: Mapping[str, Any]) -> Convention:
    """The gradient of the weight that torch changes on purpose."""
    reasons = []
    if arguments.get("padding_idx") is not None:
        reasons.append("the row padding_idx gets no gradient")
    if arguments.get("scale_grad_by_freq"):
        reasons.append(FREQUENCY)
    return {"weight": "; ".join(reasons)} if reasons else {}


ROWS = (
    Row("Embedding", (2, 1, 3), embedding, first=index, convention=convention, limits=LIMITS),
    Row("EmbeddingBag", (2, 1), embedding_bag, first=flat_index, convention=scaled, limits=BAG_LIMITS),
)
