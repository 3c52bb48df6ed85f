"""Embedding: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding_idx": 5}, "padding_idx is 5, wanted None or an index of 5 rows"),
        ({"padding_idx": -6}, "padding_idx is -6, wanted None or an index of 5 rows"),
        ({"max_norm": 1.0}, "max_norm is 1.0, wanted None: it would change the given weight in forward"),
        (
            {"sparse": True, "scale_grad_by_freq": True},
            "scale_grad_by_freq is True, wanted False, because sparse",
        ),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"Embedding: {message}"):
        impl.Embedding(5, 2, **arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1, 5], r"range of its input is \(1, 5\), wanted 0 to 4"),
        ([-1, 2], r"range of its input is \(-1, 2\), wanted 0 to 4"),
        ([1.0, 2.0], "dtype of its input is 'float64', wanted an integer one"),
    ],
)
def test_a_wrong_index_is_named(x, message):
    layer = impl.Embedding(5, 2)
    with pytest.raises(ValueError, match=f"Embedding: the {message}"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.array(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_rows_are_standard_normal_and_the_padding_zero(dtype):
    weight = impl.Embedding(200, 50, padding_idx=-1).initial(np.random.default_rng(0), dtype)["weight"]
    assert weight.dtype == dtype
    assert weight[:-1].mean() == pytest.approx(0, abs=0.05)
    assert weight[:-1].std() == pytest.approx(1, abs=0.05)
    assert not weight[-1].any()
    assert not torch.nn.Embedding(200, 50, padding_idx=-1).weight[-1].any()


@pytest.mark.parametrize(
    ("arguments", "gradient"),
    [
        ({}, [6, 1, 0, 2]),
        ({"padding_idx": 0}, [0, 1, 0, 2]),
        ({"padding_idx": -1}, [6, 1, 0, 0]),
        ({"scale_grad_by_freq": True}, [2, 1, 0, 1]),
        ({"sparse": True}, [6, 1, 0, 2]),
    ],
)
def test_rows_gather_what_flows_back_to_their_uses(arguments, gradient):
    step = impl.Embedding(4, 1, **arguments).forward({"weight": np.zeros((4, 1))}, np.array([[0, 1, 0], [3, 0, 3]]))
    gradients = step.backward(np.array([[1.0, 1, 2], [1, 3, 1]])[..., None])
    assert gradients.inputs == (None,)
    np.testing.assert_array_equal(gradients.parameters["weight"][:, 0], gradient)


def test_looking_up_nothing_leaves_a_zero_gradient():
    step = impl.Embedding(3, 2).forward({"weight": np.ones((3, 2))}, np.zeros((0, 4), dtype=np.int64))
    assert step.output.shape == (0, 4, 2)
    assert not step.backward(np.zeros((0, 4, 2))).parameters["weight"].any()
