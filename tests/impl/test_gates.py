"""Gates in place: beside the plain formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.gates import open_gates, slopes, tanh_slopes
from impl.layers.activation import sigmoid, tanh

SHAPES = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5))


def values(shape, dtype, seed):
    """From the middle of the curve to far out in both tails, where exponentials overflow."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * rng.choice([1, 30, 1000, 20000], shape)
    return (x + 1j * rng.standard_normal(shape) if dtype == "complex128" else x).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "complex128"])
@given(shape=SHAPES, seed=st.integers(0, 2**32))
def test_curves_and_slopes_are_those_of_the_plain_formulas(dtype, shape, seed):
    x = values(shape, dtype, seed)
    a, gates = x.copy(), np.empty_like(x)
    with np.errstate(over="ignore"):
        open_gates(a, gates)
        wanted = *sigmoid(x), tanh(x)[1]
    # Where exp(-x) overflows, s is 0, and not the subnormal number that it would be.
    tolerances = {"rtol": 8 * np.finfo(dtype).eps, "atol": np.finfo(dtype).tiny}
    for got, want in zip((gates, slopes(a, gates), tanh_slopes(x)), wanted, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, **tolerances)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_infinities_saturate_and_a_nan_remains(dtype):
    a = np.array([[-np.inf, 0, np.inf, np.nan]], dtype)
    gates = np.empty_like(a)
    with np.errstate(over="ignore"):
        open_gates(a, gates)
    np.testing.assert_array_equal(gates, [[0, 0.5, 1, np.nan]])
    np.testing.assert_array_equal(slopes(a, gates), [[0, 0.25, 0, np.nan]])


def test_slopes_may_be_asked_for_twice():
    a = np.array([[-3.0, 2.0]])
    gates = np.empty_like(a)
    open_gates(a, gates)
    first = slopes(a, gates)
    kept = first.copy()
    first[...] = 7
    np.testing.assert_array_equal(slopes(a, gates), kept)
