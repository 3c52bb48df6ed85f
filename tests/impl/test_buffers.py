"""Room for results: of the kind that computing with the arrays would give."""

import numpy as np
import pytest

from impl.buffers import room
from reference.duals import dual, parts


@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        (["float32", "float32"], "float32"),
        (["float16"], "float16"),
        (["float64", "complex128", "float64"], "complex128"),
        (["float32", "longdouble"], "longdouble"),
    ],
)
def test_the_dtype_is_the_common_one(dtypes, wanted):
    arrays = [np.zeros((2,) * axes, dtype) for axes, dtype in enumerate(dtypes)]
    assert (room((3, 0), *arrays).dtype, room((3, 0), *arrays).shape) == (wanted, (3, 0))


def test_empty_arrays_and_infinities_have_a_kind_too():
    """Nothing is computed with the arrays, so nothing warns."""
    assert room((2,), np.zeros((0, 3), np.float32), np.full(2, np.inf), np.full(2, -np.inf)).dtype == np.float64


def test_a_class_that_hands_itself_on_is_kept():
    x = dual(np.ones((2, 3)), np.ones((4, 2, 3)))
    for made in (room((5, 2), x, np.ones(3)), room((5, 2), np.ones(3), x)):
        assert parts(made).shape == (4, 5, 2)
