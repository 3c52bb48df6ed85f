"""Activations that are curves: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl

SMOOTH = ["CELU", "ELU", "LogSigmoid", "Mish", "SELU", "Sigmoid", "SiLU", "Softplus", "Softsign", "Tanhshrink"]


def beside_torch(op: str, x: np.ndarray, *arguments: float, **named: float):
    """Run a layer beside torch's, forward and backward; return its step."""
    tensor = torch.tensor(x, requires_grad=True)
    wanted = getattr(torch.nn, op)(*arguments, **named)(tensor)
    cotangent = np.cos(np.arange(wanted.numel())).reshape(wanted.shape)
    wanted.backward(torch.tensor(cotangent))
    step = getattr(impl, op)(*arguments, **named).forward({}, x)
    np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(step.backward(cotangent).inputs[0], tensor.grad.numpy(), rtol=1e-12, atol=1e-15)
    return step


@pytest.mark.parametrize("op", SMOOTH)
def test_far_from_zero_nothing_overflows(op):
    with np.errstate(over="raise", invalid="raise"):
        beside_torch(op, np.array([-1e4, -2, 0, 2, 1e4]))


@pytest.mark.parametrize("op", [*SMOOTH, "Hardswish", "Hardtanh", "ReLU", "ReLU6", "Softshrink"])
def test_a_number_is_an_array_of_no_axes(op):
    step = beside_torch(op, np.array(0.75))
    assert isinstance(step.output, np.ndarray)
    assert isinstance(step.backward(np.array(1.0)).inputs[0], np.ndarray)


def test_softplus_jumps_behind_its_threshold_not_at_it():
    step = beside_torch("Softplus", np.array([1.5, 2.0, 2.5]), beta=2, threshold=4)
    np.testing.assert_array_equal(step.branches, [[False, False, True]])


@pytest.mark.parametrize("alpha", [2.0, -2.0])
def test_celu_bends_down_or_up(alpha):
    step = beside_torch("CELU", np.array([-3.0, -1.0, 0.0, 1.0]), alpha)
    np.testing.assert_array_equal(step.branches, [[False, False, False, True]])


def test_tanhshrink_keeps_its_digits_near_zero_and_where_its_two_forms_meet():
    x = np.array([-1e-3, -1e-9, 0, 1e-200, 1e-9, 1e-3])
    step = impl.Tanhshrink().forward({}, x)
    np.testing.assert_allclose(step.output, x**3 / 3 - 2 * x**5 / 15 + 17 * x**7 / 315, rtol=1e-15, atol=0)
    np.testing.assert_allclose(step.backward(np.ones(6)).inputs[0], np.tanh(x) ** 2, rtol=1e-15, atol=0)
    end = np.nextafter(np.longdouble(1), np.longdouble(0))
    meeting = np.array([-1, -end, end, 1])
    np.testing.assert_allclose(impl.Tanhshrink().forward({}, meeting).output, meeting - np.tanh(meeting), rtol=1e-18)


def test_the_tails_of_logsigmoid_and_mish_are_exponentials():
    np.testing.assert_allclose(impl.LogSigmoid().forward({}, np.array([40.0])).output, -np.exp([-40.0]), rtol=1e-15)
    np.testing.assert_allclose(impl.Mish().forward({}, np.array([-40.0])).output, -40 * np.exp([-40.0]), rtol=1e-15)


def test_softsign_of_infinity_is_no_number_as_in_torch():
    with np.errstate(invalid="ignore"):
        beside_torch("Softsign", np.array([-np.inf, 0, np.inf]))


@pytest.mark.parametrize(
    ("shape", "dim"), [((4,), -1), ((4, 3), 0), ((2, 6, 3), 1), ((2, 6, 3), -2), ((0, 2), 1), ((2, 0), -1)]
)
def test_glu_halves_any_axis(shape, dim):
    beside_torch("GLU", np.arange(np.prod(shape)).reshape(shape) / 4, dim)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: impl.CELU(0.0), "CELU: alpha is 0.0, wanted another number than 0"),
        (lambda: impl.GLU().forward({}, np.ones(())), r"GLU: dim is -1, wanted an axis of its input \(\)"),
        (lambda: impl.GLU(2).forward({}, np.ones((2, 4))), r"GLU: dim is 2, wanted an axis of its input \(2, 4\)"),
        (lambda: impl.GLU(-3).forward({}, np.ones((2, 4))), r"GLU: dim is -3, wanted an axis of its input \(2, 4\)"),
        (
            lambda: impl.GLU(0).forward({}, np.ones((3, 4))),
            r"GLU: the shape of its input is \(3, 4\), wanted an even size along axis 0",
        ),
    ],
)
def test_an_error_says_what_came_and_what_was_wanted(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        wrong()


@pytest.mark.parametrize("op", [*(op for op in SMOOTH if op != "SELU"), "GELU", "Tanh"])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_complex_step_from_zero_is_the_derivative_there(op, zero):
    step = 2.0**-600
    for sign in (1.0, -1.0):
        ahead = getattr(impl, op)().forward({}, np.array([complex(zero, sign * step)])).output.imag / step
        back = getattr(impl, op)().forward({}, np.array([zero])).backward(np.array([sign])).inputs[0]
        np.testing.assert_allclose(ahead, back, rtol=1e-15)
