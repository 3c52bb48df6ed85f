"""The recurrent cells and the sequence layers made of them: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl

CELLS = ("RNNCell", "LSTMCell", "GRUCell")
SEQUENCES = ("RNN", "LSTM", "GRU")


def complexes(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("argument", ["input_size", "hidden_size"])
def test_a_negative_size_is_named(op, argument):
    arguments = {"input_size": 2, "hidden_size": 3, argument: -1}
    with pytest.raises(ValueError, match=f"{op}: {argument} is -1, wanted at least 0"):
        getattr(impl, op)(**arguments)
    with pytest.raises(RuntimeError):
        getattr(torch.nn, op)(**arguments)


@pytest.mark.parametrize("op", ["RNN", "RNNCell"])
def test_an_unknown_curve_is_named(op):
    with pytest.raises(ValueError, match=f"{op}: nonlinearity is 'sin', wanted 'tanh' or 'relu'"):
        getattr(impl, op)(2, 3, nonlinearity="sin")


@pytest.mark.parametrize("op", ["RNN", "GRU"])
def test_projections_are_the_lstms_alone(op):
    with pytest.raises(TypeError, match="proj_size"):
        getattr(impl, op)(2, 3, proj_size=1)
    with pytest.raises(ValueError, match="proj_size"):
        getattr(torch.nn, op)(2, 3, proj_size=1)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3)], r"the shape of its input is \(2, 3\), wanted \(N, 2\) or \(2\)"),
        ([(1, 2, 2)], r"the shape of its input is \(1, 2, 2\), wanted \(N, 2\) or \(2\)"),
        ([()], r"the shape of its input is \(\), wanted \(N, 2\) or \(2\)"),
        ([(4, 2), (4, 3)], "the number of its states is 1, wanted 0 or 2"),
        ([(4, 2), (4, 3), (3, 3)], r"c_0 has shape \(3, 3\), wanted \(4, 3\)"),
        ([(2,), (1, 3), (3,)], r"h_0 has shape \(1, 3\), wanted \(3\)"),
    ],
)
def test_a_wrong_input_is_named(shapes, message):
    layer = impl.LSTMCell(2, 3)
    with pytest.raises(ValueError, match=f"LSTMCell: {message}"):
        layer.forward(layer.initial(np.random.default_rng(0)), *map(np.zeros, shapes))


def test_a_wrong_parameter_is_named():
    layer = impl.GRUCell(2, 3)
    parameters = layer.initial(np.random.default_rng(0)) | {"bias_hh": np.zeros(3)}
    with pytest.raises(ValueError, match=r"GRUCell: bias_hh has shape \(3,\), wanted \(9\)"):
        layer.forward(parameters, np.zeros((4, 2)))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("sizes", [(30, 25), (2, 0), (0, 2)])
def test_initial_parameters_are_distributed_as_torchs(op, sizes):
    torch.manual_seed(0)
    initial = getattr(impl, op)(*sizes).initial(np.random.default_rng(0))
    for name, parameter in getattr(torch.nn, op)(*sizes).named_parameters():
        assert initial[name].shape == parameter.shape
        if sizes == (30, 25):
            for sample in (initial[name], parameter.detach().numpy()):
                assert abs(sample).max() == pytest.approx(0.2, rel=0.1), name
                assert sample.std() == pytest.approx(0.2 / 3**0.5, rel=0.25), name


@pytest.mark.parametrize("op", CELLS)
def test_an_empty_batch_passes(op):
    layer = getattr(impl, op)(2, 3)
    step = layer.forward(layer.initial(np.random.default_rng(0)), np.zeros((0, 2)))
    gradients = step.backward(step.output)
    assert gradients.inputs[0].shape == (0, 2)
    assert not any(g.any() for g in gradients.parameters.values())


@pytest.mark.parametrize("absent", [(0,), (1,), (0, 1)])
def test_no_cotangent_counts_as_zero(absent):
    layer = impl.LSTMCell(2, 3)
    step = layer.forward(layer.initial(np.random.default_rng(0)), np.ones((4, 2)))
    grads = [None if k in absent else np.ones((4, 3)) for k in range(2)]
    got = step.backward(tuple(grads)).inputs[0]
    np.testing.assert_array_equal(
        got, step.backward(tuple(np.zeros((4, 3)) if g is None else g for g in grads)).inputs[0]
    )
    assert got.any() == (len(absent) < 2)


@pytest.mark.parametrize("op", ["RNN", "RNNCell"])
def test_relu_has_the_slope_0_at_0_as_in_torch(op):
    arguments = {"input_size": 1, "hidden_size": 3, "nonlinearity": "relu"}
    layer, twin = getattr(impl, op)(**arguments), getattr(torch.nn, op)(**arguments).double()
    parameters = {name: np.zeros(shape) for name, shape in layer.parameter_shapes.items()}
    bias = next(name for name in parameters if name.startswith("bias_ih"))
    parameters[bias] = np.array([-1.0, 0.0, 1.0])
    twin.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    x = np.zeros((1, 1))
    step, expected = layer.forward(parameters, x), twin(torch.tensor(x))
    (expected[0] if op == "RNN" else expected).sum().backward()
    gradients = step.backward((np.ones((1, 3)), None) if op == "RNN" else np.ones((1, 3)))
    np.testing.assert_array_equal(gradients.parameters[bias], [0, 0, 1])
    np.testing.assert_array_equal(getattr(twin, bias).grad.numpy(), [0, 0, 1])
    np.testing.assert_array_equal(step.branches[0].ravel(), [False, False, True])


@pytest.mark.parametrize("op", SEQUENCES)
def test_a_sequence_is_its_cell_step_by_step(op):
    rng = np.random.default_rng(0)
    layer, cell = getattr(impl, op)(2, 3), getattr(impl, f"{op}Cell")(2, 3)
    parameters, x = layer.initial(rng), rng.standard_normal((4, 5, 2))
    own, states = {name.removesuffix("_l0"): array for name, array in parameters.items()}, ()
    for x_t, y_t in zip(x, layer.forward(parameters, x).output[0]):
        output = cell.forward(own, x_t, *states).output
        states = output if isinstance(output, tuple) else (output,)
        np.testing.assert_allclose(states[0], y_t, rtol=1e-13)


@pytest.mark.parametrize("op", [*CELLS, *SEQUENCES])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_saturated_gates_overflow_nowhere(op, dtype):
    layer = getattr(impl, op)(2, 3)
    x = (np.random.default_rng(0).standard_normal((4, 2)) * 1e4).astype(dtype)
    step = layer.forward(layer.initial(np.random.default_rng(0), dtype), x)
    outputs = step.output if isinstance(step.output, tuple) else (step.output,)
    ones = tuple(np.ones_like(y) for y in outputs)
    gradients = step.backward(ones if len(ones) > 1 else ones[0])
    assert all(np.isfinite(a).all() for a in (*outputs, *gradients.inputs, *gradients.parameters.values()))


@pytest.mark.parametrize(
    ("op", "shape", "arguments"),
    [
        ("RNN", (3, 2, 2), {}),
        ("RNNCell", (4, 2), {}),
        ("LSTM", (3, 2, 2), {"proj_size": 2, "bidirectional": True}),
        ("LSTMCell", (4, 2), {}),
        ("GRU", (3, 2, 2), {"num_layers": 2}),
        ("GRUCell", (4, 2), {}),
    ],
)
def test_complex_gradients_follow_torchs_convention(op, shape, arguments):
    layer = getattr(impl, op)(2, 3, **arguments)
    with pytest.warns(UserWarning, match="Complex modules are a new feature"):
        twin = getattr(torch.nn, op)(2, 3, **arguments).to(torch.complex128)
    sizes = enumerate(layer.parameter_shapes.items(), start=1)
    parameters = {name: complexes(*size, seed=seed) / 4 for seed, (name, size) in sizes}
    twin.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    x = complexes(*shape)
    leaf = torch.tensor(x, requires_grad=True)
    expected = twin(leaf)
    if op in SEQUENCES:
        expected = (expected[0], *(expected[1] if op == "LSTM" else (expected[1],)))
    step = layer.forward(parameters, x)
    several = isinstance(step.output, tuple)
    outputs, expected = (step.output, expected) if several else ((step.output,), (expected,))
    grads = tuple(complexes(*y.shape, seed=9 + k) for k, y in enumerate(outputs))
    torch.autograd.backward(expected, [torch.tensor(g) for g in grads])
    gradients = step.backward(grads if several else grads[0])
    for got, want in zip(outputs, expected):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradients.inputs[0], leaf.grad.numpy(), rtol=1e-10)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(gradients.parameters[name], parameter.grad.numpy(), rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("op", SEQUENCES)
@pytest.mark.parametrize("hidden", [96, 97])
def test_a_product_that_is_taken_by_quarters_is_the_same(op, hidden):
    """A batch is large enough for that, its samples are not; with sizes that four divides and that it does not."""
    rng, layer = np.random.default_rng(0), getattr(impl, op)(3, hidden)
    parameters = layer.initial(rng)
    batch = 36 if op == "RNN" else 24
    x, g = rng.standard_normal((2, batch, 3)), rng.standard_normal((2, batch, hidden))
    nothing = (None,) * (2 if op == "LSTM" else 1)
    whole = layer.forward(parameters, x)
    samples = [layer.forward(parameters, x[:, [k]]) for k in range(x.shape[1])]
    np.testing.assert_allclose(whole.output[0], np.concatenate([s.output[0] for s in samples], axis=1), rtol=1e-11)
    backs = [s.backward((g[:, [k]], *nothing)) for k, s in enumerate(samples)]
    back = whole.backward((g, *nothing))
    np.testing.assert_allclose(
        back.inputs[0], np.concatenate([b.inputs[0] for b in backs], axis=1), rtol=1e-9, atol=1e-12
    )
    for name, got in back.parameters.items():
        np.testing.assert_allclose(got, sum(b.parameters[name] for b in backs), rtol=1e-9, atol=1e-12)
