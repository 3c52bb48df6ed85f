"""The derivative of an array along one direction: every entry by itself, those that jump set apart."""

import numpy as np

from reference.differences import Estimate, derivative_of_each
from reference.run import Array

X, ALONG = np.array([0.5, -1.25, 2.0]), np.array([0.75, 0.5, -1.5])


def smooth(t: float) -> Array:
    x = X + t * ALONG
    return np.array([[np.sin(x[0]), x[1] * x[2]], [np.exp(x[2]), 3.0]])


WANT = np.array([[np.cos(0.5) * 0.75, 0.5 * 2.0 + 1.25 * 1.5], [-1.5 * np.exp(2.0), 0.0]])


def test_every_entry_is_differentiated_within_its_bound() -> None:
    found = derivative_of_each(smooth, X, ALONG)
    assert found.value.shape == (2, 2)
    assert (np.abs(found.value - WANT) <= found.bound).all()
    assert found.bound.max() < 1e-9
    assert not found.kinks.any()


def with_jump(t: float) -> Array:
    return np.concatenate([smooth(t).ravel(), [float(t > 0), abs(t)]])


def known(found: Estimate) -> Array:
    return np.isfinite(found.bound)


def test_an_entry_that_jumps_is_unknown_and_costs_the_others_nothing() -> None:
    found = derivative_of_each(with_jump, X, ALONG)
    assert known(found).tolist() == [True] * 4 + [False, True]
    assert found.bound[:4].max() < 1e-9
    assert (np.abs(found.value[:4] - WANT.ravel()) <= found.bound[:4]).all()


def test_a_kink_is_told_by_both_slopes() -> None:
    found = derivative_of_each(with_jump, X, ALONG)
    assert found.kinks.tolist() == [False] * 5 + [True]
    assert abs(found.lower[5] + 1) < 1e-6
    assert abs(found.upper[5] - 1) < 1e-6


def test_what_is_not_finite_is_unknown() -> None:
    found = derivative_of_each(lambda t: np.array([np.nan, t]), X, ALONG)
    assert known(found).tolist() == [False, True]
    assert not known(derivative_of_each(lambda t: np.array([t if t == 0 else np.nan]), X, ALONG)).any()


def test_where_nothing_moves_nothing_is_known() -> None:
    assert not known(derivative_of_each(smooth, X, np.zeros(3))).any()


def test_a_wave_that_a_large_step_steps_over_widens_the_bound() -> None:
    found = derivative_of_each(lambda t: np.array([np.sin(1e5 * t)]), X, ALONG)
    assert abs(found.value[0] - 1e5) <= found.bound[0] < 1


def test_digits_that_are_lost_in_rounding_widen_the_bound() -> None:
    found = derivative_of_each(lambda t: np.array([(1e16 + t) - 1e16]), X, ALONG)
    assert abs(found.value[0] - 1) <= found.bound[0]
