"""One line through a function of terms: which steps to take, what each says of the derivative, whom to believe.

docs/differences.md derives the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, ldexp
from typing import TypeAlias

import numpy as np

from reference.run import Array

Shifted: TypeAlias = Callable[[float], Array]

MOST = 14
"""Stencils on one line; a smooth function of the scale of its argument needs two."""

GOOD = 2.0**8
"""A bound of so many times ``unit^(4/5)`` of the derivative's terms is what one stencil can reach: look no further."""

ROUNDING, ROUNDING_AT_A_KINK = 64.0, 256.0
"""Roundings of eight units in each value, as the weights of the stencil carry them into a derivative, times h."""

NOISE = 28.0
"""The same weights, about 7, for noise that was measured in a few places only: four times as much for safety."""

HALVES = 14


@dataclass(frozen=True)
class Stencil:
    """What seven values on a line, at 0, ±h/4, ±h/2 and ±h with ``h = 2**exponent``, say of the derivative at 0.

    Attributes
    ----------
    lower, upper
        The one-sided derivatives at a kink, else twice the derivative.
    truncation, rounding
        How far the higher derivatives and the rounding of the values may move them.
    scatter, noise
        By how much the values scatter around a smooth curve, judged by their even part alone and by both parts. The
        odd part sees more noise, but the truncation as well: only at a smaller step than one's own is it all noise.
    change
        How far the values move over the stencil.
    size
        Sum of the magnitudes of the derivative's terms.
    moved
        Which terms change at all.
    """

    exponent: int
    lower: float
    upper: float
    truncation: float
    rounding: float
    scatter: float
    noise: float
    change: float
    size: float
    moved: Array
    bound: float = inf

    def agrees(self, other: Stencil) -> bool:
        """Whether both can be right about the same point."""
        far = max(abs(self.lower - other.lower), abs(self.upper - other.upper))
        return far <= self.bound + other.bound


def stencil(shifted: Shifted, here: Array, exponent: int, unit: float) -> Stencil | None:
    """Look at a function at one step; None where it is not finite on the whole stencil."""
    steps = [ldexp(1.0, exponent - i) for i in range(3)]
    h = steps[0]
    right, left = ([shifted(sign * t) for t in steps] for sign in (1.0, -1.0))
    if not all(np.isfinite(values).all() for values in (*right, *left)):
        return None
    odd = [(r - s) / (2 * t) for r, s, t in zip(right, left, steps)]
    even = [(r - here) + (s - here) for r, s in zip(right, left)]
    value = (64 * odd[2] - 20 * odd[1] + odd[0]) / 45  # Richardson twice: without the terms in h^2 and h^4
    change = (4 * odd[2] - 5 * odd[1] + odd[0]) / 3  # what the second extrapolation added, times 15 / 16
    scatter = np.abs(64 * even[2] - 20 * even[1] + even[0]) / 95  # nothing is left of a polynomial of degree 5
    values = np.abs([here, *right, *left]).max(axis=0)
    error = unit * values + float(np.finfo(here.dtype).smallest_subnormal)
    moved = np.any([v != here for v in (*right, *left)], axis=0)

    # The even part over t is J + c t + d t^3 ... where slopes jump by J, and has no J where the function is smooth.
    bend = [e / t for e, t in zip(even, steps)]
    first, second = 2 * bend[1] - bend[0], 2 * bend[2] - bend[1]
    kinked = (np.abs(second) > 8 * ROUNDING * error / h) & (second > 0.6 * first) & (second < 1.5 * first)
    kinked |= (np.abs(second) > 8 * ROUNDING * error / h) & (second < 0.6 * first) & (second > 1.5 * first)
    lower = upper = value
    # Where nothing moves, less than one rounding is hidden in a value.
    weights = np.where(moved, ROUNDING, 1.0)
    truncation = abs(float(change[~kinked].sum()))
    if kinked.any():
        sides = []
        for side, sign in ((left, -1.0), (right, 1.0)):
            f1, f2, f4 = (sign * (s - here) / t for s, t in zip(side, steps))
            sides.append((8 * f4 - 6 * f2 + f1) / 3)
            truncation += float(np.abs(2 * f4 - 3 * f2 + f1)[kinked].sum())
        lower = np.where(kinked, np.minimum(*sides), value)
        upper = np.where(kinked, np.maximum(*sides), value)
        weights = np.where(kinked, ROUNDING_AT_A_KINK, weights)
    away = np.maximum(np.abs(right[0] - here), np.abs(left[0] - here))
    return Stencil(
        exponent,
        float(lower.sum()),
        float(upper.sum()),
        truncation,
        float((weights * error).sum()) / h,
        float(scatter[~kinked].sum()),
        float(np.maximum(scatter, np.abs(change) * h / 9)[~kinked].sum()),
        float(away.sum()),
        float(np.abs(odd[2]).sum()),
        moved,
    )


def search(shifted: Shifted, here: Array, scale: float, reach: float, unit: float, finest: float) -> Stencil | None:
    """Find the stencil with the smallest bound that no smaller step contradicts; None where none is finite.

    Parameters
    ----------
    shifted
        The terms of the function at a signed distance along the line; ``here`` are those at 0.
    scale, reach
        The step by which the argument would change altogether, and how far the line may be followed at all.
    unit, finest
        The rounding unit of the values, and the smallest step that still moves the argument by what it says.
    """
    top = int(np.floor(np.log2(scale)))
    lowest = max(-1000, int(np.ceil(np.log2(finest))) if finest else -1000)
    highest = max(lowest, min(1000, int(np.floor(np.log2(reach))) - 2))
    tried: dict[int, Stencil | None] = {}

    def look(exponent: int) -> None:
        exponent = min(max(exponent, lowest), highest)
        if exponent not in tried:
            tried[exponent] = stencil(shifted, here, exponent, unit)

    look(top + round(np.log2(unit) / 5) + 2)
    look(top + round(np.log2(unit) / 2) + 2)  # a second opinion from afar, for whatever the first one steps over
    best = choose(tried)
    while len(tried) < MOST:
        if best is not None and best.bound <= GOOD * unit**0.8 * best.size:
            break
        exponent = _next(sorted(tried), best, unit)
        if not lowest <= exponent <= highest or min(abs(exponent - e) for e in tried) < 3:
            break
        look(exponent)
        best = choose(tried)
    return best if best is None else _unless_lost(shifted, here, tried, best, reach)


def _next(tried: Sequence[int], best: Stencil | None, unit: float) -> int:
    """Go to where truncation, which grows with h^4, and rounding, which falls with 1/h, would be equal."""
    if best is None or best.bound == inf:
        return tried[0] - 16
    i = tried.index(best.exponent)
    floor = max(best.truncation, unit * best.size)
    if best.truncation > best.bound / 2:
        return (tried[i - 1] + tried[i]) // 2 if i else tried[0] - 8
    if i + 1 < len(tried):
        return (tried[i] + tried[i + 1]) // 2
    return tried[i] + (int(min(max(np.log2(best.bound / floor) / 5, 6), 48)) if floor else 48)


def choose(tried: dict[int, Stencil | None], finest: int = -2000, lost: float = 0.0) -> Stencil | None:
    """Take the smallest bound, going up from the smallest step (but ``finest``) as long as nobody contradicts.

    What scatters at a small step does so at a larger one, too, hidden beneath what the function really does.
    """
    noise = lost
    accepted: list[Stencil] = []
    for exponent in sorted(e for e in tried if e >= finest):
        found = tried[exponent]
        if found is None:
            continue
        h = ldexp(1.0, exponent)
        scatter = max(noise, found.scatter)
        noise = max(noise, found.noise)
        bound = found.truncation + found.rounding + NOISE * scatter / h
        unresolved = scatter > max(found.change / 8, found.rounding * h)
        found = replace(found, bound=inf if unresolved or not isfinite(bound + found.upper - found.lower) else bound)
        if not all(found.agrees(smaller) for smaller in accepted):
            break
        accepted.append(found)
    return min(accepted, key=lambda s: s.bound, default=None)


def _unless_lost(
    shifted: Shifted, here: Array, tried: dict[int, Stencil | None], best: Stencil, reach: float
) -> Stencil:
    """Tell terms that are constant from terms whose change is lost in rounding, as that of ``(1e16 + x) - 1e16``.

    The latter are staircases: where a constant term moves at last, it jumps and is constant again.
    """
    still = ldexp(1.0, best.exponent)
    larger = [s for e, s in tried.items() if s is not None and e > best.exponent and (s.moved & ~best.moved).any()]
    if larger:
        nearest = min(larger, key=lambda s: s.exponent)
        far, waiting = ldexp(1.0, nearest.exponent), nearest.moved & ~best.moved
    elif not best.moved.any():
        far, waiting = 8 * reach, np.ones_like(best.moved)
    else:
        return best

    def gone(t: float) -> Array:
        return np.asarray(np.where(waiting, shifted(t) - here, 0.0))

    ends = {sign: gone(sign * far) for sign in (1.0, -1.0)}
    for sign, end in ends.items():
        if not np.isfinite(end).all() or not end.any():
            continue
        near, beyond = still, far
        for _ in range(HALVES):
            middle = near + (beyond - near) / 2 if beyond < 4 * near else (near * beyond) ** 0.5
            near, beyond = (near, middle) if gone(sign * middle).any() else (middle, beyond)
        jump = gone(sign * beyond)
        if not np.isfinite(jump).all() or (gone(sign * (2 * beyond - near)) != jump).any():
            continue
        height = float(np.abs(jump).sum())
        sure = choose(tried, finest=int(np.ceil(np.log2(beyond))), lost=height)
        return replace(best, bound=best.bound + height / near) if sure is None else sure
    return best
