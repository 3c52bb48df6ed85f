"""Correlation of arrays with kernels, by matrix products: what convolutions of both directions are made of.

``y[o, p] = sum_ck W[o, c, k] x[c, p stride + k dilation]`` is linear in W and in x, so it takes three functions:
:func:`correlate`, its adjoint with respect to x, and the gradient of W. They know arrays ``(N, C, *spatial)``, and
the weight as a matrix for each group, ``(groups, O / groups, C / groups * kernel)``.

In memory the batch comes last here. Then a window of all samples is one product for the whole batch, and what windows
see is copied in runs of a row times the batch: a CNN at 32x32 copied its columns in a fifth of the time that they took
sample by sample. What comes out stays like that, so that the next layer finds it as it wants it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from impl.buffers import room
from impl.layer import Array, Shape
from impl.padding import Margins, pad, unpad
from impl.windows import Grid, overlap_add, windows

COLUMNS_AT_ONCE = 1 << 22
"""Bytes of columns: more would be fetched from memory instead of the cache, many products of fewer cost more calls."""

SMALL_PRODUCT = 10**6
"""Multiplications up to which OpenBLAS takes matrices as they lie, on one thread; it packs larger ones for two. 16x27
by n was twice as fast in parts, 32x288 by n as fast on one thread as on two, and nobody waits for the second."""

THIN, THICK = 1 << 11, 1 << 14
"""Elements of a weight: from the first on, ``G X^T`` in parts needs a copy of the narrower matrix, turned round, not to
be packed; beyond the second, packing pays, and products stay whole."""

SAMPLES_AT_ONCE = 8
"""Samples that are turned round together: this took 0.6 times as long as one by one, 0.3 times as long as all."""


def batch_last(x: Array) -> Array:
    """Return ``(N, C, *spatial)`` as it is, or a copy, whose memory is that of ``(C, *spatial, N)``."""
    if np.moveaxis(x, 0, -1).flags.c_contiguous:
        return x
    turned = room((*x.shape[1:], len(x)), x)
    for start in range(0, len(x), SAMPLES_AT_ONCE):
        some = slice(start, start + SAMPLES_AT_ONCE)
        turned[..., some] = np.moveaxis(x[some], 0, -1)
    return np.moveaxis(turned, -1, 0)


def _room(shape: Shape, *arrays: Array) -> Array:
    """Make room for what comes of arrays: ``(N, C, *spatial)``, the batch last in memory."""
    return np.moveaxis(room((*shape[1:], shape[0]), *arrays), -1, 0)


def _rows(x: Array, groups: int) -> Array:
    """View ``(N, C, n, *rest)`` as ``(groups, C / groups, n, rest * N)``."""
    count, channels, first = x.shape[:3]
    return np.moveaxis(batch_last(x), 0, -1).reshape(groups, channels // groups, first, count * prod(x.shape[3:]))


def _some(rows: Array, where: slice) -> Array:
    """View some of the rows as a matrix for each group."""
    some = rows[:, :, where]
    return some.reshape(*some.shape[:2], some.shape[2] * some.shape[3])


def _parts(elements: int, count: int) -> int:
    """Into how many small products of equal size to part one of a weight of so many elements by ``count`` columns."""
    least = -(-elements * count // SMALL_PRODUCT)
    return next((parts for parts in range(least, 2 * least) if count % parts == 0), 1)


def _parted(x: Array, parts: int) -> Array:
    """View ``(groups, rows, n)`` as ``(groups, parts, rows, n / parts)``."""
    return x.reshape(*x.shape[:2], parts, x.shape[2] // parts).swapaxes(1, 2)


def _multiply(weight: Array, x: Array, out: Array) -> None:
    """Write ``W X`` to an array."""
    elements = weight.shape[1] * weight.shape[2]
    parts = _parts(elements, x.shape[2]) if elements <= THICK else 1
    np.matmul(weight[:, None], _parted(x, parts), out=_parted(out, parts))


def _outer(g: Array, x: Array) -> Array:
    """Return ``G X^T``."""
    few, many = (g, x) if g.shape[1] < x.shape[1] else (x, g)
    elements = g.shape[1] * x.shape[1]
    parts = _parts(elements, x.shape[2]) if elements <= THICK else 1
    turned = _parted(few, parts).swapaxes(-1, -2)
    turned = np.ascontiguousarray(turned) if THIN < elements <= THICK else turned
    # BLAS is up to twice as fast with the taller matrix in front.
    found = (_parted(many, parts) @ turned).sum(axis=1)
    return np.asanyarray(found.swapaxes(-1, -2) if few is g else found)


def _shares(count: int, nbytes: int) -> Iterator[slice]:
    """Share out ``count`` rows, whose columns have so many bytes."""
    step = -(-count // max(1, min(count, -(-nbytes // COLUMNS_AT_ONCE))))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _columns(x: Array, grid: Grid) -> Iterator[tuple[slice, Array]]:
    """Go through the windows, some along the first axis at a time: which, and ``(groups, C / groups * kernel, *)``."""
    view = np.moveaxis(windows(batch_last(x), *grid[:3]), 0, -1)
    channels, kernel, (first, *rest) = x.shape[1], grid.kernel, view.shape[1 + len(grid.kernel) :]
    seen = channels // grid.groups * prod(kernel)
    if view.flags.c_contiguous:  # the windows of a kernel of one element are columns already
        yield slice(0, first), view.reshape(grid.groups, seen, first * prod(rest))
        return
    memory = room((0,), x)
    for share in _shares(first, view.nbytes):
        part = view[(slice(None),) * (1 + len(kernel)) + (share,)]
        memory = memory if memory.size else room((part.size,), x)
        columns = memory[: part.size].reshape(part.shape)
        columns[...] = part
        yield share, columns.reshape(grid.groups, seen, (share.stop - share.start) * prod(rest))


def correlate(weight: Array, x: Array, grid: Grid) -> Array:
    """``y[o, p] = sum_ck W[o, c, k] x[c, p stride + k dilation]``: ``(N, O, *out)``, as a product with columns."""
    out = grid.counts(x.shape[2:])
    y = _room((len(x), prod(weight.shape[:2]), *out), weight, x)
    rows = _rows(y, grid.groups)
    for share, columns in _columns(x, grid):
        _multiply(weight, columns, _some(rows, share))
    return y


def weight_gradient(g: Array, x: Array, grid: Grid) -> Array:
    """``dE/dW[o, c, k] = sum_p g[o, p] x[c, p stride + k dilation]``, in all samples: ``dE/dW = G X^T``."""
    rows = _rows(g, grid.groups)
    total: Array = np.zeros((), np.result_type(g, x))
    for share, columns in _columns(x, grid):
        total = total + _outer(_some(rows, share), columns)
    return total


def adjoint(weight: Array, g: Array, grid: Grid, spatial: Shape, margins: Margins) -> Array:
    """Lay W down at each element, times it: ``x[c, p stride + k dilation] += sum_o W[o, c, k] g[o, p]``.

    Returns ``(N, C, *spatial)`` less the margins.
    """
    if not _mirrors(weight, grid):
        return unpad(_spread(weight, g, grid, spatial), margins, "zeros")
    return correlate(_mirrored(weight, grid), _around(g, grid, margins), grid)


def gradients(
    weight: Array, g: Array, x: Array, grid: Grid, margins: Margins, of_x: bool
) -> tuple[Array | None, Array]:
    """Return dE/dx less the margins, where x holds zeros, and dE/dW; the columns of g serve for both where they can."""
    if not _mirrors(weight, grid):
        dx = adjoint(weight.conj(), g, grid, x.shape[2:], margins) if of_x else None
        return dx, weight_gradient(g, x.conj(), grid)
    inner = batch_last(unpad(x, margins, "zeros").conj())
    dx = _room(inner.shape, weight, g) if of_x else None
    turned, inside = _mirrored(weight.conj(), grid), _rows(inner, grid.groups)
    total: Array = np.zeros((), np.result_type(g, x))
    for share, columns in _columns(_around(g, grid, margins), grid):
        if dx is not None:
            _multiply(turned, columns, _some(_rows(dx, grid.groups), share))
        total = total + _outer(_some(inside, share), columns)
    return dx, _mirrored(total, grid)


def _mirrors(weight: Array, grid: Grid) -> bool:
    """Whether to go back by a correlation: with stride 1 it is one, of g with zeros around it and the mirrored kernel.

    That copies columns of g; to add up columns of x costs twice as much for each, unless the products are large.
    """
    rows, columns = weight.shape[1] * prod(grid.kernel), weight.shape[2]
    return max(grid.stride) == 1 and rows <= columns * (2 if weight.shape[1] * columns <= THICK else 1)


def _mirrored(weight: Array, grid: Grid) -> Array:
    """Exchange O and C, and turn the kernel round: a weight ``(groups, C / groups, O / groups * kernel)``."""
    columns = weight.shape[2] // prod(grid.kernel)
    turned = weight.reshape(grid.groups, weight.shape[1], columns, prod(grid.kernel))[..., ::-1].swapaxes(1, 2)
    return np.ascontiguousarray(turned).reshape(grid.groups, columns, -1)  # BLAS takes no negative strides


def _around(g: Array, grid: Grid, margins: Margins) -> Array:
    """Put as many zeros around g as windows that begin before an array reach over its edge."""
    reach = [d * (k - 1) for k, d in zip(grid.kernel, grid.dilation)]
    return pad(batch_last(g), [(n - before, n - after) for n, (before, after) in zip(reach, margins)], "zeros")


def _spread(weight: Array, g: Array, grid: Grid, spatial: Shape) -> Array:
    """Add the columns ``W^T G`` to the places where their windows lie."""
    channels = grid.groups * weight.shape[2] // prod(grid.kernel)
    total = _room((len(g), channels, *spatial), weight, g)
    total[...] = 0
    rows, turned = _rows(g, grid.groups), weight.swapaxes(-1, -2)
    # Of a single row and column BLAS makes a matrix in ten times NumPy's time.
    product = np.multiply if weight.shape[1] == 1 else _multiply
    for share in _shares(g.shape[2], g.nbytes // g.shape[1] * channels * prod(grid.kernel)):
        some = _some(rows, share)
        columns = room((grid.groups, weight.shape[2], some.shape[2]), total)
        product(turned, some, columns)
        pieces = columns.reshape(channels, *grid.kernel, share.stop - share.start, *g.shape[3:], len(g))
        overlap_add(total[:, :, share.start * grid.stride[0] :], np.moveaxis(pieces, -1, 0), grid.stride, grid.dilation)
    return total
