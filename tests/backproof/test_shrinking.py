"""Shrinking: how small a failure becomes, that it stays the same failure, and that its program runs as it stands."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import backproof
from backproof import Architecture, Input, Node, NumPyImplementation
from backproof.reproduction import LINES, WIDTH, reproduction
from backproof.shrinking import Shrunk, shrink, shrink_failure
from backproof.simplifying import size
from impl import LSTM, BatchNorm2d, Embedding, Gradients, Linear, ReLU, Step
from impl.layer import Layer
from reference import Run, Twin, Values
from reports import in_words


def wrong(right: Any, **scaled: float) -> type[Layer]:
    """Return a layer whose gradients of some parameters are off by a factor; ``x`` is its input."""

    class Wrong(right):
        def forward(self, parameters: Mapping[str, Any], *inputs: Any, **options: Any) -> Step:
            step = super().forward(parameters, *inputs, **options)

            def backward(g: Any) -> Gradients:
                true = step.backward(g)
                own = {n: p * p.dtype.type(scaled.get(n, 1)) for n, p in true.parameters.items()}
                first = true.inputs[0]
                x = first if first is None else first * first.dtype.type(scaled.get("x", 1))
                return Gradients((x, *true.inputs[1:]), own)

            return Step(step.output, backward, step.updates, step.branches)

    return Wrong


def broken(right: Any, **scaled: float) -> NumPyImplementation:
    return NumPyImplementation({right.__name__: wrong(right, **scaled)})


def first_failure(implementation: NumPyImplementation, layers: list[str], least: int = 1) -> Architecture:
    drawn = (backproof.random_architecture(seed, layers) for seed in range(200))
    return next(a for a in drawn if len(a.nodes) >= least and not backproof.verify(a, implementation).agrees)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_layer_shrinks_to_itself_with_sizes_of_one(dtype: str) -> None:
    implementation = broken(Linear, weight=1.5)
    architecture = first_failure(implementation, ["Linear", "Tanh", "BatchNorm2d"], least=5)
    found = shrink_failure(architecture, implementation, dtype)
    one = Node("linear", "Linear", {"in_features": 1, "out_features": 1}, ("x",))
    assert found.architecture == Architecture((Input("x", (1,)),), (one,), ("linear",))
    assert found.finished
    assert not backproof.verify(found.architecture, implementation, dtype).agrees


@pytest.mark.parametrize(
    ("right", "scaled", "layers", "words"),
    [
        (Embedding, {"weight": 2.0}, ["Embedding", "Linear"], "x (1,) of indices below 1 -> Embedding"),
        (LSTM, {"weight_hh_l0": 2.0}, ["LSTM"], "LSTM(input_size=1, hidden_size=1"),
        (BatchNorm2d, {"weight": 2.0}, ["BatchNorm2d", "Conv2d"], "BatchNorm2d(num_features=1)"),
        (ReLU, {"x": 2.0}, ["ReLU", "Linear"], "x (1,) -> ReLU()"),
    ],
)
def test_sizes_and_the_arguments_that_must_follow_shrink_together(
    right: Any, scaled: Mapping[str, float], layers: list[str], words: str
) -> None:
    implementation = broken(right, **scaled)
    found = shrink_failure(first_failure(implementation, layers), implementation, "float64").architecture
    assert len(found.nodes) == 1
    assert words in in_words(found.to_dict())


def test_shrinking_does_not_slip_onto_another_bug() -> None:
    implementation = NumPyImplementation(
        {"ReLU": wrong(ReLU, x=2.0), "Linear": wrong(Linear, bias=2.0, weight=2.0)},
    )
    linear = Node("a", "Linear", {"in_features": 3, "out_features": 2}, ("x",))
    architecture = Architecture((Input("x", (4, 3)),), (linear, Node("b", "ReLU", {}, ("a",))), ("b",))
    assert backproof.verify(architecture, implementation).op == "Linear"
    assert [n.op for n in shrink_failure(architecture, implementation, "float64").architecture.nodes] == ["Linear"]


def test_what_an_implementation_raises_must_be_raised_again() -> None:
    class Raising(Linear):
        def forward(self, parameters: Any, x: Any, **options: Any) -> Step:
            if x.shape[0] < 3:
                raise ValueError("another one")
            raise ZeroDivisionError(f"{x.shape} by hand")

    implementation = NumPyImplementation({"Linear": Raising})
    node = Node("a", "Linear", {"in_features": 2, "out_features": 2}, ("x",))
    architecture = Architecture((Input("x", (6, 2)),), (node,), ("a",))
    found = shrink_failure(architecture, implementation, "float64").architecture
    assert [i.shape for i in found.inputs] == [(3, 1)]


def test_what_no_longer_fails_is_not_shrunk() -> None:
    with pytest.raises(ValueError, match="does not fail again"):
        shrink_failure(backproof.random_architecture(0, ["Linear"]), "numpy", "float64")


def test_the_wiring_is_kept_where_it_is_what_fails() -> None:
    def shared(architecture: Architecture) -> bool:
        return any(node.shares for node in architecture.nodes)

    drawn = (backproof.random_architecture(seed, ["Linear", "Tanh", "LayerNorm"]) for seed in range(500))
    found = shrink(next(a for a in drawn if shared(a) and len(a.nodes) > 5), shared).architecture
    first, second = found.nodes
    assert (first.op, second.op, second.shares) == ("Linear", "Linear", first.name) or first.op == "LayerNorm"
    assert sum(len(i.shape) for i in found.inputs) == len(found.inputs)


class Overwriting:
    """PyTorch, but where several nodes share parameters only the gradient of the first of them stays."""

    name = "overwriting"

    def supports(self, node: Node) -> bool:
        return True

    def run(self, architecture: Architecture, values: Values) -> Run:
        twin = Twin(architecture, device="cpu")
        lost = {(n.name, name): 0.0 for n in architecture.nodes if n.shares for name in twin.parameter_shapes[n.shares]}
        dtype = str(next(c.dtype for c in values.cotangents.values()))
        return twin.run(values, dtype, counted=lost)


def test_a_wrong_composition_shrinks_to_two_nodes_that_share() -> None:
    given = {"in_features": 2, "out_features": 2}
    nodes = (
        Node("a", "Linear", given, ("x",)),
        Node("b", "Tanh", {}, ("a",)),
        Node("c", "Linear", given, ("b",), shares="a"),
        Node("d", "Add", {}, ("c", "x")),
    )
    failing = Architecture((Input("x", (3, 2)),), nodes, ("d",))
    found = shrink_failure(failing, Overwriting(), "float64").architecture
    first, second = found.nodes
    assert (first.op, second.op, second.shares) == ("Linear", "Linear", first.name)
    assert backproof.verify(found, Overwriting()).fault == "composition"


def test_where_the_owner_of_tied_parameters_goes_the_next_node_owns_them() -> None:
    given = {"in_features": 2, "out_features": 2}
    owner, *others = (Node(name, "Linear", given, ("x",), shares="a" if name != "a" else None) for name in "abc")
    architecture = Architecture((Input("x", (2, 2)),), (owner, *others), ("a", "b", "c"))

    def tied_without_a(candidate: Architecture) -> bool:
        return all(n.name != "a" for n in candidate.nodes) and any(n.shares for n in candidate.nodes)

    first, second = shrink(architecture, tied_without_a).architecture.nodes
    assert (first.shares, second.shares) == (None, first.name)


@given(backproof.architectures(max_nodes=5))
@settings(max_examples=15)
def test_every_step_is_valid_smaller_and_new(architecture: Architecture) -> None:
    asked: list[Architecture] = []

    def fails(candidate: Architecture) -> bool:
        Twin(candidate)
        asked.append(candidate)
        return True

    found = shrink(architecture, fails)
    assert [*map(size, asked)] == sorted({size(a) for a in asked}, reverse=True)
    assert len(found.architecture.nodes) <= 1
    assert size(found.architecture) <= size(architecture)


def test_a_limit_keeps_what_was_found_by_then() -> None:
    implementation = broken(Linear, weight=1.5)
    architecture = first_failure(implementation, ["Linear", "Tanh"], least=4)

    def fails(candidate: Architecture) -> bool:
        return not backproof.verify(candidate, implementation).agrees

    whole, cut = shrink(architecture, fails), shrink(architecture, fails, tries=3)
    assert (cut.tries, cut.finished) == (3, False)
    assert size(whole.architecture) < size(cut.architecture) < size(architecture)
    assert shrink(architecture, fails, seconds=0) == Shrunk(architecture, 0, finished=False)
    assert shrink(architecture, fails) == whole  # the same every time


def test_hypothesis_shrinks_to_one_small_node() -> None:
    implementation = broken(Linear, weight=1.5)
    found = find(
        backproof.architectures(layers=["Linear", "Tanh"], max_nodes=6),
        lambda architecture: not backproof.verify(architecture, implementation).agrees,
        settings=settings(max_examples=200, database=None),
    )
    assert [node.op for node in found.nodes] == ["Linear"]
    assert max(*found.inputs[0].shape, *found.nodes[0].arguments.values()) <= 2


def test_layers_among_the_arguments_shrink_too() -> None:
    """What is wrong only with a norm on top keeps that norm, with as little in it as there may be."""
    layer = {"d_model": 4, "nhead": 2, "dim_feedforward": 3, "dropout": 0.5, "activation": {"op": "Tanh"}}
    norm = {"op": "LayerNorm", "arguments": {"normalized_shape": [4], "eps": 0.5}}
    arguments = {"encoder_layer": {"op": "TransformerEncoderLayer", "arguments": layer}, "num_layers": 2, "norm": norm}
    encoder = Node("encoder", "TransformerEncoder", arguments, ("x",), {"mask": [[False] * 3] * 3})
    failing = Architecture((Input("x", (3, 2, 4)),), (encoder,), ("encoder",))

    def has_a_norm(candidate: Architecture) -> bool:
        Twin(candidate)
        return candidate.nodes[0].arguments.get("norm") is not None

    (found,) = shrink(failing, has_a_norm).architecture.nodes
    smallest = {"d_model": 1, "nhead": 1, "dim_feedforward": 0}
    assert found.arguments["encoder_layer"] == {"op": "TransformerEncoderLayer", "arguments": smallest}
    assert found.arguments["num_layers"] == 1
    assert found.arguments["norm"] == {"op": "LayerNorm", "arguments": {"normalized_shape": 1}}
    assert not found.options
    (inner,) = shrink(failing, lambda a: Twin(a) is not None and "Layer" in a.nodes[0].op).architecture.nodes
    assert inner.op in ("TransformerEncoderLayer", "LayerNorm")


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_the_program_runs_and_prints_the_agreement() -> None:
    options = {"attn_mask": [[0.0, -1.0]], "need_weights": False}
    arguments = {"embed_dim": 2, "num_heads": 1}
    node = Node("attention", "MultiheadAttention", arguments, ("q", "k", "k"), options)
    architecture = Architecture((Input("q", (1, 2)), Input("k", (2, 2), "ties")), (node,), ("attention",), 7, False)
    program = reproduction(architecture, "torch", "float32")
    assert len(program.splitlines()) <= LINES
    assert run(program).startswith(f"torch on architecture {architecture.digest[:12]} in float32:")


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_program_rebuilds_the_architecture_in_ten_lines(seed: int, max_nodes: int) -> None:
    architecture = backproof.random_architecture(seed, max_nodes=max_nodes)
    lines = reproduction(architecture, "it's", "float64").splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH or len(architecture.nodes) == 1 or "from_json" in lines[2]
    built: dict[str, Any] = {}
    exec("\n".join(lines[:-1]), built)
    assert built["architecture"] == architecture
