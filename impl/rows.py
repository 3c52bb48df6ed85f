"""Rows that lie one behind another, reduced and normalised in place: many short ones, as attention has them."""

from __future__ import annotations

import numpy as np

from impl.layer import Array


def softmax_rows(x: Array, of_nothing: float) -> None:
    """Turn each row into its softmax, and one of nothing but minus infinities into ``of_nothing``: ``(*, n)``."""
    top = x.real.max(axis=-1, keepdims=True, initial=-np.inf)
    nothing = top == -np.inf
    top[nothing] = 0
    x -= top
    np.exp(x, out=x)
    total = x @ np.ones((x.shape[-1], 1), x.dtype)
    total[nothing] = 1
    x /= total
    if nothing.any():
        x[nothing[..., 0]] = of_nothing


def through_softmax_rows(p: Array, g: Array) -> None:
    """Turn g, the gradient of the softmax p, into that of what it was taken of, ``p (g - sum g p)``."""
    g -= np.vecdot(p, g)[..., None]
    g *= p
