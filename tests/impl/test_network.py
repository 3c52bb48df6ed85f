"""The network: what flows along branches, through shared parameters, buffers and noise; and its errors."""

import re
import weakref

import numpy as np
import pytest
import torch

import impl
from impl.layer import Gradients, Layer, Step
from impl.network import Network, Node, Sequential

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3))
LINEAR = impl.Linear(3, 3)


def node(name, *inputs, layer=LINEAR, **more):
    return Node(name, layer, inputs, **more)


@pytest.mark.parametrize(
    ("inputs", "nodes", "outputs", "message"),
    [
        (("x", "x"), (), ("x",), "Network: an input name stands twice in ('x', 'x')"),
        (("x",), (node("a.b", "x"),), ("x",), "Network: the name 'a.b' is used twice or holds a dot"),
        (("x",), (node("x", "x"),), ("x",), "Network: the name 'x' is used twice or holds a dot"),
        (("x",), (node("a", "x"), node("a", "x")), ("a",), "Network: the name 'a' is used twice or holds a dot"),
        (("x",), (node("a", "a"),), ("a",), "Network: node 'a' uses 'a', which does not stand before it"),
        (("x",), (node("a", "x.y"),), ("a",), "Network: node 'a' uses 'x.y', which does not stand before it"),
        (("x",), (node("a", "x"),), ("b",), "Network: outputs uses 'b', which does not stand before it"),
        (("x",), (node("a", "x", shares="b"),), ("a",), "Network: node 'a' shares 'b', no node before it"),
        (("x",), (node("a", "x", shares="x"),), ("a",), "Network: node 'a' shares 'x', no node before it"),
    ],
)
def test_a_wrong_reference_is_named(inputs, nodes, outputs, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Network(inputs, nodes, outputs)


def test_a_wrong_number_of_inputs_is_named():
    with pytest.raises(ValueError, match=r"^Network: got 1 inputs, wanted 2: \('x', 'y'\)$"):
        Network(("x", "y"), (), ("x",)).forward({}, X)


def test_branches_and_tied_weights_are_summed_as_torch_sums_them():
    network = Network(
        ("x", "y"),
        (
            node("a", "x"),
            node("b", "a", shares="a"),
            node("sum", "a", "b", "x", layer=impl.Add()),
            node("c", "sum", shares="a"),
            node("unused", "y"),
        ),
        ("c", "a"),
    )
    assert network.parameter_shapes == {
        "a.weight": (3, 3),
        "a.bias": (3,),
        "unused.weight": (3, 3),
        "unused.bias": (3,),
    }
    parameters = network.initial(np.random.default_rng(1))
    step = network.forward(parameters, X, X)
    seeds = RNG.standard_normal((2, 4, 3))
    gradients = step.backward(tuple(seeds))
    x, w, b = (torch.tensor(v, requires_grad=True) for v in (X, parameters["a.weight"], parameters["a.bias"]))
    first = x @ w.T + b
    last = (first + (first @ w.T + b) + x) @ w.T + b
    torch.autograd.backward((last, first), tuple(map(torch.tensor, seeds)))
    for got, wanted in (
        (step.output[0], last.detach()),
        (step.output[1], first.detach()),
        (gradients.inputs[0], x.grad),
        (gradients.parameters["a.weight"], w.grad),
        (gradients.parameters["a.bias"], b.grad),
    ):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-12)
    assert gradients.inputs[1] is None
    assert list(gradients.parameters) == ["a.weight", "a.bias"]
    assert gradients.adjoints["unused"] == gradients.adjoints["y"] == (None,)
    assert list(step.steps) == ["a", "b", "sum", "c", "unused"]
    np.testing.assert_array_equal(gradients.adjoints["c"][0], seeds[0])


def test_one_output_is_an_array_and_a_node_may_have_several():
    network = Network(("x",), (node("parts", "x", layer=impl.Chunk(2, 1)),), ("parts.1",))
    step = network.forward({}, X)
    np.testing.assert_array_equal(step.output, X[:, 2:])
    gradients = step.backward(np.ones((4, 1)))
    np.testing.assert_array_equal(gradients.inputs[0], [[0, 0, 1]] * 4)
    assert gradients.adjoints["parts"][0] is None


def test_no_gradient_into_one_of_several_outputs():
    step = Network(("x",), (node("a", "x"),), ("a", "x")).forward(LAYER_PARAMETERS, X)
    gradients = step.backward((None, X))
    np.testing.assert_array_equal(gradients.inputs[0], X)
    assert gradients.parameters == {}


LAYER_PARAMETERS = {f"a.{name}": array for name, array in LINEAR.initial(RNG).items()}


def test_a_node_without_a_gradient_does_not_stop_those_before_it():
    """The last node leads nowhere: backward passes it by and goes on."""
    network = Network(("x",), (node("a", "x"), node("unused", "a", layer=impl.ReLU())), ("a",))
    gradients = network.forward(LAYER_PARAMETERS, X).backward(X)
    np.testing.assert_allclose(gradients.parameters["a.bias"], X.sum(axis=0))


class Spy(Layer):
    """Writes down what its forward is given."""

    def __init__(self):
        self.options = []

    def forward(self, parameters, x, **options):
        self.options.append(options)
        return Step(x, lambda g: Gradients((g,)), branches=(x > 0,))


def test_nodes_are_given_mode_noise_and_their_own_options():
    spy = Spy()
    network = Network(("x",), (node("a", "x", layer=spy, options={"need_weights": False}),), ("a",))
    step = network.forward({}, X, training=False)
    rng = np.random.default_rng(0)
    network.forward({}, X, noise=rng)
    assert spy.options == [
        {"training": False, "noise": None, "need_weights": False},
        {"training": True, "noise": rng, "need_weights": False},
    ]
    np.testing.assert_array_equal(step.branches, (X > 0,))


def test_noise_is_taken_in_turn():
    layers = impl.Dropout(0.5), impl.Dropout(0.5)
    noise = [np.zeros_like(X), np.where(X > 0, 0.0, 1.0)]
    step = Sequential(*layers).forward({}, X, noise=noise)
    np.testing.assert_array_equal(step.output, np.where(X > 0, 4 * X, 0))


def test_a_normalisation_that_runs_twice_starts_its_second_run_from_the_first():
    norm = impl.BatchNorm1d(3, affine=False)
    network = Network(("x",), (node("a", "x", layer=norm), node("b", "x", layer=norm, shares="a")), ("a", "b"))
    parameters = network.initial(np.random.default_rng(0))
    assert set(parameters) == {"a.running_mean", "a.running_var", "a.num_batches_tracked"}
    step = network.forward(parameters, X)
    twin = torch.nn.BatchNorm1d(3, affine=False, dtype=torch.float64)
    for _ in range(2):
        twin(torch.tensor(X))
    assert set(step.updates) == set(parameters)
    for name, buffer in twin.named_buffers():
        np.testing.assert_allclose(step.updates[f"a.{name}"], buffer.numpy(), rtol=1e-12)


def test_initial_parameters_have_the_dtype_that_was_wanted():
    network = Sequential(LINEAR, impl.ReLU(), LINEAR)
    assert list(network.initial(np.random.default_rng(0))) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert {a.dtype for a in network.initial(np.random.default_rng(0), np.float32).values()} == {np.dtype("float32")}
    assert {a.dtype for a in network.initial(np.random.default_rng(0)).values()} == {np.dtype("float64")}


def test_a_network_within_a_network_passes_its_parameters_on():
    inner = Sequential(LINEAR, impl.Tanh())
    outer = Network(("x",), (node("inner", "x", layer=inner),), ("inner",))
    parameters = outer.initial(np.random.default_rng(0))
    assert list(parameters) == ["inner.0.weight", "inner.0.bias"]
    unwrapped = {name.removeprefix("inner."): array for name, array in parameters.items()}
    np.testing.assert_array_equal(outer.forward(parameters, X).output, inner.forward(unwrapped, X).output)


def test_parameters_of_nobody_are_passed_by():
    step = Sequential(impl.Tanh()).forward({"1.weight": X}, X)
    np.testing.assert_array_equal(step.output, np.tanh(X))


def test_nothing_chained_is_the_identity():
    network = Sequential()
    assert network.inputs == network.outputs == ("input",)
    step = network.forward({}, X)
    assert step.output is X
    assert step.backward(X).inputs[0] is X


def test_nobody_asks_for_the_gradients_of_data():
    """Two branches; one leads from data through a layer without parameters: only what parameters need is computed."""
    nodes = [node("flat", "x", layer=impl.Tanh()), node("first", "flat"), node("second", "z")]
    network = Network(["x", "z"], [*nodes, node("sum", "first", "second", layer=impl.Add())], ["sum"])
    step = network.forward(network.initial(RNG), X, X)
    every, some, none = (step.backward(X, data) for data in ((), ("x",), ("x", "z")))
    assert step.parameters_only is not None
    for found in (some.parameters, none.parameters, step.parameters_only(X)):
        assert found.keys() == every.parameters.keys()
        assert all(np.array_equal(g, every.parameters[name]) for name, g in found.items())
    assert some.inputs[0] is None
    assert np.array_equal(some.inputs[1], every.inputs[1])
    assert none.inputs == (None, None)
    assert none.adjoints["flat"] == (None,)


class Watch(Layer):
    """Counts, on the way back, how many of the adjoints that came to it are still held by someone."""

    def __init__(self):
        self.came, self.held = [], []

    def forward(self, parameters, x, **options):
        def backward(g):
            self.came.append(weakref.ref(g))
            self.held.append(sum(one() is not None for one in self.came))
            return Gradients((g + 1,))

        return Step(x + 1, backward)


def test_adjoints_are_let_go_of_where_only_parameters_are_asked_for():
    watch, seed = Watch(), np.ones_like(X)
    step = Sequential(LINEAR, watch, watch, watch, watch).forward(
        {name.replace("a", "0", 1): array for name, array in LAYER_PARAMETERS.items()}, X
    )
    assert len(step.parameters_only(seed)) == 2
    assert watch.held == [1, 2, 2, 2]  # the seed and the one that has just come
    watch.came, watch.held = [], []
    adjoints = step.backward(seed).adjoints
    assert watch.held == [1, 2, 3, 4]
    np.testing.assert_array_equal(adjoints["0"][0], seed + 4)
