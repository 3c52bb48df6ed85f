"""Windows: what convolutions and poolings do not show of them."""

import numpy as np
import pytest

import impl
from impl.windows import windows, with_batch


def test_windows_cannot_be_written_to():
    assert not windows(np.zeros((1, 1, 4)), (2,), (1,), (1,)).flags.writeable


@pytest.mark.parametrize(("rank", "spatial"), [(1, "L"), (2, "H, W"), (3, "D, H, W")])
def test_a_wrong_rank_is_named_with_the_axes_that_were_wanted(rank, spatial):
    with pytest.raises(ValueError, match=rf"^Identity: the shape of its input is \(\), wanted \(N, C, {spatial}\) or "):
        with_batch(impl.Identity(), np.zeros(()), rank)
