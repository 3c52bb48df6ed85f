"""The generator moves values away from accidental kinks; what is hit on purpose is no disagreement."""

from unittest.mock import patch

from backproof import generator, verify
from backproof.generator import MOVES, away_from_kinks
from reference import Architecture, Input, Node, Twin


def network(activation: str) -> Architecture:
    linear = Node("l", "Linear", {"in_features": 4, "out_features": 12}, ("x",))
    return Architecture((Input("x", (64, 4)),), (linear, Node("a", activation, {}, ("l",))), ("a",), 7)


def moved(architecture: Architecture) -> Architecture:
    return away_from_kinks(Twin(architecture)).twin.architecture


def test_values_that_lie_near_a_kink_are_drawn_anew_a_few_times() -> None:
    """Of 768 numbers some lie within 1/512 of the kink of a ReLU; a Tanh has none."""
    with patch.object(generator, "MARGIN", 2.0**-9):
        assert 7 < moved(network("ReLU")).seed <= 7 + MOVES
        assert moved(network("Tanh")) == network("Tanh")


def test_values_that_lie_far_from_kinks_stay() -> None:
    assert moved(network("ReLU")) == network("ReLU")


def test_kinks_that_are_hit_on_purpose_stay_hit() -> None:
    ties = Architecture((Input("x", (16, 4), "ties"),), (Node("a", "ReLU", {}, ("x",)),), ("a",), 7)
    with patch.object(generator, "MARGIN", 2.0**-9):
        assert moved(ties) == ties


def test_kinks_that_are_hit_on_purpose_stay_hit_on_the_way_back() -> None:
    ties = Architecture((Input("x", (16, 4), "ties"),), (Node("a", "Hardtanh", {}, ("x",)),), ("a",), 8)
    assert {tensor.verdict for tensor in verify(ties, dtype="float32").tensors} == {"agree"}


def test_behind_several_kinks_autograd_is_no_difference_and_no_disagreement() -> None:
    """F(0) = W relu(V 0) lies on two kinks, whose slopes add up to what autograd, with 0 for each, does not say."""
    ones = Node("ones", "Softmax", {"dim": 0}, ("x",))
    zeros = Node("zeros", "LayerNorm", {"normalized_shape": 2, "elementwise_affine": False}, ("ones",))
    arguments = {"d_model": 2, "nhead": 1, "dim_feedforward": 2, "dropout": 0.0, "bias": False}
    layer = Node("layer", "TransformerEncoderLayer", arguments, ("zeros",))
    verify(Architecture((Input("x", (1, 2)),), (ones, zeros, layer), ("layer",))).raise_for_disagreement()
