"""Rows of the attention layers."""

from __future__ import annotations

from typing import Any

from backproof.catalogue.row import Chooser, Draw, Need, Row, Shape


def attention(choose: Chooser, shape: Shape, training: bool) -> Draw:
    """From one head to one per feature, other widths of key and value, added rows, every kind of mask, one position.

    No row is masked whole: with weights torch answers NaN to that.
    """
    batch_first = choose.boolean()
    batch = () if len(shape) == 2 else (shape[0 if batch_first else 1],)
    length, width = shape[1 if batch and batch_first else 0], shape[-1]
    heads = choose.one_of([n for n in range(1, width + 1) if width % n == 0])
    causal = choose.integer(0, 4) == 4
    keys = length if causal else choose.integer(1, 4)
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
    if causal:
        options |= {"attn_mask": [[j > i for j in range(keys)] for i in range(length)], "is_causal": True}
    else:
        options |= _masks(choose, batch, heads, length, keys)

    def need(features: int) -> Need:
        around = (*batch, keys) if batch_first else (keys, *batch)
        return Need((*around, features))

    return Draw(arguments, tuple(need(w or width) for w in widths), options)


def _masks(choose: Chooser, batch: Shape, heads: int, length: int, keys: int) -> dict[str, Any]:
    """Boolean or float masks, for all heads or each; the first key is never masked."""
    options: dict[str, Any] = {}
    floating = choose.boolean()

    def row() -> list[Any]:
        if floating:
            return [choose.one_of((0.0, -1.0, 0.5)) for _ in range(keys)]
        return [False, *(choose.boolean() for _ in range(keys - 1))]

    if choose.boolean():
        per_head = choose.boolean()
        count = (batch[0] if batch else 1) * heads
        grids = [[row() for _ in range(length)] for _ in range(count if per_head else 1)]
        options["attn_mask"] = grids if per_head else grids[0]
    if choose.boolean():
        rows = [row() for _ in range(batch[0] if batch else 1)]
        options["key_padding_mask"] = rows if batch else rows[0]
    return options


ROWS = (Row("MultiheadAttention", (3, 2), attention),)
