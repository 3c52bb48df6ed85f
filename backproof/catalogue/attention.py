"""Rows of the attention layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape


def attention(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """From one head to one per feature, other widths of key and value, added rows, every kind of mask, one position.

    A row may be masked whole: torch answers NaN to that with weights, and attends to nothing without them.
    """
    batch_first = choose.boolean()
    batch = () if len(shape) == 2 else (shape[0 if batch_first else 1],)
    length, width = shape[1 if batch and batch_first else 0], shape[-1]
    heads = choose.one_of([n for n in range(1, width + 1) if width % n == 0])
    hinted = choose.integer(0, 4) == 4
    keys = length if hinted else choose.integer(1, 4)
    widths = [choose.one_of((None, choose.integer(1, 3))) for _ in range(2)]
    arguments = {
        "embed_dim": width,
        "num_heads": heads,
        "dropout": choose.one_of((0.0, 0.5, 0.3, 1.0)),
        "bias": choose.boolean(),
        "add_bias_kv": choose.boolean(),
        "add_zero_attn": choose.boolean(),
        "kdim": widths[0],
        "vdim": widths[1],
        "batch_first": batch_first,
    }
    options: dict[str, Any] = {"need_weights": choose.boolean(), "average_attn_weights": choose.boolean()}
    if hinted:
        options |= {"attn_mask": causal(length, keys), "is_causal": True}
    elif choose.boolean():
        options["attn_mask"] = mask(choose, batch, heads, length, keys)
    if choose.boolean():
        options["key_padding_mask"] = padding(choose, batch, keys)

    def need(features: int) -> Need:
        around = (*batch, keys) if batch_first else (keys, *batch)
        return Need((*around, features))

    return Draw(arguments, tuple(need(w or width) for w in widths), options)


def causal(length: int, keys: int) -> list[list[bool]]:
    """The mask under which no position sees a later one."""
    return [[j > i for j in range(keys)] for i in range(length)]


def mask(choose: Chooser, batch: Shape, heads: int, length: int, keys: int) -> list[Any]:
    """A boolean or float mask, for all heads or for each of them."""
    row = _row(choose, keys)
    count = (batch[0] if batch else 1) * heads
    per_head = choose.boolean()
    grids = [[row() for _ in range(length)] for _ in range(count if per_head else 1)]
    return grids if per_head else grids[0]


def padding(choose: Chooser, batch: Shape, keys: int) -> list[Any]:
    """A boolean or float mask of the keys."""
    row = _row(choose, keys)
    rows = [row() for _ in range(batch[0] if batch else 1)]
    return rows if batch else rows[0]


def _row(choose: Chooser, keys: int) -> Callable[[], list[Any]]:
    """How a row of a mask is drawn: of numbers, of booleans, or of booleans that may mask it whole."""
    kind = choose.one_of(("boolean", "boolean", "boolean", "float", "float", "float", "whole"))

    def row() -> list[Any]:
        if kind == "float":
            return [choose.one_of((0.0, -1.0, 0.5)) for _ in range(keys)]
        if kind == "whole" and choose.boolean():
            return [True] * keys
        return [False, *(choose.boolean() for _ in range(keys - 1))]

    return row


ROWS = (Row("MultiheadAttention", (3, 2), attention),)
