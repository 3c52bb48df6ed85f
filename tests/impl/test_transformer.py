"""Transformers: what the catalogue's properties cannot see."""

import warnings

import numpy as np
import pytest
import torch

import impl
from reference import Architecture, Input, Node, Twin, draw_values
from reference.ops import build

SMALL = {"d_model": 4, "nhead": 2, "dim_feedforward": 3}
LAYER = impl.TransformerEncoderLayer(**SMALL)


def made(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def parameters_of(layer, seed=0):
    return {name: made(*shape, seed=seed + k) for k, (name, shape) in enumerate(layer.parameter_shapes.items())}


def loaded(module, parameters):
    module.double().load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    return module


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: impl.TransformerEncoderLayer(0, 1), "TransformerEncoderLayer: d_model is 0, wanted at least 1"),
        (lambda: impl.TransformerDecoderLayer(4, 0), "TransformerDecoderLayer: nhead is 0, wanted at least 1"),
        (lambda: impl.TransformerEncoderLayer(4, 3), r"nhead is 3, wanted a divisor of d_model \(4\)"),
        (lambda: impl.TransformerEncoderLayer(4, 2, -1), "dim_feedforward is -1, wanted at least 0"),
        (lambda: impl.TransformerEncoderLayer(4, 2, dropout=1.5), "dropout is 1.5, wanted a probability, 0 to 1"),
        (lambda: impl.TransformerEncoderLayer(4, 2, activation="tanh"), "is 'tanh', wanted 'relu', 'gelu' or a layer"),
        (lambda: impl.TransformerEncoder(LAYER, 0), "TransformerEncoder: num_layers is 0, wanted at least 1"),
        (lambda: impl.TransformerEncoder(impl.ReLU(), 1), "wanted a TransformerEncoderLayer"),
        (lambda: impl.TransformerDecoder(LAYER, 1), "TransformerDecoder: decoder_layer .* wanted a TransformerDecoder"),
        (lambda: impl.TransformerEncoder(LAYER, 1, "LayerNorm"), "norm is 'LayerNorm', wanted None or a layer"),
        (lambda: impl.Transformer(custom_encoder=abs), "Transformer: custom_encoder .* wanted None or a layer"),
        (lambda: impl.Transformer(4, 3), r"nhead is 3, wanted a divisor of d_model \(4\)"),
    ],
)
def test_refused_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shapes", "options", "message"),
    [
        (LAYER, [(4,)], {}, r"TransformerEncoderLayer: the shape of src is \(4,\), wanted two or three axes, the last"),
        (LAYER, [(3, 5)], {}, r"TransformerEncoderLayer: the shape of src is \(3, 5\), .* the last of 4"),
        (
            impl.TransformerDecoderLayer(**SMALL),
            [(3, 4), (2, 3)],
            {},
            r"TransformerDecoderLayer: the shape of memory is \(2, 3\), .* the last of 4",
        ),
        (LAYER, [(3, 4)], {"src_mask": np.zeros((2, 3))}, r"the shape of attn_mask is \(2, 3\), wanted \(3, 3\)"),
        (LAYER, [(3, 4)], {"is_causal": True}, "attn_mask is None, wanted the causal mask"),
        (LAYER, [(3, 4)], {"noise": None}, "training draws noise"),
        (
            impl.Transformer(4, 2, 1, 1, 3),
            [(3, 4), (3, 2)],
            {},
            r"Transformer: the shape of tgt is \(3, 2\), .* the last of 4",
        ),
        (
            impl.Transformer(4, 2, 1, 1, 3),
            [(3, 2, 4), (3, 1, 4)],
            {},
            r"the shape of tgt is \(3, 1, 4\), wanted as many samples as src, \(3, 2, 4\)",
        ),
        (
            impl.Transformer(4, 2, 1, 1, 3, batch_first=True),
            [(3, 2, 4), (2, 4)],
            {},
            r"the shape of tgt is \(2, 4\), wanted as many samples as src, \(3, 2, 4\)",
        ),
    ],
)
def test_names_the_wrong_input(layer, shapes, options, message):
    noise = {"noise": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=message):
        layer.forward(parameters_of(layer), *map(np.zeros, shapes), **(noise | options))


def test_a_layer_draws_in_torchs_order():
    """Of attention, behind it, behind the activation, behind the feed-forward block: only the last is dropped."""
    parameters, x = parameters_of(LAYER), made(3, 2, 4)
    shapes = [(2, 2, 3, 3), (3, 2, 4), (3, 2, 3), (3, 2, 4)]
    noise = [np.zeros(shape) for shape in shapes[:3]] + [np.full(shapes[3], 0.95)]
    step = LAYER.forward(parameters, x, noise=noise)
    assert not np.asarray(step.steps["dropout2"].output).any()
    assert all(np.asarray(step.steps[name].output).any() for name in ("self_attn", "dropout1", "dropout"))
    architecture = Architecture((Input("x", x.shape),), (Node("n", "TransformerEncoderLayer", SMALL, ("x",)),), ("n",))
    assert Twin(architecture).noise_shapes == {"n": tuple(shapes)}


@pytest.mark.parametrize("training", [True, False])
def test_without_a_gradient_torchs_fused_kernel_gives_the_same_but_for_padding(training):
    """The twin never takes it, impl has no other way; behind padding torch leaves out what nobody reads."""
    stack = impl.TransformerEncoder(impl.TransformerEncoderLayer(**SMALL, dropout=0.0, batch_first=True), 2)
    layer = {"op": "TransformerEncoderLayer", "arguments": {**SMALL, "dropout": 0.0, "batch_first": True}}
    arguments = {"encoder_layer": layer, "num_layers": 2}
    padding = [[False, False, True], [False, False, False]]
    options = {"src_key_padding_mask": padding}
    node = Node("n", "TransformerEncoder", arguments, ("x",), options)
    architecture = Architecture((Input("x", (2, 3, 4)),), (node,), ("n",), training=training)
    twin = Twin(architecture)
    values = draw_values(architecture, twin)
    parameters, x = values.parameters["n"], values.inputs["x"]
    got = stack.forward(parameters, x, training=training, **options).output
    np.testing.assert_allclose(got, twin.forward(values)["n"], rtol=1e-10, atol=1e-12)
    module = loaded(build("TransformerEncoder", arguments).to_empty(device="cpu"), parameters).train(training)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that nested tensors are a prototype
        want = module(torch.tensor(x), src_key_padding_mask=torch.tensor(padding)).numpy()
    kept = ~np.array(padding)
    np.testing.assert_allclose(got[kept], want[kept], rtol=1e-9, atol=1e-11)
    assert want[~kept].any() == training
    assert got[~kept].any()


def test_the_twin_leaves_torchs_choice_of_kernels_as_it_was():
    architecture = Architecture((Input("x", (3, 4)),), (Node("n", "TransformerEncoderLayer", SMALL, ("x",)),), ("n",))
    assert torch.backends.mha.get_fastpath_enabled()
    Twin(architecture)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_copied_decoder_layer_keeps_its_activation_in_the_twin():
    layer = {"op": "TransformerDecoderLayer", "arguments": {**SMALL, "activation": {"op": "Tanh"}}}
    stack = build("TransformerDecoder", {"decoder_layer": layer, "num_layers": 2})
    assert [type(one.activation) for one in stack.layers] == [torch.nn.Tanh] * 2


@pytest.mark.parametrize("sizes", [(0, 2, 2), (2, 0, 2), (2, 2, 0)])
def test_sizes_of_zero(sizes):
    length, keys, batch = sizes
    layer = impl.TransformerDecoderLayer(**SMALL, dropout=0.0)
    parameters = parameters_of(layer)
    xs = [made(n, batch, 4) for n in (length, keys)]
    step = layer.forward(parameters, *xs)
    module = loaded(torch.nn.TransformerDecoderLayer(**SMALL, dropout=0.0), parameters)
    there = [torch.tensor(x, requires_grad=True) for x in xs]
    want = module(*there)
    want.sum().backward()
    np.testing.assert_allclose(step.output, want.detach().numpy(), rtol=1e-10, atol=1e-12)
    for got, x in zip(step.backward(np.ones_like(step.output)).inputs, there):
        np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_a_stack_starts_from_copies_of_one_layer():
    stack = impl.TransformerEncoder(LAYER, 2, impl.LayerNorm(4))
    initial = stack.initial(np.random.default_rng(0), np.float32)
    assert list(initial) == list(stack.parameter_shapes)
    for name in LAYER.parameter_shapes:
        first, second = initial[f"layers.0.{name}"], initial[f"layers.1.{name}"]
        np.testing.assert_array_equal(first, second)
        assert not np.shares_memory(first, second)


def test_a_transformer_starts_as_torchs():
    """Matrices from Xavier's bound, each anew; the biases of the copies are copies."""
    torch.manual_seed(0)
    layers = {"num_encoder_layers": 2, "num_decoder_layers": 1}
    arguments = {"d_model": 200, "nhead": 2, "dim_feedforward": 100, "batch_first": True, **layers}
    initial = impl.Transformer(**arguments).initial(np.random.default_rng(0))
    for name, parameter in torch.nn.Transformer(**arguments).named_parameters():
        want, got = parameter.detach().numpy(), initial[name]
        assert got.std() == pytest.approx(want.std(), rel=0.2), name
        assert abs(got).max() == pytest.approx(abs(want).max(), rel=0.1), name
    first, second = (
        {n: initial[f"encoder.layers.{i}.{n}"] for n in ("linear1.weight", "linear1.bias")} for i in range(2)
    )
    assert (first["linear1.weight"] != second["linear1.weight"]).all()
    np.testing.assert_array_equal(first["linear1.bias"], second["linear1.bias"])


def test_custom_stacks_and_layers_with_parameters_of_their_own():
    """A decoder layer alone in the place of a decoder; a linear map as norm; a PReLU-like activation is any layer."""
    encoder = impl.TransformerEncoder(
        impl.TransformerEncoderLayer(**SMALL, dropout=0.0, activation=impl.Linear(3, 3)), 1, impl.Linear(4, 4)
    )
    decoder = impl.TransformerDecoderLayer(**SMALL, dropout=0.0)
    whole = impl.Transformer(4, 2, custom_encoder=encoder, custom_decoder=decoder, dropout=0.0)
    layer = torch.nn.TransformerEncoderLayer(**SMALL, dropout=0.0, activation=torch.nn.Linear(3, 3))
    there = torch.nn.Transformer(
        4,
        2,
        custom_encoder=torch.nn.TransformerEncoder(layer, 1, torch.nn.Linear(4, 4), enable_nested_tensor=False),
        custom_decoder=torch.nn.TransformerDecoderLayer(**SMALL, dropout=0.0),
    )
    assert list(whole.parameter_shapes) == [name for name, _ in there.named_parameters()]
    parameters, src, tgt = parameters_of(whole), made(3, 2, 4, seed=90), made(5, 2, 4, seed=91)
    module = loaded(there, parameters)
    xs = [torch.tensor(x, requires_grad=True) for x in (src, tgt)]
    module(*xs, tgt_is_causal=False).pow(2).sum().backward()
    step = whole.forward(parameters, src, tgt)
    back = step.backward(2 * step.output)
    for got, x in zip(back.inputs, xs, strict=True):
        np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-8, atol=1e-10)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(back.parameters[name], parameter.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=name)
