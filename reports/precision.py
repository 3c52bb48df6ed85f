"""What a floating dtype can hold, by its name: NumPy's dtypes, and bfloat16, which NumPy has not."""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BFLOAT16 = "bfloat16"
"""The upper half of a float32: its range, and 8 bits of its precision."""

HALVED = 2.0**16


class Precision(NamedTuple):
    """The distance from 1 to the next number, and the smallest and the largest positive ones."""

    eps: float
    smallest_normal: float
    smallest_subnormal: float
    largest: float


def precision(dtype: str) -> Precision:
    """Return what a dtype can hold; of a complex one, what its parts can."""
    limits = np.finfo(np.float32 if dtype == BFLOAT16 else dtype)
    held = Precision(*map(float, (limits.eps, limits.smallest_normal, limits.smallest_subnormal, limits.max)))
    if dtype != BFLOAT16:
        return held
    largest = held.largest * (1 - 2.0**-8) / (1 - 2.0**-24)
    return Precision(held.eps * HALVED, held.smallest_normal, held.smallest_subnormal * HALVED, largest)


def unit_in_the_last_place(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return, for each number, the distance to the next one that a dtype holds."""
    limits = np.finfo(np.float32 if dtype == BFLOAT16 else dtype)
    units = np.spacing(np.maximum(np.abs(values), float(limits.smallest_normal)).astype(limits.dtype))
    return np.asarray(units.astype(np.float64) * (HALVED if dtype == BFLOAT16 else 1.0))


def in_short(number: float) -> float | None:
    """Return a number to three digits; None if that is not finite, as it is beside the largest one."""
    rounded = float(f"{number:.3g}")
    return rounded if isfinite(rounded) else None
