"""Gradients are clipped as torch clips them."""

from copy import deepcopy
from math import inf

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_optim import DTYPES, SHAPES

from impl import optim


@given(
    st.sampled_from([0.5, 1.0, 2.0, 3.0, inf, "inf", 0.0]),
    st.floats(1e-3, 1e3),
    st.integers(0, 2**32),
    st.sampled_from([1.0, 1e-3, 1e200]),
)
def test_gradients_are_clipped_by_their_norm_as_torch_does(order, most, seed, scale):
    rng = np.random.default_rng(seed)
    gradients = {name: np.asarray(scale * rng.standard_normal(shape)) for name, shape in SHAPES.items()}
    before = deepcopy(gradients)
    tensors = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES.values()]
    for tensor, gradient in zip(tensors, gradients.values()):
        tensor.grad = torch.tensor(gradient)
    with np.errstate(over="ignore"):
        clipped, norm = optim.clip_grad_norm(gradients, most, order)
    theirs = torch.nn.utils.clip_grad_norm_(tensors, most, order)
    np.testing.assert_allclose(norm, theirs.item(), rtol=1e-13)
    for name, tensor in zip(clipped, tensors):
        np.testing.assert_allclose(clipped[name], tensor.grad.numpy(), rtol=1e-13)
    np.testing.assert_equal(gradients, before)


@pytest.mark.parametrize("worst", [np.inf, -np.inf, np.nan])
def test_a_norm_that_is_not_finite_is_met_as_torch_meets_it(worst):
    gradient = np.array([worst, 1.0, 2.0])
    tensor = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    tensor.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_([tensor], 1.0)
    clipped, norm = optim.clip_grad_norm({"w": gradient}, 1.0)
    np.testing.assert_array_equal(clipped["w"], tensor.grad.numpy())
    np.testing.assert_equal(norm, abs(worst))
    with pytest.raises(ValueError, match=f"clip_grad_norm: the norm of order 2 is {norm}, wanted a finite number"):
        optim.clip_grad_norm({"w": gradient}, 1.0, error_if_nonfinite=True)


def test_no_gradients_have_no_norm():
    assert optim.clip_grad_norm({}, 1.0) == ({}, 0.0)
    assert optim.clip_grad_value({}, 1.0) == {}


@given(st.floats(0, 3), st.integers(0, 2**32))
def test_gradients_are_clipped_by_their_value_as_torch_does(most, seed):
    gradient = np.append(np.random.default_rng(seed).standard_normal(10), [np.nan, np.inf, -np.inf])
    tensor = torch.zeros(13, dtype=torch.float64, requires_grad=True)
    tensor.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_value_([tensor], most)
    np.testing.assert_array_equal(optim.clip_grad_value({"w": gradient}, most)["w"], tensor.grad.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_keeps_the_dtype(dtype):
    gradients = {"w": np.array([3, 4], dtype), "b": np.asarray(12, dtype)}
    for clipped in (optim.clip_grad_norm(gradients, 1.3)[0], optim.clip_grad_value(gradients, 0.5)):
        assert all(array.dtype == dtype and array.shape == gradients[name].shape for name, array in clipped.items())
    np.testing.assert_allclose(optim.clip_grad_norm(gradients, 1.3)[0]["b"].astype(float), 1.2, rtol=1e-3)
