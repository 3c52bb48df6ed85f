"""What may be said of a wrong array, kind by kind: every claim that is yielded explains all of its entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations, product

import numpy as np

from reports.agreement import Array
from reports.evidence import Case
from reports.factors import factor, named
from reports.places import place, zero_there

STEPS = 12
"""Evaluations of the secant method at most."""


def plain(case: Case) -> Iterator[str]:
    """Zero, the wrong sign, a factor with a name."""
    if case.fits(np.zeros_like(case.want)):
        yield "is zero everywhere"
    if case.fits(-case.want):
        yield "has the wrong sign"
    found = factor(case, case.want)
    if found and case.fits(found[0] * case.want):
        words = named(case, *found, far=False)
        if words:
            yield f"is {words}"


def permuted(case: Case) -> Iterator[str]:
    """Axes in another order."""
    want = case.want
    for axes in permutations(range(want.ndim)) if want.ndim < 6 else ():
        if want.transpose(axes).shape == want.shape and case.fits(want.transpose(axes)):
            yield "is transposed" if want.ndim == 2 else f"has its axes in the order {axes}"


def spread(case: Case) -> Iterator[str]:
    """The same number along some axes: the sum or the mean over them."""
    for count in range(1, case.want.ndim + 1):
        for axes in combinations(range(case.want.ndim), count):
            for word, combine in (("summed", np.sum), ("averaged", np.mean)):
                if case.fits(np.broadcast_to(combine(case.want, axis=axes, keepdims=True), case.want.shape)):
                    yield f"is {word} over the wrong axes: over {_axes(axes)}, too, the same number all along"


def exchanged_parts(case: Case) -> Iterator[str]:
    """Gates, or query, key and value, in the place of one another."""
    for axis, names in case.evidence.parts.items():
        for order in _orders(case, axis, len(names)):
            wrong = [
                f"{names[taken]} in the place of {name}" for name, taken in zip(names, order) if names[taken] != name
            ]
            yield f"has the numbers of {', of '.join(wrong)}"


def rearranged(case: Case) -> Iterator[str]:
    """The right numbers, each of them once, in other places."""
    got, want = np.sort(case.got, axis=None), np.sort(case.want, axis=None)
    if case.wrong.sum() > 2 and (np.abs(got - want) <= case.allowed(want).max()).all():
        yield f"has the right numbers in the places of one another{_where(case)}"


def moved(case: Case) -> Iterator[str]:
    """An axis reversed, entries shifted along it, its blocks exchanged."""
    want = case.want
    for count in range(1, want.ndim + 1):
        for axes in combinations(range(want.ndim), count):
            if case.fits(np.flip(want, axes)):
                yield f"is reversed along {_axes(axes)}"
    for axis, size in enumerate(want.shape):
        for by in (1, -1):
            if size > 2 and case.fits(np.roll(want, by, axis)):
                yield f"is shifted by {by} along axis {axis}"
        for blocks in (2, 3, 4):
            if size % blocks == 0:
                for order in _orders(case, axis, blocks):
                    yield f"has blocks {', '.join(map(str, order))} of axis {axis} where 0 to {blocks - 1} belong"


def _orders(case: Case, axis: int, blocks: int) -> Iterator[tuple[int, ...]]:
    """Ways in which equal blocks of an axis stand in the place of one another, some of them perhaps several times."""
    if case.want.shape[axis] % blocks:
        return
    wanted, came = np.split(case.want, blocks, axis), np.split(case.got, blocks, axis)
    choices = [[i for i in range(blocks) if _near(case, c, wanted[i])] for c in came]
    for order in product(*choices):
        if case.fits(np.concatenate([wanted[i] for i in order], axis)):
            yield order


def _near(case: Case, came: Array, wanted: Array) -> bool:
    return bool((np.abs(came - wanted) <= case.allowed(wanted).max()).all())


def reshaped(got: Array, case: Case) -> Iterator[str]:
    """Claims on an array of another shape; ``case`` compares zeros with the reference."""
    want = case.want
    shapes = f"has shape {got.shape}, wanted {want.shape}"

    def same(candidate: Array) -> bool:
        if candidate.shape != want.shape:
            return False
        return bool((np.abs(candidate - want) <= case.allowed(candidate)).all())

    for axes in permutations(range(got.ndim)) if got.ndim < 6 else ():
        if axes != tuple(range(got.ndim)) and same(got.transpose(axes)):
            yield "is transposed" if got.ndim == 2 else f"{shapes}: its axes are in the order {axes}"
    for count in range(1, got.ndim + 1):
        for axes in combinations(range(got.ndim), count):
            summed = got.sum(axis=axes)
            if summed.size == want.size and same(summed.reshape(want.shape)):
                yield f"{shapes}: it is not summed over {_axes(axes)}"
    for count in range(1, want.ndim + 1):
        for axes in combinations(range(want.ndim), count):
            summed = want.sum(axis=axes)
            if (
                summed.size == got.size
                and (np.abs(got.reshape(summed.shape) - summed) <= case.allowed(summed).max()).all()
            ):
                yield f"{shapes}: it is summed over {_axes(axes)}"
    if got.size == want.size and same(got.reshape(want.shape)):
        yield f"{shapes}: the numbers are right"
    yield shapes


def alternative(case: Case) -> Iterator[str]:
    """Exactly what another mistake would give."""
    for words, candidate in case.alternatives():
        if case.fits(candidate):
            yield words + _where(case)


def _where(case: Case) -> str:
    """Say where the mistake shows, if not everywhere."""
    if case.wrong.all():
        return ""
    where = place(case)
    if where:
        return f"; it is wrong only {where}{zero_there(case)}"
    return "; it is zero where it is wrong" if zero_there(case) else ""


def scaled_alternative(case: Case) -> Iterator[str]:
    """What another mistake would give, with the wrong sign, with a factor, or added to what is right."""
    for words, candidate in case.alternatives():
        if case.fits(-candidate):
            yield f"{words}, with the wrong sign{_where(case)}"
        found = factor(case, candidate)
        if found and _several(case, candidate) and case.fits(found[0] * candidate):
            meaning = named(case, *found)
            if meaning:
                yield f"{words}, {meaning.replace('the reference', 'it')}{_where(case)}"
        for name, term in case.evidence.terms.items():
            if case.fits(candidate * np.broadcast_to(term, candidate.shape)):
                yield f"{words}, times {name}"


def other_value(case: Case) -> Iterator[str]:
    """What a number of the layer gives at another value, found by the secant method on the worst entry."""
    at = np.unravel_index(int(np.argmax(np.abs(case.offset) / np.maximum(case.bound, 1e-300))), case.want.shape)
    for name, value, evaluate in case.evidence.families:
        low, high = (value, float(case.want[at])), (1.0625 * value + 0.0009765625, 0.0)
        for _ in range(STEPS):
            candidate = evaluate(high[0])
            if candidate is None or candidate.shape != case.want.shape or not np.isfinite(candidate).all():
                break
            if case.fits(candidate):
                yield f"is that of the layer with {name}={high[0]:.6g} instead of {value:.6g}"
                break
            high = (high[0], float(candidate[at]))
            slope = (high[1] - low[1]) / (high[0] - low[0]) if high[0] != low[0] else 0.0
            if not slope:
                break
            low, high = high, (high[0] + (float(case.got[at]) - high[1]) / slope, 0.0)


def times_a_term(case: Case) -> Iterator[str]:
    """Multiplied by something once too often, or once too little."""
    for name, term in case.evidence.terms.items():
        full = np.broadcast_to(term, case.want.shape)
        if case.fits(case.want * full):
            yield f"is {name} times the reference"
        if full.all() and case.fits(case.want / full):
            yield f"is the reference divided by {name}"


def unnamed_factor(case: Case) -> Iterator[str]:
    """Any other factor."""
    found = factor(case, case.want)
    if found and case.telling.sum() > 1 and case.fits(found[0] * case.want):
        yield f"is {named(case, *found) or f'{found[0]:.7g} times the reference'}"


def off_by_a_term(case: Case) -> Iterator[str]:
    """Off by a constant, a multiple of a term, or both; one for the whole array or one for each index of some axes."""
    every = range(case.want.ndim)
    long = [axis for axis in every if case.want.shape[axis] > 1]
    terms = {
        "": np.ones(case.want.shape),
        **{n: np.broadcast_to(t, case.want.shape) for n, t in case.evidence.terms.items()},
    }
    for count in range(len(long) + 1):
        for axes in combinations(long, count):
            for name, term in terms.items():
                yield from _multiple(case, axes, {name: term})
    for count in range(len(long)):
        for axes in combinations(long, count):
            for name, term in terms.items():
                if name:
                    yield from _multiple(case, axes, {"": terms[""], name: term})


def _multiple(case: Case, axes: tuple[int, ...], terms: Mapping[str, Array]) -> Iterator[str]:
    """Fit the offset by a sum of terms, the coefficients being constant along all axes but ``axes``."""
    shape = case.want.shape
    groups = int(np.prod([shape[axis] for axis in axes]))
    unknown = groups * len(terms)
    if case.want.size < 2 * unknown or case.want.size // groups <= len(terms):
        return
    order = (*axes, *(axis for axis in range(len(shape)) if axis not in axes))

    def rows(array: Array) -> Array:
        return np.asarray(array.transpose(order).reshape(groups, -1))

    basis = np.stack([rows(term) for term in terms.values()], axis=-1)
    scale = np.maximum(np.abs(basis).max(axis=(0, 1)), np.finfo(np.float64).tiny)
    basis = basis / scale
    # A term that is nearly zero within all its groups but for a few entries could explain anything there.
    if ((np.abs(basis) > 1e-3).sum(axis=1).max(axis=0) <= len(terms)).any():
        return
    coefficients = np.linalg.pinv(basis) @ rows(case.offset)[..., None]
    fitted = (basis @ coefficients)[..., 0]
    shaped = fitted.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
    if not case.fits(case.want + shaped):
        return
    each = f" for each index of {_axes(axes)}" if axes else ""
    if len(terms) == 1:
        name, value = next(iter(terms)), float(coefficients[0, 0, 0] / scale[0])
        what = "a constant" if each else f"the constant {value:.6g}"
        why = ": the term of a mean or a sum is missing or wrong" if each else ""
        if name:
            what = f"a multiple of {name}" if each else f"{value:.6g} times {name}"
            why = ": a term is missing or wrong"
        yield f"is off by {what}{each}{why}{_where(case)}"
    else:
        yield f"is off by a constant and a multiple of {list(terms)[1]}{each}: the terms of statistics{_where(case)}"


def factor_along_axes(case: Case) -> Iterator[str]:
    """A factor of its own for each index of some axes."""
    shape, long = case.want.shape, [axis for axis, n in enumerate(case.want.shape) if n > 1]
    for count in range(1, len(long)):
        for axes in combinations(long, count):
            others = tuple(axis for axis in range(len(shape)) if axis not in axes)
            tellers = case.telling.sum(axis=others, keepdims=True)
            if (tellers[tellers > 0] < 2).any() or tellers.max() < 3:
                continue
            square = (case.want**2).sum(axis=others, keepdims=True)
            share = (case.got * case.want).sum(axis=others, keepdims=True) / np.where(square, square, 1)
            unlike = np.abs(share - 1)[tellers > 0] > 1e-3
            if unlike.sum() > 1 and case.fits(share * case.want):
                yield f"has a factor of its own for each index of {_axes(axes)}"


def _several(case: Case, array: Array) -> bool:
    return int((np.abs(array) > 1e-3 * np.abs(array).max(initial=0)).sum()) > 1


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
