"""How likely chance alone would show as much: three tests that assume no distribution, and how many tests count.

Each returns the probability of what was seen or worse, and the least probability that it could have returned for
samples of these sizes. A test that could not have raised an alarm need not be paid for (:func:`how_many_count`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from math import e, exp, lgamma
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Tested: TypeAlias = tuple[float, float]

NEGLIGIBLE = 1e-18
"""The rest of a sum does not matter from a term on that is so small a share of it."""


def signed_rank(losses: Sequence[float]) -> Tested:
    """Are pairs worse more often, and by more, than they are better? Wilcoxon's test, exact also with ties.

    Two runs that are equally good may change places in each pair: the signs of the differences are tosses of a coin.
    The sum W of the ranks of the positive ones is then a sum of independent terms, each its rank or 0, and its
    distribution is found term by term. Pairs without a difference say nothing and are left out.

    Parameters
    ----------
    losses
        One difference for each pair, positive where the second is worse.

    Source: Wilcoxon, Biometrics Bulletin 1 (1945); Pratt and Gibbons, Concepts of Nonparametric Theory (1981), 3.
    """
    moved = np.array([loss for loss in losses if loss])
    if not moved.size:
        return 1.0, 1.0
    sizes = np.sort(np.abs(moved))
    # Twice the mean rank of equals, so that it is an integer.
    ranks = np.searchsorted(sizes, np.abs(moved), "left") + np.searchsorted(sizes, np.abs(moved), "right") + 1
    at_least = _rank_sums(tuple(np.sort(ranks).tolist()))
    return min(float(at_least[ranks[moved > 0].sum()]), 1.0), 0.5**moved.size


@lru_cache(maxsize=64)
def _rank_sums(ranks: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the probability that a sum, in which each rank is or is not, is at least 0, 1, 2 ..."""
    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        with_it = np.zeros_like(chances)
        with_it[rank:] = chances[:-rank]
        chances = (chances + with_it) / 2
    return np.cumsum(chances[::-1])[::-1]


def lower(base: Mapping[int, int], new: Mapping[int, int]) -> Tested:
    """Are the numbers of a second sample lower? Smirnov's one-sided test on two histograms with the same bins.

    With D the most by which the share below any edge has grown, and samples of m and n, the probability is at most
    ``e exp(-2 D^2 m n / (m + n))``, for any sizes and any distribution; bins can only make it larger.

    Parameters
    ----------
    base, new
        How many fell into each bin.

    Source: Wei and Dudley, Statistics & Probability Letters 82 (2012), theorem 1.
    """
    m, n = sum(base.values()), sum(new.values())
    if not m or not n:
        return 1.0, 1.0
    most = grown = 0.0
    for edge in sorted({*base, *new}):
        grown += new.get(edge, 0) / n - base.get(edge, 0) / m
        most = max(most, grown)
    weight = 2 * m * n / (m + n)
    return min(1.0, e * exp(-weight * most**2)), min(1.0, e * exp(-weight))


def more(base: int, base_cases: int, new: int, new_cases: int) -> Tested:
    """Is a share of a second sample larger? Fisher's exact test, one-sided.

    Given how many there are in both together, their number in the second is hypergeometric.

    Parameters
    ----------
    base, base_cases, new, new_cases
        How many, of how many, in either sample.

    Source: Fisher, Statistical Methods for Research Workers (1934), 21.02.
    """
    both, cases = base + new, base_cases + new_cases
    if new * cases <= both * new_cases:
        return 1.0, _all_in(both, base_cases, new_cases)
    total = 0.0
    for k in range(new, min(both, new_cases) + 1):  # beyond the mean: every term is smaller than the one before
        term = _hypergeometric(k, both, base_cases, new_cases)
        total += term
        if term <= NEGLIGIBLE * total:
            break
    return min(total, 1.0), _all_in(both, base_cases, new_cases)


def _all_in(both: int, base_cases: int, new_cases: int) -> float:
    return _hypergeometric(min(both, new_cases), both, base_cases, new_cases)


def _hypergeometric(k: int, both: int, base_cases: int, new_cases: int) -> float:
    chosen = _log_choose(new_cases, k) + _log_choose(base_cases, both - k)
    return min(exp(chosen - _log_choose(base_cases + new_cases, both)), 1.0)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def how_many_count(least: Sequence[float], level: float) -> int:
    """Return by how many the level is to be divided, so that any false alarm among all tests is rarer than it.

    Those whose least probability is above the level divided by this number can raise none, so they need not be counted.

    Source: Tarone, Biometrics 46 (1990).
    """
    possible = np.array(least)
    return next(k for k in count(1) if (possible <= level / k).sum() <= k)
