"""Optimizers: fifty steps beside torch.optim, on the same gradients."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impl import optim

STEPS = 50
rates = st.floats(1e-4, 1)
shares = st.just(0.0) | st.floats(0.01, 0.99)


@st.composite
def sgd(draw: st.DrawFn) -> dict:
    arguments = {
        "lr": draw(rates),
        "momentum": draw(shares),
        "dampening": draw(shares),
        "weight_decay": draw(shares),
        "maximize": draw(st.booleans()),
    }
    if arguments["momentum"] and draw(st.booleans()):
        arguments |= {"nesterov": True, "dampening": 0.0}
    return arguments


@st.composite
def adam(draw: st.DrawFn) -> dict:
    beta2 = draw(st.just(0.0) | st.floats(0.5, 0.9999))
    return {
        "lr": draw(rates),
        "betas": (draw(shares), beta2),
        "eps": draw(st.just(0.0) | st.floats(1e-10, 1e-2)),
        # With beta2 = 0 and decay one ulp at the start takes torch 1e-5 away from itself: no comparison.
        "weight_decay": draw(shares) if beta2 else 0.0,
        "amsgrad": draw(st.booleans()),
        "maximize": draw(st.booleans()),
    }


def beside_torch(op: str, arguments: dict, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"weight": (3, 2), "bias": (2,), "scale": ()}
    start = {name: np.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()}
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    ours, state = start, None
    optimizer = getattr(optim, op)(**arguments)
    reference = getattr(torch.optim, op)(theirs.values(), **arguments)
    largest = dict.fromkeys(start, 1.0)
    for _ in range(STEPS):
        # Now and then a parameter has no gradient, so each must count its own steps.
        met = [name for name in start if rng.random() < 0.8]
        gradients = {name: np.asarray(rng.standard_normal(shapes[name])) for name in met}
        ours, state = optimizer.step(ours, gradients, state)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name]) if name in gradients else None
        reference.step()
        for name, tensor in theirs.items():
            wanted = tensor.detach().numpy()
            # Relative to the largest value on the way: a step through zero does not take its rounding along.
            largest[name] = max(largest[name], np.abs(wanted).max())
            np.testing.assert_allclose(ours[name], wanted, rtol=0, atol=1e-12 * largest[name], err_msg=name)


@given(sgd(), st.integers(0, 2**32))
def test_sgd_goes_where_torchs_goes(arguments, seed):
    beside_torch("SGD", arguments, seed)


@given(adam(), st.integers(0, 2**32))
def test_adam_goes_where_torchs_goes(arguments, seed):
    beside_torch("Adam", arguments, seed)


OPTIMIZERS = [
    optim.SGD(),
    optim.SGD(momentum=0.9, nesterov=True),
    optim.SGD(momentum=0.9, weight_decay=0.1, maximize=True),
    optim.Adam(),
    optim.Adam(amsgrad=True, weight_decay=0.1, maximize=True),
]
DTYPES = [np.float16, np.float32, np.float64, np.longdouble]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_is_pure_and_keeps_the_dtype(optimizer, dtype):
    parameters = {"weight": np.array([1, 2], dtype), "running_mean": np.array([3], dtype)}
    gradients = {"weight": np.array([0.5, -1], dtype)}
    state = None
    for _ in range(3):
        before = deepcopy((parameters, gradients, state))
        after, later = optimizer.step(parameters, gradients, state)
        again, _ = optimizer.step(parameters, gradients, state)
        np.testing.assert_equal((parameters, gradients, state), before)
        np.testing.assert_equal(again, after)
        assert after["running_mean"] is parameters["running_mean"]
        assert after["weight"].dtype == dtype
        assert not np.array_equal(after["weight"], parameters["weight"])
        parameters, state = after, later


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_nothing_returned_shares_memory_with_what_was_given(optimizer):
    parameters, gradients = {"weight": np.array([1.0, 2.0])}, {"weight": np.array([0.5, -1.0])}
    after, state = optimizer.step(parameters, gradients)
    kept = deepcopy((after, state))
    parameters["weight"][:] = gradients["weight"][:] = np.nan
    np.testing.assert_equal((after, state), kept)


@pytest.mark.parametrize("optimizer", [optim.SGD(np.float64(0.1), momentum=0.9), optim.Adam(np.float64(0.1))], ids=str)
def test_the_parameters_dtype_wins(optimizer):
    after, state = optimizer.step({"weight": np.ones(2, np.float32)}, {"weight": np.ones(2)})
    kept = state["weight"] if isinstance(optimizer, optim.SGD) else state["weight"][1]
    assert (after["weight"].dtype, kept.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("beta1", [0.9, 0.5, 0.0])
def test_an_infinite_gradient_does_to_adam_what_it_does_to_torchs(beta1):
    gradient = np.array([np.inf, 1.0])
    tensor = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    tensor.grad = torch.tensor(gradient)
    reference = torch.optim.Adam([tensor], betas=(beta1, 0.999))
    reference.step()
    with np.errstate(invalid="ignore"):
        after, state = optim.Adam(betas=(beta1, 0.999)).step({"weight": np.zeros(2)}, {"weight": gradient})
    np.testing.assert_allclose(after["weight"], tensor.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(state["weight"][1], reference.state[tensor]["exp_avg"].numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"wieght": np.ones(2)}, "{}: the name of a gradient is 'wieght', wanted one of weight, bias"),
        ({"weight": np.ones((3, 2))}, r"{}: the gradient of weight has shape \(3, 2\), wanted \(2\)"),
    ],
)
@pytest.mark.parametrize("op", ["SGD", "Adam"])
def test_a_gradient_that_does_not_fit_is_named(op, gradients, message):
    with pytest.raises(ValueError, match=message.format(op)):
        getattr(optim, op)().step({"weight": np.ones(2), "bias": np.ones(1)}, gradients)


@pytest.mark.parametrize(
    ("op", "positional"), [("SGD", (0.1, 0.9, 0.2, 0.3)), ("Adam", (0.1, (0.5, 0.6), 1e-3, 0.3, True))]
)
def test_arguments_stand_in_torchs_order(op, positional):
    theirs = getattr(torch.optim, op)([torch.zeros(1)], *positional).defaults
    for name, argument in vars(getattr(optim, op)(*positional)).items():
        assert argument == theirs[name], name


@pytest.mark.parametrize("op", ["SGD", "Adam"])
def test_defaults_are_torchs(op):
    ours, theirs = getattr(optim, op)(), getattr(torch.optim, op)([torch.zeros(1)]).defaults
    for name in vars(ours):
        assert getattr(ours, name) == theirs[name], name


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("SGD", {"lr": -1.0}, "SGD: lr is -1.0, wanted 0 or more"),
        ("SGD", {"momentum": -0.5}, "SGD: momentum is -0.5, wanted 0 or more"),
        ("SGD", {"weight_decay": -1}, "SGD: weight_decay is -1, wanted 0 or more"),
        ("SGD", {"nesterov": True}, "SGD: nesterov is True, wanted False without momentum"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov is True, wanted False"),
        ("Adam", {"betas": (0.9, 1.0)}, r"Adam: betas is \(0.9, 1.0\), wanted two numbers"),
        ("Adam", {"betas": (-0.1, 0.9)}, r"Adam: betas is \(-0.1, 0.9\), wanted two numbers"),
        ("Adam", {"lr": -1e-3}, "Adam: lr is -0.001, wanted 0 or more"),
        ("Adam", {"weight_decay": -1}, "Adam: weight_decay is -1, wanted 0 or more"),
        ("Adam", {"eps": -1e-8}, "Adam: eps is -1e-08, wanted 0 or more"),
    ],
)
def test_a_wrong_argument_is_named(op, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, op)(**arguments)
    with pytest.raises(ValueError, match=r"Invalid|Nesterov"):
        getattr(torch.optim, op)([torch.zeros(1)], **arguments)


@pytest.mark.parametrize("op", ["SGD", "Adam"])
@pytest.mark.parametrize("argument", ["lr", "weight_decay"])
def test_nan_is_no_argument(op, argument):
    with pytest.raises(ValueError, match=f"{op}: {argument} is nan, wanted 0 or more"):
        getattr(optim, op)(**{argument: float("nan")})


@pytest.mark.parametrize("op", ["SGD", "Adam"])
def test_without_decay_an_infinite_parameter_spoils_no_gradient(op):
    after, _ = getattr(optim, op)().step({"weight": np.array([np.inf])}, {"weight": np.ones(1)})
    assert after["weight"] == np.inf
