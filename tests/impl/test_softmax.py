"""Softmaxes: what the catalogue's properties cannot see."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

import impl
import impl.layers.softmax
from impl.layers.loss import entries
from impl.layers.softmax import log_softmax, log_softmax_at, softmax


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Softmin"])
@pytest.mark.parametrize(("shape", "dim"), [((), None), ((), 0), ((), -1), ((0, 3), 0), ((0,), None)])
def test_a_softmax_of_a_number_and_of_nothing(op, shape, dim):
    x = np.ones(shape)
    with pytest.warns(UserWarning, match="Implicit dimension") if dim is None else nullcontext():
        wanted = getattr(torch.nn, op)(dim)(torch.tensor(x)).numpy()
    step = getattr(impl, op)(dim).forward({}, x)
    np.testing.assert_array_equal(step.output, wanted)
    assert step.backward(x).inputs[0].shape == shape


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Softmin"])
def test_each_row_is_shifted_by_its_own_maximum(op):
    x = np.array([[1e3, 1e3 + 1], [0, 1], [-1e3, -1e3 + 1]])
    tensor = torch.tensor(x, requires_grad=True)
    wanted = getattr(torch.nn, op)(1)(tensor)
    wanted.backward(torch.tensor(x))
    step = getattr(impl, op)(1).forward({}, x)
    np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(step.backward(x).inputs[0], tensor.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (3, 2, 2), (0, 3, 2, 2), (2, 0, 2, 2)])
def test_softmax2d_sums_to_one_over_channels(shape):
    x = np.arange(np.prod(shape)).reshape(shape) / 4
    step = impl.Softmax2d().forward({}, x)
    np.testing.assert_allclose(step.output, torch.nn.Softmax2d()(torch.tensor(x)).numpy(), rtol=1e-12)
    assert step.backward(x).inputs[0].shape == shape


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3, 4, 5)])
def test_softmax2d_takes_channels_height_and_width(shape):
    with pytest.raises(
        ValueError, match=r"^Softmax2d: the shape of its input is .*, wanted \(N, C, H, W\) or \(C, H, W\)$"
    ):
        impl.Softmax2d().forward({}, np.ones(shape))


def test_softmin_takes_an_axis_of_its_input():
    with pytest.raises(ValueError, match=r"^Softmin: dim is 1, wanted an axis of its input \(3,\)$"):
        impl.Softmin(1).forward({}, np.ones(3))


@pytest.mark.parametrize("piece", [1, 7, 30, 2**17])
@pytest.mark.parametrize("shape", [(4,), (1,), (5, 4), (1, 1), (0, 3), (3, 4, 2), (3, 4, 2, 2), (3, 2, 0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_one_entry_of_log_softmax_is_that_of_all(monkeypatch, piece, shape, dtype):
    """Whatever number of samples is taken at a time; its gradient is ``g (e - softmax(x))``."""
    monkeypatch.setattr(impl.layers.softmax, "PIECE", piece)
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    samples = (*shape[:axis], *shape[axis + 1 :])
    x = (1e3 * rng.standard_normal((*samples[:axis], 1, *samples[axis:])) + rng.standard_normal(shape)).astype(dtype)
    chosen, g = rng.integers(0, shape[axis], samples), rng.standard_normal(samples).astype(x.real.dtype)
    before = x.copy()
    found, back = log_softmax_at(x, entries(chosen, axis), axis)
    at, digits = np.expand_dims(chosen, axis), 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(found, np.take_along_axis(log_softmax(x, axis), at, axis).squeeze(axis), rtol=digits)
    one = np.moveaxis(np.eye(shape[axis])[chosen], -1, axis)
    for _ in range(2):
        want = np.expand_dims(g, axis) * (one - softmax(x, axis))
        np.testing.assert_allclose(back(g), want, rtol=digits, atol=digits)
    assert (found.dtype, back(g).dtype, found.shape) == (dtype, dtype, samples)
    np.testing.assert_array_equal(x, before)
