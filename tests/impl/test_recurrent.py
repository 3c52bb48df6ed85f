"""LSTM: what the catalogue's properties cannot see."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

import impl
from reference.draws import Draws, recorded


def made(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def twin(parameters, *arguments, **keywords):
    module = torch.nn.LSTM(*arguments, **keywords).double()
    module.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    return module


@pytest.mark.parametrize(
    ("argument", "value", "wanted"),
    [
        ("input_size", 0, "at least 1"),
        ("hidden_size", 0, "at least 1"),
        ("num_layers", -1, "at least 1"),
        ("dropout", 1.5, "a probability, 0 to 1"),
        ("dropout", float("nan"), "a probability, 0 to 1"),
        ("proj_size", -1, r"0 to hidden_size - 1 \(2\)"),
        ("proj_size", 3, r"0 to hidden_size - 1 \(2\)"),
    ],
)
def test_refuses_what_torch_refuses(argument, value, wanted):
    arguments = {"input_size": 2, "hidden_size": 3, argument: value}
    with pytest.raises(ValueError, match=f"LSTM: {argument} is {value}, wanted {wanted}"):
        impl.LSTM(**arguments)
    with pytest.raises(ValueError, match=argument):
        torch.nn.LSTM(**arguments)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("shape", [(2,), (4, 3), (4, 1, 3), (1, 4, 1, 2)])
def test_names_the_wrong_shape_of_its_input(shape, batch_first):
    layer = impl.LSTM(2, 3, batch_first=batch_first)
    layout = "N, T" if batch_first else "T, N"
    with pytest.raises(ValueError, match=rf"LSTM: the shape of its input is .*, wanted \({layout}, 2\) or \(T, 2\)"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.zeros(shape))


@pytest.mark.parametrize(("shape", "batch_first"), [((0, 2), False), ((0, 4, 2), False), ((4, 0, 2), True)])
def test_no_steps_are_refused(shape, batch_first):
    layer = impl.LSTM(2, 3, batch_first=batch_first)
    with pytest.raises(ValueError, match="T at least 1"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "states", "message"),
    [
        ((5, 4, 2), [(2, 4, 1)], "the number of its first states is 1, wanted 0 or 2"),
        ((5, 4, 2), [(2, 4, 3), (2, 4, 3)], r"h_0 has shape \(2, 4, 3\), wanted \(2, 4, 1\)"),
        ((5, 4, 2), [(2, 4, 1), (1, 4, 3)], r"c_0 has shape \(1, 4, 3\), wanted \(2, 4, 3\)"),
        ((5, 2), [(2, 4, 1), (2, 4, 3)], r"h_0 has shape \(2, 4, 1\), wanted \(2, 1\)"),
    ],
)
def test_names_the_wrong_first_states(shape, states, message):
    layer = impl.LSTM(2, 3, bidirectional=True, proj_size=1)
    with pytest.raises(ValueError, match=f"LSTM: {message}"):
        layer.forward(layer.initial(np.random.default_rng(0)), np.zeros(shape), *map(np.zeros, states))


def test_names_the_wrong_parameter():
    layer = impl.LSTM(2, 3)
    parameters = layer.initial(np.random.default_rng(0)) | {"weight_hh_l0": np.zeros((9, 3))}
    with pytest.raises(ValueError, match=r"LSTM: weight_hh_l0 has shape \(9, 3\), wanted \(12, 3\)"):
        layer.forward(parameters, np.zeros((4, 2)))


def test_initial_parameters_are_distributed_as_torchs():
    torch.manual_seed(0)
    sizes = {"input_size": 30, "hidden_size": 25, "num_layers": 2, "bidirectional": True, "proj_size": 20}
    initial = impl.LSTM(**sizes).initial(np.random.default_rng(0))
    for name, parameter in torch.nn.LSTM(**sizes).named_parameters():
        for sample in (initial[name], parameter.detach().numpy()):
            assert abs(sample).max() == pytest.approx(0.2, rel=0.06), name
            assert abs(sample).max() <= 0.2 + 1e-6, name
            assert sample.std() == pytest.approx(0.2 / 3**0.5, rel=0.15), name


@pytest.mark.parametrize("absent", [(1, 2), (0, 1), (0, 2), (0,), (0, 1, 2)])
def test_no_cotangent_counts_as_zero(absent):
    layer = impl.LSTM(2, 3, num_layers=2, bidirectional=True, proj_size=2)
    step = layer.forward(layer.initial(np.random.default_rng(0)), made(4, 5, 2), made(4, 5, 2), made(4, 5, 3))
    grads = [None if k in absent else made(*y.shape, seed=k) for k, y in enumerate(step.output)]
    zeros = [np.zeros_like(y) if g is None else g for g, y in zip(grads, step.output)]
    got, want = step.backward(tuple(grads)), step.backward(tuple(zeros))
    for a, b in zip([*got.inputs, *got.parameters.values()], [*want.inputs, *want.parameters.values()]):
        np.testing.assert_array_equal(a, b)
        assert b.any() == (len(absent) < 3)


@pytest.mark.parametrize(("shape", "batch_first"), [((4, 5, 2), False), ((5, 4, 2), True), ((4, 2), True)])
def test_dropout_draws_layer_by_layer_with_time_first(shape, batch_first):
    arguments = {"num_layers": 3, "batch_first": batch_first, "dropout": 0.4, "bidirectional": True}
    layer = impl.LSTM(2, 3, **arguments)
    parameters, x = layer.initial(np.random.default_rng(0)), made(*shape)
    module = twin(parameters, 2, 3, **arguments)
    _, shapes = recorded(lambda: module(torch.tensor(x)))
    batch = 1 if len(shape) == 2 else 5
    assert shapes == ((4, batch, 6), (4, batch, 6))
    noise = [np.random.default_rng(k).random(size) for k, size in enumerate(shapes)]
    tensor = torch.tensor(x, requires_grad=True)
    with Draws(noise):
        want = module(tensor)[0]
    want.sum().backward()
    step = layer.forward(parameters, x, noise=noise)
    np.testing.assert_allclose(step.output[0], want.detach().numpy(), rtol=1e-12)
    gradients = step.backward((np.ones_like(step.output[0]), None, None))
    np.testing.assert_allclose(gradients.inputs[0], tensor.grad.numpy(), rtol=1e-10, atol=1e-14)
    with pytest.raises(ValueError, match="noise has run out"):
        layer.forward(parameters, x, noise=noise[:1])


@pytest.mark.parametrize(("layers", "p", "training"), [(2, 0.0, True), (2, 1.0, True), (2, 0.5, False), (1, 0.5, True)])
def test_nothing_is_drawn_where_torch_draws_nothing(layers, p, training):
    layer = impl.LSTM(2, 3, num_layers=layers, dropout=p)
    parameters, x = layer.initial(np.random.default_rng(0)), made(4, 5, 2)
    with pytest.warns(UserWarning, match="num_layers greater than 1") if layers == 1 else nullcontext():
        module = twin(parameters, 2, 3, num_layers=layers, dropout=p).train(training)
    (want, _), shapes = recorded(lambda: module(torch.tensor(x)))
    assert shapes == ()
    got = layer.forward(parameters, x, training=training).output[0]
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_saturated_gates_overflow_nowhere(dtype):
    layer = impl.LSTM(2, 3)
    parameters = layer.initial(np.random.default_rng(0), dtype)
    step = layer.forward(parameters, (made(4, 5, 2) * 1e4).astype(dtype))
    gradients = step.backward(tuple(np.ones_like(y) for y in step.output))
    assert all(np.isfinite(a).all() for a in (*step.output, *gradients.inputs, *gradients.parameters.values()))


def test_an_empty_batch_passes():
    layer = impl.LSTM(2, 3, num_layers=2, bidirectional=True)
    parameters = layer.initial(np.random.default_rng(0))
    step = layer.forward(parameters, np.zeros((4, 0, 2)))
    assert [y.shape for y in step.output] == [(4, 0, 6), (4, 0, 3), (4, 0, 3)]
    gradients = step.backward(step.output)
    assert gradients.inputs[0].shape == (4, 0, 2)
    assert not any(g.any() for g in gradients.parameters.values())
