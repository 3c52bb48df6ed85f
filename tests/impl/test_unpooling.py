"""MaxUnpool: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch
from beside_torch import beside_torch

import impl


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("lead", [(2, 3), (3,)])
def test_it_undoes_a_pooling_whose_windows_do_not_overlap(rank, lead):
    x = np.random.default_rng(0).standard_normal((*lead, *(5,) * rank))
    y, indices = getattr(impl, f"MaxPool{rank}d")(2, return_indices=True).forward({}, x).output
    back = beside_torch(f"MaxUnpool{rank}d", y, indices, options={"output_size": (5,) * rank}, kernel_size=2)
    assert back.shape == x.shape
    assert np.array_equal(back[back != 0], x[back != 0])
    assert np.count_nonzero(back) == y.size


def test_the_output_size_may_have_batch_and_channels():
    indices = np.array([[[3, 1]], [[0, 4]]])
    back = beside_torch("MaxUnpool1d", np.ones((2, 1, 2)), indices, options={"output_size": (2, 1, 5)}, kernel_size=2)
    np.testing.assert_array_equal(back, [[[0, 1, 0, 1, 0]], [[1, 0, 0, 0, 1]]])


def test_of_repeated_indices_the_last_stays_and_all_get_its_gradient():
    step = impl.MaxUnpool1d(2).forward({}, np.array([[1.0, 2.0]]), np.array([[1, 1]]))
    np.testing.assert_array_equal(step.output, [[0, 2, 0, 0]])
    np.testing.assert_array_equal(step.backward(np.array([[1.0, 2, 3, 4]])).inputs[0], [[2, 2]])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_an_empty_batch_passes(rank):
    x = np.zeros((0, 3, *(2,) * rank))
    assert beside_torch(f"MaxUnpool{rank}d", x, x.astype(np.int64), kernel_size=2).shape == (0, 3, *(4,) * rank)


ONES, AT = np.ones((3, 2, 2)), np.zeros((3, 2, 2), np.int64)


@pytest.mark.parametrize(
    ("arguments", "x", "indices", "output_size", "message"),
    [
        ({}, ONES, AT + 16, None, r"an element of indices is 16, wanted one in \[0, 16\)"),
        ({}, ONES, AT - 1, None, r"an element of indices is -1, wanted one in \[0, 16\)"),
        ({}, ONES, AT.astype(float), None, "the dtype of indices is 'float64', wanted integers"),
        ({}, ONES, AT[:1], None, r"indices has shape \(1, 2, 2\), wanted \(3, 2, 2\)"),
        ({}, ONES[..., :0], AT[..., :0], None, "wanted at least one channel and one element"),
        ({}, ONES, AT, (6, 4), r"output_size is \(6, 4\), wanted \(4, 4\), each by less than the stride \(2, 2\) off"),
        ({}, ONES, AT, (4,), r"output_size is \(4,\), wanted"),
        ({"stride": 1, "padding": 2}, ONES, AT, None, r"padding is 2, wanted one that leaves a size of 0 or more"),
    ],
)
def test_a_wrong_input_is_named(arguments, x, indices, output_size, message):
    with pytest.raises(ValueError, match=f"MaxUnpool2d: .*{message}"):
        impl.MaxUnpool2d(2, **arguments).forward({}, x, indices, output_size)
    with pytest.raises((ValueError, RuntimeError)):  # torch refuses it, too
        torch.nn.MaxUnpool2d(2, **arguments)(torch.tensor(x), torch.tensor(indices), output_size)


@pytest.mark.parametrize(
    "arguments", [{"kernel_size": 0}, {"kernel_size": 2, "stride": 0}, {"kernel_size": 2, "padding": -1}]
)
def test_a_wrong_argument_is_named(arguments):
    with pytest.raises(ValueError, match=f"MaxUnpool3d: {list(arguments)[-1]} is .*, wanted 3 integers"):
        impl.MaxUnpool3d(**arguments)
