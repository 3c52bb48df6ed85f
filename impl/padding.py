"""Padding along the last axes of an array, and its adjoint: what convolutions and the padding layers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from impl.layer import Array, Layer, Shape, reject

PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Margins: TypeAlias = Sequence[tuple[int, int]]
"""How many places to add before and after each of the last axes; to take away where negative."""


def check_margins(layer: Layer, spatial: Shape, margins: Margins, mode: PaddingMode) -> None:
    """Raise ValueError unless the axes last for the margins; torch refuses to copy a copy, or to leave too little."""
    for size, (before, after) in zip(spatial, margins):
        left = size + min(before, 0) + min(after, 0)
        lasts = {
            "zeros": left >= 0,
            "reflect": max(before, after) < size and size + before + after > 0,
            "replicate": size > 0 and size + before + after > 0,
            "circular": left >= max(before, after, 0),
        }
        if not lasts[mode]:
            wanted = f"axes that last for {mode} padding by {list(margins)}"
            raise reject(layer, "the spatial shape of its input", spatial, wanted)


def _sources(size: int, before: int, after: int, mode: PaddingMode) -> Array:
    """Say which element of an axis is copied to each place of the padded one."""
    place = np.arange(-before, size + after)
    if mode == "reflect":
        return np.asarray(size - 1 - abs(size - 1 - abs(place)))
    if mode == "replicate":
        return place.clip(0, size - 1)
    # What is taken away does not come back on the other side of a circle.
    first, left = max(-before, 0), size + min(before, 0) + min(after, 0)
    return first + (place - first) % max(left, 1)


def pad(x: Array, margins: Margins, mode: PaddingMode, value: float = 0.0) -> Array:
    """Pad the last axes of ``x``: ``y[i] = x[source(i)]``, or ``value`` where there is no source."""
    if not np.any(margins):
        return x
    first = x.ndim - len(margins)
    if mode == "zeros":
        sizes = x.shape[first:]
        kept = [(max(-b, 0), max(-b, 0, min(n, n + a))) for n, (b, a) in zip(sizes, margins)]
        # In the memory layout of x: a convolution has its batch last.
        padded = np.full_like(x, value, shape=(*x.shape[:first], *(n + b + a for n, (b, a) in zip(sizes, margins))))
        place: tuple[Any, ...] = (..., *(slice(lo + b, hi + b) for (lo, hi), (b, _) in zip(kept, margins)))
        source: tuple[Any, ...] = (..., *(slice(lo, hi) for lo, hi in kept))
        padded[place] = x[source]
        return padded
    for axis, (before, after) in enumerate(margins, start=first):
        x = x.take(_sources(x.shape[axis], before, after, mode), axis)
    return x


def unpad(g: Array, margins: Margins, mode: PaddingMode) -> Array:
    """Go back through :func:`pad`, its adjoint: an element gathers the gradients of all its copies.

    Zeros that were added are taken away, and what was taken away gets zeros: padding by the negative margins.
    """
    if mode == "zeros":
        return pad(g, [(-before, -after) for before, after in margins], mode)
    for axis, (before, after) in enumerate(margins, start=g.ndim - len(margins)):
        if before or after:
            size = g.shape[axis] - before - after
            gathered = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]), g.dtype)
            np.add.at(np.moveaxis(gathered, axis, 0), _sources(size, before, after, mode), np.moveaxis(g, axis, 0))
            g = gathered
    return g
