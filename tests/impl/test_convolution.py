"""Convolutions: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"kernel_size": (2, 2, 2)},
            r"kernel_size is \(2, 2, 2\), wanted 2 integers or a single one, at least 1",
        ),
        ({"kernel_size": 0}, "kernel_size is 0, wanted"),
        ({"stride": 0}, "stride is 0, wanted 2 integers"),
        ({"stride": 1.5}, "stride is 1.5, wanted 2 integers"),
        ({"dilation": (1, 0)}, r"dilation is \(1, 0\), wanted"),
        ({"padding": -1}, "padding is -1, wanted 2 integers or a single one, at least 0"),
        ({"padding": "full"}, "padding is 'full', wanted integers, 'same' or 'valid'"),
        ({"padding": "same", "stride": (1, 2)}, r"stride is \(1, 2\), wanted 1, because padding is 'same'"),
        (
            {"padding_mode": "mirror"},
            "padding_mode is 'mirror', wanted one of zeros, reflect, replicate, circular",
        ),
        ({"groups": 0}, "groups is 0, wanted at least 1"),
        ({"groups": 3}, "in_channels is 4, wanted a multiple of groups, 3"),
        ({"groups": 4}, "out_channels is 6, wanted a multiple of groups, 4"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"Conv2d: {message}"):
        impl.Conv2d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (impl.Conv2d(3, 2, 2), (5, 4, 4), r"input is \(5, 4, 4\), wanted \(N, 3, H, W\) or \(3, H, W\)"),
        (impl.Conv1d(3, 2, 2), (3,), r"input is \(3,\), wanted \(N, 3, L\) or \(3, L\)"),
        (
            impl.Conv1d(1, 1, 3, dilation=2),
            (1, 4),
            r"padded input is \(1, 1, 4\), wanted room for the dilated kernel",
        ),
        (impl.Conv1d(1, 1, 1, padding=3, padding_mode="reflect"), (1, 3), r"input is \(3,\), .*reflect"),
        (impl.Conv1d(1, 1, 1, padding=4, padding_mode="circular"), (1, 3), r"input is \(3,\), .*circular"),
    ],
)
def test_a_wrong_input_is_named(layer, shape, message):
    parameters = layer.initial(np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        layer.forward(parameters, np.zeros(shape))
    twin = getattr(torch.nn, type(layer).__name__)(**vars(layer))
    with pytest.raises(RuntimeError):
        twin(torch.zeros(shape))


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_parameter_that_would_broadcast_is_refused(name):
    layer = impl.Conv1d(2, 3, 1)
    parameters = layer.initial(np.random.default_rng(0))
    parameters[name] = parameters[name][:1]
    with pytest.raises(ValueError, match=f"Conv1d: {name} has shape"):
        layer.forward(parameters, np.zeros((1, 2, 4)))


def test_initial_values_fill_the_interval_that_torch_draws_from():
    arguments = {"in_channels": 12, "out_channels": 300, "kernel_size": (3, 4), "groups": 3}
    ours = impl.Conv2d(**arguments).initial(np.random.default_rng(0), np.float32)
    bound = (4 * 3 * 4) ** -0.5
    torch.manual_seed(0)
    for name, theirs in torch.nn.Conv2d(**arguments).named_parameters():
        assert ours[name].shape == theirs.shape
        for array in (ours[name], theirs.detach().numpy()):
            assert bound * 0.95 < np.abs(array).max() <= np.float32(bound)
            assert array.std() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(2, 1), (4, 1), (2, 3)])
def test_same_puts_the_odd_element_behind(kernel_size, dilation):
    layer = impl.Conv1d(1, 1, kernel_size, padding="same", dilation=dilation, bias=False)
    x = np.arange(1.0, 8.0)[None]
    first = np.zeros((1, 1, kernel_size))
    first[..., 0] = 1  # y[i] is then the element where the window begins
    y = layer.forward({"weight": first}, x).output
    before = dilation * (kernel_size - 1) // 2
    np.testing.assert_array_equal(y, np.pad(x, [(0, 0), (before, 0)])[:, :7])


def test_a_batch_of_nothing_has_zero_gradients():
    layer = impl.Conv2d(2, 3, 2, padding=1)
    step = layer.forward(layer.initial(np.random.default_rng(0)), np.zeros((0, 2, 4, 5)))
    gradients = step.backward(np.zeros(step.output.shape))
    assert step.output.shape == (0, 3, 5, 6)
    assert gradients.inputs[0].shape == (0, 2, 4, 5)
    assert not gradients.parameters["weight"].any()
