"""Softmaxes of rows, in place: beside the plain formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.layers.softmax import softmax
from impl.rows import softmax_rows, through_softmax_rows

SHAPES = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "complex128"])
@given(shape=SHAPES, seed=st.integers(0, 2**32))
def test_a_softmax_and_its_way_back_are_those_of_the_plain_formulas(dtype, shape, seed):
    rng = np.random.default_rng(seed)
    x, g = (rng.standard_normal(shape) * rng.choice([1, 50], shape) for _ in range(2))
    x = np.where(rng.random(shape) < 0.2, -np.inf, x).astype(dtype)  # some are masked
    x[..., :1] = 0  # but not all of a row
    p, back, tolerance = x.copy(), g.astype(dtype), 100 * np.finfo(dtype).eps
    softmax_rows(p, np.nan)
    want = softmax(x, -1)
    assert p.dtype == dtype
    np.testing.assert_allclose(p, want, rtol=tolerance)
    if dtype != "complex128":
        g = back.copy()
        through_softmax_rows(p, back)
        assert back.dtype == dtype
        np.testing.assert_allclose(back, p * (g - (g * p).sum(-1, keepdims=True)), rtol=tolerance, atol=100 * tolerance)


@pytest.mark.parametrize("answer", [np.nan, 0])
def test_a_row_of_nothing_becomes_what_is_asked_for(answer):
    x = np.array([[-np.inf, -np.inf], [0, 0], [-np.inf, 5], [np.nan, -np.inf]])
    softmax_rows(x, answer)
    np.testing.assert_array_equal(x, [[answer, answer], [0.5, 0.5], [0, 1], [np.nan, np.nan]])


def test_rows_of_one_number_have_no_gradient_at_all():
    p, g = np.array([[0.3], [-2.0]]), np.array([[0.1], [7.0]])
    softmax_rows(p, 0)
    through_softmax_rows(p, g)
    assert (p == 1).all()
    assert not g.any()
