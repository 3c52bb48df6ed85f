"""Activations: what the catalogue's properties cannot see."""

import numpy as np
import torch

import impl


def test_softplus_jumps_behind_its_threshold_not_at_it():
    x = np.array([1.5, 2.0, 2.5])
    tensor = torch.tensor(x, requires_grad=True)
    twin = torch.nn.Softplus(beta=2, threshold=4)(tensor)
    twin.sum().backward()
    step = impl.Softplus(beta=2, threshold=4).forward({}, x)
    np.testing.assert_allclose(step.output, twin.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(step.backward(np.ones(3)).inputs[0], tensor.grad.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(step.branches, [[False, False, True]])
