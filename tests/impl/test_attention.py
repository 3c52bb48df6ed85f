"""MultiheadAttention: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import impl
from reference.draws import Draws, recorded

CAUSAL = ~np.tri(3, 5, dtype=bool)


def made(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def pair(seed=0, **arguments):
    """A layer of two heads, its parameters, and torch's module with them."""
    layer = impl.MultiheadAttention(4, 2, **arguments)
    parameters = {name: made(*shape, seed=seed + k) for k, (name, shape) in enumerate(layer.parameter_shapes.items())}
    module = torch.nn.MultiheadAttention(4, 2, **arguments).double()
    module.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    return layer, parameters, module


def inputs(batch=(2,)):
    return made(3, *batch, 4), made(5, *batch, 4, seed=1), made(5, *batch, 4, seed=2)


def torchs(module, arrays, noise=(), **options):
    """Output, weights and gradients of the inputs under cotangents of ones."""
    xs = [torch.tensor(x, requires_grad=True) for x in arrays]
    with sdpa_kernel(SDPBackend.MATH), Draws(noise):
        output, weights = module(*xs, **{n: torch.tensor(v) if np.ndim(v) else v for n, v in options.items()})
    output.sum().backward()
    return output.detach().numpy(), weights, [x.grad.numpy() for x in xs]


@pytest.mark.parametrize(
    ("argument", "value", "wanted"),
    [
        ("embed_dim", 0, "at least 1"),
        ("num_heads", 0, "at least 1"),
        ("num_heads", 3, r"a divisor of embed_dim \(4\)"),
        ("dropout", 1.5, "a probability, 0 to 1"),
        ("dropout", float("nan"), "a probability, 0 to 1"),
    ],
)
def test_refused_arguments(argument, value, wanted):
    with pytest.raises(ValueError, match=f"MultiheadAttention: {argument} is {value}, wanted {wanted}"):
        impl.MultiheadAttention(**{"embed_dim": 4, "num_heads": 2, argument: value})


@pytest.mark.parametrize(
    ("arguments", "shapes", "message"),
    [
        ({}, [(4,), (4,), (4,)], r"the shape of query is \(4,\), wanted two axes, or three"),
        ({}, [(3, 2, 5), (5, 2, 4), (5, 2, 4)], r"query has shape \(3, 2, 5\), wanted \(3, 2, 4\)"),
        ({}, [(3, 4), (5, 1, 4), (5, 1, 4)], r"key has shape \(5, 1, 4\), wanted \(\*, 4\)"),
        ({}, [(3, 2, 4), (5, 1, 4), (5, 1, 4)], r"key has shape \(5, 1, 4\), wanted \(\*, 2, 4\)"),
        ({"batch_first": True}, [(2, 3, 4), (2,), (2, 5, 4)], r"key has shape \(2,\), wanted \(2, \*, 4\)"),
        ({"vdim": 3}, [(3, 2, 4), (5, 2, 4), (5, 2, 4)], r"value has shape \(5, 2, 4\), wanted \(5, 2, 3\)"),
        ({"batch_first": True}, [(2, 3, 4), (2, 5, 4), (2, 6, 4)], r"value .* \(2, 6, 4\), wanted \(2, 5, 4\)"),
    ],
)
def test_names_the_wrong_input(arguments, shapes, message):
    layer = impl.MultiheadAttention(4, 2, **arguments)
    with pytest.raises(ValueError, match=f"MultiheadAttention: {message}"):
        layer.forward(layer.initial(np.random.default_rng(0)), *map(np.zeros, shapes))


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        ((2,), {"is_causal": True}, "attn_mask is None, wanted the causal mask"),
        ((2,), {"attn_mask": np.zeros((5, 3))}, r"shape of attn_mask is \(5, 3\), wanted \(3, 5\) or \(4, 3, 5\)"),
        ((), {"attn_mask": np.zeros((4, 3, 5))}, r"shape of attn_mask is \(4, 3, 5\), wanted \(3, 5\) or \(2, 3, 5\)"),
        ((2,), {"key_padding_mask": [False] * 5}, r"shape of key_padding_mask is \(5,\), wanted \(2, 5\)"),
        ((), {"key_padding_mask": [[False] * 5]}, r"shape of key_padding_mask is \(1, 5\), wanted \(5,\)"),
        ((), {"key_padding_mask": [0] * 5}, "dtype of key_padding_mask is 'int64', wanted bool or a floating one"),
    ],
)
def test_names_the_wrong_mask(batch, options, message):
    layer, parameters, _ = pair()
    with pytest.raises(ValueError, match=f"MultiheadAttention: .*{message}"):
        layer.forward(parameters, *inputs(batch), **options)


@pytest.mark.parametrize("kdim", [None, 12])
def test_initial_parameters_are_distributed_as_torchs(kdim):
    torch.manual_seed(0)
    arguments = {"embed_dim": 400, "num_heads": 2, "add_bias_kv": True, "kdim": kdim}
    initial = impl.MultiheadAttention(**arguments).initial(np.random.default_rng(0))
    for name, parameter in torch.nn.MultiheadAttention(**arguments).named_parameters():
        want, got = parameter.detach().numpy(), initial[name]
        assert got.std() == pytest.approx(want.std(), rel=0.2), name
        assert abs(got).max() == pytest.approx(abs(want).max(), rel=0.6 if "bias" in name else 0.01), name
        assert not got.any() or abs(got.mean()) < 0.2 * got.std(), name


@pytest.mark.parametrize("absent", [{0}, {1}, {0, 1}])
def test_no_cotangent_counts_as_zero(absent):
    layer, parameters, _ = pair(add_bias_kv=True)
    step = layer.forward(parameters, *inputs())
    grads = [None if k in absent else made(*y.shape, seed=k) for k, y in enumerate(step.output)]
    zeros = [np.zeros_like(y) if g is None else g for g, y in zip(grads, step.output)]
    got, want = step.backward(tuple(grads)), step.backward(tuple(zeros))
    for a, b in zip([*got.inputs, *got.parameters.values()], [*want.inputs, *want.parameters.values()]):
        np.testing.assert_array_equal(a, b)
    assert got.inputs[0].any() == (len(absent) < 2)


@pytest.mark.parametrize("batch", [(2,), ()])
@pytest.mark.parametrize("need_weights", [True, False])
def test_dropout_draws_in_torchs_shape(batch, need_weights):
    layer, parameters, module = pair(dropout=0.4, add_zero_attn=True)
    arrays, n = inputs(batch), 2 if batch else 1
    with sdpa_kernel(SDPBackend.MATH):
        _, shapes = recorded(lambda: module(*map(torch.tensor, arrays), need_weights=need_weights))
    assert shapes == (((2 * n, 3, 6) if need_weights else (n, 2, 3, 6)),)
    noise = [np.random.default_rng(0).random(shapes[0])]
    want, _, gradients = torchs(module, arrays, noise, need_weights=need_weights)
    step = layer.forward(parameters, *arrays, noise=noise, need_weights=need_weights)
    got = step.output[0] if need_weights else step.output
    np.testing.assert_allclose(got, want, rtol=1e-11)
    back = step.backward((np.ones_like(got), None) if need_weights else np.ones_like(got))
    for a, b in zip(back.inputs, gradients):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="noise has shape"):
        layer.forward(parameters, *arrays, noise=[noise[0][..., :1]], need_weights=need_weights)


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (1.0, True), (0.5, False)])
@pytest.mark.parametrize("need_weights", [True, False])
def test_nothing_is_drawn_where_torch_draws_nothing(p, training, need_weights):
    layer, parameters, module = pair(dropout=p)
    want, _, _ = torchs(module.train(training), inputs(), need_weights=need_weights)
    output = layer.forward(parameters, *inputs(), training=training, need_weights=need_weights).output
    np.testing.assert_allclose(output[0] if need_weights else output, want, rtol=1e-11)


@pytest.mark.parametrize("need_weights", [True, False])
def test_where_all_is_masked(need_weights):
    """With weights torch answers NaN, without them it attends to nothing; neither warns."""
    layer, parameters, module = pair()
    padding = np.array([[True] * 5, [False] * 5])
    want, _, gradients = torchs(module, inputs(), key_padding_mask=padding, need_weights=need_weights)
    step = layer.forward(parameters, *inputs(), key_padding_mask=padding.tolist(), need_weights=need_weights)
    got = step.output[0] if need_weights else step.output
    assert np.isnan(got[:, 0]).all() == need_weights
    np.testing.assert_allclose(got, want, rtol=1e-11)
    back = step.backward((np.ones_like(got), None) if need_weights else np.ones_like(got))
    for a, b in zip(back.inputs, gradients):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("padding", [None, [[False] * 4 + [True]] * 2])
def test_is_causal_is_believed_only_where_torch_believes_it(need_weights, padding):
    layer, parameters, module = pair()
    options = {"attn_mask": np.zeros((3, 5), bool), "is_causal": True, "need_weights": need_weights}
    if padding:
        options["key_padding_mask"] = padding
    want, _, _ = torchs(module, inputs(), **options)
    output = layer.forward(parameters, *inputs(), **options).output
    np.testing.assert_allclose(output[0] if need_weights else output, want, rtol=1e-11)
    causal = layer.forward(parameters, *inputs(), attn_mask=CAUSAL, need_weights=False).output
    assert np.allclose(want, causal) == (padding is None and not need_weights)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mask_is_the_same_as_list_array_or_numbers(dtype):
    layer, parameters, _ = pair(add_bias_kv=True)
    parameters = {name: array.astype(dtype) for name, array in parameters.items()}
    arrays = [x.astype(dtype) for x in inputs()]
    masks = (CAUSAL, CAUSAL.tolist(), np.where(CAUSAL, -np.inf, 0), np.repeat(CAUSAL[None], 4, axis=0))
    outputs = [layer.forward(parameters, *arrays, attn_mask=mask, need_weights=False).output for mask in masks]
    for output in outputs:
        assert output.dtype == dtype
        np.testing.assert_array_equal(output, outputs[0])


@pytest.mark.parametrize(("shape", "arguments"), [((3, 2, 4), {}), ((3, 2, 4), {"batch_first": True}), ((3, 4), {})])
def test_self_attention_has_a_gradient_for_each_role(shape, arguments):
    layer, parameters, module = pair(**arguments)
    x, g = made(*shape), made(*shape, seed=5)
    there = torch.tensor(x, requires_grad=True)
    module(there, there, there)[0].backward(torch.tensor(g))
    step, apart = layer.forward(parameters, x, x, x), layer.forward(parameters, x, x.copy(), x.copy())
    back, want = step.backward((g, None)), apart.backward((g, None))
    np.testing.assert_allclose(step.output[0], apart.output[0], rtol=1e-12)
    for got, role in zip(back.inputs, want.inputs, strict=True):
        np.testing.assert_allclose(got, role, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sum(back.inputs), there.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(back.parameters[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"average_attn_weights": False}])
@pytest.mark.parametrize("batch", [(2,), ()])
def test_weights_are_shown_and_pass_their_gradient_on_as_torchs(batch, options):
    layer, parameters, module = pair()
    xs = [torch.tensor(x, requires_grad=True) for x in inputs(batch)]
    want = module(*xs, **options)
    step = layer.forward(parameters, *inputs(batch), **options)
    grads = tuple(made(*y.shape, seed=k) for k, y in enumerate(want))
    torch.autograd.backward(want, tuple(map(torch.tensor, grads)))
    for a, b in zip(step.output, want, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-11)
    for a, b in zip(step.backward(grads).inputs, xs):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_where_all_is_masked_and_only_the_weights_have_a_gradient():
    """No gradient reaches the values through NaN weights that pass nothing on."""
    layer, parameters, module = pair()
    padding = np.array([[True] * 5, [False] * 5])
    xs = [torch.tensor(x, requires_grad=True) for x in inputs()]
    _, weights = module(*xs, key_padding_mask=torch.tensor(padding))
    weights.sum().backward()
    step = layer.forward(parameters, *inputs(), key_padding_mask=padding)
    back = step.backward((None, np.ones_like(step.output[1])))
    assert np.isnan(back.inputs[0]).any()
    assert not back.inputs[2].any()
    for got, x in zip(back.inputs[:2], xs):
        np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-10, atol=1e-12)
    assert xs[2].grad is None or not xs[2].grad.any()
    for name, parameter in module.named_parameters():
        want = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        np.testing.assert_allclose(back.parameters[name], want, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("sizes", [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 2)])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}, {"add_zero_attn": True}])
@pytest.mark.parametrize("need_weights", [True, False])
def test_sizes_of_zero(sizes, options, need_weights):
    (length, keys, batch), (layer, parameters, module) = sizes, pair(**options)
    arrays = [made(n, batch, 4) for n in (length, keys, keys)]
    noise = [
        np.full((*((batch * 2,) if need_weights else (batch, 2)), length, keys + ("add_zero_attn" in options)), 0.3)
    ]
    want, _, gradients = torchs(module, arrays, noise, need_weights=need_weights)
    step = layer.forward(parameters, *arrays, noise=noise, need_weights=need_weights)
    got = step.output[0] if need_weights else step.output
    np.testing.assert_allclose(got, want, rtol=1e-11)
    back = step.backward((np.ones_like(got), None) if need_weights else np.ones_like(got))
    for a, b in zip(back.inputs, gradients):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
