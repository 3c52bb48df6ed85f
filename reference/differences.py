"""Derivatives without calculus: complex steps and extrapolated central differences, each with an error bound.

Functions are given as their *terms*: an array whose sum is the value that is differentiated. From the size of the
terms follows what rounding can do, which the sum alone would hide where the terms cancel. Nothing here knows who
computed them. docs/differences.md derives steps and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TypeAlias

import numpy as np

from reference.run import Array
from reference.steps import CONFIRMED, NODES, Shifted, Stencil, search

Terms: TypeAlias = Callable[[Array], Array]

EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 2.0**-600  # so small that its square is 0, which no branch can mistake for a real part
UNDERFLOW = float(np.finfo(np.float64).smallest_subnormal) / COMPLEX_STEP
ROUNDING = 8.0
MANY = 256
"""Of more terms, those that do not move at all along a direction are set apart."""


@dataclass(frozen=True)
class Estimate:
    """Derivatives of one function in several directions.

    Attributes
    ----------
    value, bound
        The derivative and a bound of its error, one per direction.
    lower, upper
        The one-sided derivatives at a kink; both equal ``value`` elsewhere. At a kink every number between them
        is a subgradient.
    size
        Sum of the magnitudes of the terms of the derivative: how much there was to cancel.
    """

    value: Array
    bound: Array
    lower: Array
    upper: Array
    size: Array

    @property
    def kinks(self) -> Array:
        """Where the function has a kink."""
        return np.asarray(self.lower < self.upper)


def complex_step(function: Terms, x: Array, directions: Iterable[Array] | None = None) -> Estimate:
    """Differentiate along directions, by default along every coordinate of ``x``, by ``Im f(x + i h d) / h``.

    Exact to rounding for functions that are analytic where they are evaluated and decide their branches on real parts;
    kinks are not crossed: what comes back is the derivative of the branch that was taken.

    Source: Squire and Trapp, SIAM Review 40 (1998).
    """
    found, underflow = [], 0.0
    with np.errstate(all="ignore"):
        for d in _units(x) if directions is None else directions:
            slopes = function(x + 1j * COMPLEX_STEP * d).imag / COMPLEX_STEP
            found.append((slopes.sum(), np.abs(slopes).sum()))
            underflow = slopes.size * UNDERFLOW
    shape = x.shape if directions is None else (-1,)
    value, size = (column.reshape(shape) for column in np.array(found, dtype=np.float64).reshape(-1, 2).T)
    return Estimate(value, ROUNDING * EPS * size + underflow, value, value, size)


def finite_difference(
    function: Terms,
    x: Array,
    directions: Iterable[Array] | None = None,
    expected: Iterable[float] | None = None,
    enough: float = CONFIRMED,
) -> Estimate:
    """Differentiate along directions, by default along every coordinate of ``x``.

    Central differences at h, h/2 and h/4, extrapolated twice, at two or more steps h, from the scale of what is
    moved and from what was found at the steps before. The bound is the last extrapolation's change, plus what rounding
    can do in the dtype in which the terms come (float32, float64, longdouble), plus the noise that was seen. It
    is infinite where nothing is known: at a jump, beside NaN, where the function is noise. One step is enough where it
    confirms what is ``expected`` along a direction, from somebody who did not look at the function,
    with a bound of ``enough`` times the terms of the derivative.

    Source: Richardson, Phil. Trans. R. Soc. A 226 (1927).
    """
    with np.errstate(all="ignore"):
        here = function(x).reshape(-1)
        sizes = np.abs(x[x != 0])
        typical = float(np.median(sizes)) if sizes.size else 1.0
        along = _units(x) if directions is None else directions
        said = repeat(None) if expected is None else map(float, expected)
        found = [_along(function, x, here, d, typical, one, enough) for d, one in zip(along, said)]
    columns = np.array(found, dtype=np.float64).reshape(-1, 5).T
    shape = x.shape if directions is None else (-1,)
    return Estimate(*(column.reshape(shape) for column in columns))


def _units(x: Array) -> Iterator[Array]:
    unit = np.zeros(x.shape, x.dtype)
    for k in range(x.size):
        unit.flat[k] = 1
        yield unit
        unit.flat[k] = 0


def _along(
    function: Terms, x: Array, here: Array, direction: Array, typical: float, expected: float | None, enough: float
) -> tuple[float, float, float, float, float]:
    """Return the fields of an estimate along one direction."""
    if not direction.any():
        return 0.0, 0.0, 0.0, 0.0, 0.0

    def shifted(t: float) -> Array:
        return function(x + t * direction)

    still, hidden = None, 0.0
    if here.size > MANY:
        still, hidden = _still(shifted, here, x, direction, typical)
    if still is not None:
        best = _searched(partial(_some, shifted, ~still), here[~still], x, direction, typical, expected, enough)
    else:
        best = _searched(shifted, here, x, direction, typical, expected, enough)
    if best is None:
        return np.nan, np.inf, np.nan, np.nan, np.nan
    lower, upper = float(best.lower.sum()), float(best.upper.sum())
    value = (lower + upper) / 2
    # Steps are powers of two, but x + h may still be rounded, and so is the derivative when it becomes a float64.
    slip = _slip(x, direction, float(NODES[-1]) * 2.0**best.exponent) * best.size + EPS * abs(value)
    return value, best.bound + slip + hidden, lower, upper, best.size


def _still(shifted: Shifted, here: Array, x: Array, direction: Array, typical: float) -> tuple[Array | None, float]:
    """Which terms do not move, if most do not, neither nearby nor far out; and what rounding may hide in them."""
    longest = float(np.abs(direction).max())
    moving = float(np.abs(x[direction != 0]).max())
    near, far = (moving or typical) / longest / 8, 8 * max(moving, typical, 1.0) / longest
    still = np.isfinite(here)
    for t in (near, -near, far, -far):
        still &= shifted(t).reshape(-1) == here
    if 2 * int(still.sum()) < still.size:
        return None, 0.0
    unit = max(float(np.finfo(dtype).eps) for dtype in (x.dtype, here.dtype))
    return still, unit / near * float(np.abs(here[still]).sum())


def derivative_of_each(shifted: Shifted, x: Array, direction: Array) -> Estimate:
    """Differentiate a whole array along one direction, every entry by itself.

    Entries that are not resolved (they jump, say) are set apart, and the others are looked at without them.

    Parameters
    ----------
    shifted
        The array where all that moves has gone so many times the direction; it may be asked for one place repeatedly.
    x, direction
        What moves, flat: from it follow the steps.
    """
    with np.errstate(all="ignore"):
        here = shifted(0.0)
        flat = here.reshape(-1)
        value, lower, upper = (np.full(flat.size, np.nan) for _ in range(3))
        bound, size = np.full(flat.size, np.inf), np.zeros(flat.size)
        sizes = np.abs(x[x != 0])
        typical = float(np.median(sizes)) if sizes.size else 1.0
        left = np.isfinite(flat)
        while left.any() and direction.any():
            best = _searched(partial(_some, shifted, left), flat[left], x, direction, typical)
            if best is None:
                break
            resolved = np.isfinite(best.error)
            at = np.flatnonzero(left)[resolved]
            if resolved.all():
                lower[at], upper[at] = best.lower, best.upper
                value[at] = (best.lower + best.upper) / 2
                slip = _slip(x, direction, float(NODES[-1]) * 2.0**best.exponent)
                size[at] = np.abs(value[at])
                bound[at] = best.error + slip * float(size.max(initial=0.0)) + EPS * size[at]
                break
            left = np.zeros_like(left)
            left[at] = True
        return Estimate(*(a.reshape(here.shape) for a in (value, bound, lower, upper, size)))


def _some(shifted: Shifted, which: Array, t: float) -> Array:
    return np.asarray(shifted(t).reshape(-1)[which])


def _searched(
    shifted: Shifted,
    here: Array,
    x: Array,
    direction: Array,
    typical: float,
    expected: float | None = None,
    enough: float = CONFIRMED,
) -> Stencil | None:
    """Look for steps along a direction; None where nothing can be known."""
    longest = float(np.abs(direction).max(initial=0.0))
    unit = max(float(np.finfo(dtype).eps) for dtype in (x.dtype, here.dtype))
    moving = float(np.abs(x[direction != 0]).max(initial=0.0))
    if not np.isfinite(here).all() or not np.isfinite(moving / longest):
        return None
    return search(
        shifted,
        here,
        size=moving / longest,
        scale=(moving or typical) / longest,
        reach=max(moving, typical, 1.0) / longest,
        unit=unit,
        finest=64 * float(np.finfo(x.dtype).eps) * moving / longest,
        expected=expected,
        enough=enough,
    )


def _slip(x: Array, direction: Array, step: float) -> float:
    """The largest relative error of the step that the argument really makes."""
    moved = direction != 0
    meant = step * direction[moved]
    return max(float(np.abs(((x[moved] + s * meant) - x[moved]) / meant - s).max()) for s in (1.0, -1.0))
