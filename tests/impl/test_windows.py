"""Windows: what convolutions and poolings do not show of them."""

import numpy as np
import pytest

import impl
from impl.windows import windows, with_batch
from reference.duals import dual, parts


def test_windows_cannot_be_written_to():
    assert not windows(np.zeros((1, 1, 4)), (2,), (1,), (1,)).flags.writeable


def test_windows_of_another_class_of_arrays_are_those_of_each_of_its_parts():
    rng = np.random.default_rng(0)
    value, imaginary = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal((4, 2, 3, 7, 6))
    layout = ((3, 2), (2, 3), (1, 2))
    found = windows(dual(value, imaginary), *layout)
    np.testing.assert_array_equal(parts(found), [windows(part, *layout) for part in imaginary])


@pytest.mark.parametrize(("rank", "spatial"), [(1, "L"), (2, "H, W"), (3, "D, H, W")])
def test_a_wrong_rank_is_named_with_the_axes_that_were_wanted(rank, spatial):
    with pytest.raises(ValueError, match=rf"^Identity: the shape of its input is \(\), wanted \(N, C, {spatial}\) or "):
        with_batch(impl.Identity(), np.zeros(()), rank)
