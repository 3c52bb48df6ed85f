"""Rows of the lookup tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row, Shape

LIMITS = "max_norm is refused: it would rewrite the weight in forward, and no layer changes what it was given"
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


def convention(arguments: Mapping[str, Any]) -> Convention:
    """The gradient of the weight that torch changes on purpose."""
    reasons = []
    if arguments.get("padding_idx") is not None:
        reasons.append("the row padding_idx gets no gradient")
    if arguments.get("scale_grad_by_freq"):
        reasons.append("each row's gradient is divided by how often it was looked up")
    return {"weight": "; ".join(reasons)} if reasons else {}


ROWS = (Row("Embedding", (2, 1, 3), embedding, first=index, convention=convention, limits=LIMITS),)
