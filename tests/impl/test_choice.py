"""Choosing element by element: nothing but ``np.where`` without its jumps."""

import numpy as np
import pytest

from impl.choice import choose, keep

RNG = np.random.default_rng(0)
SPECIAL = [0.0, -0.0, 1.5, -2.0, np.nan, np.inf, -np.inf, 5e-324]
DTYPES = ["float16", "float32", "float64", "longdouble", "complex64", "complex128", "int64", "int32", "bool"]


def drawn(dtype, shape):
    """Numbers of which many are special."""
    if np.dtype(dtype).kind in "fc":
        return RNG.choice(np.array(SPECIAL), shape).astype(dtype)
    return RNG.integers(-3, 4, shape).astype(dtype)


def same_bits(got, want):
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_array_equal(got, want)
    if got.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("mask", "x", "y"),
    [((5, 4), (5, 4), (5, 4)), ((5, 1), (5, 4), (1, 4)), ((), (3,), (3,)), ((3,), (), ()), ((), (), ()), ((0, 2),) * 3],
)
def test_the_same_bits_as_from_where(dtype, mask, x, y):
    for _ in range(20):
        on, a, b = RNG.random(mask) < 0.5, drawn(dtype, x), drawn(dtype, y)
        on = np.asarray(on)
        same_bits(keep(on, a), np.asarray(np.where(on, a, a.dtype.type(0))))
        same_bits(choose(on, a, b), np.asarray(np.where(on, a, b)))
        same_bits(choose(on.T, a.T, b.T), np.asarray(np.where(on.T, a.T, b.T)))


@pytest.mark.parametrize("function", [lambda on, x: keep(on, x), lambda on, x: choose(on, x, x / 2)])
def test_neighbours_in_memory_and_read_only_arrays_are_left_alone(function):
    wide = drawn("float64", (6, 6))
    wide[np.isnan(wide)] = 1
    before, view = wide.copy(), wide[::2, 1::2]
    view.flags.writeable = False
    found = function(view > 0, view)
    np.testing.assert_array_equal(wide, before)
    assert not np.shares_memory(found, wide)


def test_of_two_dtypes_the_wider_one_is_taken():
    found = choose(np.array([True, False]), np.ones(2, np.float32), np.full(2, 0.1))
    np.testing.assert_array_equal(found, [1, 0.1])
