"""The bound of a finite difference holds: at every scale, on both sides of kinks, in every dtype, beside NaN."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.differences import Estimate, finite_difference
from reference.run import Array

Function = Callable[[Array], Array]

FAMILY: dict[str, tuple[Function, Function]] = {
    "tanh": (np.tanh, lambda u: np.cosh(np.clip(u, -700, 700)) ** -2.0),
    "sine": (np.sin, np.cos),
    "logistic": (lambda u: 1 / (1 + np.exp(-u)), lambda u: 1 / (2 * np.cosh(u / 2)) ** 2),
    "bell": (lambda u: np.exp(-u * u), lambda u: -2 * u * np.exp(-u * u)),
    "quintic": (lambda u: u**5 - 3 * u**2 + 1, lambda u: 5 * u**4 - 6 * u),
    "identity": (lambda u: u, np.ones_like),
    "beside a tenth of a billionth": (lambda u: (1e10 + u) - 1e10, np.ones_like),
    "beside ten million billions": (lambda u: 1e16 + u, np.ones_like),
    "relu": (lambda u: np.maximum(u, 0), lambda u: 1.0 * (u > 0)),
    "clip": (lambda u: np.clip(u, -1, 1), lambda u: 1.0 * (np.abs(u) < 1)),
    "max of three": (
        lambda u: np.maximum(np.maximum(u, 2 * u - 0.5), 0.1),
        lambda u: np.where(u < 0.1, 0.0, np.where(u < 0.5, 1.0, 2.0)),
    ),
    "two kinks": (
        lambda u: np.abs(u - 0.3) - np.abs(u - 0.3001),
        lambda u: np.sign(u - 0.3) - np.sign(u - 0.3001),
    ),
    "a kink and a large curvature": (
        lambda u: 1e3 * u * u + np.abs(u - 0.3),
        lambda u: 2e3 * u + np.sign(u - 0.3),
    ),
    "a jump at a half": (lambda u: np.where(np.abs(u) > 0.5, u, 0), lambda u: 1.0 * (np.abs(u) > 0.5)),
}

tens = st.floats(-30, 30).map(lambda e: float(f"1e{e:.0f}"))
places = st.one_of(
    st.floats(0.01, 3).flatmap(lambda u: st.sampled_from((u, -u))),
    st.tuples(st.sampled_from((0.1, 0.3, 0.3001, 0.5, 1.0, -1.0)), st.floats(3, 7), st.sampled_from((-1, 1))).map(
        lambda near: near[0] + near[2] * 10.0 ** -near[1]
    ),
)


def at(function: Function, x: float, dtype: type = np.float64) -> Estimate:
    return finite_difference(function, np.array([x], dtype=dtype))


def holds(found: Estimate, true: float) -> bool:
    """Up to the rounding of the true value itself."""
    slack = found.bound[0] + 1e-15 * abs(true)
    return bool(found.lower[0] - slack <= true <= found.upper[0] + slack)


@pytest.mark.parametrize("name", FAMILY)
@given(u=places, values=tens, arguments=tens)
def test_a_bound_holds_at_every_scale(name: str, u: float, values: float, arguments: float) -> None:
    function, derivative = FAMILY[name]
    x = u / arguments
    found = at(lambda z: values * function(arguments * z), x)
    if np.isfinite(found.bound[0]):
        true = values * arguments * derivative(np.array([arguments * x]))
        assert holds(found, true[0])
    else:
        assert name in ("beside a tenth of a billionth", "two kinks", "a jump at a half")


@given(x=st.floats(0.01, 3), large=tens)
def test_a_large_term_beside_does_not_lead_astray(x: float, large: float) -> None:
    found = at(lambda z: np.array([np.tanh(1e12 * z[0]), large]), x / 1e12)
    assert holds(found, 1e12 * np.cosh(x) ** -2.0)


@pytest.mark.parametrize("gap", [0.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_kink_nearby_is_told_from_one_at_the_point(gap: float, sign: int) -> None:
    found = at(lambda z: 10 * z**2 + np.abs(z - 1), 1 + sign * gap)
    assert found.kinks[0] == (gap == 0)
    if gap:
        assert abs(found.value[0] - 20 * (1 + sign * gap) - sign) <= found.bound[0] < 1e-4
    else:
        assert (found.lower[0], found.upper[0]) == (pytest.approx(19, abs=1e-6), pytest.approx(21, abs=1e-6))


def test_kinks_at_several_distances() -> None:
    found = at(lambda z: np.abs(z - 1) - 3 * np.abs(z - 1.0001) + 5 * np.abs(z - 0.99999), 1.0)
    assert (found.lower[0], found.upper[0]) == (pytest.approx(7, abs=1e-4), pytest.approx(9, abs=1e-4))


@pytest.mark.parametrize("x", [0.0, 0.3, -2.0, 1e20])
def test_a_jump_is_no_kink_and_has_no_bound(x: float) -> None:
    for function in (lambda z: 1.0 * (z > x), lambda z: np.sign(z - x), lambda z: np.where(z > x, z, z - 1)):
        assert at(function, x).bound[0] * max(abs(x), 1) > 1e3


def test_a_step_that_overflows_or_is_not_a_number_is_not_taken() -> None:
    assert holds(at(lambda z: np.exp(1e5 * (z - 1) + 690), 1.0), 1e5 * np.exp(690))
    assert holds(at(lambda z: np.sqrt(z - 1), 1 + 1e-6), 500.0)
    assert np.isinf(at(lambda z: z * np.nan, 1.0).bound[0])
    assert np.isinf(at(lambda z: np.where(z == 1, z, np.nan), 1.0).bound[0])
    assert np.isinf(at(lambda z: z, np.inf).bound[0])


@pytest.mark.parametrize("x", [1e25, -1e30])
def test_a_function_that_is_noise_has_no_bound(x: float) -> None:
    assert np.isinf(at(np.sin, x).bound[0])


def test_a_staircase_is_no_constant() -> None:
    found = at(lambda z: (1e16 + z) - 1e16, 0.75)
    assert found.bound[0] >= 1


def test_a_constant_has_a_small_bound() -> None:
    assert at(lambda z: np.maximum(z, 0), -1.0).bound[0] < 1e-300
    assert at(lambda z: 0 * z + 1, -1.0).bound[0] < 1e-10


@pytest.mark.parametrize("name", ["tanh", "sine", "logistic", "bell", "quintic", "relu", "clip"])
def test_longdouble_has_a_bound_a_hundred_times_smaller(name: str) -> None:
    function, derivative = FAMILY[name]
    gain = float(np.finfo(np.float64).eps / np.finfo(np.longdouble).eps)  # 2048, or 1 where longdouble is float64
    for x in (0.7, -1.3):
        plain, precise = at(function, x), at(function, x, np.longdouble)
        assert holds(precise, derivative(np.array([x], np.longdouble))[0])
        assert precise.bound[0] <= max(plain.bound[0] / min(gain, 100), 1e-15)


def test_a_function_that_only_returns_longdouble_is_not_believed_more() -> None:
    def cast(z: Array) -> Array:
        return np.tanh(z.astype(np.float64)).astype(np.longdouble)

    for x in np.linspace(-2, 2, 101):
        assert holds(at(cast, x, np.longdouble), np.cosh(x) ** -2.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_function_in_a_short_dtype_has_that_dtypes_bound(dtype: type) -> None:
    unit = float(np.finfo(dtype).eps)
    for x in np.linspace(-2, 2, 101):
        found = at(lambda z: np.tanh(z), x, dtype)
        assert holds(found, np.cosh(float(dtype(x))) ** -2.0)
        assert found.bound[0] > unit / 10


def test_every_coordinate_has_its_own_scale() -> None:
    x = np.array([1e-30, 0.0, 1.0, 1e30])
    scale = np.array([1e30, 1.0, 1.0, 1e-30])
    found = finite_difference(lambda z: np.tanh(scale * z), x)
    true = scale * np.cosh(scale * x) ** -2.0
    assert (np.abs(found.value - true) <= found.bound).all()
    assert (found.bound <= 1e-8 * true).all()
