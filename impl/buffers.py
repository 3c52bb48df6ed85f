"""Buffers: memory that a layer takes once, and fills step by step or all at once."""

from __future__ import annotations

import numpy as np

from impl.layer import Array, Shape
from impl.memory import keep_freed_memory


def room(shape: Shape, *arrays: Array) -> Array:
    """Return an array with no values yet, of the kind that comes of computing with all of these.

    Its dtype is the common one, complex if one is, and its class is that of all of them put together: a derivative may
    come in through any of the arrays, as an imaginary part or as whatever else a subclass carries along.
    """
    keep_freed_memory()
    dtype = arrays[0].dtype
    if all(type(array) is np.ndarray and array.dtype == dtype for array in arrays):
        return np.empty(shape, dtype)
    together = np.concatenate([array[(slice(1),) * array.ndim].reshape(-1) for array in arrays])
    return np.empty_like(together, shape=shape)
