"""Windows as columns, shuffles and Unflatten: what the catalogue's properties cannot see."""

import re

import numpy as np
import pytest
import torch

import impl


def test_fold_after_unfold_counts_how_often_each_pixel_is_seen():
    arguments = {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 0), "stride": (1, 2)}
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    columns = impl.Unfold(**arguments).forward({}, x).output
    counts = torch.nn.Fold((4, 5), **arguments)(torch.nn.Unfold(**arguments)(torch.ones(1, 1, 4, 5))).numpy()
    y = impl.Fold((4, 5), **arguments).forward({}, columns).output
    np.testing.assert_allclose(y, counts * x, rtol=1e-14)


@pytest.mark.parametrize(
    ("layer", "shape", "output"),
    [
        (impl.Unfold(2), (0, 3, 4, 4), (0, 12, 9)),
        (impl.Fold(4, 2), (0, 12, 9), (0, 3, 4, 4)),
        (impl.PixelShuffle(2), (0, 8, 2, 3), (0, 2, 4, 6)),
        (impl.PixelUnshuffle(2), (0, 2, 4, 6), (0, 8, 2, 3)),
        (impl.PixelShuffle(2), (2, 8, 0, 3), (2, 2, 0, 6)),
        (impl.ChannelShuffle(2), (0, 4, 3), (0, 4, 3)),
        (impl.ChannelShuffle(2), (2, 4, 0), (2, 4, 0)),
        (impl.ChannelShuffle(2), (2, 0, 3), (2, 0, 3)),
        (impl.Unflatten(1, (2, -1)), (0, 4), (0, 2, 2)),
        (impl.Unflatten(0, (2, -1)), (0, 3), (2, 0, 3)),
        (impl.Unflatten(1, (0, 0)), (2, 0), (2, 0, 0)),
    ],
)
def test_a_batch_of_nothing_goes_both_ways(layer, shape, output):
    # PyTorch cannot go back through some empty shuffles: docs/findings.md.
    step = layer.forward({}, np.zeros(shape))
    assert step.output.shape == output
    assert step.backward(step.output).inputs[0].shape == shape


def test_a_pixel_shuffle_takes_any_number_of_leading_axes():
    x = np.arange(48.0).reshape(1, 2, 1, 4, 3, 2)
    y = impl.PixelShuffle(2).forward({}, x).output
    np.testing.assert_array_equal(y, torch.nn.PixelShuffle(2)(torch.tensor(x)))
    np.testing.assert_array_equal(impl.PixelUnshuffle(2).forward({}, y).output, x)


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "wanted"),
    [
        ("Unfold", (5,), (3, 4, 4), "room for a window, and no empty axis but the batch"),
        ("Unfold", (2,), (2, 0, 4, 4), "room for a window, and no empty axis but the batch"),
        ("Unfold", (2,), (4, 4), "(N, C, H, W) or (C, H, W)"),
        ("Fold", (4, 2), (12, 8), "(N, C * 4, 9) or (C * 4, 9), with windows (3, 3)"),
        ("Fold", (4, 2), (11, 9), "(N, C * 4, 9) or (C * 4, 9), with windows (3, 3)"),
        ("Fold", (4, 2), (0, 9), "(N, C * 4, 9) or (C * 4, 9), with windows (3, 3)"),
        ("Fold", (4, 2), (9,), "(N, C * 4, 9) or (C * 4, 9), with windows (3, 3)"),
        ("Fold", (1, 2), (4, 0), "(N, C * 4, 0) or (C * 4, 0), with windows (0, 0)"),
        ("PixelShuffle", (2,), (2, 6, 2, 2), "(*, C * 4, H, W)"),
        ("PixelShuffle", (2,), (4, 2), "(*, C * 4, H, W)"),
        ("PixelUnshuffle", (2,), (1, 3, 4), "(*, C, H * 2, W * 2)"),
        ("PixelUnshuffle", (2,), (1, 4, 3), "(*, C, H * 2, W * 2)"),
        ("PixelUnshuffle", (2,), (4, 4), "(*, C, H * 2, W * 2)"),
        ("ChannelShuffle", (2,), (2, 3, 3), "(N, C * 2, *)"),
        ("ChannelShuffle", (2,), (2, 4), "(N, C * 2, *)"),
    ],
)
def test_a_wrong_shape_is_named_where_torch_refuses_it(name, arguments, shape, wanted):
    message = f"{name}: the shape of its input is {shape}, wanted {wanted}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        getattr(impl, name)(*arguments).forward({}, np.zeros(shape))
    with pytest.raises((RuntimeError, IndexError)):
        getattr(torch.nn, name)(*arguments)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("dim", "sizes", "shape", "message"),
    [
        (2, (2, 2), (2, 4), "dim is 2, wanted an axis of its input (2, 4)"),
        (-3, (2, 2), (2, 4), "dim is -3, wanted an axis of its input (2, 4)"),
        (0, (1,), (), "dim is 0, wanted an axis of its input ()"),
        (1, (3, 2), (2, 4), "unflattened_size is (3, 2), wanted sizes that multiply up to 4"),
        (1, (3, -1), (2, 4), "unflattened_size is (3, -1), wanted sizes that multiply up to 4"),
        (0, (-1, 0), (3, 4), "unflattened_size is (-1, 0), wanted sizes that multiply up to 3"),
        (0, (-1, 0), (0, 4), "unflattened_size is (-1, 0), wanted sizes that multiply up to 0"),
    ],
)
def test_an_axis_that_cannot_be_unfolded_is_named(dim, sizes, shape, message):
    with pytest.raises(ValueError, match=f"^Unflatten: {re.escape(message)}$"):
        impl.Unflatten(dim, sizes).forward({}, np.zeros(shape))
    with pytest.raises((RuntimeError, IndexError)):
        torch.nn.Unflatten(dim, sizes)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: impl.Unfold((2, 0)), "Unfold: kernel_size is (2, 0), wanted 2 integers or a single one, at least 1"),
        (lambda: impl.Unfold(2, dilation=0), "Unfold: dilation is 0, wanted 2 integers or a single one, at least 1"),
        (lambda: impl.Unfold(2, stride=0), "Unfold: stride is 0, wanted 2 integers or a single one, at least 1"),
        (lambda: impl.Unfold(2, padding=-1), "Unfold: padding is -1, wanted 2 integers or a single one, at least 0"),
        (lambda: impl.Fold((4,), 2), "Fold: output_size is (4,), wanted 2 integers or a single one, at least 1"),
        (lambda: impl.Fold(4, 0), "Fold: kernel_size is 0, wanted 2 integers or a single one, at least 1"),
        (lambda: impl.PixelShuffle(0), "PixelShuffle: upscale_factor is 0, wanted at least 1"),
        (lambda: impl.PixelUnshuffle(0), "PixelUnshuffle: downscale_factor is 0, wanted at least 1"),
        (lambda: impl.ChannelShuffle(0), "ChannelShuffle: groups is 0, wanted at least 1"),
        (
            lambda: impl.Unflatten("N", (2,)),
            "Unflatten: dim is 'N', wanted an integer: the axes of arrays have no names",
        ),
        (lambda: impl.Unflatten(0, ()), "Unflatten: unflattened_size is (), wanted a tuple of sizes, at most one"),
        (lambda: impl.Unflatten(0, 4), "Unflatten: unflattened_size is 4, wanted a tuple of sizes, at most one"),
        (lambda: impl.Unflatten(0, (2.0,)), "Unflatten: unflattened_size is (2.0,), wanted a tuple of sizes, at"),
        (lambda: impl.Unflatten(0, (-1, -1)), "Unflatten: unflattened_size is (-1, -1), wanted a tuple of sizes"),
        (lambda: impl.Unflatten(0, (-2,)), "Unflatten: unflattened_size is (-2,), wanted a tuple of sizes, at"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()
