"""What a mistake looks like: each claim is tested by making that mistake in the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement, permutations
from math import sqrt
from typing import Any

import numpy as np

from reports.agreement import Array


def diagnose(got: Any, want: Array, bound: float, sizes: Mapping[str, int]) -> str | None:
    """Name the mistake that turns ``want`` into ``got``.

    Parameters
    ----------
    got, want
        What came, and the reference.
    bound
        The error that rounding explains, absolute.
    sizes
        Sizes by what they are called, ``{"the batch": 8}``: factors are explained by them.

    Returns
    -------
    A clause that completes "the gradient of weight ...", or None if nothing is wrong.
    """
    if not isinstance(got, np.ndarray):
        return "is missing" if got is None else f"is {type(got).__name__}, wanted an array"
    with np.errstate(all="ignore"):
        got = got.astype(np.float64)
        if got.shape != want.shape:
            turned = got.ndim > 1 and got.T.shape == want.shape and _explains(got.T, want, bound)
            return "is transposed" if turned else f"has shape {got.shape}, wanted {want.shape}"
        if _explains(got, want, bound):
            return None
        finite = np.isfinite(want) & np.isfinite(got)
        if not finite.all():
            return (
                f"is not finite at {_places(np.isnan(got) | np.isinf(got), got)}" if np.isfinite(want).all() else None
            )
        return next(_hypotheses(got, want.astype(np.float64), bound, sizes))


def _explains(got: Array, candidate: Array, bound: float) -> bool:
    return bool(((np.abs(got - candidate) <= bound) | (got == candidate)).all())


def _hypotheses(got: Array, want: Array, bound: float, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield the claims that hold, the most telling first; the last one always holds."""
    top = np.unravel_index(int(np.argmax(np.abs(want))), want.shape)
    if abs(want[top]) > 10 * bound:  # else there is nothing to compare with
        if not got.any():
            yield "is zero everywhere"
        if _explains(got, -want, bound):
            yield "has the wrong sign"
        factor = float(got[top] / want[top])
        if got.size > 1 and factor and _explains(got, factor * want, bound * max(1.0, abs(factor))):
            yield _named(factor, 2 * bound / abs(want[top]), sizes)
        for axes in permutations(range(want.ndim)) if want.ndim < 5 else ():
            if want.transpose(axes).shape == want.shape and _explains(got, want.transpose(axes), bound):
                yield "is transposed" if want.ndim == 2 else f"has its axes in the order {axes}"
        for axis in range(want.ndim):
            if _explains(got, np.flip(want, axis), bound):
                yield f"is reversed along axis {axis}"
    offset = got - want
    if got.size > 1 and _explains(offset, np.full(got.shape, offset.flat[0]), 2 * bound):
        yield f"is off by the constant {offset.flat[0]:.6g}"
    yield f"is wrong at {_places(~(np.abs(offset) <= bound), got)}"


def _named(factor: float, tolerance: float, sizes: Mapping[str, int]) -> str:
    """Say what a constant factor may be: a size, a product of two, its root, or an integer."""

    def near(number: float) -> bool:
        return abs(factor - number) <= tolerance * max(1.0, abs(number))

    known = {name: n for name, n in sizes.items() if n > 1}
    for name, n in known.items():
        if near(n):
            return f"is {n} times the reference: a mean over {name} ({n}) is missing"
        if near(1 / n):
            return f"is 1/{n} of the reference: a mean over {name} ({n}) where a sum belongs"
        if near(sqrt(n)) or near(1 / sqrt(n)):
            times, what = ("times", "missing") if factor > 1 else ("of", "too many")
            shown = f"sqrt({n})" if factor > 1 else f"1/sqrt({n})"
            return f"is {shown} {times} the reference: a division by the root of {name} ({n}) is {what}"
    for number in (2, 3, 4):
        for shown, value in ((f"{number} times", number), (f"1/{number} of", 1 / number)):
            if near(value) or near(-value):
                return f"is {'minus ' if factor < 0 else ''}{shown} the reference"
    for (one, n), (other, m) in combinations_with_replacement(known.items(), 2):
        if near(n * m):
            return f"is {n * m} times the reference: means over {one} ({n}) and {other} ({m}) are missing"
        if near(1 / (n * m)):
            return f"is 1/{n * m} of the reference: means over {one} ({n}) and {other} ({m}) where sums belong"
    return f"is {factor:.7g} times the reference"


def _places(wrong: Array, got: Array) -> str:
    """Say where: one index of an axis, or how many entries."""
    count = int(wrong.sum())
    zero = ", where it is zero" if count and not got[wrong].any() else ""
    if count == wrong.size:
        return "all entries" + zero
    for axis, size in enumerate(wrong.shape):
        hit = np.flatnonzero(wrong.any(axis=tuple(i for i in range(wrong.ndim) if i != axis)))
        if len(hit) == 1 and size > 1 and wrong.ndim > 1 and count > 1:
            return f"index {hit[0]} of axis {axis} (size {size}) alone{zero}"
    place = ", ".join(str(i) for i in np.argwhere(wrong)[0])
    return f"{count} of {wrong.size} entries, the first at [{place}]{zero}"
