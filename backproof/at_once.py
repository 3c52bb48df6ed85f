"""All derivatives of a node by a few runs of its forward, on dual numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zlib import crc32

import numpy as np

from backproof.alone import Alone, Samples
from backproof.running import ImplementationFailed, WrongArray
from impl.memory import keep_freed_memory
from reference.differences import COMPLEX_STEP, EPS, ROUNDING, UNDERFLOW, Estimate
from reference.duals import Units, dual, parts
from reference.run import Array

AT_ONCE = 2**18
"""Numbers in the parts of the largest array that goes in or comes out: as many as stay in the cache."""

SAME = 2.0**12
"""Units of rounding by which a sum of derivatives may differ from the derivative of the sum."""

CANCELLED = 128.0
"""Units of rounding of the largest term by which any may differ, for inside a node more may have cancelled."""


def in_one_run(forward: Alone, arrays: Mapping[str | int, Array], samples: Samples) -> dict[str | int, Estimate] | None:
    """Differentiate along all coordinates of all arrays by dual numbers, as many at a time as fit into the cache.

    None where the forward does not run on them, or is not linear in their parts as a complex step sees it: the terms
    along one random direction through all coordinates must be what the coordinates add up to. An implementation may do
    with its arrays what no dual number can follow; then its derivatives are found one by one.
    """
    keep_freed_memory()  # every block of rows would fetch its pages anew: two fifths of the time of an MLP
    starts = dict(zip(samples, np.cumsum([0, *(len(at) for at, _ in samples.values())])))
    count = sum(len(at) for at, _ in samples.values())
    weights = np.random.default_rng([forward.seed, crc32(b"in one run")]).standard_normal(count)
    largest = max((a.size for a in (*forward.inputs.values(), *forward.cotangents.values())), default=1)
    rows = max(AT_ONCE // max(largest, 1), 16)
    value, size = np.zeros(count), np.zeros(count)

    def units(key: str | int, here: slice) -> Units | None:
        """Which part is 1, in which entry of this array; None if none is."""
        at, first = samples[key][0], int(starts[key])
        low, high = max(here.start, first), min(here.stop, first + len(at))
        if low >= high:
            return None
        shape = arrays[key].shape
        places = np.unravel_index(at[low - first : high - first], shape) if shape else ()
        return Units(np.arange(low, high) - here.start, places)

    def all_along() -> Iterator[tuple[str | int, Array]]:
        for key, (at, _) in samples.items():
            step = np.zeros(arrays[key].size, complex)
            step[at] = 1j * COMPLEX_STEP * weights[starts[key] : starts[key] + len(at)]
            yield key, arrays[key] + step.reshape(arrays[key].shape)

    try:
        along = forward.of(dict(all_along())).imag / COMPLEX_STEP
        added, added_size = np.zeros(along.size), np.zeros(along.size)
        for start in range(0, count, rows):
            here = slice(start, min(start + rows, count))
            given = {
                key: dual(x.copy(), units(key, here) if key in samples else None, here.stop - start)
                for key, x in forward.floating().items()
            }
            slopes = parts(forward.of(given))
            if slopes is None:
                return None
            sizes = np.abs(slopes)
            value[here], size[here] = slopes.sum(1), sizes.sum(1)
            added, added_size = added + weights[here] @ slopes, added_size + np.abs(weights[here]) @ sizes
    except (ImplementationFailed, WrongArray):
        return None
    largest_term = float(added_size.max(initial=0.0))
    if not _same(along, added, EPS * (SAME * added_size + CANCELLED * largest_term) + along.size * UNDERFLOW):
        return None
    found, bound = {}, ROUNDING * EPS * size
    for key, (at, _) in samples.items():
        own = slice(starts[key], starts[key] + len(at))
        found[key] = Estimate(value[own], bound[own], value[own], value[own], size[own])
    return found


def _same(a: Array, b: Array, bound: Array) -> bool:
    return bool((np.abs(a - b) <= bound).all())
