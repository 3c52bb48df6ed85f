"""Coverage: what was drawn, and what could have been."""

import pytest

from reports import Coverage, Facts, in_brief
from reports.coverage import value_class

CATALOGUE = {
    "Linear": Facts((1, 2), {"bias": True}),
    "ReLU": Facts((1, 2, 3)),
    "Embedding": Facts(()),
    "MSELoss": Facts((2,), {"reduction": "mean"}, loss=True),
    "Add": Facts((0, 1, 2)),
}
CHAIN = {
    "nodes": [
        {"name": "a", "op": "Linear", "inputs": ["x"], "arguments": {"in_features": 3, "bias": False}},
        {"name": "b", "op": "ReLU", "inputs": ["a"]},
        {"name": "c", "op": "MSELoss", "inputs": ["b", "a"]},
    ]
}
SHAPES = {"a": (2, 3), "b": (2, 3), "c": ()}


def covered(*architectures) -> Coverage:
    coverage = Coverage(CATALOGUE)
    for architecture in architectures:
        names = {node["name"] for node in architecture["nodes"]}
        coverage.add(architecture, {name: shape for name, shape in SHAPES.items() if name in names})
    return coverage


def test_ops_pairs_and_classes_of_arguments_are_counted():
    document = covered(CHAIN, CHAIN).document()
    assert document["ops"] == {"Add": 0, "Embedding": 0, "Linear": 2, "MSELoss": 2, "ReLU": 2}
    assert document["arguments"]["Linear"] == {"bias": {"False": 2}, "in_features": {"above 1": 2}}
    assert document["arguments"]["MSELoss"] == {"reduction": {"default": 2}}
    assert document["pairs"]["Linear"] == {"Add": 0, "Linear": 0, "MSELoss": 2, "ReLU": 2}


def test_a_pair_is_possible_where_a_rank_put_out_is_one_that_is_taken():
    possible = covered(CHAIN).possible()
    assert ("ReLU", "Linear") in possible
    assert not any(op == "Embedding" for _, op in possible)  # it takes indices
    assert {op for source, op in possible if source == "MSELoss"} == {"Add"}  # the only one that takes a scalar


def test_a_pair_that_occurred_was_possible():
    architecture = {"nodes": [*CHAIN["nodes"], {"name": "d", "op": "Embedding", "inputs": ["c"]}]}
    assert ("MSELoss", "Embedding") in covered(architecture).possible()


def test_an_argument_that_never_left_its_default_is_named_and_one_that_never_had_it():
    assert covered(CHAIN).one_sided() == ["Linear.bias", "MSELoss.reduction"]
    other = {"nodes": [{"name": "a", "op": "Linear", "inputs": ["x"]}]}
    assert covered(CHAIN, other).one_sided() == ["MSELoss.reduction"]


@pytest.mark.parametrize(
    ("value", "default", "named"),
    [
        (1, True, "1"),
        (True, True, "default"),
        (None, 3, "None"),
        ([1, 2], 1, "a list"),
        ([], None, "an empty list"),
        ([], (), "default"),
        ("sum", "mean", "sum"),
        (0, 1, "0"),
        (-0.5, 1, "negative"),
        (1e-3, 1e-5, "between 0 and 1"),
        (2.5, 1, "above 1"),
        ({"op": "LayerNorm"}, None, "LayerNorm"),
    ],
)
def test_a_value_belongs_to_a_class(value, default, named):
    assert value_class(value, default) == named


def test_coverage_in_a_line():
    words = in_brief(covered(CHAIN).document())
    assert words == "covered: 3 of 5 ops, 3 classes of arguments, 3 of 9 pairs of op feeding op."
