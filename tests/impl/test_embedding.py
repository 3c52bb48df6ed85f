"""Embedding and EmbeddingBag: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl
from impl.layers.embedding import add_rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding_idx": 5}, "padding_idx is 5, wanted None or an index of 5 rows"),
        ({"padding_idx": -6}, "padding_idx is -6, wanted None or an index of 5 rows"),
        ({"max_norm": 1.0}, "max_norm is 1.0, wanted None: it would change the given weight in forward"),
        (
            {"sparse": True, "scale_grad_by_freq": True},
            "scale_grad_by_freq is True, wanted False, because sparse",
        ),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"Embedding: {message}"):
        impl.Embedding(5, 2, **arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1, 5], r"range of its input is \(1, 5\), wanted 0 to 4"),
        ([-1, 2], r"range of its input is \(-1, 2\), wanted 0 to 4"),
        ([1.0, 2.0], "dtype of its input is 'float64', wanted an integer one"),
    ],
)
def test_a_wrong_index_is_named(x, message):
    layer = impl.Embedding(5, 2)
    with pytest.raises(ValueError, match=f"Embedding: the {message}"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.array(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_rows_are_standard_normal_and_the_padding_zero(dtype):
    weight = impl.Embedding(200, 50, padding_idx=-1).initial(np.random.default_rng(0), dtype)["weight"]
    assert weight.dtype == dtype
    assert weight[:-1].mean() == pytest.approx(0, abs=0.05)
    assert weight[:-1].std() == pytest.approx(1, abs=0.05)
    assert not weight[-1].any()
    assert not torch.nn.Embedding(200, 50, padding_idx=-1).weight[-1].any()


@pytest.mark.parametrize(
    ("arguments", "gradient"),
    [
        ({}, [6, 1, 0, 2]),
        ({"padding_idx": 0}, [0, 1, 0, 2]),
        ({"padding_idx": -1}, [6, 1, 0, 0]),
        ({"scale_grad_by_freq": True}, [2, 1, 0, 1]),
        ({"sparse": True}, [6, 1, 0, 2]),
    ],
)
def test_rows_gather_what_flows_back_to_their_uses(arguments, gradient):
    step = impl.Embedding(4, 1, **arguments).forward({"weight": np.zeros((4, 1))}, np.array([[0, 1, 0], [3, 0, 3]]))
    gradients = step.backward(np.array([[1.0, 1, 2], [1, 3, 1]])[..., None])
    assert gradients.inputs == (None,)
    np.testing.assert_array_equal(gradients.parameters["weight"][:, 0], gradient)


def test_looking_up_nothing_leaves_a_zero_gradient():
    step = impl.Embedding(3, 2).forward({"weight": np.ones((3, 2))}, np.zeros((0, 4), dtype=np.int64))
    assert step.output.shape == (0, 4, 2)
    assert not step.backward(np.zeros((0, 4, 2))).parameters["weight"].any()


WEIGHT = np.array([[1.0, 2], [3, 1], [3, 5], [-1, 2]])


def bag(x, g, per_sample_weights=None, offsets=None, **arguments):
    """The output, the gradients of the weight and of the weights per sample: ours, and torch's as lists."""
    layer, twin = impl.EmbeddingBag(4, 2, **arguments), torch.nn.EmbeddingBag(4, 2, **arguments).double()
    twin.load_state_dict({"weight": torch.tensor(WEIGHT)})
    samples = () if per_sample_weights is None else (np.array(per_sample_weights),)
    step = layer.forward({"weight": WEIGHT}, np.array(x, dtype=np.int64), *samples, offsets=offsets)
    leaf = None if per_sample_weights is None else torch.tensor(samples[0], requires_grad=True)
    places = None if offsets is None else torch.tensor(offsets, dtype=torch.int64)
    expected = twin(torch.tensor(x, dtype=torch.int64), places, leaf)
    expected.backward(torch.tensor(np.array(g)))
    gradients, own = step.backward(np.array(g)), twin.weight.grad
    ours = [step.output, gradients.parameters["weight"], *gradients.inputs[1:]]
    theirs = [expected.detach(), own.to_dense(), *(() if leaf is None else (leaf.grad,))]
    return [a.tolist() for a in ours], [a.tolist() for a in theirs]


@pytest.mark.parametrize(
    ("arguments", "output", "gradient"),
    [
        ({"mode": "sum"}, [[0, 0], [9, 11], [0, 0]], [[0, 0], [1, 2], [2, 4], [0, 0]]),
        ({"mode": "mean"}, [[0, 0], [3, 11 / 3], [0, 0]], [[0, 0], [1 / 3, 2 / 3], [2 / 3, 4 / 3], [0, 0]]),
        # Both 3s of the first column are equal: the one that stands first wins. So do the first of two equal rows.
        ({"mode": "max"}, [[0, 0], [3, 5], [0, 0]], [[0, 0], [1, 0], [0, 2], [0, 0]]),
    ],
)
def test_empty_bags_are_zero_and_the_first_of_equals_wins(arguments, output, gradient):
    g = [[5.0, 5.0], [1.0, 2.0], [5.0, 5.0]]
    ours, theirs = bag([1, 2, 2], g, offsets=[0, 0, 3], **arguments)
    np.testing.assert_allclose(ours[0], output)
    np.testing.assert_allclose(ours[1], gradient)
    np.testing.assert_allclose(theirs[0], output)
    np.testing.assert_allclose(theirs[1], gradient)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [2, -2])
def test_padding_counts_in_no_bag(mode, padding):
    ours, theirs = bag([[2, 1, 2, 0], [2, 2, 2, 2]], [[1.0, 2], [3, 4]], mode=mode, padding_idx=padding)
    np.testing.assert_allclose(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1])
    assert ours[0][1] == [0, 0]
    assert not any(ours[1][2])


def test_the_weight_of_a_sample_that_is_padding_has_no_gradient():
    ours, theirs = bag([2, 1, 2, 0], [[1.0, 2], [3, 4]], [1.0, 2, 3, 4], [0, 2], mode="sum", padding_idx=2)
    assert ours == theirs
    assert ours[2] == [0, 5, 0, 11]


def test_each_row_is_scaled_by_its_own_frequency():
    table = impl.EmbeddingBag(3, 1, mode="sum", scale_grad_by_freq=True)
    step = table.forward({"weight": np.ones((3, 1))}, np.array([[0, 0, 1, 1, 1, 2]]))
    np.testing.assert_array_equal(step.backward(np.ones((1, 1))).parameters["weight"], [[1], [1], [1]])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize(
    ("x", "offsets", "last", "bags"),
    [
        (np.zeros((0, 2), int), None, False, 0),
        (np.zeros(0, int), [], False, 0),
        (np.zeros(0, int), [0, 0], False, 2),
        (np.zeros(0, int), [0], True, 0),
    ],
)
def test_no_bags_and_bags_of_nothing_pass(mode, x, offsets, last, bags):
    arguments = {"mode": mode, "include_last_offset": last}
    ours, theirs = bag(x, np.ones((bags, 2)), offsets=offsets, **arguments)
    assert ours == theirs == [np.zeros((bags, 2)).tolist(), np.zeros((4, 2)).tolist()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "median"}, "mode is 'median', wanted 'sum', 'mean' or 'max'"),
        ({"mode": "max", "sparse": True}, "sparse is True, wanted False, because mode is 'max'"),
        (
            {"mode": "max", "scale_grad_by_freq": True},
            "scale_grad_by_freq is True, wanted False, because mode is 'max'",
        ),
        ({"max_norm": 1.0}, "max_norm is 1.0, wanted None"),
        ({"padding_idx": 4}, "padding_idx is 4, wanted None or an index of 4 rows"),
    ],
)
def test_a_wrong_argument_of_a_bag_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"EmbeddingBag: {message}"):
        impl.EmbeddingBag(4, 2, **arguments)


@pytest.mark.parametrize(
    ("x", "samples", "arguments", "offsets", "message"),
    [
        ([1, 2], None, {}, None, r"input is \(2,\), wanted \(B, N\), N at least 1, without offsets, or \(N\)"),
        ([[1, 2]], None, {}, [0], r"input is \(1, 2\), wanted \(B, N\), N at least 1, without offsets"),
        ([[]], None, {}, None, r"input is \(1, 0\), wanted \(B, N\), N at least 1"),
        ([1, 2], None, {}, [1], r"offsets is \[1\], wanted ascending positions in its input \(2,\): the first is 0"),
        ([1, 2], None, {}, [], r"offsets is \[\], wanted ascending positions"),
        ([1, 2], None, {}, [0, 2, 1], r"offsets is \[0, 2, 1\], wanted ascending positions"),
        ([1, 2], None, {}, [0, 3], r"offsets is \[0, 3\], wanted ascending positions"),
        ([1, 2], None, {"include_last_offset": True}, [0, 1], r"the first is 0 and the last is the end"),
        ([[1, 2]], [1.0, 2.0], {"mode": "sum"}, None, r"per_sample_weights has shape \(2,\), wanted \(1, 2\)"),
        ([[1, 2]], [[1.0, 2.0]], {}, None, "mode is 'mean', wanted 'sum', because per_sample_weights are given"),
        ([[1, 4]], None, {}, None, r"range of its input is \(1, 4\), wanted 0 to 3"),
    ],
)
def test_wrong_bags_are_named(x, samples, arguments, offsets, message):
    layer = impl.EmbeddingBag(4, 2, **arguments)
    given = () if samples is None else (np.array(samples),)
    with pytest.raises(ValueError, match=f"EmbeddingBag: .*{message}"):
        layer.forward({"weight": WEIGHT}, np.array(x, dtype=np.int64), *given, offsets=offsets)


def test_offsets_may_be_an_array():
    layer, x = impl.EmbeddingBag(4, 2, mode="sum"), np.array([1, 2, 3])
    want = layer.forward({"weight": WEIGHT}, x, offsets=[0, 1]).output
    np.testing.assert_array_equal(layer.forward({"weight": WEIGHT}, x, offsets=np.array([0, 1])).output, want)


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.int64])
@pytest.mark.parametrize(("shape", "width"), [((6,), 40), ((2, 3), 40), ((), 3), ((0,), 3), ((4,), 0)])
def test_rows_are_added_up_wherever_they_repeat(shape, width, dtype):
    """A small dtype holds the number of the row, but not the place of its last number in the table."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, x = rng.integers(0, 5, shape).astype(dtype), rng.standard_normal((*shape, 2 * width))[..., ::2]
        got, want = rng.standard_normal((2, 5, width))
        want[...] = got
        add_rows(got, rows, x)
        np.add.at(want, rows, x)
        np.testing.assert_array_equal(got, want)
