"""The rules by which an array is judged: how much is rounding, and when no digit is certain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np

from reference.run import Array, Run, magnitude
from reference.sensitivity import GLANCE, LOOK, THOROUGH
from reports import TensorAgreement, measure
from reports.precision import precision

ROUNDINGS = 8.0
"""Roundings of one unit each that an entry may suffer beside those of its sum; docs/verdicts.md derives it."""

CERTAIN, VAGUE = 0.1, 1e-3
"""A bound above the first share of a tensor's scale leaves it no certain digit; one below the second share of the terms
that cancelled in it says that it is zero but for rounding."""

COARSE = 64.0
"""Units of rounding that are judged in any dtype: bfloat16 has no digit to be certain of, but a sign and a size."""

GROSS = 8.0
"""Where no digit is certain, the bound may be too small by so much, for it takes the network for linear; no more."""

AT_A_KINK = "a kink lies within rounding"


def rounding(sensitivity: float, dtype: str, accumulation: int) -> float:
    """The largest absolute error that rounding explains: ``(8 + sqrt n) (eps k + smallest subnormal)``.

    Parameters
    ----------
    sensitivity
        k, how far one unit of relative rounding moves the array.
    dtype
        In which it was computed.
    accumulation
        n, how many terms are added up for one entry at most; their roundings add up like a random walk, to sqrt(n).

    Source: Higham and Mary, SIAM J. Sci. Comput. 41 (2019), theorem 2.4.
    """
    limits = precision(dtype)
    units = ROUNDINGS + sqrt(accumulation)
    return units * (limits.eps * sensitivity + limits.smallest_subnormal)


def within(got: Array, want: Array, bound: float) -> bool:
    """Whether every entry lies within a bound, a NaN or an infinity where the other has the same."""
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    return bool((same | (np.abs(got - want) <= bound)).all())


def finite(run: Run) -> bool:
    """Whether all that goes forward is finite."""
    return all(np.isfinite(y).all() for name, y in run.tensors.items() if name.kind == "output")


def judged(
    got: Array | None,
    want: Array,
    *,
    bound: Array,
    terms: float,
    dtype: str,
    labels: dict[str, Any],
    against: str,
    jumping: bool = False,
    excuse: str = "",
) -> TensorAgreement:
    """Measure an array, and say so where none of its digits is certain.

    Either it is zero but for rounding: the bound is small beside the ``terms`` that cancelled in it, or the dtype has
    no normal numbers that small. Then what came must be that small, too, and digits are not counted. Or it is too
    ill-conditioned to be judged, unless it is grossly wrong: inconclusive. So is what seems to disagree where there is
    an ``excuse``, in words.
    """
    widest, own = float(bound.max(initial=0.0)), magnitude(want)
    tiny = own < precision(dtype).smallest_normal
    vanishing = widest > CERTAIN * own and (widest <= VAGUE * terms or tiny)
    scale = terms if vanishing else own
    note = AT_A_KINK if jumping else "zero but for rounding" if vanishing and own else ""
    uncertain = not vanishing and widest > max(CERTAIN, COARSE * precision(dtype).eps) * scale and scale > 0
    result = measure(
        got,
        want,
        bound=bound,
        scale=scale,
        dtype=dtype,
        **labels,
        against=against,
        note=note,
        doubt=inf if jumping else GROSS if uncertain else 0.0,
    )
    if excuse and result.verdict == "disagree":
        return replace(result, verdict="inconclusive", note=excuse)
    return replace(result, digits=None) if vanishing and result.verdict == "agree" else result


def looked_at(judge: Callable[[int], TensorAgreement]) -> TensorAgreement:
    """Look more and more closely: at a glance, once more unless it agrees, thoroughly if it disagrees."""
    verdict = judge(GLANCE)
    if verdict.verdict != "agree":
        verdict = judge(LOOK)
    return judge(THOROUGH) if verdict.verdict == "disagree" else verdict
