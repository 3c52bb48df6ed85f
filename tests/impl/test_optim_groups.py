"""Sparse gradients, and groups of parameters."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from test_optim import DENSE, SHAPES, STEPS, made

from impl import optim


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("SparseAdam", {}),
        ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.6), "eps": 0.1, "maximize": True}),
        ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
        ("Adagrad", {"lr": 0.1, "eps": 0.0, "initial_accumulator_value": 0.0, "maximize": True}),
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_sparse_gradients_go_where_those_of_torchs_embedding_go(op, arguments):
    rng = np.random.default_rng(3)
    table = torch.nn.Embedding(6, 3, sparse=True, dtype=torch.float64)
    ours, state = {"weight": table.weight.detach().numpy().copy()}, None
    optimizer, reference = made(optim, op, arguments), made(torch.optim, op, arguments, table.parameters())
    for step in range(STEPS):
        looked_up = rng.integers(0, 5, (0,) if step == 7 else (2, 3))
        g = rng.standard_normal((*looked_up.shape, 3))
        reference.zero_grad()
        table(torch.tensor(looked_up)).backward(torch.tensor(g))
        assert table.weight.grad.is_sparse
        reference.step()
        gradient = optim.SparseGradient(looked_up.ravel(), g.reshape(-1, 3))
        before = deepcopy((ours, state))
        after, later = optimizer.step(ours, {"weight": gradient}, state)
        np.testing.assert_equal((ours, state), before)
        ours, state = after, later
        np.testing.assert_allclose(ours["weight"], table.weight.detach().numpy(), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(ours["weight"][5], table.weight[5].detach().numpy())


def test_a_sparse_gradient_is_the_dense_one_where_it_is_not_zero():
    gradient = optim.SparseGradient(np.array([2, 0, 2]), np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]]))
    dense = gradient.dense((4, 2), np.float32)
    np.testing.assert_array_equal(dense, [[3, 4], [0, 0], [11, 22], [0, 0]])
    assert dense.dtype == gradient.coalesced(np.float32)[1].dtype == np.float32
    np.testing.assert_array_equal((-gradient).dense((4, 2), np.float64), -dense)


def test_what_does_not_fit_a_sparse_gradient_is_named():
    def rows(*indices, width=2):
        return {"weight": optim.SparseGradient(np.array(indices), np.ones((len(indices), width)))}

    table = {"weight": np.ones((3, 2))}
    for op in DENSE:
        if op not in ("SGD", "Adagrad"):
            with pytest.raises(ValueError, match=f"{op}: a gradient is 'sparse', wanted an array"):
                getattr(optim, op)().step(table, rows(0))
    for op in ("SGD", "Adagrad"):
        with pytest.raises(ValueError, match=f"{op}: weight_decay is 0.1, wanted 0 with a sparse gradient"):
            getattr(optim, op)(weight_decay=0.1).step(table, rows(0))
    with pytest.raises(ValueError, match="SparseAdam: the gradient of weight is 'ndarray', wanted a SparseGradient"):
        optim.SparseAdam().step(table, {"weight": np.ones((3, 2))})
    with pytest.raises(ValueError, match="SGD: a row of the gradient of weight is 3, wanted 0 to 2"):
        optim.SGD().step(table, rows(0, 3))
    with pytest.raises(ValueError, match="SGD: a row of the gradient of weight is -1, wanted 0 to 2"):
        optim.SGD().step(table, rows(-1))
    with pytest.raises(
        ValueError, match=r"SGD: the values of the gradient of weight has shape \(1, 3\), wanted \(\*, 2\)"
    ):
        optim.SGD().step(table, rows(0, width=3))
    with pytest.raises(ValueError, match="SparseGradient: the dtype of indices is 'float64', wanted integers"):
        optim.SparseGradient(np.ones(2), np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"SparseGradient: indices has shape \(3,\), wanted \(2\)"):
        optim.SparseGradient(np.arange(3), np.ones((2, 1)))


def test_groups_go_where_torchs_groups_go():
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    kinds = [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.5, "weight_decay": 0.1}]
    members = [["weight"], ["kernel"]]
    reference = torch.optim.SGD(
        [{"params": [theirs[n] for n in names], **kind} for kind, names in zip(kinds, members)], nesterov=False
    )
    ours = optim.Groups([(optim.SGD(**kind), names) for kind, names in zip(kinds, members)])
    now, state = start, None
    for _ in range(10):
        gradients = {name: np.asarray(rng.standard_normal(shape)) for name, shape in SHAPES.items()}
        now, state = ours.step(now, gradients, state)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(gradients[name])
        reference.step()
    for name, tensor in theirs.items():
        np.testing.assert_allclose(now[name], tensor.detach().numpy(), atol=1e-13)
    assert now["scale"] is start["scale"]


def test_what_does_not_fit_groups_is_named():
    with pytest.raises(ValueError, match="Groups: a parameter of two groups is 'a', wanted each in one group"):
        optim.Groups([(optim.SGD(), ["a"]), (optim.Adam(), ["b", "a"])])
    groups = optim.Groups([(optim.SGD(), ["a"]), (optim.Adam(), ["b"])])
    with pytest.raises(ValueError, match="Groups: a name in a group is 'b', wanted one of a, c"):
        groups.step({"a": np.ones(1), "c": np.ones(1)}, {})
    with pytest.raises(ValueError, match="Groups: the name of a gradient is 'd', wanted one of a, b"):
        groups.step({"a": np.ones(1), "b": np.ones(1)}, {"d": np.ones(1)})
