"""Who is blamed, and for what: one case for each fault, the numbers of everybody else being right."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from backproof import NumPyImplementation, verify
from backproof.implementations import Pass
from reference import Architecture, Input, Node, Run, Twin, Values

CHAIN = Architecture(
    (Input("x", (3, 2)),),
    (
        Node("one", "Tanh", {}, ("x",)),
        Node("two", "Linear", {"in_features": 2, "out_features": 2}, ("one",)),
        Node("three", "Tanh", {}, ("two",)),
    ),
    ("three",),
)


class Changed(NumPyImplementation):
    """NumPy's passes, Linear's changed."""

    def __init__(self, forward: float = 1.0, backward: float = 1.0) -> None:
        super().__init__()
        self.ahead, self.back = forward, backward

    def forward(self, node: Node, *given: Any, **options: Any) -> Pass:
        done = super().forward(node, *given, **options)
        if node.op != "Linear":
            return done

        def backward(g: Any) -> Any:
            grads, own = done.backward(g)
            return tuple(self.back * x for x in grads), {name: self.back * p for name, p in own.items()}

        return done._replace(outputs=(self.ahead * done.outputs[0],), backward=backward)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("implementation", "fault"),
    [
        (Changed(backward=1.01), "backward"),
        (Changed(forward=1.01), "forward"),
        (Changed(forward=1.01, backward=1.01), "function"),
        (Changed(forward=1.01, backward=1.03), "both"),
    ],
)
def test_the_pass_that_is_wrong_is_told_from_the_other(implementation: Changed, fault: str, dtype: str) -> None:
    agreement = verify(CHAIN, implementation, dtype)
    assert (agreement.culprit, agreement.op, agreement.fault) == ("two", "Linear", fault)


@pytest.mark.parametrize("which", ["output", "gradients"])
def test_what_is_right_but_for_its_dtype_is_told_so(which: str) -> None:
    class Coarse(Changed):
        def forward(self, node: Node, *given: Any, **options: Any) -> Pass:
            done = super().forward(node, *given, **options)
            if node.op != "Linear":
                return done
            if which == "output":
                return done._replace(outputs=(done.outputs[0].astype(np.float32),))

            def backward(g: Any) -> Any:
                grads, own = done.backward(g)
                return tuple(x.astype(np.float32) for x in grads), own

            return done._replace(backward=backward)

    agreement = verify(CHAIN, Coarse())
    assert (agreement.culprit, agreement.fault) == ("two", "dtype")
    assert "has dtype float32, wanted float64; it is right to the digits of float32" in str(agreement.diagnosis)
    assert verify(CHAIN, Coarse(forward=1.01) if which == "output" else Coarse(backward=1.01)).fault != "dtype"
    verify(CHAIN, Coarse(), "float32").raise_for_disagreement()


def gradients_too_large(only: str) -> Any:
    """PyTorch, with gradients 1 % too large in networks whose first input has this name."""
    right = Twin.run

    def run(self: Twin, values: Values, *how: Any, **more: Any) -> Run:
        found = right(self, values, *how, **more).tensors
        if only not in values.inputs or not values.cotangents:
            return Run(found)
        return Run({n: a * 1.01 if n.kind in ("parameter", "input", "adjoint") else a for n, a in found.items()})

    return patch.object(Twin, "run", run)


def test_where_the_derivative_of_a_right_forward_contradicts_autograd_pytorch_is_wrong() -> None:
    with gradients_too_large("two_input0"):
        agreement = verify(CHAIN)
    assert (agreement.culprit, agreement.fault) == ("two", "reference")
    assert "contradicts its own forward" in str(agreement.diagnosis)


def test_where_the_nodes_are_right_and_the_whole_is_not_the_composition_is_to_blame() -> None:
    with gradients_too_large("x"):
        agreement = verify(CHAIN)
    assert (agreement.culprit, agreement.fault) == (None, "composition")


def test_where_only_the_whole_gradient_of_pytorch_contradicts_its_forward_pytorch_is_wrong() -> None:
    right = Twin.forward
    with patch.object(Twin, "forward", lambda self, values: {r: 1.01 * y for r, y in right(self, values).items()}):
        agreement = verify(CHAIN)
    assert [t.against for t in agreement.disagreements] == ["autograd against differences"]
    assert (agreement.culprit, agreement.fault) == (None, "reference")


def test_at_a_kink_the_other_side_is_the_backwards_choice() -> None:
    class OtherSide(NumPyImplementation):
        def forward(self, node: Node, parameters: Any, inputs: Any, **options: Any) -> Pass:
            done = super().forward(node, parameters, inputs, **options)
            return done._replace(backward=lambda g: ((np.where(inputs[0].real < 0, 0, g[0]),), {}))

        def complex_clean(self, node: Node) -> bool:
            return False

    relu = Architecture((Input("x", (4, 4), "ties"),), (Node("r", "ReLU", {}, ("x",)),), ("r",))
    agreement = verify(relu, OtherSide())
    assert (agreement.culprit, agreement.fault) == ("r", "backward")
    assert all(t.verdict == "agree" for t in agreement.tensors if t.against == "differences" and t.node == "r")
    assert "kink" in str(agreement.diagnosis) or "above 0" in str(agreement.diagnosis), agreement.diagnosis
