"""L-BFGS: down a valley beside torch, and looking as often."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from test_optim import DTYPES

from impl import optim


def valley(w, b):
    """Rosenbrock's function, and another parameter."""
    return ((1 - w) ** 2).sum() + 100 * ((w[1:] - w[:-1] ** 2) ** 2).sum() + 3 * (b - w[:2].sum()) ** 2


def valleys_gradient(parameters):
    tensors = {name: torch.tensor(parameters[name], requires_grad=True) for name in ("w", "b")}
    loss = valley(**tensors)
    loss.backward()
    return loss.item(), {name: tensor.grad.numpy() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"lr": 0.001, "history_size": 3},
        {"lr": 1e-3, "max_iter": 4, "max_eval": 2},
        {"lr": 1e-3, "max_iter": 3, "tolerance_change": 0.5},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_iter": 1},
        {"line_search_fn": "strong_wolfe", "max_iter": 5, "max_eval": 8, "lr": 0.5, "history_size": 2},
        {"line_search_fn": "strong_wolfe", "lr": 50.0, "max_eval": 200},
        # Just one move: where the search chooses between two of equal merit, torch goes elsewhere itself after one ulp.
        {"line_search_fn": "strong_wolfe", "lr": 1e-2, "max_eval": 200, "max_iter": 1},
        {"line_search_fn": "strong_wolfe", "tolerance_grad": 5.0},
        {"line_search_fn": "strong_wolfe", "max_eval": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_lbfgs_goes_where_torchs_goes_and_looks_as_often(arguments, seed):
    rng = np.random.default_rng(seed)
    ours = {"w": rng.standard_normal(4), "mean": np.ones(2), "b": np.asarray(0.3)}
    theirs = {name: torch.tensor(ours[name], requires_grad=True) for name in ("w", "b")}
    reference, optimizer, state = torch.optim.LBFGS(list(theirs.values()), **arguments), optim.LBFGS(**arguments), None

    def closure():
        reference.zero_grad()
        loss = valley(**theirs)
        loss.backward()
        return loss

    for _ in range(6):
        reference.step(closure)
        before = deepcopy((ours, state))
        after, later = optimizer.step(ours, valleys_gradient, state)
        np.testing.assert_equal((ours, state), before)
        assert after["mean"] is ours["mean"]
        ours, state = after, later
        for name, tensor in theirs.items():
            np.testing.assert_allclose(ours[name], tensor.detach().numpy(), rtol=0, atol=1e-8)
        for count in ("func_evals", "n_iter"):
            assert state[count] == reference.state[theirs["w"]][count]


def dent(w):
    return -torch.exp(-20 * w**2).sum() + 0.01 * (w**2).sum()


def cusp(w):
    return (w.abs() ** 1.2).sum()


def waves(w):
    return 1.46 * torch.sin(10 * w + 5.18).sum() + 0.55 * (w**2).sum()


def high_waves(w):
    return 17.8 * torch.sin(5 * w + 2.88).sum() + 0.248 * (w**2).sum()


@pytest.mark.parametrize(
    ("curve", "start", "lr"), [(dent, -0.7, 1), (cusp, -0.7, 1), (waves, 1.0, 5), (high_waves, 1.0, 1)]
)
def test_lbfgs_where_a_line_search_goes_astray(curve, start, lr):
    """It steps away from the farther end of its bracket in the dent, from the nearer one at the cusp; among waves the
    second point of the bracket is the lower one, and the next point is not.
    """

    def looked_at(parameters):
        w = torch.tensor(parameters["w"], requires_grad=True)
        loss = curve(w)
        loss.backward()
        return loss.item(), {"w": w.grad.numpy()}

    w = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    reference = torch.optim.LBFGS([w], lr, line_search_fn="strong_wolfe")

    def closure():
        reference.zero_grad()
        loss = curve(w)
        loss.backward()
        return loss

    found, state = {"w": np.array([start])}, None
    for _ in range(2):
        reference.step(closure)
        found, state = optim.LBFGS(lr, line_search_fn="strong_wolfe").step(found, looked_at, state)
        np.testing.assert_allclose(found["w"], w.detach().numpy(), rtol=0, atol=1e-9)
        assert state["func_evals"] == reference.state[w]["func_evals"]


def test_lbfgs_finds_the_bottom_of_a_valley():
    here, state = {"w": np.array([-1.2, 1.0]), "b": np.asarray(0.0)}, None
    for _ in range(5):
        here, state = optim.LBFGS(line_search_fn="strong_wolfe").step(here, valleys_gradient, state)
    np.testing.assert_allclose(here["w"], 1, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
def test_lbfgs_keeps_the_dtype(dtype, line_search_fn):
    def bowl(parameters):
        return float((parameters["w"] ** 2).sum()), {"w": 2 * parameters["w"]}

    after, _ = optim.LBFGS(lr=0.3, line_search_fn=line_search_fn).step({"w": np.array([1, 2], dtype)}, bowl)
    assert after["w"].dtype == dtype
    assert np.abs(after["w"]).max() < 0.01


def test_lbfgs_without_a_slope_stays():
    def flat(parameters):
        return 1.0, {"w": np.zeros(2)}

    after, state = optim.LBFGS().step({"w": np.ones(2)}, flat)
    np.testing.assert_array_equal(after["w"], 1)
    assert (state["func_evals"], state["n_iter"]) == (1, 0)


def test_what_does_not_fit_lbfgs_is_named():
    def other(parameters):
        return 1.0, {"w": np.ones(2)}

    _, state = optim.LBFGS().step({"w": np.ones(2), "b": np.ones(2)}, other)
    with pytest.raises(ValueError, match="LBFGS: the name of a gradient is 'b', wanted one of the first step: w"):
        optim.LBFGS().step({"w": np.ones(2), "b": np.ones(2)}, lambda p: (1.0, {"b": np.ones(2)}), state)
    with pytest.raises(ValueError, match="LBFGS: the name of a gradient is 'w', wanted one of v"):
        optim.LBFGS().step({"v": np.ones(2)}, other)
    with pytest.raises(ValueError, match=r"LBFGS: the gradient of w has shape \(2,\), wanted \(3\)"):
        optim.LBFGS().step({"w": np.ones(3)}, other)
