"""Gates of recurrent layers: sigmoids computed in place, step by step, and their slopes, of all steps at once."""

from __future__ import annotations

import numpy as np

from impl.layer import Array
from impl.layers.activation import sigmoid


def open_gates(a: Array, gates: Array) -> None:
    """Write ``s = 1 / (1 + e)``, ``e = exp(-a)``, into ``gates``, and into ``a`` what :func:`slopes` asks for.

    That is e, which may overflow to infinity: s is 0 then.
    """
    if a.dtype.char in "fdg":
        np.negative(a, out=a)
        np.exp(a, out=a)
        np.add(a, 1, out=gates)
        np.divide(1, gates, out=gates)
    else:  # an infinite e would become NaN if it is complex, and a float16 s has digits left where e is infinite
        gates[...], a[...] = sigmoid(a)


def slopes(a: Array, gates: Array) -> Array:
    """Return ``s (1 - s) = e s^2``, in which nothing cancels, from what :func:`open_gates` left: ``(*, rows, N)``."""
    if a.dtype.char not in "fdg":
        return a.copy()
    # A scalar in place of the full array took three times as long.
    slope = np.minimum(a, np.full(a.shape[-2:], np.finfo(a.dtype).max, a.dtype))
    slope *= gates
    slope *= gates
    return slope


def tanh_slopes(a: Array) -> Array:
    """Return ``1 - tanh(a)^2 = 4 s (1 - s)``, s the sigmoid of 2 a, to the last digit of both tails. As above."""
    with np.errstate(over="ignore"):
        twice = 2 * a
        gates = np.empty_like(twice)
        open_gates(twice, gates)
    slope = slopes(twice, gates)
    slope *= 4
    return slope
