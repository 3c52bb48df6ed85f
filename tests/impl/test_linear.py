"""Linear maps: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (impl.Linear(3, 2), [(4, 5)], r"Linear: the shape of its input is \(4, 5\), wanted \(\*, 3\)"),
        (impl.Linear(3, 2), [()], r"Linear: the shape of its input is \(\), wanted"),
        (
            impl.Bilinear(3, 2, 4),
            [(5, 2), (5, 2)],
            r"Bilinear: its first input has shape \(5, 2\), wanted \(\*, 3\)",
        ),
        (
            impl.Bilinear(3, 2, 4),
            [(5, 3), (1, 2)],
            r"Bilinear: its second input has shape \(1, 2\), wanted \(5, 2\)",
        ),
        (impl.Flatten(), [(3,)], r"Flatten: start_dim is 1, wanted an axis of its input \(3,\)"),
        (impl.Flatten(0, 2), [(3, 4)], r"Flatten: end_dim is 2, wanted an axis of its input \(3, 4\)"),
        (impl.Flatten(-1, 0), [(3, 4)], r"Flatten: start_dim is -1, wanted no axis behind end_dim 0"),
    ],
)
def test_a_wrong_input_is_named(layer, shapes, message):
    parameters = layer.initial(np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        layer.forward(parameters, *(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("layer", [impl.Linear(3, 2), impl.Bilinear(3, 4, 2)])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_parameter_that_would_broadcast_is_refused(layer, name):
    inputs = [np.ones((5, size)) for size in layer.parameter_shapes["weight"][1:]]
    parameters = layer.initial(np.random.default_rng(0))
    parameters[name] = parameters[name][:1]
    with pytest.raises(ValueError, match=f"{type(layer).__name__}: {name} has shape"):
        layer.forward(parameters, *inputs)


def test_bilinear_needs_a_feature_to_scale_its_weights_by():
    with pytest.raises(ValueError, match="Bilinear: in1_features is 0, wanted at least 1"):
        impl.Bilinear(0, 3, 2)


@pytest.mark.parametrize("arguments", [(64, 500), (9, 40, 300)])
def test_initial_values_fill_the_interval_that_torch_draws_from(arguments):
    torch.manual_seed(0)
    op = "Linear" if len(arguments) == 2 else "Bilinear"
    ours = getattr(impl, op)(*arguments).initial(np.random.default_rng(0), np.float32)
    for name, theirs in getattr(torch.nn, op)(*arguments).named_parameters():
        bound = arguments[0] ** -0.5
        assert ours[name].dtype == np.float32
        assert np.abs(ours[name]).max() <= np.float32(bound)
        for extreme in (ours[name].max(), -ours[name].min(), theirs.max().item(), -theirs.min().item()):
            assert extreme == pytest.approx(bound, rel=0.05)
        assert ours[name].std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_a_layer_without_features_starts_empty():
    assert impl.Linear(0, 2).initial(np.random.default_rng(0))["bias"].tolist() == [0, 0]


def test_identity_ignores_its_arguments():
    x = np.arange(3.0)
    step = impl.Identity(54, unused=False).forward({}, x)
    np.testing.assert_array_equal(step.output, x)
    assert step.backward(x).inputs[0] is x


def test_flatten_makes_an_axis_of_a_number():
    step = impl.Flatten(0).forward({}, np.asarray(2.0))
    assert step.output.shape == torch.nn.Flatten(0)(torch.tensor(2.0)).shape == (1,)
    assert step.backward(np.ones(1)).inputs[0].shape == ()


class Noted(np.ndarray):
    """Carries along more than its numbers."""


@pytest.mark.parametrize("kind", [np.complex128, np.longdouble, Noted])
def test_what_a_bias_carries_along_is_handed_on(kind):
    layer = impl.Linear(3, 2)
    parameters = layer.initial(np.random.default_rng(0))
    bias = parameters["bias"].view(Noted) if kind is Noted else parameters["bias"].astype(kind)
    y = layer.forward(parameters | {"bias": bias}, np.ones((4, 3))).output
    assert (type(y), y.dtype) == (type(bias), bias.dtype)
