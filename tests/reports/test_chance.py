"""The tests of chance, against SciPy's, against counting, and against their own promise."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom, ks_2samp, wilcoxon

from reports.chance import how_many_count, lower, more, signed_rank


@given(st.lists(st.integers(-5, 5), max_size=9))
def test_signed_rank_counts_all_signs(losses):
    moved = [x for x in losses if x]
    sizes = sorted(map(abs, moved))
    ranks = [np.mean([i + 1 for i, size in enumerate(sizes) if size == abs(x)]) for x in moved]
    seen = sum(rank for rank, x in zip(ranks, moved) if x > 0)
    as_much = [sum(r for r, sign in zip(ranks, signs) if sign) >= seen for signs in product((0, 1), repeat=len(moved))]
    assert signed_rank(losses) == (pytest.approx(np.mean(as_much)), 0.5 ** len(moved))


def test_signed_rank_is_the_textbooks():
    losses = np.random.default_rng(0).standard_normal(40) + 0.4
    assert signed_rank(list(losses))[0] == pytest.approx(wilcoxon(losses, alternative="greater", mode="exact").pvalue)
    assert signed_rank([1.0] * 64) == (0.5**64, 0.5**64)
    assert signed_rank([-1.0] * 64)[0] == pytest.approx(1.0)
    assert signed_rank([0.0, 0.0]) == signed_rank([]) == (1.0, 1.0)


@given(st.data())
def test_more_is_hypergeometric(data):
    base_cases, new_cases = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 40))
    base, new = data.draw(st.integers(0, base_cases)), data.draw(st.integers(0, new_cases))
    exact = hypergeom(base_cases + new_cases, base + new, new_cases).sf(new - 1)
    probability, least = more(base, base_cases, new, new_cases)
    if new * (base_cases + new_cases) > (base + new) * new_cases:
        assert probability == pytest.approx(exact, rel=1e-6)
    else:
        assert probability == 1.0
    top = min(base + new, new_cases)
    assert least == pytest.approx(hypergeom(base_cases + new_cases, base + new, new_cases).pmf(top), rel=1e-6)
    assert least <= probability * (1 + 1e-6)


def test_more_ends_soon_whatever_the_numbers():
    assert more(0, 10**9, 10**9, 10**9) == (0.0, 0.0)
    assert more(5 * 10**8, 10**9, 5 * 10**8 + 10**4, 10**9)[0] < 1.0


@given(st.dictionaries(st.integers(0, 8), st.integers(1, 6)), st.dictionaries(st.integers(0, 8), st.integers(1, 6)))
def test_lower_is_above_the_exact_probability(base, new):
    probability, least = lower(base, new)
    assert least <= probability <= 1.0
    if base and new:
        samples = [[bin for bin, count in side.items() for _ in range(count)] for side in (base, new)]
        exact = ks_2samp(*samples, alternative="less", method="exact")
        assert probability >= exact.pvalue * (1 - 1e-9) or exact.pvalue > 0.999


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 30, 100, 300])
def test_the_bound_of_lower_holds_for_every_distance(n):
    for apart in range(1, n + 1):  # the exact one of Gnedenko and Korolyuk, for two samples of the same size
        exact = comb(2 * n, n - apart) / comb(2 * n, n)
        assert lower({1: n}, {0: apart, 1: n - apart})[0] >= exact
    assert lower({1: n}, {0: n})[0] < 1e-3 or n < 10


def test_lower_looks_in_one_direction():
    assert lower({1: 50}, {0: 50})[0] < 1e-20
    assert lower({0: 50}, {1: 50}) == (1.0, pytest.approx(lower({1: 50}, {0: 50})[0]))
    assert lower({}, {0: 50}) == (1.0, 1.0)


def test_only_tests_that_could_raise_an_alarm_are_paid_for():
    assert how_many_count([], 1e-3) == 1
    assert how_many_count([0.5] * 1000, 1e-3) == 1
    assert how_many_count([1e-9] * 7 + [0.5] * 1000, 1e-3) == 7
    assert how_many_count([1e-9, 1e-9, 6e-4], 1e-3) == 2
