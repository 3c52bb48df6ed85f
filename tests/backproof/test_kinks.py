"""The generator moves values away from accidental kinks; what is hit on purpose is no disagreement."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np

from backproof import generator, verify
from backproof.generator import MOVES, away_from_kinks
from reference import Architecture, Input, Node, Twin, draw_values


def network(activation: str) -> Architecture:
    linear = Node("l", "Linear", {"in_features": 4, "out_features": 12}, ("x",))
    return Architecture((Input("x", (64, 4)),), (linear, Node("a", activation, {}, ("l",))), ("a",), 7)


def test_values_that_lie_near_a_kink_are_drawn_anew_a_few_times() -> None:
    """Of 768 numbers some lie within 1/512 of the kink of a ReLU; a Tanh has none."""
    with patch.object(generator, "MARGIN", 2.0**-9):
        assert 7 < away_from_kinks(network("ReLU")).seed <= 7 + MOVES
        assert away_from_kinks(network("Tanh")) == network("Tanh")


def test_values_that_lie_far_from_kinks_stay() -> None:
    assert away_from_kinks(network("ReLU")) == network("ReLU")


def test_kinks_that_are_hit_on_purpose_stay_hit() -> None:
    ties = Architecture((Input("x", (16, 4), "ties"),), (Node("a", "ReLU", {}, ("x",)),), ("a",), 7)
    with patch.object(generator, "MARGIN", 2.0**-9):
        assert away_from_kinks(ties) == ties


def test_kinks_that_are_hit_on_purpose_stay_hit_on_the_way_back() -> None:
    ties = Architecture((Input("x", (16, 4), "ties"),), (Node("a", "Hardtanh", {}, ("x",)),), ("a",), 8)
    assert {tensor.verdict for tensor in verify(ties, dtype="float32").tensors} == {"agree"}


def test_behind_several_kinks_autograd_is_no_difference_and_no_disagreement() -> None:
    """Both halves of F(0) = W relu(V 0) lie on the kink, where their slopes of -1 and 1 may add up to anything."""
    arguments = {"d_model": 2, "nhead": 1, "dim_feedforward": 2, "dropout": 0.0, "norm_first": True, "bias": False}
    node = Node("layer", "TransformerEncoderLayer", arguments, ("zeros",))
    zeros = Architecture((Input("x", (1, 2), "ties"),), (Node("zeros", "Mul", {}, ("x", "x")), node), ("layer",))
    seeds = [s for s in range(200) if not np.any(draw(zeros, s))][:4]
    assert len(seeds) == 4
    for seed in seeds:
        verify(replace(zeros, seed=seed)).raise_for_disagreement()


def draw(architecture: Architecture, seed: int) -> np.ndarray:
    at_seed = replace(architecture, seed=seed)
    return draw_values(at_seed, Twin(at_seed)).inputs["x"]
