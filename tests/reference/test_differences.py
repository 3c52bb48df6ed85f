"""Finite differences: the error bound holds, kinks are seen, and a smooth function is not taken for a kink."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reference.differences import complex_step, finite_difference
from reference.run import Array

SMOOTH: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda x: np.cosh(x) ** -2.0),
    "exp": (np.exp, np.exp),
    "sine": (lambda x: np.sin(7 * x), lambda x: 7 * np.cos(7 * x)),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "saturated": (lambda x: 1 / (1 + np.exp(-20 * x)), lambda x: 5 / np.cosh(10 * x) ** 2),
    "large": (lambda x: 1e8 + x**2, lambda x: 2 * x),
    "steep": (lambda x: 1e9 * x**2, lambda x: 2e9 * x),
    "tiny": (lambda x: 1e-12 * np.sin(x), lambda x: 1e-12 * np.cos(x)),
}
points = arrays(np.float64, 5, elements=st.floats(-3, 3, width=32))
weights = arrays(np.float64, 5, elements=st.floats(-2, 2, width=32))


@pytest.mark.parametrize("name", SMOOTH)
@given(x=points, c=weights)
def test_the_bound_of_a_finite_difference_holds(name: str, x: Array, c: Array) -> None:
    function, derivative = SMOOTH[name]
    found = finite_difference(lambda z: c * function(z), x)
    assert not found.kinks.any()
    assert (np.abs(found.value - c * derivative(x)) <= found.bound).all()


@pytest.mark.parametrize("name", ["tanh", "exp", "sine", "cube", "tiny"])
@given(x=points)
def test_the_bound_of_a_finite_difference_is_useful(name: str, x: Array) -> None:
    function, derivative = SMOOTH[name]
    found = finite_difference(function, x)
    assert (found.bound <= 1e-8 * max(1.0, np.abs(derivative(x)).max()) + 1e-30).all()


@pytest.mark.parametrize("name", ["tanh", "exp", "sine", "cube", "tiny"])
@given(x=points, c=weights)
def test_a_complex_step_is_exact(name: str, x: Array, c: Array) -> None:
    function, derivative = SMOOTH[name]
    found = complex_step(lambda z: c * function(z), x)
    np.testing.assert_allclose(found.value, c * derivative(x), rtol=1e-13, atol=1e-300)


@given(x=points, c=weights)
def test_a_kink_is_seen_and_its_interval_is_right(x: Array, c: Array) -> None:
    x = np.where(np.abs(x) < 1e-3, 0.0, x)
    found = finite_difference(lambda z: c * np.maximum(z, 0), x)
    at_zero = (x == 0) & (np.abs(c) > 1e-3)
    assert (found.kinks[np.abs(c) > 1e-3] == at_zero[np.abs(c) > 1e-3]).all()
    np.testing.assert_allclose(found.lower[at_zero], np.minimum(c, 0)[at_zero], atol=1e-6)
    np.testing.assert_allclose(found.upper[at_zero], np.maximum(c, 0)[at_zero], atol=1e-6)
    away = x != 0
    assert (np.abs(found.value - c * (x > 0)) <= found.bound)[away].all()


def test_a_kink_nearby_makes_the_step_smaller() -> None:
    for gap in (1e-2, 1e-3, 1e-4, 1e-5):
        x = np.array([gap, -gap, 1.0])
        found = finite_difference(lambda z: np.maximum(z, 0), x)
        assert (np.abs(found.value - (x > 0)) <= found.bound).all()
        assert (found.bound < 1e-7).all()


def test_kinks_of_two_terms_that_cancel_in_the_sum_are_seen() -> None:
    found = finite_difference(lambda z: np.array([np.maximum(z[0], 0), -np.maximum(z[0], 0)]), np.zeros(1))
    assert found.lower[0] == pytest.approx(-1)
    assert found.upper[0] == pytest.approx(1)


def test_a_jump_has_no_small_bound() -> None:
    found = finite_difference(lambda z: np.where(z > 0, 1.0, 0.0), np.zeros(1))
    assert found.bound[0] > 1e3 or found.upper[0] - found.lower[0] > 1e3


def test_a_direction_is_the_sum_of_its_coordinates() -> None:
    x, d = np.array([0.3, -1.2, 2.0]), np.array([1.0, -2.0, 0.5])
    along = finite_difference(np.sin, x, [d])
    assert along.value.shape == (1,)
    assert abs(along.value[0] - (np.cos(x) * d).sum()) <= along.bound[0]


def test_a_complex_step_that_underflows_says_so() -> None:
    found = complex_step(lambda z: 1e-170 * z, np.ones(1))
    assert abs(found.value[0] - 1e-170) <= found.bound[0] < 1e-140
