"""The networks that are timed: does everyone do the same work, and is it counted right?"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import checks, growth, libraries
from benchmarks.growth import STEPS, checking, operations
from benchmarks.libraries import OURS, PEERS, TORCH, Data, Result, data, network, pytorch, steps
from benchmarks.networks import DTYPES, common_digits, draws
from benchmarks.workloads import WORKLOADS, chain, mlp, numbers, recurrent, residual
from impl.layer import Gradients, Step
from impl.layers import LAYERS
from reference import Architecture
from reference.draws import Draws, recorded

SMALL = mlp(3, 4, 2, batch=2)


def at_once(architecture: Architecture, dtype: str) -> list[Result]:
    """Run everyone's step; where noise is drawn, torch takes the numbers that ours draws."""
    built = steps(architecture, data(architecture, dtype))
    if not draws(architecture):
        return [step.result() for step in built.values()]
    _, shapes = recorded(built[TORCH].run)
    rng = np.random.default_rng(0)  # as in ours
    with Draws([rng.random(shape) for shape in shapes]):
        theirs = built[TORCH].result()
    return [built[OURS].result(), theirs]


@pytest.mark.parametrize("name", WORKLOADS)
def test_everyone_comes_to_the_same_loss_and_gradients(name: str) -> None:
    assert common_digits(at_once(WORKLOADS[name], "float64")) > 12
    results = at_once(WORKLOADS[name], "float32")
    assert common_digits(results) > 4.5
    assert {g.dtype for result in results for g in result.gradients.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("series", STEPS, ids=lambda series: series.name)
def test_so_they_do_where_growth_is_measured(series: growth.Series) -> None:
    for size in series.sizes[:2]:
        assert common_digits(at_once(series.at(size), "float64")) > 12


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_gradients_of_all_parameters_are_asked_for(name: str) -> None:
    architecture = WORKLOADS[name]
    wanted = {n: s for n, s in network(architecture).parameter_shapes.items() if "running" not in n and "num" not in n}
    for step in steps(architecture, data(architecture, "float32")).values():
        assert {name: g.shape for name, g in step.result().gradients.items()} == wanted


def test_the_digits_are_those_of_the_worst_entry() -> None:
    first = Result(2.0, {"a": np.array([1.0, -100.0]), "b": np.ones(1)})
    assert common_digits([first, first]) == 17
    assert common_digits([first, first._replace(loss=2.002)]) == pytest.approx(3)
    second = Result(2.0, {"a": np.array([2.0, -100.0]), "b": np.ones(1)})
    assert common_digits([first, first, second]) == pytest.approx(2)


def test_the_workloads_are_those_of_the_docs() -> None:
    ops = [node.op for architecture in WORKLOADS.values() for node in architecture.nodes]
    assert {"Linear", "Conv2d", "BatchNorm2d", "LSTM", "GRU", "TransformerEncoderLayer", "Embedding"} <= set(ops)
    counts = {name: sum(map(prod, network(a).parameter_shapes.values())) for name, a in WORKLOADS.items()}
    assert counts["MLP 784-256-128-10, batch 64"] == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10
    assert counts["LSTM 64-128, T=20, batch 16"] == 4 * 128 * (64 + 128 + 2)
    assert {DTYPES} == {("float32", "float64")}


def test_peers_that_are_not_installed_are_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda package: None)
    monkeypatch.setattr(checks, "find_spec", lambda package: None)
    assert libraries.absent() == list(PEERS)
    assert checks.absent() == [checks.JAX]
    assert list(steps(SMALL, data(SMALL, "float64"))) == [OURS, TORCH]


def test_peers_that_are_installed_run_the_networks_that_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(architecture: Architecture, given: Data) -> libraries.Step:
        return pytorch(architecture, given)

    monkeypatch.setattr(libraries, "find_spec", lambda package: package)
    monkeypatch.setattr(libraries, "PEERS", {"a peer": ("its package", built)})
    assert libraries.absent() == []
    assert list(steps(SMALL, data(SMALL, "float64"))) == [OURS, TORCH, "a peer"]
    other = residual(2, size=4, batch=2)
    assert list(steps(other, data(other, "float64"))) == [OURS, TORCH]


@pytest.mark.parametrize(
    "name", [name for name, a in WORKLOADS.items() if {"LSTM", "GRU"}.isdisjoint(node.op for node in a.nodes)]
)
def test_multiplications_are_those_that_torch_counts(name: str) -> None:
    architecture = WORKLOADS[name]
    given = data(architecture, "float32")
    module = libraries.torch_module(architecture, given.parameters)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        module(torch.from_numpy(given.x))
    multiplying = {"Linear", "Conv2d", "TransformerEncoderLayer"}
    ours = operations(architecture)
    assert 2 * sum(ours[n.name] for n in architecture.nodes if n.op in multiplying) == counter.get_total_flops()


def test_multiplications_of_an_lstm_and_of_what_has_none() -> None:
    lstm = recurrent("LSTM", 3, 5, steps=7, batch=2)
    assert operations(lstm) == {"layer0": 7 * 2 * 4 * 5 * (3 + 5), "loss": 7 * 2 * 5}
    pooled = chain((2, 3, 8, 8), (("MaxPool2d", {"kernel_size": 2}),), "MSELoss", numbers(2, 3, 4, 4))
    assert operations(pooled)["layer0"] == 2 * 3 * 8 * 8


def test_a_check_counts_nodes_for_ours_and_the_network_for_gradcheck() -> None:
    checked = checks.Checked(SMALL)
    linear, relu, last, loss = 2 * 3 * 4, 2 * 4, 2 * 4 * 2, 2 * 2
    ours = linear * (2 * 3 + 3 * 4 + 4) + relu * 2 * 4 + last * (2 * 4 + 4 * 2 + 2) + loss * 2 * 2
    coordinates = 2 * 3 + 3 * 4 + 4 + 4 * 2 + 2
    assert checked.coordinates == coordinates
    assert checking(checked) == {OURS: ours, checks.SLOW: coordinates * (linear + relu + last + loss)}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time everything as briefly as can be."""
    monkeypatch.setattr(checks, "SECONDS", 0)
    monkeypatch.setattr(checks, "LEAST", 1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("architecture", [SMALL, recurrent("LSTM", 2, 3, steps=2, batch=2)], ids=["MLP", "LSTM"])
def test_every_coordinate_is_looked_at_and_ours_is_nearer_than_gradcheck(architecture: Architecture) -> None:
    row = checks.measured(checks.Checked(architecture))
    assert row["one_by_one"] == row["coordinates"]
    assert row["between"] > 0
    assert all(row["accepted"][who] for who in (OURS, checks.SLOW, checks.FAST))
    assert row["disagreement"] < 1e-9
    assert row["digits"][OURS] > 13
    assert 5 < row["digits"][checks.SLOW] < row["digits"][OURS]


def test_a_rate_counts_only_what_was_looked_at() -> None:
    seconds = {who: {"median": 0.5} for who in (OURS, checks.SLOW)}
    row = {"one_by_one": 60, "coordinates": 100, "seconds": seconds}
    assert checks.rate(row, OURS) == 120
    assert checks.rate(row, checks.SLOW) == 200


def test_a_wrong_backward_is_seen_by_the_check_that_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LAYERS["ReLU"]

    class Wrong(right):
        def forward(self, parameters: Mapping[str, Any], x: Any, **options: Any) -> Step:
            step = right().forward(parameters, x, **options)
            return Step(step.output, lambda g: Gradients((1.01 * step.backward(g).inputs[0],)), branches=step.branches)

    assert checks.Checked(SMALL).ours()[1] < 1e-9
    monkeypatch.setitem(LAYERS, "ReLU", Wrong)
    assert checks.Checked(SMALL).ours()[1] == pytest.approx(0.01, rel=0.1)
