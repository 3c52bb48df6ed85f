"""Products of matrices, arranged so that BLAS computes them fast on several threads."""

from __future__ import annotations

from math import prod

import numpy as np

from impl.layer import Array

__all__ = ["as_rows", "product"]

SHARED = 2**19
"""From so many multiplications on, OpenBLAS shares a product among threads."""
LONG = 256
"""From so many terms in each sum on, a product may be copied: the copy costs less than it saves."""


def as_rows(x: Array) -> Array:
    """Fold the axes before the last into one: ``(*, features)`` to ``(samples, features)``."""
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])


def product(a: Array, b: Array) -> Array:
    """Return ``a @ b``, ``(*, terms)`` by ``(terms, columns)``, as one product of two matrices.

    OpenBLAS gives every thread rows of its own where the product is higher than wide. Else the threads share what they
    work on and wait for one another, which takes up to twice the time. So a product almost as high as wide is computed
    as two that are higher than wide (512 x 128 x 512 in float32: 0.39 instead of 0.61 ms, measured on two threads), and
    a wider one as the transpose of one that is high (64 x 784 x 256: 0.17 instead of 0.23 ms, with the copy).
    """
    if a.ndim != 2:
        return product(as_rows(a), b).reshape(*a.shape[:-1], b.shape[1])
    (rows, terms), columns = a.shape, b.shape[1]
    if columns < rows or rows * terms * columns < SHARED:
        return np.asarray(a @ b)
    if columns < 2 * rows:
        y = np.empty((rows, columns), np.result_type(a, b))
        for half in (slice(columns // 2), slice(columns // 2, columns)):
            np.matmul(a, b[:, half], out=y[:, half])
        return y
    return np.ascontiguousarray((b.T @ a.T).T) if terms >= LONG else np.asarray(a @ b)
