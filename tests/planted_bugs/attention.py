"""Mistakes in attention."""

from dataclasses import replace
from math import sqrt

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, bug


@bug("MultiheadAttention", words="root|sqrt", source="HKUSTDial/flash-sparse-attention#203")
def _(run: Run) -> Gradients:
    """The gradient of the queries is scaled by 1 / sqrt(d) twice."""
    width = run.layer.embed_dim
    factor = run.x.dtype.type(1 / sqrt(width // run.layer.num_heads))

    def first(array: Array) -> Array:
        return np.concatenate((array[:width] * factor, array[width:]))

    scaled = run.own(in_proj_weight=first, in_proj_bias=first, q_proj_weight=first)
    return replace(scaled, inputs=(run.dx * factor, *run.right.inputs[1:]))


@bug("MultiheadAttention", words="mask", source="meta-pytorch/MSLK#260")
def _(run: Run) -> Gradients:
    """Backward computes the weights anew, without the mask."""
    unmasked = {"attn_mask": None, "key_padding_mask": None, "is_causal": False}
    return run.again(options=unmasked).backward(run.g)


@bug("MultiheadAttention", words="swapped|gradient of another", source="ooples/AiDotNet.Tensors#49")
def _(run: Run) -> Gradients:
    """The gradients of query and key are swapped."""
    query, key, _ = run.right.inputs
    assert query is not None
    assert key is not None
    return run.input(key, query) if query.shape == key.shape else run.right


@bug("MultiheadAttention", words="root|sqrt")
def _(run: Run) -> Gradients:
    """The query misses the scale 1 / sqrt(d)."""
    scale = sqrt(run.layer.embed_dim // run.layer.num_heads)
    return run.input(run.dx * run.x.dtype.type(scale))
