"""Where an array is wrong, and what it is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from math import comb

import numpy as np

from reports.agreement import Array
from reports.evidence import Case
from reports.factors import factor, named

BY_CHANCE = 1e-3
"""A place that would hold all wrong entries by chance as rarely as this is one even if some of it is right."""

RARE = 0.05
"""The same of a place of which at least half is wrong."""

FITTING = 0.2
"""The same of a place where what is wrong is exactly what a candidate would give."""

ENOUGH = 4
"""In fewer entries a multiple of something is easily seen that is none."""

AT_KINKS = 0.2
"""Kinks are where mistakes are expected: there it may be by chance this often."""


def at_kinks(case: Case) -> Iterator[str]:
    """Right everywhere but at kinks and ties, of which there are few: another side of them was taken."""
    kinks = case.evidence.kinks
    if kinks is None or case.wrong[~kinks].any():
        return
    wrong = int(case.wrong.sum())
    if comb(int(kinks.sum()), wrong) < AT_KINKS * comb(kinks.size, wrong):
        yield f"is wrong only at kinks or ties{zero_there(case)}"


def at_a_place(case: Case) -> Iterator[str]:
    """Right everywhere but at a place: what it is there, or that it is wrong there."""
    blocks = dict(_blocks(case))
    # A candidate that fits says much, but where a few entries happen to lie says nothing.
    holding = {n: mask for n, mask in _holding(case).items() if n in blocks or _chance(case, mask) < FITTING}
    for name, mask in holding.items():
        for what, candidate in _there(case, mask):
            if case.fits(np.where(mask, candidate, case.want)):
                yield f"is {what} {name}, and right elsewhere"
    exactly = {name: mask for name, mask in holding.items() if (mask == case.wrong).all()}
    for name, mask in (exactly or holding).items():
        for words, candidate in case.alternatives():
            if case.fits(np.where(mask, candidate, case.want)):
                yield f"{words}, but only {name}"
    for words, candidate in case.alternatives() if case.wrong.sum() > 1 else ():
        if case.fits(np.where(case.wrong, candidate, case.want)):
            yield f"{words}, but only at {numbered(case.wrong)}"
    where = place(case)
    if where:
        yield f"is wrong only {where}{zero_there(case)}"


def place(case: Case) -> str | None:
    """Name the smallest place that holds all wrong entries, if it is hardly so by chance."""
    wrong, blocks = int(case.wrong.sum()), dict(_blocks(case))
    for name, mask in _holding(case).items():
        size, chance = int(mask.sum()), _chance(case, mask)
        counted = name in blocks and wrong == size  # indices that are counted claim no reason
        if counted or chance < BY_CHANCE or (2 * wrong >= size and chance < RARE):
            return name
    return None


def _holding(case: Case) -> dict[str, Array]:
    return {name: mask for name, mask in _places(case).items() if not case.wrong[~mask].any()}


def _chance(case: Case, mask: Array) -> float:
    """How often so many wrong entries, thrown anywhere, would all fall within a place."""
    wrong = int(case.wrong.sum())
    return comb(int(mask.sum()), wrong) / comb(mask.size, wrong)


def _there(case: Case, mask: Array) -> Iterator[tuple[str, Array]]:
    yield "zero", np.zeros_like(case.want)
    yield "of the wrong sign", -case.want
    found = factor(case, case.want, mask)
    several = int(mask.sum()) > 1
    if found and (mask & case.telling).sum() > 1:
        yield named(case, *found, far=False) or f"{found[0]:.7g} times the reference", found[0] * case.want
    for name, term in case.evidence.terms.items():
        yield name, np.broadcast_to(term, case.want.shape)
    for name, term in case.evidence.terms.items() if several else ():
        full = np.broadcast_to(term, case.want.shape)
        found = factor(case, full, mask)
        if found and (mask & (np.abs(full) > 1e-3 * np.abs(full).max())).sum() > 1:
            meaning = named(case, *found, far=False)
            if meaning is None and mask.sum() < ENOUGH:
                continue
            meaning = meaning or f"{found[0]:.7g} times the reference"
            yield meaning.replace("the reference", name), found[0] * full
    values = case.got[mask]
    if several:
        yield f"the constant {values[0]:.6g}", np.full(case.want.shape, values[0])


@lru_cache(maxsize=4)
def _places(case: Case) -> dict[str, Array]:
    """All places by name: those of the evidence and where nothing flows, the smallest first; blocks; thresholds."""
    shape = case.want.shape
    given = {name: np.broadcast_to(mask, shape).astype(bool) for name, mask in case.evidence.places.items()}
    given["where the reference is 0"] = case.want == 0
    if case.evidence.kinks is not None:
        given["at kinks or ties"] = case.evidence.kinks
    for axis, names in case.evidence.parts.items():
        for i, name in enumerate(names):
            size = shape[axis] // len(names)
            given[f"for {name}"] = _along(shape, axis, i * size, (i + 1) * size - 1)
    ordered = sorted(given.items(), key=lambda known: int(known[1].sum()))
    terms = ((name, np.broadcast_to(term, shape).astype(np.float64)) for name, term in case.evidence.terms.items())
    beyond = chain.from_iterable(_beyond(case, name, term) for name, term in terms)
    return {n: mask for n, mask in (*ordered, *_blocks(case), *beyond) if mask.any() and not mask.all()}


def _along(shape: tuple[int, ...], axis: int, first: int, last: int) -> Array:
    index = np.arange(shape[axis])
    inside = np.expand_dims((index >= first) & (index <= last), [*range(1, len(shape) - axis)])
    return np.broadcast_to(inside, shape)


def _blocks(case: Case) -> Iterator[tuple[str, Array]]:
    """For each axis along which only some neighbouring indices are wrong: these."""
    for axis, size in enumerate(case.want.shape if case.want.ndim > 1 else ()):
        hit = np.flatnonzero(case.wrong.any(axis=tuple(i for i in range(case.want.ndim) if i != axis)))
        first, last = int(hit[0]), int(hit[-1])
        if last - first < size - 1 and case.wrong.sum() > 1:
            count, indices = last - first + 1, f"indices {first} to {last}"
            if count == 1:
                indices = "the last index" if last == size - 1 else f"index {first}"
            elif first == 0 or last == size - 1:
                indices = f"the {'first' if first == 0 else 'last'} {count} indices"
            yield f"at {indices} of axis {axis} (size {size})", _along(case.want.shape, axis, first, last)


def _beyond(case: Case, name: str, values: Array) -> Iterator[tuple[str, Array]]:
    """Masks beyond a threshold that divide right from wrong; only where chance would hardly do so."""
    right, wrong = ~case.wrong, case.wrong
    if not right.any() or comb(values.size, int(wrong.sum())) < 10 / BY_CHANCE:
        return
    for what, size in ((name, values), (f"the magnitude of {name}", np.abs(values))):
        low, high = float(size[wrong].min()), float(size[wrong].max())
        if low > size[right].max():
            yield f"where {what} is at least {low:.4g}", size >= low
        if high < size[right].min():
            yield f"where {what} is at most {high:.4g}", size <= high


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
    first = ", ".join(str(i) for i in np.argwhere(wrong)[0])
    return f"{count} of {wrong.size} entries, the first at [{first}]"
