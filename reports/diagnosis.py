"""What a mistake looks like: the most specific claim that explains every entry of a wrong array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from reports import claims, places
from reports.agreement import Array
from reports.evidence import Case, Evidence

CLAIMS: tuple[Callable[[Case], Iterator[str]], ...] = (
    claims.plain,
    claims.permuted,
    claims.spread,
    claims.exchanged_parts,
    claims.alternative,
    places.at_kinks,
    claims.unnamed_factor,
    claims.times_a_term,
    claims.off_by_a_term,
    claims.other_value,
    claims.scaled_alternative,
    claims.moved,
    claims.rearranged,
    places.at_a_place,
    claims.factor_along_axes,
    places.entries,
)
"""From the most specific to the one that always holds."""

CLEAR = CLAIMS.index(claims.other_value)
"""Where one array has a claim of this rank or a better one, no other array is asked."""


class Suspect(NamedTuple):
    """A wrong array: what it is called, what came, the reference, the error that rounding explains, the evidence."""

    name: str
    got: Any
    want: Array
    bound: float | Array
    evidence: Evidence


def diagnose(got: Any, want: Array, bound: float | Array, evidence: Evidence | None = None) -> str | None:
    """Name the mistake that turns ``want`` into ``got``.

    Parameters
    ----------
    got, want
        What came, and the reference.
    bound
        The error that rounding explains, absolute: one number, or one for each entry.
    evidence
        What is known around the array.

    Returns
    -------
    A clause that completes "the gradient of weight ...", or None if nothing is wrong.
    """
    found = _explained(got, want, bound, evidence or Evidence())
    return found[1] if found else None


def most_telling(suspects: Iterable[Suspect]) -> str | None:
    """Name the mistake by the array that tells most of it, ``gradient of bias is 2 times the reference``.

    A local mistake may show as one factor, or in one gate, in a parameter, and all over the input.
    """
    best: tuple[int, str] | None = None
    for suspect in suspects:
        found = _explained(*suspect[1:])
        if found and (best is None or found[0] < best[0]):
            best = (found[0], f"{suspect.name} {found[1]}")
        if best and best[0] <= CLEAR:
            break
    return best[1] if best else None


def _explained(got: Any, want: Array, bound: float | Array, evidence: Evidence) -> tuple[int, str] | None:
    """Return a claim and its rank; the smaller, the more specific."""
    if not isinstance(got, np.ndarray):
        return 0, "is missing" if got is None else f"is {type(got).__name__}, wanted an array"
    dtype = got.dtype if got.dtype.kind == "f" else np.dtype("float64")
    eps = float(np.finfo(dtype).eps)
    with np.errstate(all="ignore"):
        given, want = got.astype(np.float64), want.astype(np.float64)
        reshaped = given.shape != want.shape
        got, want = (np.zeros_like(want), want) if reshaped else _alike(given, want, float(np.finfo(dtype).max))
        case = Case(got, want, np.broadcast_to(bound, want.shape), eps, evidence)
        if reshaped:
            return 0, next(claims.reshaped(given, case))
        if not case.wrong.any():
            return None
        strange = ~np.isfinite(got) & case.wrong
        if strange.any():
            return 0, f"is not finite at {places.numbered(strange)}"
        strange = ~np.isfinite(want) & case.wrong
        if strange.any():
            return 0, f"is finite at {places.numbered(strange)}, where the reference is not"
        return next((rank, claim) for rank, kind in enumerate(CLAIMS) for claim in kind(case))


def _alike(got: Array, want: Array, largest: float) -> tuple[Array, Array]:
    """Put zeros where both are the same NaN or infinity, or the reference is beyond the ``largest`` number."""
    same = (np.isnan(got) & np.isnan(want)) | (
        np.isinf(got) & (np.sign(got) == np.sign(want)) & (np.abs(want) >= largest)
    )
    return np.where(same, 0, got), np.where(same, 0, want)
