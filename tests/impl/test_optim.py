"""Optimizers: fifty steps beside torch.optim, on the same gradients."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from impl import optim

STEPS = 50
rates = st.sampled_from([1e-3, 0.1, 1.0])
shares = st.sampled_from([0.0, 0.1, 0.9])


@st.composite
def sgd(draw: st.DrawFn) -> dict:
    arguments = {
        "lr": draw(rates),
        "momentum": draw(shares),
        "dampening": draw(shares),
        "weight_decay": draw(shares),
        "nesterov": draw(st.booleans()),
        "maximize": draw(st.booleans()),
    }
    assume(not arguments["nesterov"] or (arguments["momentum"] > 0 and arguments["dampening"] == 0))
    return arguments


@st.composite
def adam(draw: st.DrawFn) -> dict:
    beta2 = draw(st.sampled_from([0.0, 0.5, 0.999]))
    return {
        "lr": draw(rates),
        "betas": (draw(shares), beta2),
        "eps": draw(st.sampled_from([1e-8, 1e-3])),
        # With beta2 = 0 a step divides by its own gradient: fed back by the decay, rounding would grow without end.
        "weight_decay": draw(shares) if beta2 else 0.0,
        "amsgrad": draw(st.booleans()),
        "maximize": draw(st.booleans()),
    }


def beside_torch(op: str, arguments: dict, seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = {
        "weight": rng.standard_normal((3, 2)),
        "bias": rng.standard_normal(2),
        "scale": rng.standard_normal(()),
    }
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    ours, state = start, None
    optimizer, reference = (
        getattr(optim, op)(**arguments),
        getattr(torch.optim, op)(theirs.values(), **arguments),
    )
    for _ in range(STEPS):
        gradients = {name: rng.standard_normal(array.shape) for name, array in start.items()}
        ours, state = optimizer.step(ours, gradients, state)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name])
        reference.step()
        for name, tensor in theirs.items():
            np.testing.assert_allclose(ours[name], tensor.detach().numpy(), rtol=1e-11, atol=1e-12, err_msg=name)


@given(sgd(), st.integers(0, 2**32))
def test_sgd_goes_where_torchs_goes(arguments, seed):
    beside_torch("SGD", arguments, seed)


@given(adam(), st.integers(0, 2**32))
def test_adam_goes_where_torchs_goes(arguments, seed):
    beside_torch("Adam", arguments, seed)


@pytest.mark.parametrize("optimizer", [optim.SGD(momentum=0.9), optim.Adam(amsgrad=True)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_a_step_changes_nothing_it_was_given_and_keeps_the_dtype(optimizer, dtype):
    def frozen(*numbers):
        array = np.array(numbers, dtype)
        array.flags.writeable = False
        return array

    parameters = {"weight": frozen(1, 2), "running_mean": frozen(3)}
    after, state = optimizer.step(parameters, {"weight": frozen(0.5, -1)}, None)
    kept = dict(state)
    again, _ = optimizer.step(after, {"weight": frozen(0.5, -1)}, state)
    assert state == kept
    assert after["running_mean"] is parameters["running_mean"]
    assert {after["weight"].dtype, again["weight"].dtype} == {np.dtype(dtype)}
    assert parameters["weight"].tolist() == [1, 2]


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
        ("SGD", {"weight_decay": float("nan")}, "SGD: weight_decay is nan, wanted 0 or more"),
        ("SGD", {"nesterov": True}, "SGD: nesterov is True, wanted False without momentum"),
        ("Adam", {"betas": (0.9, 1.0)}, r"Adam: betas is \(0.9, 1.0\), wanted two numbers"),
        ("Adam", {"eps": -1e-8}, "Adam: eps is -1e-08, wanted 0 or more"),
    ],
)
def test_a_wrong_argument_is_named(op, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, op)(**arguments)
