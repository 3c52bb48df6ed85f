"""What a constant factor may be: a size, its root, its reciprocal, a product of two, a constant of the layer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import isclose, sqrt

import numpy as np

from reports.agreement import Array
from reports.evidence import Case

SURE = 0.05
"""A number that is known to so much is a whole one if it is that near to one."""


def factor(case: Case, reference: Array, where: Array | None = None) -> tuple[float, float] | None:
    """The one factor that makes what came of ``reference``, and its uncertainty; None where nothing tells."""
    size = np.abs(reference) if where is None else np.where(where, np.abs(reference), 0)
    top = np.unravel_index(int(np.argmax(size)), size.shape)
    if not size[top] > 2 * case.bound[top] or not case.got[top]:
        return None
    found = float(case.got[top] / reference[top])
    return found, float(2 * case.bound[top] / size[top]) + 8 * case.eps * abs(found)


def named(case: Case, value: float, tolerance: float, far: bool = True) -> str | None:
    """Say what a factor is, as ``6 times the reference: a mean over axis 0 of input 0 (6) is missing``; or None.

    Products and quotients of two sizes are only looked at if ``far``: so many of them are near any number.
    """
    if tolerance > 0.02 * abs(value):
        return None
    for meanings in (_near(case), *((_far(case), _whole(value, tolerance), _between(case)) if far else ())):
        found = [words for number, words in meanings if isclose(value, number, rel_tol=0, abs_tol=tolerance)]
        if found:
            others = [words.partition(": ")[2] for words in found[1:]]
            return ", or ".join([found[0], *filter(None, others)][:3])
    return None


def _sizes(case: Case) -> dict[int, str]:
    """Sizes with up to three of the names that each has."""
    names: dict[int, list[str]] = {}
    for name, n in case.evidence.sizes.items():
        if n > 1:
            names.setdefault(n, []).append(name)
    return {n: " or ".join(several[:3]) for n, several in names.items()}


def _near(case: Case) -> Iterator[tuple[float, str]]:
    sizes = _sizes(case)
    for n, name in sizes.items():
        yield n, f"{n} times the reference: a mean over {name} ({n}) is missing"
        yield 1 / n, f"1/{n} of the reference: a mean over {name} ({n}) where a sum belongs"
    for n in (2, 3, 4):
        yield n, f"{n} times the reference"
        yield 1 / n, f"1/{n} of the reference"
        yield -n, f"minus {n} times the reference"
        yield -1 / n, f"minus 1/{n} of the reference"
    for n, name in sizes.items():
        root = f"a division by the root of {name} ({n})"
        yield sqrt(n), f"sqrt({n}) times the reference: {root} is missing"
        yield 1 / sqrt(n), f"1/sqrt({n}) of the reference: {root} is too many"
    for name, x in case.evidence.constants.items():
        if x and abs(x) != 1:
            yield x, f"{x:.6g} times the reference: {name} ({x:.6g}) is one time too many"
            yield 1 / x, f"{1 / x:.6g} times the reference: {name} ({x:.6g}) is missing"


def _far(case: Case) -> Iterator[tuple[float, str]]:
    sizes = _sizes(case)
    for n, name in sizes.items():
        yield -n, f"minus {n} times the reference: the sign is wrong and a mean over {name} ({n}) is missing"
        yield -1 / n, f"minus 1/{n} of the reference: the sign is wrong and a mean over {name} ({n}) is one too many"
        yield n * n, f"{n * n} times the reference: two means over {name} ({n}) are missing"
        yield 1 / (n * n), f"1/{n * n} of the reference: two means over {name} ({n}) where sums belong"
    for (n, one), (m, other) in combinations(sizes.items(), 2):
        both = f"{one} ({n}) and {other} ({m})"
        yield n * m, f"{n * m} times the reference: means over {both} are missing"
        yield 1 / (n * m), f"1/{n * m} of the reference: means over {both} where sums belong"
    for n, name in sizes.items():
        yield n / (n - 1), f"{n}/{n - 1} of the reference: {n} and {n - 1} are confused, {name} being {n}"
        yield (n - 1) / n, f"{n - 1}/{n} of the reference: {n} and {n - 1} are confused, {name} being {n}"
        if n - 1 in sizes:
            yield from _quotients((n, name), (n - 1, sizes[n - 1]))


def _whole(value: float, tolerance: float) -> Iterator[tuple[float, str]]:
    """A number above 4, or one part of so many, that is no known size: samples of a batch that is closed over, say."""
    if abs(value) > 4.5 and tolerance < SURE:
        n = round(value)
        yield n, f"{n} times the reference: a mean over {abs(n)} of something may be missing"
    elif 0 < abs(value) < 1 / 4.5 and tolerance < SURE * value * value:
        n = round(1 / value)
        yield 1 / n, f"1/{n} of the reference: a mean over {abs(n)} of something may be one too many"


def _between(case: Case) -> Iterator[tuple[float, str]]:
    """Quotients of two sizes: one of them is near any number, so all else is said first."""
    for one, other in combinations(_sizes(case).items(), 2):
        yield from _quotients(one, other)


def _quotients(one: tuple[int, str], other: tuple[int, str]) -> Iterator[tuple[float, str]]:
    for (n, wanted), (m, taken) in ((one, other), (other, one)):
        yield n / m, f"{n}/{m} of the reference: a mean is over {taken} ({m}), wanted over {wanted} ({n})"
