"""Paddings: what the catalogue's properties cannot see."""

import re

import numpy as np
import pytest
import torch

import impl

COPYING = ["ReflectionPad", "ReplicationPad", "CircularPad"]


def test_sides_are_counted_from_the_last_axis():
    x = np.ones((1, 1, 2, 3, 4))
    y = impl.ConstantPad3d((1, 0, 2, 0, 3, 0), 7.0).forward({}, x).output
    assert y.shape == (1, 1, 5, 5, 5)
    assert y[0, 0, 2:, 1:, 0].min() == y[0, 0, 2, 2, 1] == 7.0
    np.testing.assert_array_equal(y[0, 0, 3:, 2:, 1:], x[0, 0])


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("Reflection", [2, 1, 0, 1, 2, 3, 2]),
        ("Replication", [0, 0, 0, 1, 2, 3, 3]),
        ("Circular", [2, 3, 0, 1, 2, 3, 0]),
    ],
)
def test_places_are_copied_as_the_name_says_and_gather_the_gradients_of_their_copies(mode, wanted):
    step = getattr(impl, f"{mode}Pad1d")((2, 1)).forward({}, np.arange(4.0)[None])
    np.testing.assert_array_equal(step.output, [wanted])
    g = 10.0 ** np.arange(7)
    gathered = [g[np.equal(wanted, i)].sum() for i in range(4)]
    np.testing.assert_array_equal(step.backward(g[None]).inputs[0], [gathered])


def test_a_mirror_shows_what_was_taken_away_and_a_circle_does_not():
    x = np.arange(4.0)[None]
    for name, wanted in (("ReflectionPad1d", [2, 3, 2, 1, 0]), ("CircularPad1d", [1, 2, 3, 1, 2])):
        padding = (-2, 3) if name == "ReflectionPad1d" else (-1, 2)
        y = getattr(impl, name)(padding).forward({}, x).output
        np.testing.assert_array_equal(y, [wanted])
        np.testing.assert_array_equal(y, getattr(torch.nn, name)(padding)(torch.tensor(x)))


def test_more_may_be_taken_away_than_there_is_where_the_other_side_grows():
    step = impl.ReplicationPad1d((-6, 5)).forward({}, np.arange(3.0)[None])
    np.testing.assert_array_equal(step.output, [[2, 2]])
    np.testing.assert_array_equal(step.backward(np.array([[1.0, 10.0]])).inputs[0], [[0, 0, 11]])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", ["ZeroPad", *COPYING])
def test_a_batch_of_nothing_is_padded(mode, rank):
    shape = (0, 2, *(3,) * rank)
    step = getattr(impl, f"{mode}{rank}d")(1).forward({}, np.zeros(shape))
    assert step.output.shape == (0, 2, *(5,) * rank)
    assert step.backward(step.output).inputs[0].shape == shape


def test_zeros_take_any_rank_and_empty_axes_as_torch_does():
    for shape in ((3,), (2, 0), (2, 2, 3, 1, 2, 2)):
        x = np.ones(shape)
        np.testing.assert_array_equal(impl.ZeroPad1d(1).forward({}, x).output, torch.nn.ZeroPad1d(1)(torch.tensor(x)))
    assert impl.CircularPad1d(1).forward({}, np.ones((2, 0, 3))).output.shape == (2, 0, 5)
    assert impl.ZeroPad1d((-4, 2)).forward({}, np.ones((4,))).output.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "padding", "shape", "wanted"),
    [
        ("ReflectionPad1d", 3, (1, 3), "axes that last for reflect padding by [(3, 3)]"),
        ("ReflectionPad1d", -2, (1, 4), "axes that last for reflect padding by [(-2, -2)]"),
        ("ReplicationPad1d", (-4, 1), (1, 3), "axes that last for replicate padding by [(-4, 1)]"),
        ("CircularPad2d", (0, 0, 4, 0), (1, 3, 5), "axes that last for circular padding by [(4, 0), (0, 0)]"),
        ("CircularPad1d", (3, -2), (1, 4), "axes that last for circular padding by [(3, -2)]"),
        ("ZeroPad2d", -2, (3, 3), "axes that last for zeros padding by [(-2, -2), (-2, -2)]"),
        ("ZeroPad3d", 1, (3, 3), "at least 3 axes"),
        ("ReflectionPad2d", 1, (3, 3), "(N, C, H, W) or (C, H, W)"),
        ("ReplicationPad1d", 1, (2, 0, 3), "no empty axis but the batch"),
        ("ReplicationPad1d", 1, (1, 0), "no empty axis but the batch"),
        ("CircularPad3d", 1, (2, 3, 3), "(N, C, D, H, W) or (C, D, H, W)"),
    ],
)
def test_what_torch_refuses_is_named(name, padding, shape, wanted):
    got = shape[-int(name[-2]) :] if wanted.startswith("axes") else shape
    what = "spatial shape" if wanted.startswith("axes") else "shape"
    message = f"{name}: the {what} of its input is {got}, wanted {wanted}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        getattr(impl, name)(padding).forward({}, np.zeros(shape))
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)):
        getattr(torch.nn, name)(padding)(torch.zeros(shape))


def test_a_circle_over_nothing_is_refused():
    # PyTorch answers with whatever the memory held: docs/findings.md.
    with pytest.raises(ValueError, match=r"^CircularPad1d: the spatial shape of its input is \(4,\), wanted axes"):
        impl.CircularPad1d((-4, 3)).forward({}, np.zeros((1, 4)))


@pytest.mark.parametrize("padding", [(1, 2, 3), 1.5, (1, "a")])
def test_a_wrong_padding_is_named(padding):
    message = f"ReflectionPad1d: padding is {padding!r}, wanted 2 integers or a single one"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        impl.ReflectionPad1d(padding)
