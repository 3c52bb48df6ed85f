"""What may be said of a wrong array, kind by kind: every claim that is yielded explains all of its entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from math import comb

import numpy as np

from reports.agreement import Array
from reports.evidence import Case
from reports.factors import factor, named

NO_AXES: tuple[int, ...] = ()


def plain(case: Case) -> Iterator[str]:
    """Zero, the wrong sign, a factor with a name."""
    if case.fits(np.zeros_like(case.want)):
        yield "is zero everywhere"
    if case.fits(-case.want):
        yield "has the wrong sign"
    found = factor(case, case.want)
    if found and case.fits(found[0] * case.want):
        words = named(case, *found)
        if words:
            yield f"is {words}"


def permuted(case: Case) -> Iterator[str]:
    """Axes in another order."""
    want = case.want
    for axes in permutations(range(want.ndim)) if want.ndim < 6 else ():
        if want.transpose(axes).shape == want.shape and case.fits(want.transpose(axes)):
            yield "is transposed" if want.ndim == 2 else f"has its axes in the order {axes}"


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
                parts = np.split(want, blocks, axis)
                for order in permutations(range(blocks)):
                    if case.fits(np.concatenate([parts[i] for i in order], axis)):
                        yield f"has the {blocks} blocks of axis {axis} in the order {order}"


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
            yield words


def scaled_alternative(case: Case) -> Iterator[str]:
    """What another mistake would give, with the wrong sign, with a factor, or added to what is right."""
    for words, candidate in case.alternatives():
        if case.fits(-candidate):
            yield f"{words}, with the wrong sign"
        found = factor(case, candidate)
        if found and _several(case, candidate) and case.fits(found[0] * candidate):
            meaning = named(case, *found)
            if meaning:
                yield f"{words}, {meaning.replace('the reference', 'it')}"


def unnamed_factor(case: Case) -> Iterator[str]:
    """A factor that is no size that is known."""
    found = factor(case, case.want)
    if found and case.telling.sum() > 1 and case.fits(found[0] * case.want):
        yield f"is {found[0]:.7g} times the reference"


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
        if name:
            what = f"a multiple of {name}" if each else f"{value:.6g} times {name}"
        yield f"is off by {what}{each}"
    else:
        yield f"is off by a constant and a multiple of {list(terms)[1]}{each}: the terms of a mean and a variance"


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


def at_a_place(case: Case) -> Iterator[str]:
    """Right everywhere but at a place: what it is there, or that it is wrong there."""
    places = sorted(_places(case).items(), key=lambda place: int(place[1].sum()))
    holding = {name: mask for name, mask in places if not case.wrong[~mask].any()}
    for name, mask in holding.items():
        for what, candidate in _there(case, mask):
            if case.fits(np.where(mask, candidate, case.want)):
                yield f"is {what} {name}, and right elsewhere"
    for name, mask in holding.items():
        for words, candidate in case.alternatives():
            if case.fits(np.where(mask, candidate, case.want)):
                yield f"{words}, but only {name}"
    wrong = int(case.wrong.sum())
    for name, mask in holding.items():
        size = int(mask.sum())
        by_chance = comb(size, wrong) / comb(mask.size, wrong)
        if wrong == size or (2 * wrong >= size and by_chance < 1e-3):
            yield f"is wrong only {name}{zero_there(case)}"


def _there(case: Case, mask: Array) -> Iterator[tuple[str, Array]]:
    yield "zero", np.zeros_like(case.want)
    yield "of the wrong sign", -case.want
    found = factor(case, case.want, mask)
    if found and (mask & case.telling).sum() > 1:
        value, tolerance = found
        yield named(case, value, tolerance) or f"{value:.7g} times the reference", value * case.want
    for name, term in case.evidence.terms.items():
        yield name, np.broadcast_to(term, case.want.shape)
    values = case.got[mask]
    if len(values) > 1:
        yield f"the constant {values[0]:.6g}", np.full(case.want.shape, values[0])


def _places(case: Case) -> dict[str, Array]:
    shape = case.want.shape
    found = {name: np.broadcast_to(mask, shape).astype(bool) for name, mask in case.evidence.places.items()}
    found["where the reference is 0"] = case.want == 0
    found |= _blocks(case)
    for name, term in case.evidence.terms.items():
        found |= _beyond(case, name, np.broadcast_to(term, shape).astype(np.float64))
    return {name: mask for name, mask in found.items() if mask.any() and not mask.all()}


def _blocks(case: Case) -> dict[str, Array]:
    """For each axis along which only some neighbouring indices are wrong: these."""
    found = {}
    for axis, size in enumerate(case.want.shape if case.want.ndim > 1 else ()):
        hit = np.flatnonzero(case.wrong.any(axis=tuple(i for i in range(case.want.ndim) if i != axis)))
        first, last = int(hit[0]), int(hit[-1])
        if last - first < size - 1 and case.wrong.sum() > 1:
            indices = f"index {first}" if first == last else f"indices {first} to {last}"
            inside = np.expand_dims(
                (np.arange(size) >= first) & (np.arange(size) <= last), [*range(1, case.want.ndim - axis)]
            )
            found[f"at {indices} of axis {axis} (size {size})"] = np.broadcast_to(inside, case.want.shape)
    return found


def _beyond(case: Case, name: str, values: Array) -> dict[str, Array]:
    """Masks beyond a threshold that divide right from wrong; only where chance would hardly do so."""
    right, wrong = ~case.wrong, case.wrong
    if not right.any() or comb(values.size, int(wrong.sum())) < 10_000:
        return {}
    found = {}
    for what, size in ((name, values), (f"the magnitude of {name}", np.abs(values))):
        low, high = float(size[wrong].min()), float(size[wrong].max())
        if low > size[right].max():
            found[f"where {what} is at least {low:.4g}"] = size >= low
        if high < size[right].min():
            found[f"where {what} is at most {high:.4g}"] = size <= high
    return found


def entries(case: Case) -> Iterator[str]:
    """The places as numbers; always true."""
    yield f"is wrong at {numbered(case.wrong)}{zero_there(case)}"


def zero_there(case: Case) -> str:
    """Say that what is wrong is zero."""
    return ", where it is zero" if case.wrong.any() and not case.got[case.wrong].any() else ""


def numbered(wrong: Array) -> str:
    """Say where: one index of an axis, or how many entries."""
    count = int(wrong.sum())
    if count == wrong.size:
        return "all entries"
    for axis, size in enumerate(wrong.shape):
        hit = np.flatnonzero(wrong.any(axis=tuple(i for i in range(wrong.ndim) if i != axis)))
        if len(hit) == 1 and size > 1 and wrong.ndim > 1 and count > 1:
            return f"index {hit[0]} of axis {axis} (size {size}) alone"
    place = ", ".join(str(i) for i in np.argwhere(wrong)[0])
    return f"{count} of {wrong.size} entries, the first at [{place}]"


def _several(case: Case, array: Array) -> bool:
    return int((np.abs(array) > 1e-3 * np.abs(array).max(initial=0)).sum()) > 1


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
