"""Gradients that are no derivatives, and forwards that take only some numbers: what differences make of them."""

from collections.abc import Mapping

import numpy as np
import pytest

from backproof.verification import Verification
from backproof.whole import along_one_direction, behind_conventions
from reference import Architecture, Input, Node, Values
from reference.run import Array

LENGTHS = {"targets": [[1, 2]], "input_lengths": [3], "target_lengths": [2]}
SCORED = Architecture(
    (Input("x", (3, 1, 2)), Input("y", (4,))),
    (
        Node("linear", "Linear", {"in_features": 2, "out_features": 3}, ("x",)),
        Node("shift", "Linear", {"in_features": 4, "out_features": 4}, ("y",)),
        Node("again", "Linear", {"in_features": 2, "out_features": 3}, ("x",), shares="linear"),
        Node("ctc", "CTCLoss", {}, ("linear",), LENGTHS),
    ),
    ("ctc", "shift", "again"),
)


def test_all_that_leads_to_a_gradient_by_convention_stays_where_it_is() -> None:
    assert behind_conventions(SCORED) == {"x", "linear"}


def test_an_input_whose_gradient_is_a_convention_is_compared_with_autograd_alone() -> None:
    verification = Verification(SCORED)
    against = [t.against for t in verification.agreement("float64").tensors if t.node == "ctc" and t.kind == "input"]
    assert against == ["autograd, node alone"]
    assert verification.agreement("float64").agrees


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_where_a_forward_takes_no_numbers_far_away_only_near_ones_are_asked(error: type[Exception]) -> None:
    verification = Verification(
        Architecture((Input("x", (3, 2)),), (Node("one", "Tanh", {}, ("x",)),), ("one",)),
    )
    reference = verification.reference
    refused = []

    def forward(values: Values) -> Mapping[str, Array]:
        if np.abs(values.inputs["x"] - reference.values.inputs["x"]).max() > 1e-6:
            refused.append(values)
            raise error("too far")
        return verification.twin.forward(values)

    estimate, claimed, _ = along_one_direction(forward, reference.run, reference, False)
    assert refused
    assert np.isfinite(estimate.bound).all()
    np.testing.assert_allclose(estimate.value, claimed, rtol=1e-6)
