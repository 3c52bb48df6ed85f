"""Verification: correct layers agree, in every dtype; wrong ones are named, whatever is wrong with them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backproof
from backproof import NumPyImplementation, TorchImplementation
from backproof.catalogue import rows
from backproof.verification import Unsupported, Verification, verify
from reference import Architecture, Input, Node
from reports import Agreement

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("op", sorted(rows()))
@given(data=st.data())
def test_every_layer_agrees_with_torch_and_with_its_own_differences(op: str, data: st.DataObject) -> None:
    architecture = data.draw(backproof.architectures(layers=[op], max_nodes=2))
    verification = Verification(architecture)
    for dtype in ("float64", "float32", "float16"):
        verification.agreement(dtype).raise_for_disagreement()


@given(backproof.architectures())
def test_whole_architectures_agree(architecture: Architecture) -> None:
    verification = Verification(architecture)
    for dtype in ("float64", "float32"):
        verification.agreement(dtype).raise_for_disagreement()


@given(backproof.architectures(max_nodes=3))
def test_torch_agrees_with_itself(architecture: Architecture) -> None:
    verify(architecture, TorchImplementation()).raise_for_disagreement()


@given(seeds)
def test_a_seed_is_an_architecture_and_its_json_runs_the_same(seed: int) -> None:
    architecture = backproof.random_architecture(seed, max_nodes=3)
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture == backproof.random_architecture(seed, max_nodes=3)
    first, second = (verify(one).to_dict() | {"seconds": 0} for one in (architecture, again))
    assert first == second
    assert Agreement.from_dict(first).to_dict() == first


LINEAR = Architecture(
    (Input("x", (3, 2)),), (Node("one", "Linear", {"in_features": 2, "out_features": 4}, ("x",)),), ("one",)
)


class Wrong(NumPyImplementation):
    """NumPy's passes, with something changed afterwards."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def complex_clean(self, node: Node) -> bool:
        return False

    def forward(self, node: Node, *given: Any, **options: Any) -> Any:
        done = super().forward(node, *given, **options)
        return self.change(done) if node.op == "Linear" else done


def gradients(change: Any) -> Wrong:
    """Change what backward returns."""

    def after(done: Any) -> Any:
        return done._replace(backward=lambda g: change(*done.backward(g)))

    return Wrong(after)


def broken(*_: Any) -> Any:
    raise ZeroDivisionError("by hand")


@pytest.mark.parametrize(
    ("implementation", "culprit", "words"),
    [
        (gradients(lambda x, p: (x, {**p, "weight": 3 * p["weight"]})), "one", "gradient of weight is 3 times"),
        (gradients(lambda x, p: (x, {**p, "weight": p["weight"].T})), "one", "gradient of weight is transposed"),
        (gradients(lambda x, p: (x, {"weight": p["weight"]})), "one", "gradient of bias is missing"),
        (
            gradients(lambda x, p: (x, {**p, "extra": p["bias"]})),
            "one",
            "gradient of extra is the gradient of no parameter",
        ),
        (gradients(lambda x, p: ((None,), p)), "one", "gradient of input 0 is missing"),
        (gradients(lambda x, p: (([1.0],), p)), "one", "gradient of input 0 is a list of 1, wanted an array"),
        (gradients(lambda x, p: ((), p)), "one", "is one of 0 that came back, wanted 1"),
        (gradients(lambda x, p: (tuple(-g for g in x), p)), "one", "gradient of input 0 has the wrong sign"),
        (Wrong(lambda d: d._replace(outputs=(d.outputs[0] + 1,))), "one", "output 0 is off by the constant 1"),
        (gradients(lambda x, p: (x[0], p)), "one", "is an array of shape (3, 2) where a tuple of arrays belongs"),
        (Wrong(lambda d: d._replace(outputs=d.outputs[0])), "one", "array of shape (3, 4) where a tuple of arrays"),
        (Wrong(lambda d: d.outputs[0]), "one", "the pass returns an array of shape (3, 4), wanted (y,), backward"),
        (Wrong(lambda d: d._replace(outputs=("y",))), "one", "output 0 is str 'y', wanted an array"),
        (Wrong(lambda d: d._replace(outputs=(d.outputs[0].T,))), "one", "output 0 is transposed"),
        (Wrong(lambda d: d._replace(outputs=d.outputs * 2)), "one", "is one of 2, wanted 1"),
        (Wrong(lambda d: d._replace(outputs=(d.outputs[0] * np.nan,))), "one", "output 0 is not finite at all entries"),
    ],
)
def test_what_is_wrong_is_named(implementation: Wrong, culprit: str, words: str) -> None:
    agreement = verify(LINEAR, implementation)
    assert not agreement.agrees
    assert agreement.culprit == culprit
    assert words in str(agreement.diagnosis)
    assert words in str(agreement)


@pytest.mark.parametrize(("implementation", "phase"), [(Wrong(broken), "forward"), (gradients(broken), "backward")])
def test_a_crash_of_the_implementation_is_a_finding(implementation: Wrong, phase: str) -> None:
    agreement = verify(LINEAR, implementation)
    assert agreement.failure == f"node one (Linear), {phase}: ZeroDivisionError: by hand"
    assert (agreement.culprit, agreement.agrees) == ("one", False)


def test_a_loss_may_come_as_a_number_of_python() -> None:
    class Loss(NumPyImplementation):
        def forward(self, node: Node, *given: Any, **options: Any) -> Any:
            done = super().forward(node, *given, **options)
            return done._replace(outputs=(float(done.outputs[0]),))

    architecture = Architecture(
        (Input("x", (3, 2)), Input("y", (3, 2))), (Node("loss", "MSELoss", {}, ("x", "y")),), ("loss",)
    )
    verify(architecture, Loss()).raise_for_disagreement()


def test_who_stumbles_over_ignored_targets_is_told_what_they_are() -> None:
    class Naive(NumPyImplementation):
        def forward(self, node: Node, parameters: Any, inputs: Any, **options: Any) -> Any:
            inputs[0][0, inputs[1]]
            return super().forward(node, parameters, inputs, **options)

    ends = Input("x", (4, 3)), Input("y", (4,), domain="index", below=3, ignore=-100)
    architecture = Architecture(ends, (Node("loss", "CrossEntropyLoss", {}, ("x", "y")),), ("loss",), seed=3)
    failure = str(verify(architecture, Naive()).failure)
    assert failure.startswith("node loss (CrossEntropyLoss), forward: IndexError: index -100 is out of bounds")
    assert failure.endswith("(targets that are ignore_index, here -100, count for nothing: leave them out)")


def test_an_error_upstream_accuses_nobody_else() -> None:
    nodes = tuple(
        Node(f"n{i}", op, {"in_features": 2, "out_features": 2} if op == "Linear" else {}, (f"n{i - 1}" if i else "x",))
        for i, op in enumerate(("Tanh", "Linear", "Tanh", "Sigmoid"))
    )
    chain = replace(LINEAR, nodes=nodes, outputs=("n3",))
    agreement = verify(chain, Wrong(lambda d: d._replace(outputs=(d.outputs[0] * 1.01,))))
    assert {t.node for t in agreement.disagreements} >= {"n1", "n2", "n3"}
    assert agreement.culprit == "n1"


def test_a_function_that_agrees_with_its_own_gradient_but_not_with_torchs_is_named_too() -> None:
    """Twice Linear, forward and backward: finite differences agree, autograd does not."""

    def twice(done: Any) -> Any:
        def backward(g: Any) -> Any:
            xs, ps = done.backward(g)
            return tuple(2 * x for x in xs), {name: 2 * p for name, p in ps.items()}

        return done._replace(outputs=(2 * done.outputs[0],), backward=backward)

    agreement = verify(LINEAR, Wrong(twice))
    assert agreement.diagnosis is not None
    assert agreement.diagnosis.startswith("output 0 is 2 times the reference")
    assert all(t.verdict == "agree" for t in agreement.tensors if t.against == "differences" and t.kind != "direction")


def test_sensitivity_does_not_hide_an_error_of_a_billionth() -> None:
    def slightly(x: Any, p: Any) -> Any:
        weight = p["weight"].copy()
        weight[0, 0] *= 1 + 1e-9
        return x, {**p, "weight": weight}

    assert verify(LINEAR, gradients(slightly)).diagnosis is not None


def test_structural_ops_are_filled_in_for_an_implementation_without_them() -> None:
    class Bare(NumPyImplementation):
        def supports(self, node: Node) -> bool:
            return node.op == "Linear"

    joined = replace(LINEAR, nodes=(*LINEAR.nodes, Node("sum", "Add", {}, ("one", "one"))), outputs=("sum",))
    assert verify(joined, Bare()).agrees
    with pytest.raises(Unsupported, match=r"numpy does not support node n \(Tanh\)"):
        verify(replace(LINEAR, nodes=(Node("n", "Tanh", {}, ("x",)),), outputs=("n",)), Bare())


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(Unsupported, match="no dtype 'int8': known are float64, float32, float16"):
        verify(LINEAR, dtype="int8")


def test_every_array_of_the_network_is_compared() -> None:
    compared = {(t.kind, t.node, t.name) for t in verify(LINEAR).tensors if t.against == "autograd"}
    assert compared == {
        ("output", "one", "0"),
        ("adjoint", "one", "0"),
        ("parameter", "one", "weight"),
        ("parameter", "one", "bias"),
        ("input", "x", "0"),
    }


def test_what_gets_no_gradient_at_all_is_no_mistake() -> None:
    """A norm that counts sends nothing back to a Hardsigmoid, whose slope in PyTorch is put right on the way."""
    inputs = (Input("x", (2, 3)), Input("z", (2, 3)))
    nodes = (Node("gate", "Hardsigmoid", {}, ("x",)), Node("count", "PairwiseDistance", {"p": 0.0}, ("gate", "z")))
    verify(Architecture(inputs, nodes, ("count",))).raise_for_disagreement()
