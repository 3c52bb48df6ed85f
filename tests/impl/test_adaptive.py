"""Adaptive and fractional poolings: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch
from beside_torch import beside_torch

import impl
from reference.draws import Draws

NAN, INF = np.nan, np.inf
X = np.random.default_rng(0).integers(-2, 3, (2, 3, 7)) / 2


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize("op", ["AdaptiveAvgPool1d", "AdaptiveMaxPool1d"])
def test_windows_begin_and_end_where_torchs_do(op, size):
    beside_torch(op, X, output_size=size)


@pytest.mark.parametrize("op", ["AdaptiveAvgPool", "AdaptiveMaxPool"])
def test_none_keeps_an_axis(op):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    assert beside_torch(f"{op}2d", x, output_size=(None, 3)).shape == (2, 3, 4, 3)
    assert beside_torch(f"{op}3d", x, output_size=(2, None, None)).shape == (2, 2, 4, 5)


@pytest.mark.parametrize("op", ["AdaptiveAvgPool", "AdaptiveMaxPool"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_nothing_comes_out_where_nothing_is_wanted_and_an_empty_batch_passes(op, rank):
    layer = getattr(impl, f"{op}{rank}d")(0)
    step = layer.forward({}, np.ones((2, 3, *(4,) * rank)))
    assert step.output.shape == (2, 3, *(0,) * rank)
    np.testing.assert_array_equal(step.backward(step.output).inputs[0], np.zeros((2, 3, *(4,) * rank)))
    assert beside_torch(f"{op}{rank}d", np.zeros((0, 3, *(4,) * rank)), output_size=2).shape[0] == 0


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_winner_of_a_tie_is_torchs(rank):
    x = np.array([[0, 0, NAN, 1], [NAN, NAN, 1, 1], [-INF, -INF, 2, 2], [0.0, -0.0, 3, -1]])
    shown = {1: x, 2: x[None], 3: np.stack([x, x.T, x[::-1]])[None]}[rank]
    y, indices = getattr(impl, f"AdaptiveMaxPool{rank}d")(3, return_indices=True).forward({}, shown).output
    want = getattr(torch.nn, f"AdaptiveMaxPool{rank}d")(3, return_indices=True)(torch.tensor(shown))
    np.testing.assert_array_equal(y, want[0].numpy())
    np.testing.assert_array_equal(indices, want[1].numpy())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: impl.AdaptiveAvgPool1d(None), "AdaptiveAvgPool1d: output_size is None, wanted 1 integers or a single"),
        (lambda: impl.AdaptiveAvgPool1d((None,)), r"output_size is \(None,\), wanted 1 integers"),
        (lambda: impl.AdaptiveMaxPool2d(None), "output_size is None, wanted 2 integers .* or None in a tuple"),
        (lambda: impl.AdaptiveMaxPool2d((2, 2, 2)), r"output_size is \(2, 2, 2\), wanted 2 integers"),
        (lambda: impl.AdaptiveAvgPool3d((2, 2)), r"output_size is \(2, 2\), wanted 3 integers"),
        (lambda: impl.AdaptiveAvgPool3d(-1), "output_size is -1, wanted 3 integers"),
        (lambda: impl.FractionalMaxPool2d(2), "FractionalMaxPool2d: output_size is None, wanted either it or output_r"),
        (lambda: impl.FractionalMaxPool2d(2, 2, 0.5), "output_size is 2, wanted either it or output_ratio"),
        (lambda: impl.FractionalMaxPool2d(2, output_ratio=1.0), "output_ratio is 1.0, wanted 2 numbers in"),
        (lambda: impl.FractionalMaxPool3d(2, output_ratio=(0.5, 0.5)), r"output_ratio is \(0.5, 0.5\), wanted 3 num"),
        (lambda: impl.FractionalMaxPool3d(0, 2), "kernel_size is 0, wanted"),
        (lambda: impl.FractionalMaxPool3d(2, 0), "output_size is 0, wanted"),
    ],
)
def test_a_wrong_argument_is_named(layer, message):
    with pytest.raises(ValueError, match=message):
        layer()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (impl.AdaptiveMaxPool1d(1), (2, 0, 4), "at least one channel and one element"),
        (impl.AdaptiveAvgPool2d(2), (2, 3, 0, 4), "at least one channel and one element"),
        (
            impl.FractionalMaxPool2d(2, 3),
            (2, 3, 3, 4),
            r"wanted at least output_size \(3, 3\) \+ kernel_size \(2, 2\) - 1",
        ),
        (impl.FractionalMaxPool3d(2, 2), (2, 3, 3, 3), r"wanted at least output_size .* \+ kernel_size .* - 0"),
    ],
)
def test_a_wrong_input_is_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.forward({}, np.zeros(shape), noise=np.random.default_rng(0))
    with pytest.raises(RuntimeError):  # torch refuses it, too
        getattr(torch.nn, type(layer).__name__)(**vars(layer))(torch.zeros(shape))


@pytest.mark.parametrize("lead", [(2, 3), (3,)])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 2, "output_size": 3},
        {"kernel_size": 1, "output_ratio": 0.6},
        {"kernel_size": 3, "output_size": 1},
    ],
)
def test_random_windows_lie_where_torchs_do(lead, rank, arguments):
    rng = np.random.default_rng(0)
    op = f"FractionalMaxPool{rank}d"
    x = rng.integers(-2, 3, (*lead, 6, 5, 7)[-rank - len(lead) :]) / 2
    if rank == 2:
        x = rng.integers(-2, 3, (*lead, 6, 7)) / 2
    noise = [rng.random((*lead[:-1], 3, rank) if len(lead) == 2 else (1, 3, rank))]
    there = torch.tensor(x, requires_grad=True)
    with Draws(noise):
        y, indices = getattr(torch.nn, op)(**arguments, return_indices=True)(there)
    step = getattr(impl, op)(**arguments, return_indices=True).forward({}, x, training=False, noise=noise)
    np.testing.assert_array_equal(step.output[0], y.detach().numpy())
    np.testing.assert_array_equal(step.output[1], indices.numpy())
    g = rng.standard_normal(y.shape)
    y.backward(torch.tensor(g))
    np.testing.assert_allclose(step.backward((g, None)).inputs[0], there.grad.numpy(), rtol=1e-12)


def test_fractional_poolings_draw_in_evaluation_too():
    layer = impl.FractionalMaxPool2d(2, 2)
    with pytest.raises(ValueError, match=r"FractionalMaxPool2d: .*noise"):
        layer.forward({}, np.zeros((1, 4, 4)), training=False)
    with pytest.raises(ValueError, match=r"FractionalMaxPool2d: noise has shape \(1, 2\), wanted \(1, 1, 2\)"):
        layer.forward({}, np.zeros((1, 4, 4)), noise=[np.zeros((1, 2))])
