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


def several(z: Array) -> Array:
    """Terms that are smooth, two of which have a kink at 0."""
    return np.concatenate([np.tanh(z), np.maximum(z, 0)[:2], np.exp(z).sum(keepdims=True)])


def slopes(x: Array) -> Array:
    kinked = np.where(np.arange(x.size) < 2, x > 0, 0)
    return np.asarray(np.cosh(x) ** -2.0 + kinked + np.exp(x))


@given(x=points)
def test_what_is_looked_at_in_one_run_lies_within_its_bound(x: Array) -> None:
    x = np.where(np.abs(x) < 1e-3, 0.25, x)
    alone, runs = [], []

    def one(z: Array) -> Array:
        alone.append(z)
        return several(z)

    def many(stack: Array) -> Array:
        runs.append(len(stack))
        return np.array([several(z) for z in stack])

    found = finite_difference(one, x, expected=slopes(x), together=many)
    assert (np.abs(found.value - slopes(x)) <= found.bound).all()
    assert len(runs) == 1
    plain = finite_difference(several, x, expected=slopes(x))
    assert (found.value == plain.value).all()
    assert (found.bound == plain.bound).all()


def test_one_run_of_many_saves_the_runs_of_one() -> None:
    x, alone = np.linspace(0.5, 1.5, 40), []

    def one(z: Array) -> Array:
        alone.append(z)
        return np.sin(z)

    found = finite_difference(one, x, expected=np.cos(x), together=lambda stack: np.sin(stack))
    assert (np.abs(found.value - np.cos(x)) <= found.bound).all()
    assert len(alone) == 2  # here, and one to compare with


LIES: dict[str, Callable[[Array], Array | None]] = {
    "none": lambda stack: None,
    "another shape": lambda stack: np.sin(stack)[:, :-1],
    "another function": lambda stack: np.sin(stack * (1 + 1e-9)),
    "another function away from here": lambda stack: np.sin(stack + 1e-3 * (stack - stack[:1])),
    "another place in the stack": lambda stack: np.sin(stack) + 1e-12 * np.arange(len(stack))[:, None],
    "not finite": lambda stack: np.sin(stack) * np.nan,
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_one_run_of_many_that_is_another_function_is_not_believed(lie: str, factor: float) -> None:
    x = np.linspace(0.5, 1.5, 8)
    plain = finite_difference(np.sin, x, expected=factor * np.cos(x))
    found = finite_difference(np.sin, x, expected=factor * np.cos(x), together=LIES[lie])
    assert (found.value == plain.value).all()
    assert (found.bound == plain.bound).all()


def test_one_run_of_many_convicts_nobody() -> None:
    x = np.linspace(0.5, 1.5, 8)
    wrong = 1.001 * np.cos(x)
    plain = finite_difference(np.sin, x, expected=wrong)
    found = finite_difference(np.sin, x, expected=wrong, together=np.sin)
    assert (found.value == plain.value).all()
    assert (np.abs(found.value - wrong) > found.bound).all()
