"""What poolings share: where their windows lie, the greatest in each window, and the sum over each window.

A window is a column of an array ``(elements, windows)`` of places along one axis; the place behind the last stands
for what lies outside. Interpolation is such a sum, too, with weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from impl.choice import choose, keep, keep_into
from impl.layer import Array, Gradients, Layer, Shape, Step, reject
from impl.windows import with_batch


class Along(NamedTuple):
    """A linear map along one axis of ``size``: ``y[o] = sum_k weights[k, o] x[places[k, o]]``, and x[size] is 0."""

    size: int
    places: Array
    weights: Array


def check_spatial(layer: Layer, x: Array, rank: int, empty: int) -> None:
    """Raise ValueError unless x is ``(N, C, *spatial)`` or without N, with empty axes among the first only."""
    with_batch(layer, x, rank)
    if 0 in x.shape[empty:]:
        raise reject(layer, "the shape of its input", x.shape, "at least one channel and one element along each axis")


def sliding(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Array:
    """Place windows that slide; with ``ceil_mode`` one more for a rest, unless it begins in the padding behind."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = 1 + (-(-room // stride) if ceil_mode else room // stride)
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    places = np.arange(kernel)[:, None] * dilation + np.arange(max(count, 0)) * stride - padding
    return np.where((places < 0) | (places >= size), size, places)


def adaptive(size: int, count: int) -> Array:
    """Place windows that share out an axis: the i-th from ``floor(i size / m)`` to ``ceil((i + 1) size / m)``."""
    i = np.arange(count)
    starts, ends = i * size // max(count, 1), -((i + 1) * -size // max(count, 1))
    places = starts + np.arange((ends - starts).max(initial=1))[:, None]
    return np.where(places < ends, places, size)


def greatest(x: Array, axes: Sequence[Array], return_indices: bool) -> Step:
    """Take the greatest element of each window; g goes back to where it was, the first of equal ones.

    Of several NaN the last wins, as in torch. ``axes`` say for each of the last axes of x where its windows look: the
    same for all planes, or ``(planes, elements, windows)``.
    """
    rank = len(axes)
    lead, spatial = x.shape[:-rank], x.shape[-rank:]
    if not return_indices and all(map(_side_by_side, axes, spatial)):
        step = _greatest_of_tiles(x, [len(along) for along in axes])
        if step is not None:
            return step
    places = np.zeros((1, 1), dtype=np.int64)
    for size, along in zip(spatial, axes):
        inside = _inside(along, size)
        places = places[..., :, None, :, None] * size + inside[..., None, :, None, :]
        *planes, k, e, w, v = places.shape
        places = places.reshape(*planes, k * e, w * v)
    rows = x.reshape(prod(lead), prod(spatial))
    plane = np.arange(len(rows))[:, None]
    candidates = rows.real[plane[:, None], places] if places.ndim > 2 else rows.real.take(places, axis=1)
    winner = candidates.argmax(axis=1)
    nan = np.isnan(candidates)
    if nan.any():
        last = candidates.shape[1] - 1 - nan[:, ::-1].argmax(axis=1)
        winner = np.where(nan.any(axis=1), last, winner)
    indices = np.take_along_axis(np.broadcast_to(places, candidates.shape), winner[:, None], axis=1)[:, 0]
    y = np.take_along_axis(rows, indices, axis=1).reshape(*lead, *(along.shape[-1] for along in axes))

    def backward(g: Any) -> Gradients:
        arriving: Array = g[0] if return_indices else g
        gradient = np.zeros(rows.shape, arriving.dtype)
        np.add.at(gradient, (plane, indices), arriving.reshape(indices.shape))
        return Gradients((gradient.reshape(x.shape),))

    return Step((y, indices.reshape(y.shape)) if return_indices else y, backward, branches=(indices,))


def _side_by_side(places: Array, size: int) -> bool:
    """Whether windows share out an axis, each beginning where the last one ends; less than a window may be left."""
    if places.ndim > 2:  # each plane has its own
        return False
    count = size // len(places)
    return 0 < count == places.shape[1] and np.array_equal(places.T.ravel(), np.arange(len(places) * count))


def _tiles(shape: Shape, kernel: Sequence[int]) -> Iterator[list[tuple[slice, ...]]]:
    """Say for each of the last axes, the last one first, where the elements lie that have one place in all tiles."""
    for axis, size in zip(range(len(shape) - 1, -1, -1), reversed(kernel)):
        end = shape[axis] // size * size
        yield [(slice(None),) * axis + (slice(start, end, size),) for start in range(size)]


def _room(like: Array, dtype: DTypeLike, shape: Shape, size: int) -> Array:
    """Make room for gradients of tiles of ``size``, each an element of ``like`` and laid out as it; zeros elsewhere."""
    return (np.empty_like if prod(shape) == size * like.size else np.zeros_like)(like, dtype, shape=shape)


def _greatest_of_tiles(x: Array, kernel: Sequence[int]) -> Step | None:
    """Do what :func:`greatest` does where windows lie side by side, axis by axis, the last one first.

    The elements of all windows in one place are a view. An element wins over those before it if it is greater, which
    makes it the first of equal ones in row-major order. None where one is NaN.
    """
    best, seen, levels = x, x.real, []
    all_is_seen = type(x) is np.ndarray and not np.iscomplexobj(x)
    for views in _tiles(x.shape, kernel):
        whole, real, winners = best, seen, []
        best, seen = whole[views[0]], real[views[0]]
        for view in views[1:]:
            winners.append(real[view] > seen)
            seen = np.maximum(seen, real[view])
            best = seen if all_is_seen else choose(winners[-1], whole[view], best)
        if winners:
            levels.append((whole.shape, views, winners))
    if np.isnan(seen).any():
        return None

    def backward(g: Array) -> Gradients:
        for shape, views, winners in reversed(levels):
            gradient = _room(winners[0], g.dtype, shape, len(views))
            for view, wins in zip(views[:0:-1], reversed(winners)):
                keep_into(gradient[view], wins, g)
                g = keep(~wins, g)
            gradient[views[0]] = g
            g = gradient
        return Gradients((g,))

    return Step(best, backward, branches=tuple(wins for _, _, winners in levels for wins in winners))


def _inside(places: Array, size: int) -> Array:
    """Let a neighbour in its window stand for what lies outside: it cannot win over itself."""
    latest = np.maximum.accumulate(np.where(places < size, places, -1), axis=-2)
    return np.where(latest < 0, places.min(axis=-2, keepdims=True), latest)


def summed(x: Array, axes: Sequence[Along]) -> Array:
    """Apply a linear map along each of the last axes."""
    for axis, (_, places, weights) in zip(range(-len(axes), 0), axes):
        along = np.moveaxis(x, axis, -1)
        along = np.concatenate([along, np.zeros((*along.shape[:-1], 1), x.dtype)], axis=-1)
        x = np.moveaxis(np.einsum("...ko,ko->...o", along[..., places], weights.astype(x.real.dtype)), -1, axis)
    return x


def spread(g: Array, axes: Sequence[Along]) -> Array:
    """Apply the transpose of the maps: the adjoint of :func:`summed`."""
    return summed(g, [_transposed(*along) for along in axes])


def _transposed(size: int, places: Array, weights: Array) -> Along:
    """Turn a map round: each place gathers from the windows that looked at it."""
    order = places.argsort(axis=None, kind="stable")
    looked_at = places.ravel()[order]
    looked_at = looked_at[looked_at < size]
    order = order[: len(looked_at)]
    before = np.arange(len(looked_at)) - looked_at.searchsorted(looked_at)
    count = places.shape[1]
    back = np.full((before.max(initial=0) + 1, size), count)
    back[before, looked_at] = order % max(count, 1)
    factors = np.ones(back.shape, weights.dtype)
    factors[before, looked_at] = weights.ravel()[order]
    return Along(count, back, factors)


def plain(shape: Shape, axes: Sequence[Array]) -> list[Along]:
    """Make sums over windows of the last axes of ``shape``, without weights."""
    return [Along(size, places, np.ones(places.shape)) for size, places in zip(shape[-len(axes) :], axes)]


def elements(sums: Sequence[Along]) -> Array:
    """Count the elements in each window, what lies outside left out."""
    inside = [(places < size).sum(axis=0) for size, places, _ in sums]
    return np.asanyarray(reduce(np.multiply.outer, inside))


def wide(x: Array) -> Array:
    """Return x in a precision that sums can take: what is shorter than float32 as float32."""
    return x.astype(np.result_type(x.dtype, np.float32), copy=False)


def mean(x: Array, axes: Sequence[Array], divisor: Array | int | None = None) -> Step:
    """Take the sum over each window by ``divisor``, or by how many elements it has; g / divisor goes back to each."""
    sums = plain(x.shape, axes)
    by = np.asanyarray(elements(sums) if divisor is None else divisor, wide(x.real).dtype)
    kernel = [len(places) for places in axes]
    if all(map(_side_by_side, axes, x.shape[-len(axes) :])):
        add_up, hand_out = partial(_sum_of_tiles, kernel=kernel), partial(_to_tiles, shape=x.shape, kernel=kernel)
    else:
        add_up, hand_out = partial(summed, axes=sums), partial(spread, axes=sums)
    y = (add_up(wide(x)) / by).astype(x.dtype, copy=False)

    def backward(g: Array) -> Gradients:
        return Gradients((hand_out(wide(g) / by).astype(g.dtype, copy=False),))

    return Step(y, backward)


def _sum_of_tiles(x: Array, kernel: Sequence[int]) -> Array:
    """Do what :func:`summed` does where windows lie side by side."""
    for views in _tiles(x.shape, kernel):
        x = reduce(np.add, [x[view] for view in views])
    return x


def _to_tiles(g: Array, shape: Shape, kernel: Sequence[int]) -> Array:
    """Hand g to all elements of its tile: the adjoint of :func:`_sum_of_tiles`."""
    for axis, views in zip(range(len(shape) - len(kernel), len(shape)), reversed([*_tiles(shape, kernel)])):
        whole = (*g.shape[:axis], shape[axis], *g.shape[axis + 1 :])
        gradient = _room(g, g.dtype, whole, len(views))
        for view in views:
            gradient[view] = g
        g = gradient
    return g


def interpolated(x: Array, axes: Sequence[Along]) -> Step:
    """Apply a linear map along each of the last axes, and its transpose on the way back."""

    def backward(g: Array) -> Gradients:
        return Gradients((spread(wide(g), axes).astype(g.dtype),))

    return Step(summed(wide(x), axes).astype(x.dtype), backward)
