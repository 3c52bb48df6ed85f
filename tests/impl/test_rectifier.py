"""Activations that are piecewise straight: what the catalogue's properties cannot see."""

import warnings

import numpy as np
import pytest
import torch

import impl
from backproof import verify
from reference import Architecture, Input, Node
from reference.draws import Draws

KINKS = {
    "ReLU": ((), (0,)),
    "LeakyReLU": ((-0.5,), (0,)),
    "ReLU6": ((), (0, 6)),
    "Threshold": ((0.5, 2.0), (0.5, 2)),
    "Hardtanh": ((-0.5, 2.0), (-0.5, 2)),
    "Hardswish": ((), (-3, 3)),
    "Hardshrink": ((0.5,), (-0.5, 0.5)),
    "Softshrink": ((0.5,), (-0.5, 0.5)),
    "RReLU": ((-0.25, 0.75), (0,)),
    "PReLU": ((1, -0.5), (0,)),
}
"""Constructor arguments, and where the function bends or jumps with them."""


@pytest.mark.parametrize("op", KINKS)
@pytest.mark.parametrize("size", [1, 64])
def test_at_and_around_its_kinks_a_layer_decides_as_torch_does(op, size):
    """A single number and many: torch has other kernels for these."""
    arguments, kinks = KINKS[op]
    for kink in kinks:
        for x in (np.nextafter(kink, -np.inf), float(kink), np.nextafter(kink, np.inf)):
            values = np.full(size, x)
            tensor = torch.tensor(values, requires_grad=True)
            module = getattr(torch.nn, op)(*arguments).double().eval()
            wanted = module(tensor)
            wanted.backward(torch.tensor(np.linspace(-1, 2, size)))
            layer = getattr(impl, op)(*arguments)
            step = layer.forward(layer.initial(np.random.default_rng(0)), values, training=False)
            gradients = step.backward(np.linspace(-1, 2, size))
            np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-15, atol=1e-300)
            np.testing.assert_allclose(gradients.inputs[0], tensor.grad.numpy(), rtol=1e-14)
            for name, parameter in module.named_parameters():
                np.testing.assert_allclose(gradients.parameters[name], parameter.grad.numpy(), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_hardsigmoid_is_a_sixth_to_the_last_digit(dtype):
    end = np.nextafter(dtype(3), dtype(0))
    x = np.array([-3, -end, 0, end, 3], dtype)
    step = impl.Hardsigmoid().forward({}, x)
    np.testing.assert_array_equal(step.backward(np.full(5, 6, dtype)).inputs[0], [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(step.output[[0, 2, 4]], [0, 0.5, 1])


@pytest.mark.parametrize("op", ["Hardshrink", "Softshrink"])
def test_without_a_gap_a_shrink_has_gradient_0_at_0_as_torch_has_it(op):
    tensor = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    getattr(torch.nn, op)(0.0)(tensor).sum().backward()
    got = getattr(impl, op)(0.0).forward({}, np.zeros(3)).backward(np.ones(3)).inputs[0]
    np.testing.assert_array_equal(got, tensor.grad.numpy())


@pytest.mark.parametrize("op", [*KINKS, "Hardsigmoid"])
def test_what_is_no_number_stays_none(op):
    layer = getattr(impl, op)(*KINKS.get(op, ((),))[0])
    step = layer.forward(layer.initial(np.random.default_rng(0)), np.array([np.nan]), noise=[np.zeros(1)])
    assert np.isnan(step.output).all()


def test_hardswish_does_not_overflow_on_its_straight_side():
    x = np.array([6e4], np.float16)
    with np.errstate(over="raise"):
        step = impl.Hardswish().forward({}, x)
        assert (step.output, step.backward(x).inputs[0]) == (x, x)


def test_hardtanh_takes_the_older_names_of_its_bounds():
    x = np.array([-5.0, -1.5, 0.5, 3.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = torch.nn.Hardtanh(0.0, 1.0, min_value=-2.0, max_value=3.0)(torch.tensor(x)).numpy()
    np.testing.assert_array_equal(impl.Hardtanh(0.0, 1.0, min_value=-2.0, max_value=3.0).forward({}, x).output, wanted)


@pytest.mark.parametrize(
    ("count", "shape"),
    [(1, ()), (1, (3,)), (1, (2, 3)), (1, (2, 0)), (3, (2, 3)), (3, (0, 3)), (3, (2, 3, 0)), (3, (2, 3, 2, 2))],
)
def test_a_prelu_has_one_weight_or_one_for_each_channel(count, shape):
    x = np.cos(np.arange(np.prod(shape))).reshape(shape)
    module = torch.nn.PReLU(count, 0.5).double()
    tensor = torch.tensor(x, requires_grad=True)
    module(tensor).backward(torch.tensor(np.sin(x)))
    layer = impl.PReLU(count, 0.5)
    gradients = layer.forward(layer.initial(np.random.default_rng(0)), x).backward(np.sin(x))
    np.testing.assert_allclose(gradients.inputs[0], tensor.grad.numpy(), rtol=1e-14)
    np.testing.assert_allclose(gradients.parameters["weight"], module.weight.grad.numpy(), rtol=1e-14)


def test_a_prelu_starts_at_its_initial_slope():
    np.testing.assert_array_equal(impl.PReLU(2, 0.75).initial(np.random.default_rng(0))["weight"], [0.75, 0.75])


def test_rrelu_draws_a_slope_for_each_element_and_uses_it_both_ways():
    x, noise = np.array([-1.0, -2.0, 0.0, 3.0, -0.0]), [np.array([0.0, 0.25, 0.5, 0.5, 1.0])]
    tensor = torch.tensor(x, requires_grad=True)
    with Draws(noise) as mode:
        wanted = torch.nn.RReLU(0.25, 0.75)(tensor)
    wanted.sum().backward()
    step = impl.RReLU(0.25, 0.75).forward({}, x, noise=noise)
    np.testing.assert_array_equal(step.output, [-0.25, -0.75, 0, 3, 0])
    np.testing.assert_array_equal(step.output, wanted.detach().numpy())
    np.testing.assert_array_equal(step.backward(np.ones(5)).inputs[0], [0.25, 0.375, 0.5, 1, 0.75])
    np.testing.assert_array_equal(tensor.grad.numpy(), [0.25, 0.375, 0.5, 1, 0.75])
    assert mode.shapes == [(5,)]


def test_slopes_of_rrelu_are_uniform_between_their_bounds():
    y = impl.RReLU(0.5, 1.0).forward({}, -np.ones(20_000), noise=np.random.default_rng(0)).output
    assert (y >= -1).all()
    assert (y <= -0.5).all()
    assert y.mean() == pytest.approx(-0.75, abs=0.01)


@pytest.mark.parametrize("training", [True, False])
def test_a_rrelu_in_place_is_verified_as_any_other(training):
    node = Node("r", "RReLU", {"inplace": True}, ("x",))
    verify(Architecture((Input("x", (4, 3)),), (node,), ("r",), training=training)).raise_for_disagreement()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: impl.RReLU(0.5, 0.25), "RReLU: lower is 0.5, wanted at most upper, 0.25"),
        (lambda: impl.RReLU().forward({}, np.ones(2)), "RReLU: training draws noise: pass noise=.*"),
        (lambda: impl.Hardtanh(1.0, 1.0), "Hardtanh: max_val is 1.0, wanted more than min_val, 1.0"),
        (lambda: impl.Hardtanh(max_value=-2.0), "Hardtanh: max_val is -2.0, wanted more than min_val, -1.0"),
        (lambda: impl.Softshrink(-0.5), "Softshrink: lambd is -0.5, wanted a number, at least 0"),
        (lambda: impl.Softshrink(float("inf")), "Softshrink: lambd is inf, wanted a number, at least 0"),
        (
            lambda: impl.PReLU(3).forward({"weight": np.ones(3)}, np.ones(3)),
            r"PReLU: the shape of its input is \(3,\), wanted \(N, 3, \*\)",
        ),
        (
            lambda: impl.PReLU(3).forward({"weight": np.ones(3)}, np.ones((3, 2))),
            r"PReLU: the shape of its input is \(3, 2\), wanted \(N, 3, \*\)",
        ),
        (
            lambda: impl.PReLU(3).forward({"weight": np.ones(1)}, np.ones((2, 3))),
            r"PReLU: weight has shape \(1,\), wanted \(3\)",
        ),
    ],
)
def test_an_error_says_what_came_and_what_was_wanted(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        wrong()
