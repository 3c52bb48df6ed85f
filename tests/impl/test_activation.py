"""Activations: what the catalogue's properties cannot see."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

import impl


def beside_torch(op: str, x: np.ndarray, **arguments: float):
    """Run a layer beside torch's, forward and backward; return its step."""
    tensor = torch.tensor(x, requires_grad=True)
    wanted = getattr(torch.nn, op)(**arguments)(tensor)
    wanted.sum().backward()
    step = getattr(impl, op)(**arguments).forward({}, x)
    np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-12)
    got = step.backward(np.ones_like(x)).inputs[0]
    np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=1e-12, atol=1e-15)
    return step


@pytest.mark.parametrize("op", ["ELU", "LeakyReLU", "ReLU", "Sigmoid", "SiLU", "Softplus"])
def test_far_from_zero_nothing_overflows(op):
    with np.errstate(over="raise", invalid="raise"):
        beside_torch(op, np.array([-1e4, -2, 0, 2, 1e4]))


def test_softplus_jumps_behind_its_threshold_not_at_it():
    step = beside_torch("Softplus", np.array([1.5, 2.0, 2.5]), beta=2, threshold=4)
    np.testing.assert_array_equal(step.branches, [[False, False, True]])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("shape", "dim"), [((), None), ((), 0), ((), -1), ((0, 3), 0), ((0,), None)])
def test_a_softmax_of_a_number_and_of_nothing(op, shape, dim):
    x = np.ones(shape)
    with pytest.warns(UserWarning, match="Implicit dimension") if dim is None else nullcontext():
        wanted = getattr(torch.nn, op)(dim)(torch.tensor(x)).numpy()
    step = getattr(impl, op)(dim).forward({}, x)
    np.testing.assert_array_equal(step.output, wanted)
    assert step.backward(x).inputs[0].shape == shape


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_each_row_is_shifted_by_its_own_maximum(op):
    beside_torch(op, np.array([[1e3, 1e3 + 1], [0, 1], [-1e3, -1e3 + 1]]), dim=1)
