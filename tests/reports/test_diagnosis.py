"""Each claim is made for its mistake, and for no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import Evidence, diagnose

RNG = np.random.default_rng(0)
WANT = RNG.standard_normal((5, 7))
SIZES = Evidence(sizes={"axis 0 of input 0": 6, "axis 1 of input 0": 10})
SQUARE = RNG.standard_normal((4, 4))


def changed(array, index, value):
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("got", "want", "told"),
    [
        (None, WANT, "is missing"),
        (1.0, WANT, "is float, wanted an array"),
        (np.zeros((5, 8)), WANT, "has shape (5, 8), wanted (5, 7)"),
        (WANT.T, WANT, "is transposed"),
        (SQUARE.T, SQUARE, "is transposed"),
        (0 * WANT, WANT, "is zero everywhere"),
        (-WANT, WANT, "has the wrong sign"),
        (WANT * 6, WANT, "is 6 times the reference: a mean over axis 0 of input 0 (6) is missing"),
        (WANT / 10, WANT, "is 1/10 of the reference: a mean over axis 1 of input 0 (10) where a sum belongs"),
        (
            WANT / 6**0.5,
            WANT,
            "is 1/sqrt(6) of the reference: a division by the root of axis 0 of input 0 (6) is too many",
        ),
        (WANT * 2, WANT, "is 2 times the reference"),
        (WANT / -2, WANT, "is minus 1/2 of the reference"),
        (
            WANT * 60,
            WANT,
            "is 60 times the reference: means over axis 0 of input 0 (6) and axis 1 of input 0 (10) are missing",
        ),
        (WANT * 1.001, WANT, "is 1.001 times the reference"),
        (WANT[:, ::-1], WANT, "is reversed along axis 1"),
        (WANT + 3, WANT, "is off by the constant 3"),
        (changed(WANT, (2, 3), 9), WANT, "is wrong at 1 of 35 entries, the first at [2, 3]"),
        (
            changed(WANT, (slice(None), 6), 9),
            WANT,
            "is the constant 9 at the last index of axis 1 (size 7), and right elsewhere",
        ),
        (
            changed(WANT, (0, slice(None)), 0),
            WANT,
            "is zero at index 0 of axis 0 (size 5), and right elsewhere",
        ),
        (changed(WANT, (1, 1), np.nan), WANT, "is not finite at 1 of 35 entries, the first at [1, 1]"),
        (RNG.standard_normal((5, 7)), WANT, "is wrong at all entries"),
    ],
)
def test_a_mistake_is_named(got, want, told):
    assert diagnose(got, want, 1e-12, SIZES) == told


@given(st.floats(-0.9, 0.9))
def test_nothing_is_said_of_what_rounding_explains(error):
    assert diagnose(WANT + error * 1e-9, WANT, 1e-9, SIZES) is None


@given(st.integers(0, 34), st.floats(0.01, 100))
def test_no_claim_is_made_that_one_entry_contradicts(at, error):
    got = WANT * 6
    got.flat[at] += error
    assert "entries" in diagnose(got, WANT, 1e-9, SIZES)
