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

NODES = np.array([1003, 619, 347]) / 1024
"""Where a stencil looks, in units of its step: not halves, on which numbers rounded to a grid can look like a line."""

MOST = 14
"""Stencils on one line; a smooth function of the scale of its argument needs two."""

GOOD = 2.0**8
"""A bound of so many times ``unit^(4/5)`` of the derivative's terms is what one stencil can reach: look no further."""

ROUNDING, ROUNDING_AT_A_KINK = 64.0, 256.0
"""Roundings of eight units in each value, as the weights of the stencil carry them into a derivative, times h."""

NOISE = 64.0
"""The same weights, about 7, for noise that was measured in a few places only: nine times as much for safety."""

CONFIRMED = 2.0**-30
"""A bound of so many times the derivative's terms is enough where one stencil finds what was expected."""

DOUBT = 8.0
"""How much more a bound is where a larger step says otherwise: it has crossed a kink, or the smaller was fooled."""

BISECTIONS = 8


def _at_zero(nodes: Array) -> Array:
    """Weights that extrapolate a polynomial from its values at the nodes to 0."""
    return np.array([np.prod([b / (b - a) for b in nodes if b != a]) for a in nodes])


CENTRAL, CENTRAL_BEFORE = _at_zero(NODES**2), np.array([0.0, *_at_zero(NODES[1:] ** 2)])
SIDE, SIDE_BEFORE = _at_zero(NODES), np.array([0.0, *_at_zero(NODES[1:])])
BEND, BEND_BEFORE = SIDE_BEFORE, np.array([*_at_zero(NODES[:2]), 0.0])
STRAIGHT = float((np.abs(BEND - BEND_BEFORE) / NODES).sum())
SCATTER = np.array([1 / (a**2 * np.prod([a**2 - b**2 for b in NODES if b != a])) for a in NODES])
SCATTER /= np.abs(SCATTER).sum()


@dataclass(frozen=True)
class Stencil:
    """What seven values on a line, at 0 and at three distances up to ``h = 2**exponent`` to both sides, say of f'(0).

    Attributes
    ----------
    exponent
    lower, upper
        Per term: the one-sided derivatives at a kink, else twice the derivative.
    truncation, rounding
        Per term, how far the higher derivatives and the rounding of the values may move them. In the sum of the terms
        the former may cancel, and counts ``truncated``.
    scatter, noise
        Per term, by how much the values scatter around a smooth curve, judged by their even part alone and by both
        parts. The odd part sees more noise, but the truncation as well: only at a step smaller than one's own
        is it all noise.
    own
        Per term, its own scatter, where ``scatter`` is at least what the terms do on average.
    change
        Per term, how far the values move over the stencil.
    size
        Sum of the magnitudes of the derivative's terms.
    moved
        Which terms change at all.
    error, bound
        What it all comes to, for each term and for the sum: known when all smaller steps are.
    """

    exponent: int
    lower: Array
    upper: Array
    truncation: Array
    truncated: float
    rounding: Array
    scatter: Array
    noise: Array
    own: Array
    change: Array
    size: float
    moved: Array
    error: Array
    bound: float = inf

    def agrees(self, other: Stencil) -> bool:
        """Whether both can be right about the same point, term by term."""
        far = np.maximum(np.abs(self.lower - other.lower), np.abs(self.upper - other.upper))
        return bool((far <= self.error + other.error).all())


def stencil(shifted: Shifted, here: Array, exponent: int, unit: float, size: float) -> Stencil | None:
    """Look at a function at one step; None where it is not finite on the whole stencil."""
    h = ldexp(1.0, exponent)
    steps = h * NODES
    right, left = (np.array([shifted(sign * float(t)) for t in steps]).reshape(3, -1) for sign in (1.0, -1.0))
    if not (np.isfinite(right).all() and np.isfinite(left).all()):
        return None
    t = steps[:, None]
    odd, even = (right - left) / (2 * t), (right - here) + (left - here)
    lower = upper = CENTRAL @ odd  # without the terms in h^2 and h^4
    truncation = np.abs(lower - CENTRAL_BEFORE @ odd)
    truncated = (lower - CENTRAL_BEFORE @ odd).copy()
    scatter = np.abs(SCATTER @ even)  # nothing is left of a polynomial of degree 5
    noise = np.maximum(scatter, truncation * h / 7)
    away = np.maximum(np.abs(right[0] - here), np.abs(left[0] - here))
    # A function may round its argument once, before all else, as one that subtracts 1 from a x near 1.
    values = np.abs([here, *right, *left]).max(axis=0) + size * away / h / 8
    error = unit * values + float(np.finfo(here.dtype).smallest_subnormal)
    moved = np.any(right != here, axis=0) | np.any(left != here, axis=0)
    # Where nothing moves, less than one rounding is hidden in a value.
    rounding = np.where(moved, ROUNDING, 1.0) * error / h
    beyond = 0.0

    # The even part over t is J + c t + d t^3 ... where slopes jump by J, and has no J where the function is smooth.
    first, second = BEND_BEFORE @ (even / t), BEND @ (even / t)
    kinked = (np.abs(second) > 2 * ROUNDING_AT_A_KINK * error / h) & (np.abs(second - first) < 0.15 * np.abs(first))
    if kinked.any():
        sides = (right - here) / t, (here - left) / t
        ends = [SIDE @ side for side in sides]
        lower, upper = np.where(kinked, np.minimum(*ends), lower), np.where(kinked, np.maximum(*ends), upper)
        change = sum(np.abs(end - SIDE_BEFORE @ side) for end, side in zip(ends, sides))
        truncation = np.where(kinked, change, truncation)
        rounding = np.where(kinked, ROUNDING_AT_A_KINK * error / h, rounding)
        scatter, noise = (np.where(kinked, np.abs(second - first) * h / STRAIGHT, a) for a in (scatter, noise))
        truncated = np.where(kinked, 0.0, truncated)
        beyond = float(truncation[kinked].sum())
    # One term may scatter little by chance: so none is taken to scatter less than the terms do on average.
    share = moved / max(int(moved.sum()), 1)
    own = scatter
    scatter, noise = np.maximum(scatter, share @ scatter * moved), np.maximum(noise, share @ noise * moved)
    return Stencil(
        exponent,
        lower,
        upper,
        truncation,
        abs(float(truncated.sum())) + beyond,
        rounding,
        scatter,
        noise,
        own,
        away,
        float(np.abs(odd[2]).sum()),
        moved,
        error,
    )


def search(
    shifted: Shifted,
    here: Array,
    size: float,
    scale: float,
    reach: float,
    unit: float,
    finest: float,
    expected: float | None,
    enough: float = CONFIRMED,
) -> Stencil | None:
    """Find the stencil with the smallest bound that no smaller step contradicts; None where none is finite.

    Parameters
    ----------
    shifted
        The terms of the function at a signed distance along the line; ``here`` are those at 0.
    size, scale, reach
        The largest of the arguments that move, in steps; the step by which they would change altogether, also
        where they are 0; how far the line may be followed at all.
    unit, finest
        The rounding unit of the values, and the smallest step that still moves the argument by what it says.
    expected
        What somebody else says of the derivative, who did not look here: where one stencil says the same and is sharp
        enough to mean it, it is believed.
    enough
        How sharp that is: a bound of so many times the derivative's terms.
    """
    tried: dict[int, Stencil | None] = {}
    first = confirmed(shifted, here, size, scale, reach, unit, finest, expected, enough, tried)
    if first is not None:
        return first
    top = int(np.floor(np.log2(scale)))
    lowest, highest = _limits(reach, finest)

    def look(exponent: int) -> None:
        exponent = min(max(exponent, lowest), highest)
        if exponent not in tried:
            tried[exponent] = stencil(shifted, here, exponent, unit, size)

    look(_early(scale, unit)[0])
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


def opening(scale: float, reach: float, unit: float, finest: float) -> list[float]:
    """Return the places of the first look of :func:`confirmed`."""
    lowest, highest = _limits(reach, finest)
    steps = ldexp(1.0, min(max(_early(scale, unit)[0], lowest), highest)) * NODES
    return [sign * float(t) for sign in (1.0, -1.0) for t in steps]


def confirmed(
    shifted: Shifted,
    here: Array,
    size: float,
    scale: float,
    reach: float,
    unit: float,
    finest: float,
    expected: float | None,
    enough: float = CONFIRMED,
    tried: dict[int, Stencil | None] | None = None,
) -> Stencil | None:
    """Take the first looks of :func:`search`, whose parameters these are; None if they confirm nothing expected.

    What is seen is put into ``tried``; without it there is one look only.
    """
    looks = _early(scale, unit)[: 1 if tried is None else 2]
    tried = {} if tried is None else tried
    lowest, highest = _limits(reach, finest)
    for exponent in looks if expected is not None else ():
        at = min(max(exponent, lowest), highest)
        if at not in tried:
            tried[at] = stencil(shifted, here, at, unit, size)
        first = choose(tried)
        if (
            first is not None
            and first.bound <= enough * first.size
            and first.lower.sum() - first.bound <= expected <= first.upper.sum() + first.bound
        ):
            return first
    return None


def _limits(reach: float, finest: float) -> tuple[int, int]:
    lowest = max(-1000, int(np.ceil(np.log2(finest))) if finest else -1000)
    return lowest, max(lowest, min(1000, int(np.floor(np.log2(reach))) - 2))


def _early(scale: float, unit: float) -> tuple[int, int]:
    """The step that is sharpest where the function is smooth, and one nearer, where fewer kinks lie."""
    top = int(np.floor(np.log2(scale)))
    sharpest, nearer = (top + round(np.log2(unit) / n) + 3 for n in (5, 4))
    return sharpest, nearer


def _next(tried: Sequence[int], best: Stencil | None, unit: float) -> int:
    """Go to where truncation, which grows with h^4, and rounding, which falls with 1/h, would be equal."""
    if best is None or best.bound == inf:
        return tried[0] - 16
    i = tried.index(best.exponent)
    floor = max(best.truncated, unit * best.size)
    if best.truncated > float(best.rounding.sum()):
        return (tried[i - 1] + tried[i]) // 2 if i else tried[0] - 8
    if i + 1 < len(tried):
        return (tried[i] + tried[i + 1]) // 2
    return tried[i] + (int(min(max(np.log2(best.bound / floor) / 5, 6), 48)) if floor else 48)


def choose(tried: dict[int, Stencil | None], finest: int = -2000, lost: float | Array = 0.0) -> Stencil | None:
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
        scatter = np.maximum(noise, found.scatter if accepted else found.noise)
        noise = np.maximum(noise, found.noise)
        uncertain = found.rounding + NOISE * scatter / h
        # A term that is nothing beside the others scatters less than they do, and is not lost for that.
        unresolved = np.minimum(scatter, found.own) > np.maximum(found.change / (4 * NOISE), found.rounding * h)
        # Nor is one that moves less than the largest may be rounded: all that it does is then counted as noise.
        nothing = unresolved & (found.change <= float((found.rounding * h).max(initial=0.0)))
        uncertain = np.where(nothing, uncertain + NOISE * found.change / h, uncertain)
        unresolved &= ~nothing
        error = np.where(unresolved, inf, found.truncation + uncertain)
        bound = found.truncated + float(uncertain.sum())
        sure = isfinite(bound) and not unresolved.any()
        found = replace(found, error=error, bound=bound if sure else inf)
        if not all(found.agrees(smaller) for smaller in accepted):
            best = min(accepted, key=lambda s: s.bound)
            return replace(best, error=DOUBT * best.error, bound=DOUBT * best.bound)
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
        near, beyond = still, min(2 * still, far)
        while not gone(sign * beyond).any() and beyond < far:
            near, beyond = beyond, min(2 * beyond, far)
        for _ in range(BISECTIONS):
            middle = near + (beyond - near) / 2
            near, beyond = (near, middle) if gone(sign * middle).any() else (middle, beyond)
        jump = gone(sign * beyond)
        if not np.isfinite(jump).all() or (gone(sign * (2 * beyond - near)) != jump).any():
            continue
        sure = choose(tried, finest=int(np.ceil(np.log2(beyond))), lost=np.abs(jump))
        if sure is not None:
            return sure
        lost = 4 * np.abs(jump) / near
        return replace(best, error=best.error + lost, bound=best.bound + float(lost.sum()))
    return best
