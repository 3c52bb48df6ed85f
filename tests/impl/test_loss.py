"""Losses: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl

X = np.random.default_rng(0).standard_normal((4, 3))
WEIGHT = np.array([0.5, 2.0, 1.5])


def beside_torch(op, x, target, **arguments):
    """Run a loss beside torch's, forward and backward with a cotangent of ones."""
    tensor = torch.tensor(x, requires_grad=True)
    tensors = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in arguments.items()}
    wanted = getattr(torch.nn, op)(**tensors)(tensor, torch.tensor(target))
    wanted.sum().backward()
    step = getattr(impl, op)(**arguments).forward({}, x, target)
    np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-12)
    got = step.backward(np.ones_like(step.output)).inputs[0]
    np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_a_sample_that_is_ignored_counts_nowhere(ignore_index, weight, label_smoothing, reduction):
    target = np.array([0, ignore_index, 2, 2])
    arguments = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    beside_torch("CrossEntropyLoss", X, target, weight=weight, **arguments)


def test_where_all_samples_are_ignored_the_mean_is_nan_and_the_gradient_zero():
    beside_torch("CrossEntropyLoss", X, np.full(4, -100))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_target_of_probabilities_is_averaged_over_the_samples(weight, label_smoothing, reduction):
    target = np.random.default_rng(1).dirichlet(np.ones(3), 4)
    beside_torch("CrossEntropyLoss", X, target, weight=weight, label_smoothing=label_smoothing, reduction=reduction)


def test_a_class_that_cannot_be_does_not_spoil_one_that_is():
    beside_torch("CrossEntropyLoss", np.array([[0.0, -np.inf, 1.0]]), np.array([2]))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("pos_weight", [None, WEIGHT])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_weights_of_elements_and_of_the_positive_class(weight, pos_weight, reduction):
    target = np.random.default_rng(1).random((4, 3))
    beside_torch("BCEWithLogitsLoss", X, target, weight=weight, pos_weight=pos_weight, reduction=reduction)


def test_the_mean_over_nothing_is_nan_and_the_sum_zero():
    for loss in (impl.MSELoss, impl.BCEWithLogitsLoss):
        assert np.isnan(loss().forward({}, np.zeros(0), np.zeros(0)).output)
        assert loss(reduction="sum").forward({}, np.zeros(0), np.zeros(0)).output == 0
