"""What an implementation may refuse, arguments and shapes, and what it is shown of a node."""

import numpy as np
import pytest
from hypothesis import given

import backproof
from backproof import Architecture, Input, NumPyImplementation, Unsupported, verify
from backproof.campaign import Campaign
from backproof.generator import drawable, sample
from backproof.implementations import Completed
from reference import Node, Run, Tensor


class Picky(NumPyImplementation):
    """impl, for samples in rows and a convolution without groups."""

    name = "picky"

    def supports(self, node):
        return node.op in ("Linear", "Tanh", "Conv1d") and node.all_arguments.get("groups", 1) == 1

    def takes(self, node, shapes):
        return node.op == "Conv1d" or all(len(shape) == 2 for shape in shapes)


picky = Picky()


@given(backproof.architectures(layers=["Linear", "Tanh", "Conv1d"], max_nodes=4, takes=Completed(Picky()).takes))
def test_what_is_refused_is_not_drawn(architecture):
    agreement = verify(architecture, Picky())  # raises where it does not support a node
    agreement.raise_for_disagreement()


def test_the_refusing_of_shapes_is_told():
    three = Architecture((Input("x", (2, 2, 3)),), (Node("one", "Tanh", {}, ("x",)),), ("one",))
    with pytest.raises(Unsupported, match=r"picky does not take node one \(Tanh\) of \(2, 2, 3\)"):
        verify(three, Picky())


def test_drawing_ends_where_nothing_is_taken():
    with pytest.raises(ValueError, match="nothing of Linear was taken: their arguments, or the shapes"):
        backproof.random_architecture(0, ["Linear"], takes=lambda node, shapes: False)


def test_a_seed_draws_the_same_where_nothing_is_refused():
    for seed in range(5):
        taken = backproof.random_architecture(seed, max_nodes=4, takes=lambda node, shapes: True)
        assert taken == backproof.random_architecture(seed, max_nodes=4)


def test_a_layer_counts_as_supported_if_some_of_its_arguments_are(monkeypatch):
    campaign = Campaign(f"{__name__}:picky").checked()
    assert {"Conv1d", "Linear", "Tanh"} <= set(campaign.layers)
    monkeypatch.setattr(Picky, "supports", lambda self, node: node.all_arguments.get("groups") == 0)
    with pytest.raises(Unsupported, match="picky supports no layer of the catalogue"):
        Campaign(f"{__name__}:picky").checked()


def test_a_campaign_draws_what_is_taken():
    campaign = Campaign(f"{__name__}:picky", 6, layers=("Linear",), dtypes=("float64",)).checked()
    assert all(agreement.agrees for (agreement,) in campaign.agreements(1))


def test_supports_that_raises_is_named(monkeypatch):
    monkeypatch.setattr(Picky, "supports", lambda self, node: node.arguments["no such"])
    with pytest.raises(Unsupported, match=r"picky on .*\(.*\): supports\(\) raised KeyError: 'no such'"):
        Campaign(f"{__name__}:picky", layers=("Linear",)).checked()


def test_every_op_can_be_sampled():
    for row in drawable(None):
        nodes = list(sample(row, 30))
        assert nodes
        assert {node.op for node in nodes} == {row.op}


def test_all_arguments_have_torchs_defaults():
    node = Node("pool", "MaxPool2d", {"kernel_size": 3, "padding": [1, 0]}, ("x",))
    assert node.all_arguments == {
        "kernel_size": 3,
        "stride": None,
        "padding": [1, 0],
        "dilation": 1,
        "return_indices": False,
        "ceil_mode": False,
    }
    assert Node("mean", "Mean", {"keepdim": True}, ("x",)).all_arguments == {"dim": None, "keepdim": True}


class Whole:
    """tanh, as a network that runs whole, with a forward of its own that is not the contract's."""

    name = "whole"

    def supports(self, node):
        return node.op == "Tanh"

    def forward(self, x):
        return np.tanh(x)

    def run(self, architecture, values):
        arrays = dict(values.inputs)
        for node in architecture.nodes:
            arrays[node.name] = self.forward(arrays[node.inputs[0]])
        grads = {name: np.zeros_like(array) for name, array in arrays.items()}
        for name in architecture.outputs:
            grads[name] = grads[name] + values.cotangents[name]  # the only output of a node has no number
        for node in reversed(architecture.nodes):
            grads[node.inputs[0]] += grads[node.name] * (1 - arrays[node.name] ** 2)
        outputs = {Tensor("output", name, "0"): arrays[name] for name in architecture.outputs}
        return Run(outputs | {Tensor("input", name, "0"): grads[name] for name in values.inputs})


def test_a_whole_network_may_have_a_forward_of_its_own_and_reads_plain_names_of_outputs():
    nodes = (Node("one", "Tanh", {}, ("x",)), Node("two", "Tanh", {}, ("one",)))
    verify(Architecture((Input("x", (2, 3)),), nodes, ("two",)), Whole()).raise_for_disagreement()
