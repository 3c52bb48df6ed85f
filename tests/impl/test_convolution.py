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


def test_the_transposed_convolution_is_the_adjoint_of_the_convolution_with_its_weight():
    rng = np.random.default_rng(0)
    arguments = {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 2), "groups": 2, "bias": False}
    down, up = impl.Conv2d(4, 6, (3, 2), **arguments), impl.ConvTranspose2d(6, 4, (3, 2), **arguments)
    parameters = down.initial(rng)
    x = rng.standard_normal((2, 4, 8, 11))
    step = down.forward(parameters, x)
    g = rng.standard_normal(step.output.shape)
    y = up.forward(parameters, g, output_size=x.shape).output
    np.testing.assert_allclose(y, step.backward(g).inputs[0], rtol=1e-13, atol=1e-13)


def test_output_padding_adds_places_that_no_kernel_may_reach():
    layer = impl.ConvTranspose1d(1, 1, 1, stride=3, output_padding=2, bias=False)
    step = layer.forward({"weight": np.full((1, 1, 1), 2.0)}, np.array([[1.0, 10.0]]))
    np.testing.assert_array_equal(step.output, [[2, 0, 0, 20, 0, 0]])
    np.testing.assert_array_equal(step.backward(np.arange(6.0)[None]).inputs[0], [[0, 6]])


def test_all_of_what_was_laid_may_be_cut_away():
    arguments = {"in_channels": 1, "out_channels": 1, "kernel_size": 1, "stride": 5, "padding": 2, "output_padding": 4}
    twin = torch.nn.ConvTranspose1d(**arguments).double()
    parameters = {name: p.detach().numpy() for name, p in twin.named_parameters()}
    step = impl.ConvTranspose1d(**arguments).forward(parameters, np.ones((1, 1)))
    np.testing.assert_array_equal(step.output, twin(torch.ones(1, 1, dtype=torch.float64)).detach())
    assert step.backward(np.ones((1, 1))).inputs[0] == 0


@pytest.mark.parametrize(
    ("arguments", "shape", "options", "message"),
    [
        ({"output_padding": 1}, (1, 3), {}, "output_padding is 1, wanted less than stride or less than dilation"),
        ({"padding": 1}, (1, 1), {}, r"padding is 1, wanted less than what takes away all of \(2,\)"),
        ({"stride": 3}, (1, 4), {"output_size": [14]}, r"output_size is \[14\], wanted \[11\] to \[13\], or those"),
        ({"stride": 3}, (1, 4), {"output_size": [10]}, r"output_size is \[10\], wanted \[11\] to \[13\], or those"),
        (
            {"stride": 3},
            (1, 1, 4),
            {"output_size": [1, 12]},
            r"output_size is \[1, 12\], wanted .* those behind 2 others",
        ),
        ({}, (2, 3), {}, r"the shape of its input is \(2, 3\), wanted \(N, 1, L\) or \(1, L\)"),
        ({}, (2, 1, 0), {}, r"the shape of its input is \(2, 1, 0\), wanted no empty axis but the batch"),
    ],
)
def test_what_a_transposed_convolution_cannot_do_is_named(arguments, shape, options, message):
    arguments = {"in_channels": 1, "out_channels": 1, "kernel_size": 2, **arguments}
    layer = impl.ConvTranspose1d(**arguments)
    with pytest.raises(ValueError, match=f"^ConvTranspose1d: {message}"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.zeros(shape), **options)
    with pytest.raises((RuntimeError, ValueError)):
        torch.nn.ConvTranspose1d(**arguments)(torch.zeros(shape), **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_padding": -1}, "output_padding is -1, wanted 3 integers or a single one, at least 0"),
        ({"padding": "same"}, "padding is 'same', wanted 3 integers or a single one, at least 0"),
        ({"padding_mode": "reflect"}, "padding_mode is 'reflect', wanted 'zeros'"),
        ({"groups": 3}, "in_channels is 4, wanted a multiple of groups, 3"),
    ],
)
def test_a_wrong_argument_of_a_transposed_convolution_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"^ConvTranspose3d: {message}$"):
        impl.ConvTranspose3d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3, **arguments})


def test_output_padding_counts_for_nothing_where_a_size_is_asked_for():
    layer = impl.ConvTranspose1d(1, 1, 2, output_padding=7)
    assert layer.forward(layer.initial(np.random.default_rng(0)), np.ones((1, 3)), output_size=(1, 4)).output.shape == (
        1,
        4,
    )


def test_a_convolution_of_an_axis_without_elements_is_refused():
    layer = impl.Conv1d(1, 1, 1, padding=1)
    with pytest.raises(ValueError, match=r"^Conv1d: the shape of its input is \(2, 1, 0\), wanted no empty axis but"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.zeros((2, 1, 0)))


def test_a_transposed_convolution_starts_as_torchs_does():
    arguments = {"in_channels": 12, "out_channels": 300, "kernel_size": (3, 4), "groups": 3}
    ours = impl.ConvTranspose2d(**arguments).initial(np.random.default_rng(0), np.float32)
    torch.manual_seed(0)
    for name, theirs in torch.nn.ConvTranspose2d(**arguments).named_parameters():
        assert ours[name].shape == theirs.shape
        assert np.abs(ours[name]).max() == pytest.approx(theirs.abs().max().item(), rel=0.05)


@pytest.mark.parametrize(
    "name", ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
)
def test_complex_gradients_are_conjugated_as_torchs_are(name):
    arguments = {"in_channels": 2, "out_channels": 4, "kernel_size": 2, "stride": 2, "groups": 2}
    rank = int(name[-2])
    rng = np.random.default_rng(0)

    def numbers(shape):
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    layer = getattr(impl, name)(**arguments)
    parameters = {name: numbers(shape) for name, shape in layer.parameter_shapes.items()}
    x = numbers((2, 2, *(3,) * rank))
    step = layer.forward(parameters, x)
    g = numbers(step.output.shape)
    gradients = step.backward(g)
    twin = getattr(torch.nn, name)(**arguments, dtype=torch.complex128)
    twin.load_state_dict({name: torch.tensor(p) for name, p in parameters.items()})
    leaf = torch.tensor(x, requires_grad=True)
    twin(leaf).backward(torch.tensor(g))
    assert layer.holomorphic
    np.testing.assert_allclose(gradients.inputs[0], leaf.grad, rtol=1e-12)
    for parameter, theirs in twin.named_parameters():
        np.testing.assert_allclose(gradients.parameters[parameter], theirs.grad, rtol=1e-12, err_msg=parameter)
