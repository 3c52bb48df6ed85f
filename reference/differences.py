"""Derivatives without calculus: complex steps and extrapolated central differences, each with an error bound.

Functions are given as their *terms*: an array whose sum is the value that is differentiated. From the size of the
terms follows what rounding can do, which the sum alone would hide where the terms cancel. Nothing here knows who
computed them. docs/differences.md derives steps and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from typing import TypeAlias

import numpy as np

from reference.run import Array
from reference.steps import CONFIRMED, NODES, Shifted, Stencil, confirmed, opening, search

Terms: TypeAlias = Callable[[Array], Array]
Together: TypeAlias = Callable[[Array], "Array | None"]
"""Terms of many arguments, stacked along a first axis: a row for each, or None where that cannot be."""

Fields: TypeAlias = tuple[float, float, float, float, float]
"""Those of an estimate, along one direction."""

EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 2.0**-600  # so small that its square is 0, which no branch can mistake for a real part
UNDERFLOW = float(np.finfo(np.float64).smallest_subnormal) / COMPLEX_STEP
ROUNDING = 8.0
AT_ONCE = 2**19
"""Numbers that go into one run of many arguments, and come out of it."""

AS_ONE = 1024.0
"""Units of rounding by which such a run may differ from one of a single argument."""

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
    together: Together | None = None,
) -> Estimate:
    """Differentiate along directions, by default along every coordinate of ``x``.

    Central differences at h, h/2 and h/4, extrapolated twice, at two or more steps h, from the scale of what is
    moved and from what was found at the steps before. The bound is the last extrapolation's change, plus what rounding
    can do in the dtype in which the terms come (float32, float64, longdouble), plus the noise that was seen. It
    is infinite where nothing is known: at a jump, beside NaN, where the function is noise. One step is enough where it
    confirms what is ``expected`` along a direction, from somebody who did not look at the function,
    with a bound of ``enough`` times the terms of the derivative.

    Where ``together`` runs many arguments at once, that one step is taken so: for all directions in a few runs. It can
    only confirm; what it does not, or where it says otherwise than the function itself, is looked at one by one.

    Source: Richardson, Phil. Trans. R. Soc. A 226 (1927).
    """
    with np.errstate(all="ignore"):
        here = function(x).reshape(-1)
        sizes = np.abs(x[x != 0])
        typical = float(np.median(sizes)) if sizes.size else 1.0
        along = _units(x) if directions is None else directions
        said = repeat(None) if expected is None else map(float, expected)
        pairs, found = zip(along, said), []
        fits = _fits(x, here) if together and expected is not None else 0
        while chunk := list(islice(((d.copy(), one) for d, one in pairs), fits or 1)):
            at_once = _at_once(together, function, x, here, chunk, typical, enough) if fits and together else {}
            if not at_once:
                fits = 0
            for i, (d, one) in enumerate(chunk):
                found.append(at_once.get(i) or _along(_line(function, x, d), x, here, d, typical, one, enough, search))
    columns = np.array(found, dtype=np.float64).reshape(-1, 5).T
    shape = x.shape if directions is None else (-1,)
    return Estimate(*(column.reshape(shape) for column in columns))


def _units(x: Array) -> Iterator[Array]:
    unit = np.zeros(x.shape, x.dtype)
    for k in range(x.size):
        unit.flat[k] = 1
        yield unit
        unit.flat[k] = 0


def _line(function: Terms, x: Array, direction: Array) -> Shifted:
    return lambda t: function(x + t * direction)


def _fits(x: Array, here: Array) -> int:
    """How many directions fit into one run; 0: too few to be worth it."""
    fits = AT_ONCE // (10 * (x.size + here.size))
    return min(fits, 256) if fits >= 4 else 0


def _at_once(
    together: Together,
    function: Terms,
    x: Array,
    here: Array,
    chunk: Sequence[tuple[Array, float | None]],
    typical: float,
    enough: float,
) -> dict[int, Fields]:
    """Return the fields of estimates that were confirmed in one run, by the number of the direction in the chunk."""
    places, rows = [], [x]
    for d, _ in chunk:
        ruler = _ruler(x, here, d, typical) if d.any() else None
        at = opening(ruler["scale"], ruler["reach"], ruler["unit"], ruler["finest"]) if ruler else []
        at += _near_and_far(x, d, typical) if at and here.size > MANY else []
        places.append(at)
        rows += [x + t * d for t in at]
    values = together(np.stack([*rows, x]))
    if values is None or values.shape != (len(rows) + 1, here.size) or values.dtype != here.dtype:
        return {}
    # It must be the same function, in its own rounding, and must not depend on where in the stack something lies.
    near = AS_ONE * float(np.finfo(here.dtype).eps) * np.abs(here).max(initial=0.0)
    samples = (values[0], here), (values[1], np.ravel(function(rows[1])) if len(rows) > 1 else here)
    if (values[0] != values[-1]).any() or not all((np.abs(a - b) <= near).all() for a, b in samples):
        return {}
    found, first = {}, 1
    for i, ((d, one), at) in enumerate(zip(chunk, places)):
        known = dict(zip(at, values[first : first + len(at)]))
        first += len(at)
        fields = _along(known.__getitem__, x, values[0], d, typical, one, enough, confirmed) if at else None
        if fields is not None and np.isfinite(fields[1]):
            found[i] = fields
    return found


def _along(
    shifted: Shifted,
    x: Array,
    here: Array,
    direction: Array,
    typical: float,
    expected: float | None,
    enough: float,
    seek: Callable[..., Stencil | None],
) -> Fields:
    """Return the fields of an estimate along one direction."""
    if not direction.any():
        return 0.0, 0.0, 0.0, 0.0, 0.0
    still, hidden = None, 0.0
    if here.size > MANY:
        still, hidden = _still(shifted, here, x, direction, typical)
    if still is not None:
        best = _searched(partial(_some, shifted, ~still), here[~still], x, direction, typical, expected, enough, seek)
    else:
        best = _searched(shifted, here, x, direction, typical, expected, enough, seek)
    if best is None:
        return np.nan, np.inf, np.nan, np.nan, np.nan
    lower, upper = float(best.lower.sum()), float(best.upper.sum())
    value = (lower + upper) / 2
    # Steps are powers of two, but x + h may still be rounded, and so is the derivative when it becomes a float64.
    slip = _slip(x, direction, float(NODES[-1]) * 2.0**best.exponent) * best.size + EPS * abs(value)
    return value, best.bound + slip + hidden, lower, upper, best.size


def _still(shifted: Shifted, here: Array, x: Array, direction: Array, typical: float) -> tuple[Array | None, float]:
    """Which terms do not move, if most do not, neither nearby nor far out; and what rounding may hide in them."""
    places, still = _near_and_far(x, direction, typical), np.isfinite(here)
    for t in places:
        still &= shifted(t).reshape(-1) == here
    if 2 * int(still.sum()) < still.size:
        return None, 0.0
    unit = max(float(np.finfo(dtype).eps) for dtype in (x.dtype, here.dtype))
    return still, unit / places[0] * float(np.abs(here[still]).sum())


def _near_and_far(x: Array, direction: Array, typical: float) -> list[float]:
    longest = float(np.abs(direction).max())
    moving = float(np.abs(x[direction != 0]).max())
    near, far = (moving or typical) / longest / 8, 8 * max(moving, typical, 1.0) / longest
    return [near, -near, far, -far]


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
    seek: Callable[..., Stencil | None] = search,
) -> Stencil | None:
    """Look for steps along a direction; None where nothing can be known."""
    ruler = _ruler(x, here, direction, typical)
    return seek(shifted, here, **ruler, expected=expected, enough=enough) if ruler else None


def _ruler(x: Array, here: Array, direction: Array, typical: float) -> dict[str, float] | None:
    """What is known of the sizes of things on a line, see :func:`reference.steps.search`."""
    longest = float(np.abs(direction).max(initial=0.0))
    unit = max(float(np.finfo(dtype).eps) for dtype in (x.dtype, here.dtype))
    moving = float(np.abs(x[direction != 0]).max(initial=0.0))
    if not np.isfinite(here).all() or not np.isfinite(moving / longest):
        return None
    return {
        "size": moving / longest,
        "scale": (moving or typical) / longest,
        "reach": max(moving, typical, 1.0) / longest,
        "unit": unit,
        "finest": 64 * float(np.finfo(x.dtype).eps) * moving / longest,
    }


def _slip(x: Array, direction: Array, step: float) -> float:
    """The largest relative error of the step that the argument really makes."""
    moved = direction != 0
    meant = step * direction[moved]
    return max(float(np.abs(((x[moved] + s * meant) - x[moved]) / meant - s).max()) for s in (1.0, -1.0))
