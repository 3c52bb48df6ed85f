"""Dropout: what the catalogue's properties cannot see."""

import warnings

import numpy as np
import pytest
import torch

import impl
from reference.draws import Draws


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_p_is_a_probability(p):
    with pytest.raises(ValueError, match=f"Dropout: p is {p}, wanted a probability, 0 to 1"):
        impl.Dropout(p)


def test_noise_is_asked_for_only_where_it_is_used():
    x = np.ones((2, 3))
    for layer, training in ((impl.Dropout(0.5), False), (impl.Dropout(0.0), True), (impl.Dropout(1.0), True)):
        layer.forward({}, x, training=training)
    with pytest.raises(ValueError, match="Dropout: training draws noise"):
        impl.Dropout(0.5).forward({}, x)
    with pytest.raises(ValueError, match="Dropout: noise has run out"):
        impl.Dropout(0.5).forward({}, x, noise=[])
    with pytest.raises(ValueError, match=r"Dropout: noise has shape \(3, 2\), wanted \(2, 3\)"):
        impl.Dropout(0.5).forward({}, x, noise=[x.T])


def test_noise_at_the_threshold_drops():
    step = impl.Dropout(0.25).forward({}, np.ones(3), noise=[np.array([0.0, np.nextafter(0.75, 0), 0.75])])
    np.testing.assert_array_equal(step.output, np.array([1, 1, 0]) / 0.75)


def test_a_generator_drops_the_given_share_and_keeps_the_mean():
    y = impl.Dropout(0.3).forward({}, np.ones(40_000), noise=np.random.default_rng(0)).output
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_infinities_are_dropped_as_torch_drops_them(p):
    x = np.tile([np.inf, -np.inf, np.nan, 1.0], 2)
    noise = [np.repeat([0.2, 0.8], 4)]
    there = torch.tensor(x, requires_grad=True)
    with Draws(noise):
        y = torch.nn.Dropout(p)(there)
    y.backward(torch.tensor(x))
    with np.errstate(invalid="ignore"):
        step = impl.Dropout(p).forward({}, x, noise=noise)
        gradient = step.backward(x).inputs[0]
    np.testing.assert_array_equal(step.output, y.detach().numpy())
    np.testing.assert_array_equal(gradient, there.grad.numpy())


@pytest.mark.parametrize("p", [0.25, 1.0])
@pytest.mark.parametrize(
    ("op", "shape"),
    [
        ("Dropout1d", (2, 3)),
        ("Dropout1d", (2, 3, 2)),
        ("Dropout1d", (2, 3, 0)),
        ("Dropout2d", (2, 3)),
        ("Dropout2d", (2, 3, 2)),
        ("Dropout2d", (2, 3, 2, 1)),
        ("Dropout2d", (2, 3, 2, 1, 2)),
        ("Dropout2d", (0, 3, 2, 1)),
        ("Dropout3d", (3,)),
        ("Dropout3d", (2, 3)),
        ("Dropout3d", (2, 3, 2, 1)),
        ("Dropout3d", (2, 3, 2, 1, 2)),
        ("Dropout3d", (1, 2, 3, 1, 2, 1)),
        ("AlphaDropout", ()),
        ("AlphaDropout", (2, 3)),
        ("AlphaDropout", (0, 3)),
        ("FeatureAlphaDropout", (2, 3)),
        ("FeatureAlphaDropout", (2, 3, 2, 1)),
    ],
)
def test_channels_are_found_and_dropped_as_torch_does(op, shape, p):
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of some ranks
        with Draws() as mode:
            getattr(torch.nn, op)(p)(torch.tensor(x))
        noise = [np.linspace(0, 0.99, int(np.prod(s))).reshape(s) for s in mode.shapes]
        tensor = torch.tensor(x, requires_grad=True)
        with Draws(noise):
            wanted = getattr(torch.nn, op)(p)(tensor)
    wanted.backward(torch.tensor(x))
    step = getattr(impl, op)(p).forward({}, x, noise=noise)
    np.testing.assert_allclose(step.output, wanted.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(step.backward(x).inputs[0], tensor.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 2, 1)])
def test_dropout1d_takes_two_axes_or_three(shape, training):
    with pytest.raises(ValueError, match=r"^Dropout1d: the shape of its input is .*, wanted \(N, C, L\) or \(C, L\)$"):
        impl.Dropout1d().forward({}, np.ones(shape), training=training)


@pytest.mark.parametrize(("op", "shape"), [("Dropout2d", (3,)), ("FeatureAlphaDropout", (3,)), ("Dropout3d", ())])
def test_whole_channels_need_a_batch_and_channels_unless_nothing_is_dropped(op, shape):
    layer, x = getattr(impl, op)(), np.ones(shape)
    assert layer.forward({}, x, training=False).output is x
    with pytest.raises(ValueError, match=f"^{op}: the shape of its input is .*, wanted a batch and channels$"):
        layer.forward({}, x, noise=np.random.default_rng(0))


@pytest.mark.parametrize("op", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_variance(op):
    x = np.random.default_rng(0).standard_normal((200, 200))
    y = getattr(impl, op)(0.3).forward({}, x, noise=np.random.default_rng(1)).output
    assert (y.mean(), y.std()) == pytest.approx((0, 1), abs=0.02)
