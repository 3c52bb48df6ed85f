"""Derivatives without calculus: complex steps and extrapolated central differences, each with an error bound.

Functions are given as their *terms*: an array whose sum is the value that is differentiated. From the size of the
terms follows what rounding can do, which the sum alone would hide where the terms cancel. Nothing here knows who
computed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from reference.run import Array

Terms: TypeAlias = Callable[[Array], Array]

EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 2.0**-520  # its square underflows, so the step has no truncation error at all
STEPS = (2.0**-8, 2.0**-14, 2.0**-20)
KINK = 0.6
ROUNDING = 8.0


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


class _Along(NamedTuple):
    value: float
    bound: float
    lower: float
    upper: float
    size: float


def complex_step(function: Terms, x: Array) -> Estimate:
    """Differentiate along every coordinate of ``x`` by ``Im f(x + i h e_k) / h``.

    Exact to rounding for functions that are analytic where they are evaluated and decide their branches on real parts;
    kinks are not crossed: what comes back is the derivative of the branch that was taken.

    Source: Squire and Trapp, SIAM Review 40 (1998).
    """
    z = np.array(x, dtype=np.complex128, order="C")  # so that reshape gives a view
    flat = z.reshape(-1)
    value, size = np.empty(x.size), np.empty(x.size)
    for k in range(x.size):
        here = flat[k]
        flat[k] = here + 1j * COMPLEX_STEP
        slopes = function(z).imag / COMPLEX_STEP
        flat[k] = here
        value[k], size[k] = slopes.sum(), np.abs(slopes).sum()
    derivative, terms = value.reshape(x.shape), size.reshape(x.shape)
    return Estimate(derivative, ROUNDING * EPS * terms, derivative, derivative, terms)


def finite_difference(function: Terms, x: Array, directions: Iterable[Array] | None = None) -> Estimate:
    """Differentiate along directions, by default along every coordinate of ``x``.

    For each of a few steps h: central differences at h, h/2, h/4, extrapolated twice (Richardson); the error bound is
    what the last extrapolation changed plus what rounding can do. The step with the smallest bound is taken, so a
    kink that lies within a large step only makes the step smaller. A kink at x itself shows in the second
    difference over h, which falls with h where the function is smooth and stays where it is not; each term is looked
    at by itself, for the kinks of two terms can cancel in the sum.

    Source: Richardson, Phil. Trans. R. Soc. A 226 (1927).
    """
    here = function(x)
    reach = float(np.abs(x).max(initial=0.0)) or 1.0
    shape = x.shape if directions is None else (-1,)
    found = [
        _along(partial(_shifted, function, x, d), here, reach / float(np.abs(d).max(initial=0.0) or 1.0))
        for d in (_units(x) if directions is None else directions)
    ]
    columns = np.array(found, dtype=np.float64).reshape(-1, len(_Along._fields)).T
    return Estimate(*(column.reshape(shape) for column in columns))


def _shifted(function: Terms, x: Array, direction: Array, t: float) -> Array:
    return function(x + t * direction)


def _units(x: Array) -> Iterator[Array]:
    for k in range(x.size):
        unit = np.zeros(x.size)
        unit[k] = 1.0
        yield unit.reshape(x.shape)


def _along(shifted: Callable[[float], Array], here: Array, reach: float) -> _Along:
    smooth: list[_Along] = []
    kinks: list[_Along] = []
    for step in STEPS:
        estimate, kink = _at_step(shifted, here, step * reach)
        (kinks if kink else smooth).append(estimate)
        if not kink and estimate.bound <= 1e-10 * max(abs(estimate.value), estimate.size):
            break
    # A kink is one only if it stays at the smallest step; a nearby one disappears.
    return min(smooth if not kink else kinks, key=lambda estimate: estimate.bound)


def _at_step(shifted: Callable[[float], Array], here: Array, h: float) -> tuple[_Along, bool]:
    steps = (h, h / 2, h / 4)
    right = [shifted(t) for t in steps]
    left = [shifted(-t) for t in steps]
    d1, d2, d4 = ((r - s) / (2 * t) for r, s, t in zip(right, left, steps))
    once, twice = (4 * d2 - d1) / 3, (4 * d4 - d2) / 3
    lower = upper = (16 * twice - once) / 15
    rounding = ROUNDING * EPS * (np.abs(here) + np.abs(right[0])) / h
    bound = abs(float((twice - once).sum())) + 4 * float(rounding.sum())
    bend, bend4 = ((right[i] - 2 * here + left[i]) / steps[i] for i in (0, 2))
    kinked = (np.abs(bend4) > 64 * rounding) & (np.abs(bend4) > KINK * np.abs(bend))
    if kinked.any():
        sides = []
        for side, sign in ((left, -1.0), (right, 1.0)):
            f1, f2, f4 = (sign * (s - here) / t for s, t in zip(side, steps))
            sides.append((8 * f4 - 6 * f2 + f1) / 3)
            bound += float(np.abs(2 * f4 - 3 * f2 + f1)[kinked].sum()) + 8 * float(rounding.sum())
        lower = np.where(kinked, np.minimum(*sides), lower)
        upper = np.where(kinked, np.maximum(*sides), upper)
        # Of the central estimate only the smooth terms are meant, so only they speak for its error.
        bound += abs(float((twice - once)[~kinked].sum())) - abs(float((twice - once).sum()))
    low, high = float(lower.sum()), float(upper.sum())
    return _Along((low + high) / 2, bound, low, high, float(np.abs(d4).sum())), bool(kinked.any())
